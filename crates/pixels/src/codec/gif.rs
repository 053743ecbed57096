//! GIF, decoded by the `gif` crate behind `image`.

use std::io::Cursor as Bytes;

use image::codecs::gif::GifDecoder;

use super::cursor::Cursor;
use super::{CodecError, Format, Header, raster};
use crate::buffer::Pixels;
use crate::geometry::{Orientation, Size};

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let frame = check_blocks(bytes)?;
    let decoder = GifDecoder::new(Bytes::new(bytes));
    let mut header = raster::header(Format::Gif, decoder, Orientation::Upright, 2)?;
    // A frame that is not as large as the screen gets a buffer of its own, as RGBA.
    header.memory.fixed_bytes += frame.pixels().saturating_mul(4);
    if frame.pixels() > header.largest.pixels() {
        header.largest = frame;
    }
    Ok(header)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(GifDecoder::new(Bytes::new(bytes)))
}

/// Checks that every block up to the trailer is complete. Returns the size of the first frame.
fn check_blocks(bytes: &[u8]) -> Result<Size, CodecError> {
    let mut first_frame = None;
    let mut cursor = Cursor::new(bytes);
    cursor.take(6, "the signature")?;
    let [.., flags, _background, _aspect] = cursor.array::<7>("the screen descriptor")?;
    color_table(&mut cursor, flags)?;
    loop {
        match cursor.byte("the blocks before the trailer")? {
            b';' => return first_frame.ok_or_else(|| CodecError::Corrupt("the GIF has no frame".to_owned())),
            b'!' => {
                cursor.byte("an extension's label")?;
            }
            b',' => {
                let [_, _, _, _, w0, w1, h0, h1, flags] = cursor.array::<9>("an image descriptor")?;
                let size = raster::size(u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into())?;
                first_frame.get_or_insert(size);
                color_table(&mut cursor, flags)?;
                cursor.byte("an image's code size")?;
            }
            other => {
                return Err(CodecError::Corrupt(format!(
                    "a GIF block has the type {other:#04x}; accepted are 0x21, 0x2c, 0x3b"
                )));
            }
        }
        loop {
            match cursor.byte("a sub-block's length")? {
                0 => break,
                length => cursor.take(usize::from(length), "a sub-block")?,
            };
        }
    }
}

/// Skips a colour table. Bit 7 of `flags` says whether there is one, bits 0 to 2 its size: 2^(n+1) colours of 3 bytes.
fn color_table(cursor: &mut Cursor<'_>, flags: u8) -> Result<(), CodecError> {
    if flags & 0x80 != 0 {
        cursor.take(3 << ((flags & 7) + 1), "a colour table")?;
    }
    Ok(())
}
