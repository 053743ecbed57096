//! TIFF, first page only, decoded by the `tiff` crate.
//!
//! The tags are read here, from the directories themselves, for two reasons. Every value and every strip must lie in
//! the file. And the decoder (tiff 0.11.3) needs help: it rejects palettes, so they are decoded as grey indices; and it
//! misreads LZW or planar tiles that reach over the image's edge, so the image is decoded as whole tiles and then cut.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::Cursor as Bytes;
use std::ops::Range;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::{ColorType, TiffError};

use super::{CodecError, DecodeMemory, Detail, Format, Header, Profile, jpeg, orientation, raster};
use crate::buffer::{Channels, Pixels};
use crate::geometry::Orientation;

/// Baseline and extension tags of TIFF 6.0.
mod tag {
    pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(super) const WIDTH: u16 = 256;
    pub(super) const LENGTH: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_LENGTH: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(super) const XMP: u16 = 700;
    pub(super) const ICC_PROFILE: u16 = 34675;
    pub(super) const DNG_VERSION: u16 = 50706;

    /// The tags whose values the decoder reads, all of them, before it looks at the first.
    pub(super) const OF_DECODER: [u16; 19] = [
        WIDTH,
        LENGTH,
        BITS_PER_SAMPLE,
        COMPRESSION,
        PHOTOMETRIC,
        STRIP_OFFSETS,
        SAMPLES_PER_PIXEL,
        ROWS_PER_STRIP,
        STRIP_BYTE_COUNTS,
        PLANAR_CONFIGURATION,
        PREDICTOR,
        TILE_WIDTH,
        TILE_LENGTH,
        TILE_OFFSETS,
        TILE_BYTE_COUNTS,
        EXTRA_SAMPLES,
        SAMPLE_FORMAT,
        JPEG_TABLES,
        YCBCR_SUBSAMPLING,
    ];
}

/// `PhotometricInterpretation` of palettes and of grey.
const PALETTE: u64 = 3;
const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u32 = 1;
/// `FillOrder` of bytes whose first bit is the least significant one.
const LEAST_SIGNIFICANT_FIRST: u64 = 2;
/// `Compression` of JPEG streams (TIFF technical note 2).
const JPEG: u64 = 7;
/// The bit of `NewSubfileType` for a small version of another picture in the file.
const REDUCED: u64 = 1;
/// What follows the header of a TIFF in a CR2 file of Canon.
const CR2_MARK: &[u8] = b"CR\x02";
/// `ExtraSamples` of premultiplied colours.
const ASSOCIATED_ALPHA: u64 = 1;
/// The limit of pages in a file; real ones have fewer.
const MAX_DIRECTORIES: usize = 4096;
/// Red, green and blue of the colours that 16 bits can name.
const MAX_PALETTE_VALUES: usize = 3 << 16;
/// Bytes of a tag in a directory, at least: tag, type, count and value.
const ENTRY_BYTES: usize = 12;
/// The limit of tags in a directory; real ones have fewer.
const MAX_ENTRIES: u64 = 4096;

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let Pages { first: page, count } = TiffFile::open(bytes)?.pages()?;
    page.check_that_it_is_no_preview(bytes)?;
    let [(width, covered_width), (height, covered_height)] = page.sides()?;
    let size = raster::size(width, height)?;
    let photometric = page.number(tag::PHOTOMETRIC)?;
    Ok(Header {
        format: Format::Tiff,
        size,
        // All pixels of the tiles are decoded.
        largest: raster::size(covered_width, covered_height)?,
        orientation: page.orientation()?,
        frames: count,
        profile: page
            .find(tag::ICC_PROFILE)
            .map(|entry| Profile::whole(entry.position..entry.position + entry.data.len())),
        is_gray: photometric == Some(WHITE_IS_ZERO) || photometric == Some(BLACK_IS_ZERO.into()),
        memory: page.memory()?,
        detail: Detail::Other,
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, CodecError> {
    let page = TiffFile::open(bytes)?.pages()?.first;
    let source = page.decodable(bytes)?;
    let mut decoder = open(&source)?;
    let [(width, covered_width), (height, covered_height)] = page.sides()?;
    let size = raster::size(width, height)?;
    let color = decoder.colortype().map_err(codec_error)?;
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(codec_error)?;
    let bytes_of_samples = match samples {
        DecodingResult::U8(bytes) => bytes,
        DecodingResult::U16(words) => words.iter().map(|word| word.to_be_bytes()[0]).collect(),
        _ => return Err(unsupported(color)),
    };
    let samples = interleaved(bytes_of_samples, layout.planes);
    let stride = samples.len() / covered_height.max(1) as usize;
    let pixel_bytes = stride / covered_width.max(1) as usize;
    let samples = match color {
        ColorType::Gray(bits @ (1 | 2 | 4)) => unpacked(&samples, bits, stride, width as usize, height as usize),
        _ => cut(samples, stride, width as usize * pixel_bytes, height as usize),
    };
    let (channels, data) = match color {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8 | 16)) => {
            let values = samples;
            match page.palette()? {
                Some(palette) => (Channels::Rgb, palette.colors(&values)),
                None => (Channels::Rgb, raster::gray(stretched(values, bits))),
            }
        }
        ColorType::Multiband { bit_depth: 8 | 16, num_samples: 2 } => (
            Channels::Rgba,
            samples.as_chunks().0.iter().flat_map(|[gray, alpha]| [*gray, *gray, *gray, *alpha]).collect(),
        ),
        ColorType::RGB(8 | 16) => (Channels::Rgb, samples),
        ColorType::RGBA(8 | 16) => (Channels::Rgba, samples),
        ColorType::CMYK(8 | 16) => (Channels::Cmyk, samples),
        ColorType::YCbCr(8) if page.has_full_chroma()? => (Channels::Rgb, rgb_of_ycbcr(&samples)),
        other => return Err(unsupported(other)),
    };
    let mut pixels = Pixels::try_new(size, channels, data).map_err(|error| CodecError::Corrupt(error.to_string()))?;
    if channels == Channels::Rgba && page.number(tag::EXTRA_SAMPLES)? == Some(ASSOCIATED_ALPHA) {
        pixels.unpremultiply();
    }
    Ok(pixels)
}

fn open(source: &[u8]) -> Result<Decoder<Bytes<&[u8]>>, CodecError> {
    // The memory limit is enforced before decoding, by the bound in `Header::memory`.
    Ok(Decoder::new(Bytes::new(source)).map_err(codec_error)?.with_limits(Limits::unlimited()))
}

/// The decoder's error, sorted by its remedy.
fn codec_error(error: TiffError) -> CodecError {
    let text = error.to_string();
    match error {
        TiffError::UnsupportedError(_) => CodecError::Unsupported(text),
        TiffError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => CodecError::Truncated(text),
        _ => CodecError::Corrupt(text),
    }
}

fn unsupported(color: ColorType) -> CodecError {
    let kind = match color {
        ColorType::Gray(_) => "grey",
        ColorType::GrayA(_) => "grey with alpha",
        ColorType::Palette(_) => "palette",
        ColorType::RGB(_) => "RGB",
        ColorType::RGBA(_) => "RGB with alpha",
        ColorType::CMYK(_) => "CMYK",
        ColorType::CMYKA(_) => "CMYK with alpha",
        ColorType::YCbCr(_) => "YCbCr",
        ColorType::Lab(_) => "CIE Lab",
        _ => "of another kind",
    };
    let bits = color.bit_depth();
    CodecError::Unsupported(format!(
        "TIFF samples are {kind} of {bits} bits; accepted are 1, 2, 4, 8 and 16 bits of grey, 8 and 16 of RGB and \
         CMYK, 8 of YCbCr with full chroma"
    ))
}

/// The samples of planes that follow each other, rearranged pixel by pixel.
fn interleaved(samples: Vec<u8>, planes: usize) -> Vec<u8> {
    if planes <= 1 {
        return samples;
    }
    let plane_length = samples.len() / planes;
    let mut data = Vec::with_capacity(samples.len());
    for pixel in 0..plane_length {
        data.extend((0..planes).filter_map(|plane| samples.get(plane * plane_length + pixel)));
    }
    data
}

/// The upper left part of samples of fewer than 8 bits, as one byte each. They are packed in rows of `stride` bytes,
/// most significant first.
fn unpacked(samples: &[u8], bits: u8, stride: usize, width: usize, height: usize) -> Vec<u8> {
    let mask = (1_u8 << bits) - 1;
    let mut values = Vec::with_capacity(width.saturating_mul(height));
    for row in samples.chunks_exact(stride.max(1)).take(height) {
        let unpacked =
            row.iter().flat_map(|byte| (0..8 / bits).rev().map(move |place| (byte >> (place * bits)) & mask));
        values.extend(unpacked.take(width));
    }
    values
}

/// Grey values of `bits` bits, stretched to 0..=255.
fn stretched(mut values: Vec<u8>, bits: u8) -> Vec<u8> {
    if bits < 8 {
        let factor = 255 / ((1_u8 << bits) - 1);
        for value in &mut values {
            *value *= factor;
        }
    }
    values
}

/// RGB of YCbCr by ITU-R BT.601 at full range, as in JFIF.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn rgb_of_ycbcr(samples: &[u8]) -> Vec<u8> {
    let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    samples
        .as_chunks()
        .0
        .iter()
        .flat_map(|[luma, blue, red]| {
            let (luma, blue, red) = (f32::from(*luma), f32::from(*blue) - 128.0, f32::from(*red) - 128.0);
            [byte(luma + 1.402 * red), byte(luma - 0.344_136 * blue - 0.714_136 * red), byte(luma + 1.772 * blue)]
        })
        .collect()
}

/// The colours of a palette: the high bytes of its 16-bit red, green and blue.
struct Palette {
    colors: Vec<[u8; 3]>,
}

impl Palette {
    fn colors(&self, indices: &[u8]) -> Vec<u8> {
        indices.iter().flat_map(|index| self.colors.get(usize::from(*index)).copied().unwrap_or_default()).collect()
    }
}

/// A file, its byte order, and whether its offsets have 64 bits.
#[derive(Clone, Copy)]
struct TiffFile<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    big_tiff: bool,
}

/// The bytes that may still be looked at. Directories, arrays and headers of streams may name the same bytes any number
/// of times. In a file that a program wrote they lie one after the other, and together they are shorter than the file.
struct Attention(Cell<usize>);

impl Attention {
    /// Enough for a file of this length.
    fn of_file(length: usize) -> Self {
        /// For files so small that their parts may well overlap.
        const LEAST_BYTES: usize = 1 << 16;
        Self(Cell::new(length.saturating_add(LEAST_BYTES)))
    }

    fn spend(&self, bytes: usize) -> Result<(), CodecError> {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.ok_or_else(|| CodecError::Corrupt("the parts of the TIFF overlap".to_owned()))?);
        Ok(())
    }
}

/// The pages of a file.
struct Pages<'a> {
    first: Page<'a>,
    count: u32,
}

/// One directory: its entries, all of which lie in the file.
struct Page<'a> {
    file: TiffFile<'a>,
    entries: Vec<TagEntry<'a>>,
}

/// One tag of a directory.
struct TagEntry<'a> {
    tag: u16,
    /// Bytes of one value: 1, 2, 4 or 8; 0 for an unknown type.
    value_bytes: usize,
    data: &'a [u8],
    /// Position of the data in the file.
    position: usize,
}

impl<'a> TiffFile<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let big_endian = bytes.starts_with(b"MM");
        let probe = Self { bytes, big_endian, big_tiff: false };
        let big_tiff = probe.unsigned(2, 2)? == 43;
        Ok(Self { big_tiff, ..probe })
    }

    fn slice(self, position: usize, length: usize) -> Result<&'a [u8], CodecError> {
        position.checked_add(length).and_then(|end| self.bytes.get(position..end)).ok_or_else(|| {
            let actual = self.bytes.len();
            CodecError::Truncated(format!("the file has only {actual} bytes, but refers to {length} at {position}"))
        })
    }

    fn unsigned(self, position: usize, length: usize) -> Result<u64, CodecError> {
        Ok(self.number(self.slice(position, length)?))
    }

    fn number(self, data: &[u8]) -> u64 {
        let digit = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.big_endian { data.iter().fold(0, digit) } else { data.iter().rev().fold(0, digit) }
    }

    fn offset(self, position: usize) -> Result<usize, CodecError> {
        let offset = self.unsigned(position, if self.big_tiff { 8 } else { 4 })?;
        Ok(usize::try_from(offset).unwrap_or(usize::MAX))
    }

    /// The first page, and the number of pages. Checks that all of them lie in the file.
    fn pages(self) -> Result<Pages<'a>, CodecError> {
        let mut position = self.offset(if self.big_tiff { 8 } else { 4 })?;
        let mut seen = HashSet::new();
        let mut first = None;
        let attention = Attention::of_file(self.bytes.len());
        while position != 0 {
            if !seen.insert(position) || seen.len() > MAX_DIRECTORIES {
                return Err(CodecError::Corrupt("the chain of TIFF directories does not end".to_owned()));
            }
            let (page, next) = self.page(position)?;
            attention.spend(page.entries.len() * ENTRY_BYTES)?;
            page.check_data(&attention)?;
            first = first.or(Some(page));
            position = next;
        }
        let first = first.ok_or_else(|| CodecError::Corrupt("the TIFF has no directory".to_owned()))?;
        Ok(Pages { first, count: u32::try_from(seen.len()).unwrap_or(u32::MAX) })
    }

    fn page(self, position: usize) -> Result<(Page<'a>, usize), CodecError> {
        let (count_bytes, entry_bytes, inline_bytes) = if self.big_tiff { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.unsigned(position, count_bytes)?;
        if count > MAX_ENTRIES {
            return Err(CodecError::Corrupt(format!(
                "a TIFF directory has {count} entries; accepted are at most {MAX_ENTRIES}"
            )));
        }
        let mut at = position + count_bytes;
        let mut entries = Vec::new();
        for _ in 0..count {
            let [tag, kind] = [self.unsigned(at, 2)?, self.unsigned(at + 2, 2)?];
            let values = usize::try_from(self.unsigned(at + 4, inline_bytes)?).unwrap_or(usize::MAX);
            // The types of TIFF 6.0 and BigTIFF. Unknown types have size 0, so a broken one cannot make us read beyond
            // the file.
            let value_bytes = match kind {
                1 | 2 | 6 | 7 => 1,
                3 | 8 => 2,
                4 | 9 | 11 | 13 => 4,
                5 | 10 | 12 | 16..=18 => 8,
                _ => 0,
            };
            let length = values.saturating_mul(value_bytes);
            let inline = at + 4 + inline_bytes;
            let start = if length <= inline_bytes { inline } else { self.offset(inline)? };
            let data = self.slice(start, length)?;
            entries.push(TagEntry { tag: u16::try_from(tag).unwrap_or(0), value_bytes, data, position: start });
            at += entry_bytes;
        }
        Ok((Page { file: self, entries }, self.offset(at)?))
    }
}

impl<'a> Page<'a> {
    /// Camera files (RAW) are TIFF whose first page is often a small picture for previews: it is no training image.
    fn check_that_it_is_no_preview(&self, bytes: &[u8]) -> Result<(), CodecError> {
        let is_cr2 = bytes.get(8..).is_some_and(|rest| rest.starts_with(CR2_MARK));
        let is_reduced = self.number(tag::NEW_SUBFILE_TYPE)?.is_some_and(|kind| kind & REDUCED != 0);
        let text = if is_cr2 {
            "the file is RAW (CR2 of Canon)"
        } else if self.find(tag::DNG_VERSION).is_some() {
            "the file is RAW (DNG)"
        } else if is_reduced {
            "the first page of the TIFF is a preview of another one, as in RAW files (ARW, NEF)"
        } else {
            return Ok(());
        };
        Err(CodecError::Unsupported(format!("{text}: develop it into a format that is read")))
    }

    fn find(&self, tag: u16) -> Option<&TagEntry<'a>> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// The values of a tag; none if there is no such tag.
    fn numbers(&self, tag: u16) -> impl Iterator<Item = u64> + '_ {
        let values = self.find(tag).map(|entry| entry.data.chunks_exact(entry.value_bytes.max(1)));
        values.into_iter().flatten().map(|value| self.file.number(value))
    }

    /// How many values a tag has.
    fn count(&self, tag: u16) -> usize {
        self.find(tag).map_or(0, |entry| entry.data.len() / entry.value_bytes.max(1))
    }

    /// The first value of a tag; `None` if there is no such tag.
    fn number(&self, tag: u16) -> Result<Option<u64>, CodecError> {
        match self.find(tag) {
            None => Ok(None),
            Some(_) => match self.numbers(tag).next() {
                Some(number) => Ok(Some(number)),
                None => Err(CodecError::Corrupt(format!("TIFF tag {tag} has no value"))),
            },
        }
    }

    /// Where the strips or tiles lie.
    fn data(&self) -> impl Iterator<Item = Result<Range<usize>, CodecError>> + '_ {
        let kinds = [(tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS), (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)];
        let pairs = kinds.into_iter().flat_map(|(offsets, counts)| self.numbers(offsets).zip(self.numbers(counts)));
        pairs.map(|(offset, count)| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let length = usize::try_from(count).unwrap_or(usize::MAX);
            self.file.slice(start, length).map(|data| start..start + data.len())
        })
    }

    /// Checks that all strips and tiles lie in the file.
    fn check_data(&self, attention: &Attention) -> Result<(), CodecError> {
        for tag in [tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS, tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS] {
            // Short values stand in the directory itself.
            let outside_bytes = self.find(tag).map_or(0, |entry| entry.data.len()).saturating_sub(8);
            attention.spend(outside_bytes)?;
        }
        let is_jpeg = self.number(tag::COMPRESSION)? == Some(JPEG);
        for data in self.data() {
            let data = data?;
            if is_jpeg {
                self.check_stream(self.file.bytes.get(data).unwrap_or_default(), attention)?;
            }
        }
        Ok(())
    }

    /// An upper bound of the decoder's memory.
    fn memory(&self) -> Result<DecodeMemory, CodecError> {
        let number = |tag: u16, default: u64| Ok::<_, CodecError>(self.number(tag)?.unwrap_or(default));
        let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let [(_, width), (_, height)] = self.sides()?;
        let (width, height) = (u64::from(width), u64::from(height));
        let samples = number(tag::SAMPLES_PER_PIXEL, 1)?;
        let bits = number(tag::BITS_PER_SAMPLE, 1)?;
        // A row of one plane ends with a whole byte.
        let row_bytes = width.saturating_mul(samples).saturating_mul(bits).div_ceil(8).saturating_add(samples);
        // All samples; once more without extra samples, in another order, or cut; and a row that is cut.
        let samples_bytes = row_bytes.saturating_mul(height.saturating_mul(2).saturating_add(1));
        // A stream in one strip or tile: its bytes and segments, its coefficients and pixels, up to 4 components of
        // 4x4 blocks.
        let stream_bytes = if number(tag::COMPRESSION, 1)? == JPEG {
            /// More than one unit (MCU) on each side.
            const MARGIN_PX: u64 = 64;
            let rows = number(tag::ROWS_PER_STRIP, u64::MAX)?.min(height);
            let rows = number(tag::TILE_LENGTH, rows)?;
            let pixels = width.saturating_add(MARGIN_PX).saturating_mul(rows.saturating_add(MARGIN_PX));
            let longest = self.data().map(|data| data.map_or(0, |data| data.len())).max().unwrap_or(0);
            pixels.saturating_mul(16).saturating_add(length(longest.saturating_add(self.count(tag::JPEG_TABLES))) * 8)
        } else {
            0
        };
        // The decoder makes 24 bytes of each value, 8 of those, and keeps the arrays of the strips or tiles.
        let arrays = tag::OF_DECODER.map(|tag| self.count(tag));
        let longest = arrays.into_iter().max().unwrap_or(0);
        let arrays_bytes = length(longest).saturating_mul(32 + 2 * 8);
        let patched_bytes = if self.is_decodable()? { 0 } else { length(self.file.bytes.len()) };
        let all = [1 << 20, samples_bytes, stream_bytes, arrays_bytes, patched_bytes];
        Ok(DecodeMemory { fixed_bytes: all.into_iter().fold(0, u64::saturating_add), bytes_per_pixel: 8 })
    }

    /// Checks that a JPEG stream is no larger than its strip or tile: the decoder would decode all of it before it
    /// cuts.
    fn check_stream(&self, data: &[u8], attention: &Attention) -> Result<(), CodecError> {
        /// Largest side of a unit (MCU); writers may pad to whole ones.
        const MCU_PX: u64 = 16;
        let [(width, _), (height, _)] = self.sides()?;
        let side = |tile: u16, strip: u64| Ok::<_, CodecError>(self.number(tile)?.unwrap_or(strip));
        let rows = self.number(tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX).min(u64::from(height));
        let (chunk_width, chunk_height) = (side(tag::TILE_WIDTH, u64::from(width))?, side(tag::TILE_LENGTH, rows)?);
        let (stream, header_bytes) = jpeg::frame_size(data)?;
        attention.spend(header_bytes)?;
        if u64::from(stream.width()) >= chunk_width.saturating_add(MCU_PX)
            || u64::from(stream.height()) >= chunk_height.saturating_add(MCU_PX)
        {
            return Err(CodecError::Corrupt(format!(
                "a JPEG stream has {stream} pixels, but its strip or tile has {chunk_width}x{chunk_height}"
            )));
        }
        Ok(())
    }

    fn palette(&self) -> Result<Option<Palette>, CodecError> {
        if self.number(tag::PHOTOMETRIC)? != Some(PALETTE) {
            return Ok(None);
        }
        if self.count(tag::COLOR_MAP) > MAX_PALETTE_VALUES {
            return Err(CodecError::Corrupt(format!("the palette has more than {MAX_PALETTE_VALUES} values")));
        }
        let map: Vec<u8> = self.numbers(tag::COLOR_MAP).map(|value| value.to_be_bytes()[6]).collect();
        let length = map.len() / 3;
        let channel = |place: usize, index: usize| map.get(place * length + index).copied().unwrap_or(0);
        let colors = (0..length).map(|index| [channel(0, index), channel(1, index), channel(2, index)]).collect();
        Ok(Some(Palette { colors }))
    }

    /// Whether each decoded pixel has its own chroma. JPEG streams expand their chroma themselves.
    fn has_full_chroma(&self) -> Result<bool, CodecError> {
        Ok(self.number(tag::COMPRESSION)? == Some(JPEG) || self.numbers(tag::YCBCR_SUBSAMPLING).eq([1, 1]))
    }

    /// Width and height: of the image itself, and of the whole tiles that cover it.
    fn sides(&self) -> Result<[(u32, u32); 2], CodecError> {
        let side = |own: u16, tile: u16| -> Result<(u32, u32), CodecError> {
            let px = u32::try_from(self.number(own)?.unwrap_or(0)).unwrap_or(u32::MAX);
            let tile_px = u32::try_from(self.number(tile)?.unwrap_or(1)).unwrap_or(1);
            Ok((px, px.checked_next_multiple_of(tile_px.max(1)).unwrap_or(px)))
        };
        Ok([side(tag::WIDTH, tag::TILE_WIDTH)?, side(tag::LENGTH, tag::TILE_LENGTH)?])
    }

    fn orientation(&self) -> Result<Orientation, CodecError> {
        let tag = self.number(orientation::TAG)?.map(|value| orientation::of_number(value.try_into().unwrap_or(0)));
        let xmp = || self.find(tag::XMP).and_then(|entry| orientation::of_xmp(entry.data));
        Ok(tag.or_else(xmp).unwrap_or_default())
    }

    /// Whether the decoder can take the file as it is.
    fn is_decodable(&self) -> Result<bool, CodecError> {
        let is_whole = self.sides()?.iter().all(|(px, covered_px)| px == covered_px);
        Ok(is_whole && self.number(tag::PHOTOMETRIC)? != Some(PALETTE) && !self.has_turned_bytes()?)
    }

    /// Whether the first bit of a byte is its least significant one. As in libtiff, JPEG streams are exempt.
    fn has_turned_bytes(&self) -> Result<bool, CodecError> {
        Ok(self.number(tag::FILL_ORDER)? == Some(LEAST_SIGNIFICANT_FIRST)
            && self.number(tag::COMPRESSION)? != Some(JPEG))
    }

    /// The file for the decoder: a palette is declared as grey, an image of tiles as one of whole tiles, and turned
    /// bytes are turned back.
    fn decodable(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, CodecError> {
        if self.is_decodable()? {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut copy = bytes.to_vec();
        if self.has_turned_bytes()? {
            let attention = Attention::of_file(bytes.len());
            for data in self.data() {
                let data = data?;
                attention.spend(data.len())?;
                let turned = copy.get_mut(data.clone()).unwrap_or_default().iter_mut();
                // From the file: strips may share bytes, which are turned once.
                for (turned, byte) in turned.zip(bytes.get(data).unwrap_or_default()) {
                    *turned = byte.reverse_bits();
                }
            }
        }
        if self.number(tag::PHOTOMETRIC)? == Some(PALETTE) {
            self.overwrite(&mut copy, tag::PHOTOMETRIC, BLACK_IS_ZERO);
        }
        for (tag, (px, covered_px)) in [tag::WIDTH, tag::LENGTH].into_iter().zip(self.sides()?) {
            if covered_px != px {
                self.overwrite(&mut copy, tag, covered_px);
            }
        }
        Ok(Cow::Owned(copy))
    }

    /// Changes the first value of a tag if the new one fits.
    fn overwrite(&self, source: &mut [u8], tag: u16, value: u32) {
        let Some(entry) = self.find(tag) else { return };
        let value = u64::from(value).to_be_bytes();
        let (unused, used) = value.split_at(value.len() - entry.value_bytes.clamp(1, value.len()));
        let room = source.get_mut(entry.position..entry.position + used.len());
        if let Some(room) = room.filter(|_| unused.iter().all(|byte| *byte == 0)) {
            room.copy_from_slice(used);
            if !self.file.big_endian {
                room.reverse();
            }
        }
    }
}

/// The upper left part of samples in rows of `stride` bytes.
fn cut(samples: Vec<u8>, stride: usize, row_bytes: usize, rows: usize) -> Vec<u8> {
    if stride == row_bytes && samples.len() == stride * rows {
        return samples;
    }
    let mut part = Vec::with_capacity(row_bytes.saturating_mul(rows));
    for row in samples.chunks_exact(stride.max(1)).take(rows) {
        part.extend_from_slice(row.get(..row_bytes).unwrap_or(row));
    }
    part
}
