//! What the decoders of the `image` crate have in common.

use image::error::{ImageError, ImageResult};
use image::{ColorType, ImageDecoder};

use super::{CodecError, DecodeMemory, Detail, Format, Header};
use crate::geometry::{Orientation, Size};
use crate::pixels::{Channels, Pixels};

/// A decoder's error, told apart by what the reader can do.
pub(super) fn error(error: ImageError) -> CodecError {
    let text = error.to_string();
    match error {
        ImageError::Unsupported(_) => CodecError::Unsupported(text),
        ImageError::Limits(_) => CodecError::TooLarge(text),
        ImageError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => CodecError::Truncated(text),
        _ => CodecError::Corrupt(text),
    }
}

/// The header that a decoder of the `image` crate gives. `working_bytes_per_pixel` is what it takes besides the
/// samples it puts out.
pub(super) fn header(
    format: Format,
    decoder: ImageResult<impl ImageDecoder>,
    orientation: Orientation,
    working_bytes_per_pixel: u64,
) -> Result<Header, CodecError> {
    let mut decoder = decoder.map_err(error)?;
    let (width, height) = decoder.dimensions();
    let size = size(width, height)?;
    let color = decoder.color_type();
    let sample_bytes = u64::from(color.bytes_per_pixel());
    let converted_bytes = if matches!(color, ColorType::Rgb8 | ColorType::Rgba8) { 0 } else { 4 };
    Ok(Header {
        format,
        size,
        largest: size,
        orientation,
        // A profile that cannot be read is as good as none.
        icc_profile: decoder.icc_profile().ok().flatten(),
        is_gray: !color.has_color(),
        memory: DecodeMemory {
            fixed_bytes: 1 << 20,
            bytes_per_pixel: sample_bytes + converted_bytes + working_bytes_per_pixel,
        },
        detail: Detail::Other,
    })
}

/// A size that is an image's.
pub(super) fn size(width: u32, height: u32) -> Result<Size, CodecError> {
    Size::new(width, height).ok_or_else(|| CodecError::Corrupt(format!("an image of {width}x{height} pixels")))
}

/// All pixels of a decoder, as RGB or RGBA of 8 bits.
pub(super) fn decode(decoder: ImageResult<impl ImageDecoder>) -> Result<Pixels, CodecError> {
    let decoder = decoder.map_err(error)?;
    let (width, height) = decoder.dimensions();
    let size = size(width, height)?;
    let color = decoder.color_type();
    let length = usize::try_from(decoder.total_bytes()).map_err(|_| CodecError::Corrupt("too large".to_owned()))?;
    let mut samples = vec![0; length];
    decoder.read_image(&mut samples).map_err(error)?;
    let (channels, data) = match color {
        ColorType::Rgb8 => (Channels::Rgb, samples),
        ColorType::Rgba8 => (Channels::Rgba, samples),
        ColorType::L8 => (Channels::Rgb, gray(samples)),
        ColorType::La8 => (Channels::Rgba, gray_alpha(samples.as_chunks().0)),
        ColorType::L16 => (Channels::Rgb, gray(high_bytes(&samples))),
        ColorType::La16 => (Channels::Rgba, gray_alpha(high_bytes(&samples).as_chunks().0)),
        ColorType::Rgb16 => (Channels::Rgb, high_bytes(&samples)),
        ColorType::Rgba16 => (Channels::Rgba, high_bytes(&samples)),
        other => return Err(CodecError::Unsupported(format!("samples of the kind {other:?}"))),
    };
    Pixels::try_new(size, channels, data).map_err(|error| CodecError::Corrupt(error.to_string()))
}

/// Grey samples as RGB.
#[expect(clippy::needless_pass_by_value, reason = "the samples are freed as soon as they are expanded")]
pub(super) fn gray(samples: Vec<u8>) -> Vec<u8> {
    samples.iter().flat_map(|gray| [*gray; 3]).collect()
}

fn gray_alpha(samples: &[[u8; 2]]) -> Vec<u8> {
    samples.iter().flat_map(|[gray, alpha]| [*gray, *gray, *gray, *alpha]).collect()
}

/// The high byte of 16-bit samples in native byte order: what libpng's `png_set_strip_16` and Pillow take.
fn high_bytes(samples: &[u8]) -> Vec<u8> {
    samples.as_chunks().0.iter().map(|pair| u16::from_ne_bytes(*pair).to_be_bytes()[0]).collect()
}
