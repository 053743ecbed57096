//! Code that is common to the decoders of the `image` crate.

use image::error::{ImageError, ImageResult};
use image::{ColorType, ImageDecoder};

use super::{CodecError, DecodeMemory, Detail, Format, Header};
use crate::buffer::{Channels, Pixels};
use crate::geometry::{Orientation, Size};

/// A decoder's error, sorted by its remedy.
pub(super) fn codec_error(error: ImageError) -> CodecError {
    let text = error.to_string();
    match error {
        ImageError::Unsupported(_) => CodecError::Unsupported(text),
        ImageError::Limits(_) => CodecError::TooLarge(text),
        ImageError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => CodecError::Truncated(text),
        _ => CodecError::Corrupt(text),
    }
}

/// The header as a decoder of the `image` crate reads it. `working_bytes_per_pixel` is the memory that it takes besides
/// the decoded samples.
pub(super) fn header(
    format: Format,
    decoder: ImageResult<impl ImageDecoder>,
    orientation: Orientation,
    working_bytes_per_pixel: u64,
) -> Result<Header, CodecError> {
    let decoder = decoder.map_err(codec_error)?;
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
        frames: 1,
        profile: None,
        is_gray: !color.has_color(),
        memory: DecodeMemory {
            fixed_bytes: 1 << 20,
            bytes_per_pixel: sample_bytes + converted_bytes + working_bytes_per_pixel,
        },
        detail: Detail::Other,
    })
}

/// A size from a file; a side of zero is an error.
pub(super) fn size(width: u32, height: u32) -> Result<Size, CodecError> {
    let error = || CodecError::Corrupt(format!("the image has {width}x{height} pixels; each side must be at least 1"));
    Size::new(width, height).ok_or_else(error)
}

/// All pixels of a decoder, as 8-bit RGB or RGBA.
pub(super) fn decode(decoder: ImageResult<impl ImageDecoder>) -> Result<Pixels, CodecError> {
    let decoder = decoder.map_err(codec_error)?;
    let (width, height) = decoder.dimensions();
    let size = size(width, height)?;
    let color = decoder.color_type();
    let length = usize::try_from(decoder.total_bytes())
        .map_err(|_| CodecError::Corrupt("the image is too large for memory".to_owned()))?;
    let mut samples = vec![0; length];
    decoder.read_image(&mut samples).map_err(codec_error)?;
    let (channels, data) = match color {
        ColorType::Rgb8 => (Channels::Rgb, samples),
        ColorType::Rgba8 => (Channels::Rgba, samples),
        ColorType::L8 => (Channels::Rgb, gray(samples)),
        ColorType::La8 => (Channels::Rgba, gray_alpha(samples.as_chunks().0)),
        ColorType::L16 => (Channels::Rgb, gray(high_bytes(&samples))),
        ColorType::La16 => (Channels::Rgba, gray_alpha(high_bytes(&samples).as_chunks().0)),
        ColorType::Rgb16 => (Channels::Rgb, high_bytes(&samples)),
        ColorType::Rgba16 => (Channels::Rgba, high_bytes(&samples)),
        other => {
            let (bits, channels) = (other.bits_per_pixel(), other.channel_count());
            return Err(CodecError::Unsupported(format!(
                "a pixel has {bits} bits in {channels} channels; accepted are 8 and 16 bits a channel of grey or RGB, \
                 with or without alpha"
            )));
        }
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

/// The high bytes of 16-bit samples in native byte order, as in libpng's `png_set_strip_16` and Pillow.
fn high_bytes(samples: &[u8]) -> Vec<u8> {
    samples.as_chunks().0.iter().map(|pair| u16::from_ne_bytes(*pair).to_be_bytes()[0]).collect()
}
