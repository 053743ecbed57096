//! PNG, decoded and encoded by the `png` crate behind `image`.

use std::borrow::Cow;

use fdeflate::BoundedDecompressionError;
use image::codecs::png::{PngDecoder, PngEncoder};
use image::error::ImageResult;
use image::{ExtendedColorType, ImageEncoder};

use super::cursor::{Cursor, index};
use super::excerpt::Excerpt;
use super::{CodecError, Format, Header, Profile, orientation, raster};
use crate::buffer::Pixels;
use crate::geometry::Orientation;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let ChunkFacts { orientation, row_bytes, frames, profile } = check_chunks(bytes)?;
    // One more byte per pixel: rows in flight, and the Adam7 passes that are expanded one by one.
    let mut header = raster::header(Format::Png, open(bytes), orientation, 1)?;
    (header.frames, header.profile) = (frames.max(1), profile);
    // The decoder inflates some rows at once into a buffer that doubles: 5 rows, and twice that in two copies.
    header.memory.fixed_bytes += row_bytes.saturating_mul(16);
    Ok(header)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(open(bytes))
}

/// A decoder that sees the chunks of the still picture alone.
fn open(bytes: &[u8]) -> ImageResult<PngDecoder<Excerpt<'_, impl Iterator<Item = &[u8]>>>> {
    /// Length of the signature, and of a chunk's length, type and checksum.
    const SIGNATURE_BYTES: usize = 8;
    const FRAME_BYTES: usize = 12;
    let (signature, mut rest) = bytes.split_at_checked(SIGNATURE_BYTES).unwrap_or((bytes, &[]));
    let chunks = std::iter::from_fn(move || {
        loop {
            let ([a, b, c, d, kind @ ..], _) = rest.split_first_chunk::<8>()?;
            let length = index(u32::from_be_bytes([*a, *b, *c, *d])).saturating_add(FRAME_BYTES);
            // What a critical chunk means must be known (PNG, 5.4): the decoder refuses the others.
            let is_needed = kind[0].is_ascii_uppercase() || kind == b"tRNS";
            let (chunk, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = after;
            if is_needed {
                return Some(chunk);
            }
        }
    });
    PngDecoder::new(Excerpt::new(std::iter::once(signature).chain(chunks)))
}

pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(pixels.data(), pixels.size().width(), pixels.size().height(), ExtendedColorType::Rgb8)
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    Ok(file)
}

/// The facts that are read from the chunks directly.
struct ChunkFacts {
    /// From chunks that may come after the pixels, where a decoder has stopped reading.
    orientation: Orientation,
    /// Length of a row as it is inflated, with its filter.
    row_bytes: u64,
    /// The number of `fcTL` chunks, one for each frame of an animation.
    frames: u32,
    profile: Option<Profile>,
}

/// Checks that every chunk up to `IEND` is complete. Bytes after it do not belong to the image.
fn check_chunks(bytes: &[u8]) -> Result<ChunkFacts, CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(8, "the signature")?;
    let mut facts = ChunkFacts { orientation: Orientation::Upright, row_bytes: 0, frames: 0, profile: None };
    let (mut exif, mut raw_profile, mut xmp) = (None, None, None);
    let mut has_pixels = false;
    loop {
        let length = u32::from_be_bytes(cursor.array("a chunk's length")?);
        let kind = cursor.array::<4>("a chunk's type")?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            let kind = kind.escape_ascii();
            return Err(CodecError::Corrupt(format!(
                "a chunk has the type \"{kind}\"; accepted are four ASCII letters"
            )));
        }
        let start = cursor.position(bytes);
        let data = cursor.take(index(length), "a chunk")?;
        cursor.take(4, "a chunk's checksum")?;
        match &kind {
            b"IHDR" => facts.row_bytes = row_bytes(data)?,
            b"IDAT" => has_pixels = true,
            b"fcTL" => facts.frames += 1,
            b"iCCP" if !has_pixels && facts.profile.is_none() => {
                facts.profile = zlib_of_profile(data).map(|at| Profile::Deflated(start + at..start + data.len()));
            }
            b"eXIf" => exif = Some(data),
            b"tEXt" | b"zTXt" | b"iTXt" => match Text::read(kind, data) {
                Some((b"Raw profile type exif", text)) => raw_profile = Some(text),
                Some((b"XML:com.adobe.xmp", text)) => xmp = Some(text),
                _ => {}
            },
            b"IEND" => {
                // As in Pillow: of each the last one, and a raw profile only without `eXIf`.
                let exif = match (exif, raw_profile) {
                    (Some(block), _) => orientation::of_exif(block),
                    (None, Some(text)) => orientation::of_raw_profile(&text.start()),
                    (None, None) => None,
                };
                let xmp = || xmp.and_then(|text| orientation::of_xmp(&text.start()));
                facts.orientation = exif.or_else(xmp).unwrap_or_default();
                return Ok(facts);
            }
            _ => {}
        }
    }
}

/// The text of a chunk.
#[derive(Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    Deflated(&'a [u8]),
}

impl<'a> Text<'a> {
    /// The keyword and the text of a `tEXt`, `zTXt` or `iTXt` chunk (PNG, 11.3.3).
    fn read(kind: [u8; 4], data: &'a [u8]) -> Option<(&'a [u8], Self)> {
        fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
            let (before, after) = data.split_at(memchr::memchr(0, data)?);
            Some((before, after.get(1..)?))
        }
        let (keyword, rest) = split(data)?;
        let text = match (&kind, rest) {
            (b"tEXt", text) => Self::Plain(text),
            (b"zTXt", [0, text @ ..]) => Self::Deflated(text),
            (b"iTXt", [is_deflated, 0, rest @ ..]) => {
                // A language, and the keyword in it.
                let (_, text) = split(split(rest)?.1)?;
                if *is_deflated == 0 { Self::Plain(text) } else { Self::Deflated(text) }
            }
            _ => return None,
        };
        Some((keyword, text))
    }

    /// The text, or its start if it is long: what is looked for stands near it.
    fn start(self) -> Cow<'a, [u8]> {
        const MAX_BYTES: usize = 128 << 10;
        match self {
            Self::Plain(text) => Cow::Borrowed(text.get(..MAX_BYTES).unwrap_or(text)),
            Self::Deflated(text) => match fdeflate::decompress_to_vec_bounded(text, MAX_BYTES) {
                Ok(text) | Err(BoundedDecompressionError::OutputTooLarge { partial_output: text }) => Cow::Owned(text),
                Err(_) => Cow::Borrowed(&[]),
            },
        }
    }
}

fn row_bytes(header: &[u8]) -> Result<u64, CodecError> {
    let mut cursor = Cursor::new(header);
    let width = cursor.array("the header").map(u32::from_be_bytes)?;
    let [_, _, _, _, bits, color] = cursor.array("the header")?;
    // PNG, 11.2.1: grey, RGB, palette, grey with alpha, RGB with alpha. The decoder refuses other types.
    let samples = match color {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    Ok((u64::from(width) * u64::from(bits) * samples).div_ceil(8) + 1)
}

/// The position of the zlib stream in an `iCCP` chunk: after a name of 1 to 79 bytes, a zero, and the method, which is
/// always zero.
fn zlib_of_profile(data: &[u8]) -> Option<usize> {
    let name_bytes = data.iter().take(80).position(|byte| *byte == 0).filter(|length| *length > 0)?;
    (data.get(name_bytes + 1) == Some(&0)).then_some(name_bytes + 2)
}
