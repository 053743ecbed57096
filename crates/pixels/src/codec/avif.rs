//! AVIF: still pictures of AV1 (`AV1 Image File Format`, 1.1). The first picture, with its alpha channel.

mod container;
#[cfg_attr(not(feature = "avif"), path = "avif/no_decoder.rs")]
mod decoder;
mod planes;
mod stream;

use self::container::{ColorCoding, Container, Layer, Picture};
use self::decoder::Frame;
use self::planes::{Canvas, Matrix};
use self::stream::{Chroma, MAX_FRAMES, Sequence, count_frames};
use super::{CodePoints, CodecError, DecodeMemory, Detail, Format, Header, Profile};
use crate::buffer::{Channels, Pixels};
use crate::geometry::Size;

/// The limit of pixels in one coded picture, that of libavif; a grid of several may have more.
const MAX_TILE_PIXELS: u64 = 1 << 28;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let container = Container::open(bytes)?;
    let picture = container.picture()?;
    let color = Facts::of(&container, &picture.color)?;
    let alpha = picture.alpha.as_ref().map(|alpha| Facts::of(&container, alpha)).transpose()?;
    let coding = picture.coding.unwrap_or(color.first.coding);
    Matrix::of(coding, color.first.bits)?;
    let profile = match picture.profile {
        Some(profile) => Some(Profile::whole(profile)),
        None => profile_of(coding)?,
    };
    // A tile after the other: the canvas, and what the largest of them takes.
    let tile_bytes = color.memory_bytes.max(alpha.as_ref().map_or(0, |alpha| alpha.memory_bytes));
    let channels = if alpha.is_some() { Channels::Rgba } else { Channels::Rgb };
    let canvas_bytes = picture.window.size.pixels().saturating_mul(channels.count() as u64);
    Ok(Header {
        format: Format::Avif,
        size: picture.window.size,
        largest: color.covered,
        frames: container.frames,
        orientation: picture.orientation,
        profile,
        is_gray: color.first.chroma == Chroma::None,
        memory: DecodeMemory {
            // Twice the file: an item in several parts is joined, and what the decoder needs of it is copied.
            fixed_bytes: tile_bytes
                .saturating_add(canvas_bytes)
                .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_mul(2))
                .saturating_add(1 << 20),
            bytes_per_pixel: 0,
        },
        detail: Detail::Other,
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    let container = Container::open(bytes)?;
    let picture = container.picture()?;
    let Picture { color, alpha, coding, window, is_premultiplied, .. } = &picture;
    let channels = if alpha.is_some() { Channels::Rgba } else { Channels::Rgb };
    let mut canvas = Canvas::new(*window, channels)?;
    each_tile(&container, color, |frame, own, at| {
        let coding = coding.unwrap_or(own);
        let matrix = match frame.chroma {
            Chroma::None => Matrix::gray(coding, frame.bits),
            _ => Matrix::of(coding, frame.bits)?,
        };
        canvas.draw_colors(frame, matrix, at);
        Ok(())
    })?;
    if let Some(alpha) = alpha {
        each_tile(&container, alpha, |frame, own, at| {
            canvas.draw_alpha(frame, Matrix::gray(own, frame.bits), at);
            Ok(())
        })?;
    }
    let mut pixels = canvas.pixels()?;
    if *is_premultiplied {
        pixels.unpremultiply();
    }
    Ok(pixels)
}

/// Decodes the tiles of a layer, one after the other.
fn each_tile(
    container: &Container<'_>,
    layer: &Layer,
    mut draw: impl FnMut(&Frame, ColorCoding, (u32, u32)) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    for (number, tile) in (0_u32..).zip(&layer.tiles) {
        let data = container.data(*tile)?;
        let sequence = Sequence::find(&data)?;
        check_size(&sequence, layer)?;
        count_frames(&data, &sequence)?;
        let frame = Frame::decode(&data, &sequence)?;
        let (column, row) = (number % layer.columns, number / layer.columns);
        let at = (column.saturating_mul(layer.tile.width()), row.saturating_mul(layer.tile.height()));
        draw(&frame, sequence.coding, at)?;
    }
    Ok(())
}

/// What the headers of a layer's tiles say.
struct Facts {
    first: Sequence,
    /// The pixels of all tiles, those beyond the picture's edge included.
    covered: Size,
    /// What the decoder takes for the most demanding tile.
    memory_bytes: u64,
}

impl Facts {
    fn of(container: &Container<'_>, layer: &Layer) -> Result<Self, CodecError> {
        let (mut first, mut memory_bytes) = (None, 0);
        for tile in &layer.tiles {
            let (start, is_all) = container.start_of_data(*tile)?;
            let sequence = Sequence::find(start)?;
            check_size(&sequence, layer)?;
            let frames = if is_all { count_frames(start, &sequence)? } else { MAX_FRAMES };
            memory_bytes = memory_bytes.max(decoder_bytes(&sequence, frames));
            first.get_or_insert(sequence);
        }
        let first = first.ok_or_else(|| CodecError::Corrupt("the grid has no tiles".to_owned()))?;
        let rows = layer.tiles.len().div_ceil(layer.columns as usize);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let (width, height) = (layer.tile.width().checked_mul(layer.columns), layer.tile.height().checked_mul(rows));
        let covered = width.zip(height).and_then(|(width, height)| Size::new(width, height));
        let covered = covered.ok_or_else(|| CodecError::TooLarge("the grid has too many pixels".to_owned()))?;
        Ok(Self { first, covered, memory_bytes })
    }
}

fn check_size(sequence: &Sequence, layer: &Layer) -> Result<(), CodecError> {
    let (coded, tile) = (sequence.size, layer.tile);
    if coded != tile {
        return Err(CodecError::Corrupt(format!(
            "the coded picture has {coded} pixels, and the file says that it has {tile}"
        )));
    }
    if coded.pixels() > MAX_TILE_PIXELS {
        return Err(CodecError::TooLarge(format!(
            "a coded picture has {coded} pixels; accepted are at most {MAX_TILE_PIXELS}"
        )));
    }
    Ok(())
}

/// An upper bound of the decoder's memory, measured by `tests/plan_memory.rs`.
fn decoder_bytes(sequence: &Sequence, frames: u64) -> u64 {
    /// Frames are stored in whole blocks of this side.
    const BLOCK: u32 = 128;
    let whole = |side: u32| u64::from(side.next_multiple_of(BLOCK));
    let pixels = whole(sequence.size.width()) * whole(sequence.size.height());
    let samples = match sequence.chroma {
        Chroma::None => pixels,
        Chroma::Quarter => pixels / 2 * 3,
        Chroma::Half => pixels * 2,
        Chroma::Full => pixels * 3,
    };
    let frame_bytes = samples * if sequence.bits == 8 { 1 } else { 2 };
    // The frames, one more with grain, and what is noted of each block.
    frame_bytes * (frames + 1) + pixels * 4 + (8 << 20)
}

/// The colours that the code points of a picture name (ITU-T H.273, 8.1 and 8.2), unless they are sRGB.
fn profile_of(coding: ColorCoding) -> Result<Option<Profile>, CodecError> {
    /// Those of sRGB, and "unspecified", which is taken for it.
    const SRGB_PRIMARIES: [u16; 2] = [1, 2];
    /// The curve of sRGB, and the one of cameras for television (BT.709, BT.601, BT.2020), whose pictures are shown as
    /// if they had it: by browsers, and by all readers that look at no code point.
    const SRGB_TRANSFERS: [u16; 6] = [1, 2, 6, 13, 14, 15];
    const SRGB_TRANSFER: u8 = 13;
    let name = match coding.transfer {
        16 => "PQ",
        18 => "HLG",
        transfer if SRGB_PRIMARIES.contains(&coding.primaries) && SRGB_TRANSFERS.contains(&transfer) => {
            return Ok(None);
        }
        transfer => {
            let code = |number| u8::try_from(number).unwrap_or(0);
            let primaries = code(if coding.primaries == 2 { 1 } else { coding.primaries });
            let transfer = if SRGB_TRANSFERS.contains(&transfer) { SRGB_TRANSFER } else { code(transfer) };
            return Ok(Some(Profile::CodePoints(CodePoints { primaries, transfer })));
        }
    };
    Err(CodecError::Unsupported(format!(
        "the picture is HDR ({name}) and would need a tone mapping; accepted are pictures for usual screens"
    )))
}

#[cfg(all(test, feature = "avif"))]
mod tests {
    use super::*;

    fn pixels(name: &str) -> Pixels {
        let path = format!("{}/../../testdata/images/avif/{name}.avif", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        decode(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Pillow drops the lower bits of such samples, so its goldens cannot hold them to much. All files were encoded
    /// from the picture of `lossless.avif`.
    #[test]
    fn samples_of_more_than_8_bits_are_rounded_not_cut() {
        let original = pixels("lossless");
        for (name, most) in [("444-10-bt2020", 1.0), ("444-8", 1.0), ("422-12-limited", 2.5), ("420-10", 2.0)] {
            let actual = pixels(name);
            let values = actual.data().iter().zip(original.data());
            let (mut sum, mut bias) = (0.0, 0.0);
            for (actual, original) in values {
                let difference = f64::from(*actual) - f64::from(*original);
                (sum, bias) = (sum + difference.abs(), bias + difference);
            }
            let count = f64::from(u32::try_from(original.data().len()).expect("small"));
            assert!(sum / count < most, "{name}: {:.3} levels on average", sum / count);
            assert!((bias / count).abs() < 0.1, "{name}: {:.3} levels too bright", bias / count);
        }
    }
}
