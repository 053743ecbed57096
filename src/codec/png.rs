//! PNG, by the `png` crate behind `image`.

use std::io::Cursor as Reader;

use image::codecs::png::{PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::chunks::{Cursor, index};
use super::{CodecError, Format, Header, exif_orientation, raster};
use crate::geometry::Orientation;
use crate::pixels::Pixels;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let orientation = walk(bytes)?;
    // Rows in flight, and the Adam7 passes that are expanded one by one.
    raster::header(Format::Png, PngDecoder::new(Reader::new(bytes)), orientation, 1)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(PngDecoder::new(Reader::new(bytes)))
}

pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(pixels.data(), pixels.size().width(), pixels.size().height(), ExtendedColorType::Rgb8)
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    Ok(file)
}

/// Sees that every chunk up to `IEND` is there; what follows is not the image's. Gives the orientation, since `eXIf`
/// may come after the pixels, where a decoder has stopped reading.
fn walk(bytes: &[u8]) -> Result<Orientation, CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(8, "the signature")?;
    let mut orientation = Orientation::Upright;
    loop {
        let length = u32::from_be_bytes(cursor.array("a chunk's length")?);
        let kind = cursor.array::<4>("a chunk's type")?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(CodecError::Corrupt(format!("a chunk of type \"{}\"", kind.escape_ascii())));
        }
        let data = cursor.take(index(length), "a chunk")?;
        cursor.take(4, "a chunk's checksum")?;
        match &kind {
            b"eXIf" => orientation = exif_orientation(data),
            b"IEND" => return Ok(orientation),
            _ => {}
        }
    }
}
