//! PNG, decoded and encoded by the `png` crate behind `image`.

use std::io::Cursor as Bytes;

use image::codecs::png::{PngDecoder, PngEncoder};
use image::error::ImageResult;
use image::{ExtendedColorType, ImageEncoder, Limits};

use super::cursor::{Cursor, index};
use super::{CodecError, Format, Header, exif_orientation, raster};
use crate::buffer::Pixels;
use crate::geometry::Orientation;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let ChunkFacts { orientation, row_bytes } = check_chunks(bytes)?;
    // One more byte per pixel: rows in flight, and the Adam7 passes that are expanded one by one.
    let mut header = raster::header(Format::Png, open(bytes, row_bytes), orientation, 1)?;
    header.memory.fixed_bytes += working_bytes(bytes, row_bytes);
    Ok(header)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    let ChunkFacts { row_bytes, .. } = check_chunks(bytes)?;
    raster::decode(open(bytes, row_bytes))
}

/// The memory that the decoder may take besides the decoded pixels: chunks as they are in the file, an inflated profile
/// (a larger one is ignored; real ones have up to 4 MiB), and rows.
fn working_bytes(bytes: &[u8], row_bytes: u64) -> u64 {
    const PROFILE_BYTES: u64 = 8 << 20;
    let file_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    PROFILE_BYTES.saturating_add(file_bytes).saturating_add(row_bytes.saturating_mul(4))
}

fn open(bytes: &[u8], row_bytes: u64) -> ImageResult<PngDecoder<Bytes<&[u8]>>> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(working_bytes(bytes, row_bytes));
    PngDecoder::with_limits(Bytes::new(bytes), limits)
}

pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(pixels.data(), pixels.size().width(), pixels.size().height(), ExtendedColorType::Rgb8)
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    Ok(file)
}

/// The facts that are read from the chunks directly.
struct ChunkFacts {
    /// From `eXIf`, which may come after the pixels, where a decoder has stopped reading.
    orientation: Orientation,
    /// Length of a row of 8 bytes per pixel, the most that PNG has.
    row_bytes: u64,
}

/// Checks that every chunk up to `IEND` is complete. Bytes after it do not belong to the image.
fn check_chunks(bytes: &[u8]) -> Result<ChunkFacts, CodecError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(8, "the signature")?;
    let mut facts = ChunkFacts { orientation: Orientation::Upright, row_bytes: 0 };
    loop {
        let length = u32::from_be_bytes(cursor.array("a chunk's length")?);
        let kind = cursor.array::<4>("a chunk's type")?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            let kind = kind.escape_ascii();
            return Err(CodecError::Corrupt(format!(
                "a chunk has the type \"{kind}\"; accepted are four ASCII letters"
            )));
        }
        let data = cursor.take(index(length), "a chunk")?;
        cursor.take(4, "a chunk's checksum")?;
        match &kind {
            b"IHDR" => {
                let width = Cursor::new(data).array("the header").map(u32::from_be_bytes)?;
                facts.row_bytes = u64::from(width) * 8;
            }
            b"eXIf" => facts.orientation = exif_orientation(data),
            b"IEND" => return Ok(facts),
            _ => {}
        }
    }
}
