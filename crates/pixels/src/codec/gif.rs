//! GIF, decoded by the `gif` crate behind `image`.

use image::codecs::gif::GifDecoder;
use image::error::ImageResult;

use super::cursor::Cursor;
use super::excerpt::Excerpt;
use super::profile::Profile;
use super::{CodecError, Format, Header, raster};
use crate::buffer::Pixels;
use crate::geometry::{Orientation, Size};

/// The label of an application extension, and the name of the one that holds an ICC profile.
const APPLICATION: u8 = 0xff;
const PROFILE_NAME: &[u8] = b"\x0bICCRGBG1012";
/// The label of a graphic control extension: transparency.
const GRAPHIC_CONTROL: u8 = 0xf9;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let BlockFacts { first_frame, frames, profile } = check_blocks(bytes)?;
    let mut header = raster::header(Format::Gif, open(bytes), Orientation::Upright, 2)?;
    (header.frames, header.profile) = (frames, profile);
    // A frame that is not as large as the screen gets a buffer of its own, as RGBA, and its indices another one.
    header.memory.fixed_bytes += first_frame.pixels().saturating_mul(6);
    if first_frame.pixels() > header.largest.pixels() {
        header.largest = first_frame;
    }
    Ok(header)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    raster::decode(open(bytes))
}

/// The facts that are read from the blocks directly.
struct BlockFacts {
    first_frame: Size,
    frames: u32,
    profile: Option<Profile>,
}

/// Checks that every block up to the trailer is complete.
fn check_blocks(bytes: &[u8]) -> Result<BlockFacts, CodecError> {
    let (mut first_frame, mut frames, mut profile) = (None, 0, None);
    let mut cursor = Cursor::new(bytes);
    screen(&mut cursor)?;
    loop {
        match cursor.byte("the blocks before the trailer")? {
            b';' => {
                let first_frame = first_frame.ok_or_else(|| CodecError::Corrupt("the GIF has no frame".to_owned()))?;
                return Ok(BlockFacts { first_frame, frames, profile });
            }
            b'!' => {
                let label = cursor.byte("an extension's label")?;
                let start = cursor.position(bytes);
                sub_blocks(&mut cursor)?;
                let blocks = start..cursor.position(bytes);
                let is_profile = bytes.get(blocks.clone()).is_some_and(|blocks| blocks.starts_with(PROFILE_NAME));
                if label == APPLICATION && is_profile && first_frame.is_none() {
                    profile = Some(Profile::SubBlocks(blocks.start + PROFILE_NAME.len()..blocks.end));
                }
            }
            b',' => {
                let [_, _, _, _, w0, w1, h0, h1, flags] = cursor.array::<9>("an image descriptor")?;
                let size = raster::size(u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into())?;
                first_frame.get_or_insert(size);
                frames += 1;
                color_table(&mut cursor, flags)?;
                cursor.byte("an image's code size")?;
                sub_blocks(&mut cursor)?;
            }
            other => {
                return Err(CodecError::Corrupt(format!(
                    "a GIF block has the type {other:#04x}; accepted are 0x21, 0x2c, 0x3b"
                )));
            }
        }
    }
}

fn screen(cursor: &mut Cursor<'_>) -> Result<(), CodecError> {
    cursor.take(6, "the signature")?;
    let [.., flags, _background, _aspect] = cursor.array::<7>("the screen descriptor")?;
    color_table(cursor, flags)
}

/// Skips a colour table. Bit 7 of `flags` says whether there is one, bits 0 to 2 its size: 2^(n+1) colours of 3 bytes.
fn color_table(cursor: &mut Cursor<'_>, flags: u8) -> Result<(), CodecError> {
    if flags & 0x80 != 0 {
        cursor.take(3 << ((flags & 7) + 1), "a colour table")?;
    }
    Ok(())
}

/// Skips sub-blocks, the empty one that ends them included.
fn sub_blocks(cursor: &mut Cursor<'_>) -> Result<(), CodecError> {
    loop {
        match cursor.byte("a sub-block's length")? {
            0 => return Ok(()),
            length => cursor.take(usize::from(length), "a sub-block")?,
        };
    }
}

/// A decoder that sees no extension but those that say what is transparent.
fn open(bytes: &[u8]) -> ImageResult<GifDecoder<Excerpt<'_, impl Iterator<Item = &[u8]>>>> {
    let mut cursor = Cursor::new(bytes);
    let mut at = 0;
    let parts = std::iter::from_fn(move || {
        loop {
            let start = at;
            // The blocks were checked before: an error is the end of the file.
            if start == 0 {
                screen(&mut cursor).ok()?;
            } else if bytes.get(start) == Some(&b'!') {
                let [_, label] = cursor.array("").ok()?;
                sub_blocks(&mut cursor).ok()?;
                at = cursor.position(bytes);
                if label != GRAPHIC_CONTROL {
                    continue;
                }
            } else {
                // The first frame, and all that follows it.
                at = bytes.len();
                return bytes.get(start..).filter(|rest| !rest.is_empty());
            }
            at = cursor.position(bytes);
            return bytes.get(start..at);
        }
    });
    GifDecoder::new(Excerpt::new(parts))
}
