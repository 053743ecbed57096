//! GIF, by the `gif` crate behind `image`.

use std::io::Cursor as Reader;

use image::codecs::gif::GifDecoder;

use super::chunks::Cursor;
use super::{CodecError, Format, Header, raster};
use crate::geometry::Orientation;
use crate::pixels::Pixels;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    walk(bytes)?;
    // A frame that is smaller than the canvas is decoded beside it, and each row is expanded from its indices.
    raster::header(Format::Gif, GifDecoder::new(Reader::new(bytes)), Orientation::Upright, 6)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(GifDecoder::new(Reader::new(bytes)))
}

/// Sees that every block up to the trailer is there.
fn walk(bytes: &[u8]) -> Result<(), CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(6, "the signature")?;
    let [.., flags, _background, _aspect] = cursor.array::<7>("the screen descriptor")?;
    color_table(&mut cursor, flags)?;
    loop {
        match cursor.byte("the blocks: there is no trailer")? {
            b';' => return Ok(()),
            b'!' => {
                cursor.byte("an extension's label")?;
            }
            b',' => {
                let [.., flags] = cursor.array::<9>("an image descriptor")?;
                color_table(&mut cursor, flags)?;
                cursor.byte("an image's code size")?;
            }
            other => return Err(CodecError::Corrupt(format!("a block of type {other:#04x}"))),
        }
        loop {
            match cursor.byte("a sub-block's length")? {
                0 => break,
                length => cursor.take(usize::from(length), "a sub-block")?,
            };
        }
    }
}

/// Bit 7 says that there is a table, bits 0 to 2 its size: 2^(n+1) colours of 3 bytes.
fn color_table(cursor: &mut Cursor<'_>, flags: u8) -> Result<(), CodecError> {
    if flags & 0x80 != 0 {
        cursor.take(3 << ((flags & 7) + 1), "a colour table")?;
    }
    Ok(())
}
