//! The fuzz target `decode`: properties of any bytes in the place of an image. Shared with the tests. The module
//! `counting` beside it must have the global allocator.
//!
//! An input starts with [`SETTINGS_BYTES`] bytes that choose the settings; the file follows.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::counting::peak_of;
use pixpipe_pixels::codec::Codecs;
use pixpipe_pixels::geometry::{CropRound, Cut, Fit, OutputSize, Size};
use pixpipe_pixels::render::{Plan, Renderer};
use pixpipe_pixels::spec::{Color, Decode, Encoding, Filter, Rgb, Spec, Subsampling};

/// Number of bytes that choose the settings.
pub(crate) const SETTINGS_BYTES: usize = 6;
/// The limit of pixels: enough for every seed, and quickly decoded.
const MAX_PIXELS: u64 = 1 << 20;
/// The limit of memory, as of admission: a source that needs more is not rendered.
const MAX_MEMORY_BYTES: u64 = 256 << 20;
/// The limit of memory for a header, which is read before anything is admitted.
const MAX_HEADER_BYTES: u64 = 512 << 10;

/// The end of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every output was made and has its size.
    Rendered,
    /// The file was refused.
    Refused,
}

/// Makes the outputs of `input` as the program does.
///
/// # Errors
/// A fault of an output, or of how the file was refused.
///
/// # Panics
/// If a codec panics.
pub(crate) fn run(renderer: &mut Renderer, input: &[u8]) -> Result<Verdict, String> {
    let Some((settings, file)) = input.split_first_chunk() else { return Ok(Verdict::Refused) };
    let spec = Arc::new(spec(*settings));
    let (plan, header_bytes) = peak_of(|| Plan::read(file, Arc::clone(&spec), MAX_PIXELS));
    if header_bytes > MAX_HEADER_BYTES {
        return Err(format!("the header took {header_bytes} bytes"));
    }
    let Ok(plan) = plan else { return Ok(Verdict::Refused) };
    if plan.header().size.pixels() > MAX_PIXELS {
        return Err(format!("{} pixels were accepted", plan.header().size));
    }
    if plan.memory_bytes() > MAX_MEMORY_BYTES {
        return Ok(Verdict::Refused);
    }
    let (made, peak_bytes) = peak_of(|| renderer.render(file, &plan, &spec.sizes));
    if peak_bytes > plan.memory_bytes() {
        return Err(format!("{peak_bytes} bytes were taken, {} were planned", plan.memory_bytes()));
    }
    let files = match made {
        Ok(made) => made.files,
        Err(error) if error.to_string().is_empty() => return Err("refused without a reason".to_owned()),
        Err(_) => return Ok(Verdict::Refused),
    };
    let actual = files.iter().map(|file| size_of(file, spec.encoding)).collect::<Result<Vec<_>, _>>()?;
    let stored = plan.header().size;
    let upright = if plan.header().orientation.swaps_axes() { stored.transposed() } else { stored };
    let expected = spec.sizes.iter().map(|size| size.placement(upright, spec.fit).map(|placement| placement.output));
    let expected = expected.collect::<Result<Vec<_>, _>>().map_err(|error| format!("planned, but {error}"))?;
    if actual == expected { Ok(Verdict::Rendered) } else { Err(format!("{actual:?} instead of {expected:?}")) }
}

fn spec([shape, filter, width, height, background, second]: [u8; SETTINGS_BYTES]) -> Spec {
    let px = |byte: u8| u32::from(byte % 64) + 1;
    let of_bytes = |width, height| -> OutputSize {
        let size = Size::new(px(width), px(height)).expect("sides are at least 1");
        match shape % 6 {
            3 => {
                let short_px = NonZeroU32::new(px(width).max(px(height)) + u32::from(background)).expect("at least 1");
                let round = CropRound::ALL[usize::from(background % 2)];
                OutputSize::Cut(Cut::try_new(size, short_px, round).expect("a longer side"))
            }
            // With `Fit::Stretch`, which then has no exact size.
            5 => OutputSize::Short(NonZeroU32::new(px(width)).expect("at least 1")),
            _ => size.into(),
        }
    };
    let mut sizes = vec![of_bytes(width, height)];
    let other = of_bytes(second, width);
    if second % 2 == 1 && other != sizes[0] {
        sizes.push(other);
    }
    Spec {
        sizes,
        fit: Fit::ALL[usize::from(shape % 3)],
        filter: Filter::ALL[usize::from(filter % 5)],
        decode: if shape & 0x10 == 0 { Decode::Fast } else { Decode::Exact },
        color: if shape & 0x20 == 0 { Color::Srgb } else { Color::Ignore },
        background: Rgb([background, background.wrapping_mul(3), 255 - background]),
        encoding: match shape >> 6 {
            0 => Encoding::Npy,
            1 => Encoding::Png,
            2 => Encoding::Webp,
            _ => Encoding::Jpeg {
                quality: background % 100 + 1,
                subsampling: if filter & 0x80 == 0 { Subsampling::S420 } else { Subsampling::S444 },
            },
        },
    }
}

/// The size that an output's own header and length state.
fn size_of(output: &[u8], encoding: Encoding) -> Result<Size, String> {
    if encoding != Encoding::Npy {
        return Codecs::header(output).map(|header| header.size).map_err(|error| format!("an output: {error}"));
    }
    let text = String::from_utf8_lossy(output.get(..128).ok_or("an npy file without a header")?).into_owned();
    let shape = text.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).map(|(shape, _)| shape);
    let sides: Vec<u32> = shape.into_iter().flat_map(|shape| shape.split(", ")).flat_map(str::parse).collect();
    let [height, width, 3] = sides[..] else { return Err(format!("an npy file of the shape {shape:?}")) };
    let size = Size::new(width, height).ok_or("an npy file without pixels")?;
    if (output.len() - 128) as u64 == size.pixels() * 3 {
        Ok(size)
    } else {
        Err(format!("an npy file of {size} with {} bytes", output.len()))
    }
}
