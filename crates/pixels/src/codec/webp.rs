//! WebP, decoded and encoded by the `image-webp` crate behind `image`.

use std::io::Cursor as Bytes;

use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::cursor::{Cursor, index};
use super::{CodecError, Format, Header, exif_orientation, raster};
use crate::buffer::Pixels;
use crate::geometry::Orientation;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let orientation = check_chunks(bytes)?;
    // The lossy decoder keeps Y, U and V planes padded to macroblocks, the lossless one an RGBA picture and its
    // transforms, and an animation also has a canvas.
    raster::header(Format::Webp, WebPDecoder::new(Bytes::new(bytes)), orientation, 10)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(WebPDecoder::new(Bytes::new(bytes)))
}

pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    WebPEncoder::new_lossless(&mut file)
        .write_image(pixels.data(), pixels.size().width(), pixels.size().height(), ExtendedColorType::Rgb8)
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    Ok(file)
}

/// Checks that the file is as long as its RIFF header says, and that its chunks fit. Returns the orientation.
fn check_chunks(bytes: &[u8]) -> Result<Orientation, CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(4, "the signature")?;
    let length = u32::from_le_bytes(cursor.array("the file's length")?);
    let mut chunks = Cursor::new(cursor.take(index(length), "the file that its header announces")?);
    chunks.take(4, "the signature")?;
    let mut orientation = Orientation::Upright;
    while !chunks.is_empty() {
        let kind = chunks.array::<4>("a chunk's type")?;
        let length = index(u32::from_le_bytes(chunks.array("a chunk's length")?));
        let data = chunks.take(length, "a chunk")?;
        if length % 2 == 1 && !chunks.is_empty() {
            chunks.take(1, "a chunk's padding")?;
        }
        if &kind == b"EXIF" {
            orientation = exif_orientation(data);
        }
    }
    Ok(orientation)
}
