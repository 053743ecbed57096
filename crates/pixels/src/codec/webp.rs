//! WebP, decoded and encoded by the `image-webp` crate behind `image`.

mod prefix_codes;

use std::io::Cursor as Bytes;

use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::{ExtendedColorType, ImageDecoder, ImageEncoder};

use super::cursor::{Cursor, index};
use super::{CodecError, Format, Header, Profile, orientation, raster};
use crate::buffer::Pixels;
use crate::geometry::{Orientation, Size};

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let ChunkFacts { orientation, frames, profile, pictures } = check_chunks(bytes)?;
    // The lossy decoder keeps Y, U and V planes, the lossless one an RGBA picture and its transforms, and an animation
    // also has a canvas.
    let mut header = raster::header(Format::Webp, WebPDecoder::new(Bytes::new(bytes)), orientation, 10)?;
    (header.frames, header.profile) = (frames.max(1), profile);
    for picture in pictures {
        header.memory.fixed_bytes = header.memory.fixed_bytes.saturating_add(match picture.kind {
            Kind::Lossy(size) => {
                if size.pixels() > header.largest.pixels() {
                    header.largest = size;
                }
                // The planes and modes of whole macroblocks, and copies of the data.
                let whole = |px: u32| u64::from(px.next_multiple_of(16));
                let data_bytes = u64::try_from(picture.data.len()).unwrap_or(u64::MAX);
                whole(size.width()) * whole(size.height()) * 2 + data_bytes * 4
            }
            Kind::Lossless | Kind::Alpha => prefix_code_bytes(header.size),
        });
    }
    Ok(header)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    let decoder = WebPDecoder::new(Bytes::new(bytes)).map_err(raster::codec_error)?;
    let (width, height) = decoder.dimensions();
    let canvas = raster::size(width, height)?;
    let limit_bytes = prefix_code_bytes(canvas);
    for Picture { kind, data, frame } in check_chunks(bytes)?.pictures {
        let size = frame.filter(|_| decoder.has_animation()).unwrap_or(canvas);
        // The decoder refuses a frame that does not lie on its canvas.
        let is_on_canvas = size.width() <= width && size.height() <= height;
        let actual_bytes = match kind {
            Kind::Lossless if is_on_canvas => prefix_codes::table_bytes(data, size, true, limit_bytes),
            Kind::Alpha if is_on_canvas => prefix_codes::table_bytes(data, size, false, limit_bytes),
            _ => 0,
        };
        if actual_bytes > limit_bytes {
            return Err(CodecError::Unsupported(format!(
                "the prefix codes of the lossless WebP need more than {limit_bytes} bytes"
            )));
        }
    }
    raster::decode(Ok(decoder))
}

/// The room for the prefix codes of a lossless picture. libwebp writes at most 2,600 groups of them, and far fewer for
/// most pictures.
fn prefix_code_bytes(size: Size) -> u64 {
    const LEAST_BYTES: u64 = 8 << 20;
    const MOST_BYTES: u64 = 64 << 20;
    size.pixels().saturating_add(LEAST_BYTES).min(MOST_BYTES)
}

pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    WebPEncoder::new_lossless(&mut file)
        .write_image(pixels.data(), pixels.size().width(), pixels.size().height(), ExtendedColorType::Rgb8)
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    Ok(file)
}

/// The facts that are read from the chunks directly.
struct ChunkFacts<'a> {
    orientation: Orientation,
    /// The number of `ANMF` chunks: 0 in a still picture.
    frames: u32,
    profile: Option<Profile>,
    /// What the decoder may take for the picture: the first of each kind, and what the first frame begins with.
    pictures: Vec<Picture<'a>>,
}

/// A coded picture, or one channel of it.
struct Picture<'a> {
    kind: Kind,
    data: &'a [u8],
    /// The size of the frame that it lies in, if it lies in one.
    frame: Option<Size>,
}

enum Kind {
    /// Of this size.
    Lossy(Size),
    Lossless,
    /// An alpha channel in a lossless stream.
    Alpha,
}

impl<'a> Picture<'a> {
    /// The picture in a chunk, if there is one.
    fn read(kind: [u8; 4], data: &'a [u8], frame: Option<Size>) -> Option<Self> {
        match &kind {
            b"VP8 " => {
                // RFC 6386, 9.1: three bytes of frame tag, three of start code, and 14 bits of each side.
                let ([_, _, _, _, _, _, w0, w1, h0, h1], _) = data.split_first_chunk()?;
                let side = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
                Some(Self { kind: Kind::Lossy(Size::new(side([*w0, *w1]), side([*h0, *h1]))?), data, frame })
            }
            b"VP8L" => Some(Self { kind: Kind::Lossless, data, frame }),
            b"ALPH" => {
                // RFC 9649, 2.7.1.2: the lowest bits of the first byte are the method, 1 is a lossless stream.
                let (flags, data) = data.split_first()?;
                (flags & 3 == 1).then_some(Self { kind: Kind::Alpha, data, frame })
            }
            _ => None,
        }
    }
}

/// Checks that the file is as long as its RIFF header says, and that its chunks fit.
fn check_chunks(bytes: &[u8]) -> Result<ChunkFacts<'_>, CodecError> {
    /// Length of a chunk's type and length.
    const HEAD_BYTES: usize = 8;
    let mut cursor = Cursor::new(bytes);
    cursor.take(4, "the signature")?;
    let length = u32::from_le_bytes(cursor.array("the file's length")?);
    let body = cursor.take(index(length), "the file that its header announces")?;
    let start = cursor.position(bytes) - body.len();
    let mut chunks = Cursor::new(body);
    chunks.take(4, "the signature")?;
    let (mut exif, mut xmp) = (None, None);
    let mut facts = ChunkFacts { orientation: Orientation::Upright, frames: 0, profile: None, pictures: Vec::new() };
    let mut seen = Vec::new();
    while !chunks.is_empty() {
        let at = start + chunks.position(body) + HEAD_BYTES;
        let kind = chunks.array::<4>("a chunk's type")?;
        let length = index(u32::from_le_bytes(chunks.array("a chunk's length")?));
        let data = chunks.take(length, "a chunk")?;
        if length % 2 == 1 && !chunks.is_empty() {
            chunks.take(1, "a chunk's padding")?;
        }
        facts.frames += u32::from(&kind == b"ANMF");
        // The decoder takes the first chunk of each kind.
        if !matches!(&kind, b"VP8 " | b"VP8L" | b"ALPH" | b"ANMF" | b"ICCP" | b"EXIF" | b"XMP ") || seen.contains(&kind)
        {
            continue;
        }
        seen.push(kind);
        match &kind {
            b"EXIF" => exif = orientation::of_exif(data),
            b"XMP " => xmp = orientation::of_xmp(data),
            b"ICCP" => facts.profile = Some(Profile::whole(at..at + length)),
            b"ANMF" => facts.pictures.extend(first_frame(bytes.get(at..).unwrap_or_default())),
            _ => facts.pictures.extend(Picture::read(kind, data, None)),
        }
    }
    facts.orientation = exif.or(xmp).unwrap_or_default();
    Ok(facts)
}

/// The pictures in the first two chunks of a frame; their lengths are not checked yet. RFC 9649, 2.7.1.1: the frame's
/// place, and its sides less one, 24 bits each, then duration and flags, then the chunks.
fn first_frame(data: &[u8]) -> Vec<Picture<'_>> {
    let Some(([_, _, _, _, _, _, w0, w1, w2, h0, h1, h2, _, _, _, _], mut rest)) = data.split_first_chunk() else {
        return Vec::new();
    };
    let side = |a: &u8, b: &u8, c: &u8| u32::from_le_bytes([*a, *b, *c, 0]) + 1;
    let frame = Size::new(side(w0, w1, w2), side(h0, h1, h2));
    let mut pictures = Vec::new();
    for _ in 0..2 {
        let Some(([a, b, c, d, length @ ..], after)) = rest.split_first_chunk::<8>() else { break };
        let length = index(u32::from_le_bytes(*length));
        let data = after.get(..length).unwrap_or(after);
        pictures.extend(Picture::read([*a, *b, *c, *d], data, frame));
        rest = after.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    pictures
}
