//! Windows bitmaps, decoded by the `image` crate.

use std::io::Cursor as Bytes;

use image::codecs::bmp::BmpDecoder;

use super::cursor::{Cursor, index};
use super::{CodecError, Format, Header, raster};
use crate::buffer::Pixels;
use crate::geometry::Orientation;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(2, "the signature")?;
    let length = index(u32::from_le_bytes(cursor.array("the file's length")?));
    if length > bytes.len() {
        let actual = bytes.len();
        return Err(CodecError::Truncated(format!(
            "the file has {actual} of the {length} bytes that its header announces"
        )));
    }
    raster::header(Format::Bmp, BmpDecoder::new(Bytes::new(bytes)), Orientation::Upright, 1)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(BmpDecoder::new(Bytes::new(bytes)))
}
