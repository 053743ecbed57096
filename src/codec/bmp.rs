//! Windows bitmaps, by `image`.

use std::io::Cursor as Reader;

use image::codecs::bmp::BmpDecoder;

use super::chunks::{Cursor, index};
use super::{CodecError, Format, Header, raster};
use crate::geometry::Orientation;
use crate::pixels::Pixels;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(2, "the signature")?;
    let length = index(u32::from_le_bytes(cursor.array("the file's length")?));
    if length > bytes.len() {
        let there = bytes.len();
        return Err(CodecError::Truncated(format!(
            "{there} of the {length} bytes that the header announces are there"
        )));
    }
    raster::header(Format::Bmp, BmpDecoder::new(Reader::new(bytes)), Orientation::Upright, 1)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(BmpDecoder::new(Reader::new(bytes)))
}
