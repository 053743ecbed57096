//! JPEG, decoded and encoded by libjpeg-turbo; most camera files by [`reduced`].
//!
//! The marker segments are read here first. libjpeg never fails on damaged data: it warns and fills the rest with grey.
//! So this module checks that the file is complete, and treats every warning as an error except the harmless one.
//! libjpeg keeps only its first warning, so a harmless one could hide damage: oddities that cameras write into headers
//! are repaired in a copy before decoding.

mod decompressor;
#[expect(
    clippy::inline_always,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::many_single_char_names,
    reason = "hot loops: they must be compiled as one; indices are masked or constant; casts keep the low bits"
)]
mod reduced;

use std::borrow::Cow;
use std::ops::Range;

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use self::decompressor::{Decompressor, Picture};
use super::cursor::Cursor;
use super::{CodecError, DecodeMemory, Detail, Format, Header, Profile, orientation, raster};
use crate::buffer::{Channels, Pixels, byte_len};
use crate::geometry::{DctScale, Orientation, Part, Size};
use crate::spec::Subsampling;

/// The limit of scans in a file, as in libjpeg-turbo's fuzzers; encoders write about 10.
const MAX_SCANS: i32 = 500;
/// The limit of repairs in a file. Cameras need one for each segment at most.
const MAX_REPAIRS: usize = 256;
/// The largest picture whose memory is kept: scaled for outputs of 224 or 299 px, they take 1 to 3 MB.
const MAX_SPARE_BYTES: usize = 4 << 20;
/// Extra MCUs decoded on either side. Chroma upsampling reads one sample beyond the edge; in a progressive file without
/// its last scans, block smoothing reads two blocks beyond that.
const MARGIN_UNITS: u32 = 3;
/// The last words of libjpeg's one harmless warning, about padding between the last coded block and the end-of-image
/// marker. Before any other marker, padding is an error: libjpeg keeps only its first warning, so it would hide later
/// damage.
const PADDING: &str = "extraneous bytes before marker 0xd9";

/// Marker codes of ITU-T T.81, table B.1.
mod marker {
    pub(super) const SOI: u8 = 0xd8;
    pub(super) const EOI: u8 = 0xd9;
    pub(super) const SOS: u8 = 0xda;
    pub(super) const APP0: u8 = 0xe0;
    pub(super) const APP1: u8 = 0xe1;
    pub(super) const APP2: u8 = 0xe2;
    pub(super) const APP14: u8 = 0xee;

    pub(super) const fn is_restart(code: u8) -> bool {
        matches!(code, 0xd0..=0xd7)
    }

    /// Whether no length follows: `RSTn` and TEM.
    pub(super) const fn stands_alone(code: u8) -> bool {
        is_restart(code) || code == 0x01
    }

    /// Whether this is `SOFn`: the range C0..=CF without DHT (C4), JPG (C8) and DAC (CC).
    pub(super) const fn is_frame(code: u8) -> bool {
        matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc)
    }
}

/// Whether a frame is baseline, extended sequential or arithmetic sequential.
const fn is_sequential(code: u8) -> bool {
    matches!(code, 0xc0 | 0xc1 | 0xc9)
}

/// The frame header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    code: u8,
    precision_bits: u8,
    size: Size,
    /// Horizontal and vertical sampling factors.
    sampling: Vec<(u8, u8)>,
}

/// Whether a frame is progressive, hierarchical and arithmetic ones included.
const fn is_progressive(code: u8) -> bool {
    matches!(code, 0xc2 | 0xc6 | 0xca | 0xce)
}

/// The facts in a file's marker segments that decoding needs.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    frame: Frame,
    /// Whether one scan holds all components.
    is_single_scan: bool,
    /// Bytes from SOI to EOI.
    length: usize,
    /// In the order of their positions. No two touch the same byte.
    repairs: Vec<Repair>,
}

/// The repair of a harmless fault in the headers that libjpeg would warn about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// Removes bytes `[start, end)`, which lie between two segments and belong to neither.
    Cut { start: usize, end: usize },
    /// Sets the byte at `position` to `value`.
    Set { position: usize, value: u8 },
}

impl Stream {
    /// Whether there is a transform to scale in; lossless frames have none.
    pub(super) fn is_scalable(&self) -> bool {
        !self.is_lossless()
    }

    fn is_lossless(&self) -> bool {
        matches!(self.frame.code, 0xc3 | 0xc7 | 0xcb | 0xcf)
    }

    fn is_ink(&self) -> bool {
        self.frame.sampling.len() == 4
    }

    fn channels(&self) -> Channels {
        if self.is_ink() { Channels::Cmyk } else { Channels::Rgb }
    }

    /// The columns at `scale` that must be decoded to get the `needed` ones right.
    fn columns(&self, needed: &Range<u32>, scale: DctScale) -> Range<u32> {
        let width = scale.scaled(self.frame.size).width();
        if self.is_lossless() {
            return 0..width;
        }
        // T.81, A.2.4: the widest component decides how many blocks a unit (MCU) is wide.
        let blocks = self.frame.sampling.iter().map(|(horizontal, _)| u32::from(*horizontal)).max().unwrap_or(1);
        let unit = (8 * blocks / scale.divisor()).max(1);
        let first = (needed.start.min(width - 1) / unit).saturating_sub(MARGIN_UNITS);
        let end = needed.end.div_ceil(unit).saturating_add(MARGIN_UNITS);
        first * unit..end.saturating_mul(unit).min(width)
    }

    /// An upper bound of libjpeg's memory: every coefficient (2 bytes) of an image in several scans, or a few rows of
    /// blocks of an image in a single scan.
    fn memory(&self) -> DecodeMemory {
        let (mut widest, mut tallest) = (1, 1);
        for (horizontal, vertical) in &self.frame.sampling {
            (widest, tallest) = (widest.max(u64::from(*horizontal)), tallest.max(u64::from(*vertical)));
        }
        let units = |side_px: u32, sampling: u64| u64::from(side_px).div_ceil(8 * sampling);
        let (columns, rows) = (units(self.frame.size.width(), widest), units(self.frame.size.height(), tallest));
        let blocks_per_unit: u64 = self.frame.sampling.iter().map(|(h, v)| u64::from(*h) * u64::from(*v)).sum();
        let coefficients = columns.saturating_mul(rows).saturating_mul(blocks_per_unit).saturating_mul(64 * 2);
        let is_buffered = !self.is_single_scan || !is_sequential(self.frame.code);
        // The rows of a unit and those around it, before and after upsampling: 10 blocks (T.81, B.2.3) of 8 rows.
        let row_buffers = columns.saturating_mul(8 * widest * 160).saturating_add(1 << 20);
        // The other decoder has a sixth of them, and keeps its tables.
        let row_buffers =
            row_buffers.saturating_add(row_buffers / 6).saturating_add(reduced::Decoder::KEPT_BYTES as u64);
        let repaired = if self.repairs.is_empty() { 0 } else { u64::try_from(self.length).unwrap_or(u64::MAX) };
        // Inks are decoded to four bytes and then converted to three in a second buffer.
        let bytes_per_pixel = if self.is_ink() { 7 } else { 3 };
        DecodeMemory {
            fixed_bytes: if is_buffered { coefficients } else { 0 }
                .saturating_add(row_buffers)
                .saturating_add(repaired),
            bytes_per_pixel,
        }
    }

    /// The bytes for the decoder: without those after the image, and with repaired headers.
    fn repaired<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let image = bytes.get(..self.length).unwrap_or(bytes);
        if self.repairs.is_empty() {
            return Cow::Borrowed(image);
        }
        let mut copy = Vec::with_capacity(image.len());
        let mut done = 0;
        for repair in &self.repairs {
            let (start, end, value) = match *repair {
                Repair::Cut { start, end } => (start, end, None),
                Repair::Set { position, value } => (position, position + 1, Some(value)),
            };
            copy.extend_from_slice(image.get(done..start).unwrap_or_default());
            copy.extend(value);
            done = end;
        }
        copy.extend_from_slice(image.get(done..).unwrap_or_default());
        Cow::Owned(copy)
    }
}

/// The facts collected from the marker segments up to EOI.
#[derive(Default)]
struct Segments {
    frame: Option<Frame>,
    scans: u32,
    first_scan_components: u8,
    /// Components that no scan has covered yet.
    uncovered: Vec<u8>,
    /// Position of the colour transform in an Adobe segment, if it is an unknown one.
    unknown_transform: Option<usize>,
    repairs: Vec<Repair>,
    /// Whether there was an EXIF segment: the first one counts.
    has_exif: bool,
    exif: Option<Orientation>,
    /// The orientation in the last XMP segment.
    xmp: Option<Orientation>,
    /// Number and place of each part of the profile: at most one more than there may be.
    profile_parts: Vec<(u8, Range<usize>)>,
}

impl Segments {
    /// Reads all segments. Returns the position of the first byte after EOI.
    fn read(&mut self, bytes: &[u8]) -> Result<usize, CodecError> {
        let mut position = 2;
        loop {
            let start = position;
            let (code, marker_start) = next_marker(bytes, &mut position)?;
            if marker_start > start {
                self.repair(Repair::Cut { start, end: marker_start })?;
            }
            match code {
                marker::EOI => return Ok(position),
                marker::SOI => {
                    return Err(CodecError::Corrupt("the JPEG has a second start-of-image marker".to_owned()));
                }
                code if marker::stands_alone(code) => continue,
                _ => {}
            }
            let mut cursor = Cursor::new(bytes.get(position..).unwrap_or_default());
            let length = usize::from(u16::from_be_bytes(cursor.array("a segment's length")?));
            let payload_length = length.checked_sub(2).ok_or_else(|| {
                CodecError::Corrupt(format!(
                    "the segment {code:#04x} has a length of {length} bytes; at least 2 are needed"
                ))
            })?;
            let payload = cursor.take(payload_length, "a segment")?;
            self.segment(code, payload, position + 2)?;
            position += length;
            if code == marker::SOS {
                position = end_of_scan(bytes, position)?;
            }
        }
    }

    fn repair(&mut self, repair: Repair) -> Result<(), CodecError> {
        if self.repairs.len() == MAX_REPAIRS {
            return Err(CodecError::Corrupt(format!("the JPEG's headers have more than {MAX_REPAIRS} faults")));
        }
        self.repairs.push(repair);
        Ok(())
    }

    fn segment(&mut self, code: u8, payload: &[u8], position: usize) -> Result<(), CodecError> {
        match code {
            // libjpeg warns about a major version that is not 1.
            marker::APP0 if payload.starts_with(b"JFIF\0") && payload.get(5).is_some_and(|major| *major != 1) => {
                self.repair(Repair::Set { position: position + 5, value: 1 })?;
            }
            // As in Pillow, metadata stand in front of the first scan.
            marker::APP1 if self.scans == 0 && !self.has_exif && payload.starts_with(b"Exif\0\0") => {
                self.has_exif = true;
                self.exif = orientation::of_exif(payload);
            }
            marker::APP1 if self.scans == 0 => {
                if let Some(packet) = payload.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                    self.xmp = orientation::of_xmp(packet);
                }
            }
            marker::APP2 => {
                // ICC.1, annex B.4: sequence number, count, then this part of the profile.
                if let Some([number, _count, part @ ..]) = payload.strip_prefix(b"ICC_PROFILE\0")
                    && self.profile_parts.len() <= Profile::MAX_PARTS
                {
                    let end = position + payload.len();
                    self.profile_parts.push((*number, end - part.len()..end));
                }
            }
            // Adobe technical note 5116: the twelfth byte is the colour transform.
            marker::APP14
                if payload.starts_with(b"Adobe") && payload.get(11).is_some_and(|transform| *transform > 2) =>
            {
                self.unknown_transform = Some(position + 11);
            }
            marker::SOS => self.scan_header(payload, position)?,
            code if marker::is_frame(code) => {
                if self.frame.is_some() {
                    return Err(CodecError::Corrupt("the JPEG has a second frame header".to_owned()));
                }
                self.frame = Some(readable(frame(code, payload)?)?);
                self.uncovered = payload.iter().skip(6).step_by(3).copied().collect();
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads a scan header. Some phones write nonsense into the spectral selection of sequential scans, where it has no
    /// meaning: it is repaired.
    fn scan_header(&mut self, payload: &[u8], position: usize) -> Result<(), CodecError> {
        self.scans = self.scans.saturating_add(1);
        if self.scans == 1 {
            self.first_scan_components = payload.first().copied().unwrap_or(0);
        }
        // T.81, B.2.3: the number of components, a selector and a table for each, then the spectral selection. Its
        // first byte is 0 in the first scans of progressive files.
        let components = payload.first().copied().map_or(0, usize::from);
        let selectors = || payload.iter().skip(1).step_by(2).take(components);
        let is_first = payload.get(1 + 2 * components) == Some(&0);
        let progressive = self.frame.as_ref().is_some_and(|frame| is_progressive(frame.code));
        let sequential = self.frame.as_ref().is_some_and(|frame| is_sequential(frame.code));
        if is_first || !progressive {
            self.uncovered.retain(|id| !selectors().any(|selector| selector == id));
        }
        if let (true, Some([.., start, end, approximation])) = (sequential, payload.get(1..)) {
            let last = position + payload.len() - 1;
            for (offset, actual, value) in [(2, *start, 0), (1, *end, 63), (0, *approximation, 0)] {
                if actual != value {
                    self.repair(Repair::Set { position: last - offset, value })?;
                }
            }
        }
        Ok(())
    }

    /// The profile in the order of its parts; `None` if there are none.
    fn profile(&mut self) -> Option<Profile> {
        let mut parts = std::mem::take(&mut self.profile_parts);
        parts.sort_by_key(|(number, _)| *number);
        let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| Profile::of_parts(parts))
    }
}

/// The code of the next marker, and where it starts. Moves `position` past it.
fn next_marker(bytes: &[u8], position: &mut usize) -> Result<(u8, usize), CodecError> {
    let ended = || CodecError::Truncated("the file ends before the end-of-image marker".to_owned());
    let start = *position;
    loop {
        let rest = bytes.get(*position..).unwrap_or_default();
        let at = *position + memchr::memchr(0xff, rest).ok_or_else(ended)?;
        let rest = bytes.get(at..).unwrap_or_default();
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let code = *rest.get(fill).ok_or_else(ended)?;
        *position = at + fill + 1;
        if code != 0 {
            // Fill bytes belong to a marker (T.81, B.1.1.2), unless other bytes stand before them.
            return Ok((code, if at > start { *position - 2 } else { start }));
        }
    }
}

/// The size in the frame header of a stream as TIFF holds them, and where that header ends. The stream's tables and its
/// end may be missing.
pub(super) fn frame_size(bytes: &[u8]) -> Result<(Size, usize), CodecError> {
    let mut position = 2;
    loop {
        let (code, _) = next_marker(bytes, &mut position)?;
        if marker::stands_alone(code) || code == marker::SOI {
            continue;
        }
        let mut cursor = Cursor::new(bytes.get(position..).unwrap_or_default());
        let length = usize::from(u16::from_be_bytes(cursor.array("a segment's length")?));
        let payload = cursor.take(length.saturating_sub(2), "a segment")?;
        if marker::is_frame(code) {
            return Ok((frame(code, payload)?.size, position + length));
        }
        position += length.max(2);
    }
}

/// The position where entropy-coded data end: the first 0xff that is neither stuffed, nor fill, nor a restart marker.
fn end_of_scan(bytes: &[u8], start: usize) -> Result<usize, CodecError> {
    let data = bytes.get(start..).unwrap_or_default();
    let mut escapes = memchr::memchr_iter(0xff, data).map(|at| (at, data.get(at + 1).copied()));
    let end = escapes.find_map(|(at, next)| match next {
        None | Some(0 | 0xff) => None,
        Some(code) if marker::is_restart(code) => None,
        Some(_) => Some(at),
    });
    end.map(|at| start + at).ok_or_else(|| CodecError::Truncated("the file ends inside the coded image".to_owned()))
}

fn frame(code: u8, payload: &[u8]) -> Result<Frame, CodecError> {
    let mut cursor = Cursor::new(payload);
    let broken = |_| CodecError::Corrupt("the frame header is too short".to_owned());
    let precision_bits = cursor.byte("").map_err(broken)?;
    let height = u16::from_be_bytes(cursor.array("").map_err(broken)?);
    let width = u16::from_be_bytes(cursor.array("").map_err(broken)?);
    let components = cursor.byte("").map_err(broken)?;
    let mut sampling = Vec::new();
    for _ in 0..components {
        let [_, factors, _] = cursor.array("").map_err(broken)?;
        sampling.push((factors >> 4, factors & 15));
    }
    if sampling.is_empty() || sampling.iter().any(|(h, v)| !(1..=4).contains(h) || !(1..=4).contains(v)) {
        let factors: Vec<String> = sampling.iter().map(|(h, v)| format!("{h}x{v}")).collect();
        let factors = if factors.is_empty() { "missing".to_owned() } else { factors.join(", ") };
        return Err(CodecError::Corrupt(format!("the sampling factors are {factors}; accepted are 1 to 4")));
    }
    Ok(Frame { code, precision_bits, size: raster::size(u32::from(width), u32::from(height))?, sampling })
}

/// The frame, if libjpeg-turbo decodes such ones at 8 bits.
fn readable(frame: Frame) -> Result<Frame, CodecError> {
    let (bits, components) = (frame.precision_bits, frame.sampling.len());
    if bits != 8 {
        return Err(CodecError::Unsupported(format!("the JPEG has {bits} bits per sample; accepted is 8")));
    }
    if !matches!(components, 1 | 3 | 4) {
        return Err(CodecError::Unsupported(format!("the JPEG has {components} components; accepted are 1, 3, 4")));
    }
    Ok(frame)
}

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    let mut segments = Segments::default();
    let length = segments.read(bytes)?;
    let profile = segments.profile();
    let frame = segments.frame.ok_or_else(|| CodecError::Corrupt("the JPEG has no frame header".to_owned()))?;
    let components = frame.sampling.len();
    if segments.scans == 0 || !segments.uncovered.is_empty() {
        return Err(CodecError::Corrupt("a component of the JPEG has no scan".to_owned()));
    }
    let (size, is_gray) = (frame.size, components == 1);
    let mut repairs = segments.repairs;
    if let Some(position) = segments.unknown_transform {
        // As libjpeg assumes: YCCK for four components, YCbCr otherwise.
        // (One more than `MAX_REPAIRS` at most.)
        repairs.push(Repair::Set { position, value: if components == 4 { 2 } else { 1 } });
        repairs.sort_by_key(|repair| match repair {
            Repair::Cut { start, .. } => *start,
            Repair::Set { position, .. } => *position,
        });
    }
    let is_single_scan = segments.scans == 1 && usize::from(segments.first_scan_components) == components;
    let stream = Stream { frame, is_single_scan, length, repairs };
    Ok(Header {
        format: Format::Jpeg,
        size,
        orientation: segments.exif.or(segments.xmp).unwrap_or_default(),
        frames: 1,
        profile,
        is_gray,
        memory: stream.memory(),
        largest: size,
        detail: Detail::Jpeg(stream),
    })
}

/// The decoders and the encoder of one thread.
#[derive(Debug)]
pub(super) struct Turbo {
    decompressor: Decompressor,
    compressor: Compressor,
    reduced: reduced::Decoder,
    /// The pixels of an earlier picture, in whose memory the next one is decoded.
    spare: Vec<u8>,
}

impl Turbo {
    pub(super) fn try_new() -> Result<Self, CodecError> {
        let compressor = Compressor::new().map_err(encode_error)?;
        Ok(Self { decompressor: decompressor()?, compressor, reduced: reduced::Decoder::new(), spare: Vec::new() })
    }

    /// The pixels of the columns and rows of `part`; all others may hold anything.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        stream: &Stream,
        scale: DctScale,
        part: &Part,
    ) -> Result<Pixels, CodecError> {
        let scale = if stream.is_scalable() { scale } else { DctScale::Full };
        let (size, channels) = (scale.scaled(stream.frame.size), stream.channels());
        let length = byte_len(size, channels)
            .ok_or_else(|| CodecError::Corrupt("the image is too large for memory".to_owned()))?;
        let file = stream.repaired(bytes);
        // What is left of an earlier picture is overwritten, or outside the part.
        let mut data = std::mem::take(&mut self.spare);
        if data.capacity() < length {
            drop(data);
            data = vec![0; length];
        }
        data.resize(length, 0);
        let job = reduced::Job { scale, size, part };
        let is_done = channels == Channels::Rgb && self.reduced.decode(&file, &job, &mut data).is_some();
        if !is_done {
            self.decode_any(&file, stream, scale, &part.columns, &mut data)?;
        }
        Pixels::try_new(size, channels, data).map_err(|error| CodecError::Corrupt(error.to_string()))
    }

    /// Keeps the memory of a picture for the next one, unless it is large.
    pub(super) fn keep(&mut self, pixels: Pixels) {
        let data = pixels.into_data();
        if data.capacity() <= MAX_SPARE_BYTES {
            self.spare = data;
        }
    }

    /// Decodes by libjpeg-turbo: any file, all rows.
    fn decode_any(
        &mut self,
        file: &[u8],
        stream: &Stream,
        scale: DctScale,
        columns: &Range<u32>,
        data: &mut [u8],
    ) -> Result<(), CodecError> {
        let (size, channels) = (scale.scaled(stream.frame.size), stream.channels());
        let picture = Picture { scale, size, channels, columns: stream.columns(columns, scale) };
        match self.decompressor.decompress(file, &picture, data) {
            Ok(()) => {}
            Err(error) if error.to_string().ends_with(PADDING) => {}
            Err(error) => {
                // After an error, a handle continues with the file that failed: it is replaced.
                self.decompressor = decompressor()?;
                return Err(decode_error(&error));
            }
        }
        if stream.is_ink() {
            // Inks are stored inverted (Adobe's convention, now the rule of ITU-T T.872): 0 is full ink.
            for ink in data {
                *ink = 255 - *ink;
            }
        }
        Ok(())
    }

    pub(super) fn encode(
        &mut self,
        pixels: &Pixels,
        quality: u8,
        subsampling: Subsampling,
    ) -> Result<Vec<u8>, CodecError> {
        self.compressor.set_quality(i32::from(quality)).map_err(encode_error)?;
        let subsampling = match subsampling {
            Subsampling::S420 => Subsamp::Sub2x2,
            Subsampling::S444 => Subsamp::None,
        };
        self.compressor.set_subsamp(subsampling).map_err(encode_error)?;
        let (width, height) = (pixels.size().width() as usize, pixels.size().height() as usize);
        let image = Image { pixels: pixels.data(), width, pitch: width * 3, height, format: PixelFormat::RGB };
        self.compressor.compress_to_vec(image).map_err(encode_error)
    }
}

/// What is wrong with the decoder of reduced scales, seen in one file: for fuzzing.
#[cfg(fuzzing)]
pub(super) fn fault(file: &[u8], max_pixels: u64) -> Option<String> {
    reduced::judge::fault(file, max_pixels)
}

fn decompressor() -> Result<Decompressor, CodecError> {
    Decompressor::try_new(MAX_SCANS).map_err(encode_error)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err needs")]
fn encode_error(error: turbojpeg::Error) -> CodecError {
    CodecError::Encode(error.to_string())
}

/// libjpeg-turbo's error, sorted by its remedy. The texts are those of its `jerror.h`.
fn decode_error(error: &turbojpeg::Error) -> CodecError {
    let text = error.to_string();
    if text.contains("nsupported")
        || text.contains("not supported")
        || text.contains("not implemented")
        || text.contains("Could not determine")
    {
        CodecError::Unsupported(text)
    } else {
        CodecError::Corrupt(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of JPEG in `testdata/images`, and progressive ones without their last scans.
    fn kinds() -> Vec<(String, Vec<u8>)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/images/jpeg");
        let mut kinds = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("files have names").to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).expect("a readable file");
            if name.contains("progressive") {
                let scans = memchr::memmem::find_iter(&bytes, &[0xff, marker::SOS]);
                for (number, start) in scans.enumerate().skip(1) {
                    let cut = [&bytes[..start], &[0xff, marker::EOI]].concat();
                    kinds.push((format!("{name}, {number} scans"), cut));
                }
            }
            kinds.push((name, bytes));
        }
        kinds
    }

    #[test]
    fn leaving_columns_out_changes_no_other() {
        let mut turbo = Turbo::try_new().expect("memory for the codecs");
        let (mut left_out, mut faults) = (0, Vec::new());
        for (name, bytes) in kinds() {
            let header = header(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let Detail::Jpeg(stream) = header.detail else { panic!("{name} is a JPEG") };
            for scale in [DctScale::Full, DctScale::Half, DctScale::Quarter, DctScale::Eighth] {
                let width = scale.scaled(header.size).width();
                // libjpeg-turbo cannot decode a few of the kinds, in part or as a whole.
                let Ok(whole) = turbo.decode(&bytes, &stream, scale, &Part::ALL) else { continue };
                // Every position of an edge within a unit of up to 32 columns; some ranges reach the right edge.
                for start in (width / 4..width).take(33) {
                    let needed = start..if start % 4 == 0 { width } else { (start + 1 + start % 13).min(width) };
                    let part = Part { columns: needed.clone(), ..Part::ALL };
                    let part = turbo.decode(&bytes, &stream, scale, &part).expect("the whole could be decoded");
                    let stride = width as usize * whole.channels().count();
                    let columns = needed.start as usize * whole.channels().count()
                        ..needed.end as usize * whole.channels().count();
                    let mut rows = whole.data().chunks(stride).zip(part.data().chunks(stride));
                    if rows.any(|(all, some)| all[columns.clone()] != some[columns.clone()]) {
                        faults.push(format!("{name}, {scale:?}, {needed:?} of {width}"));
                    }
                    left_out += u32::from(whole != part);
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(left_out > 2000, "columns were left out {left_out} times");
    }

    #[test]
    fn damage_in_columns_that_are_left_out_is_seen() {
        let mut turbo = Turbo::try_new().expect("memory for the codecs");
        let (mut refused, mut faults) = (0, Vec::new());
        for (name, mut bytes) in kinds() {
            for at in (bytes.len() / 2..bytes.len() - 2).step_by(997) {
                let clean = std::mem::replace(&mut bytes[at], 0x5a);
                if let Ok(Header { detail: Detail::Jpeg(stream), .. }) = header(&bytes) {
                    let scale = DctScale::Quarter;
                    let mut decode = |part| turbo.decode(&bytes, &stream, scale, &part).map(|pixels| pixels.size());
                    let whole = decode(Part::ALL);
                    if whole != decode(Part { columns: 0..1, rows: 0..1 }) {
                        faults.push(format!("{name}, byte {at}: {whole:?}"));
                    }
                    refused += u32::from(whole.is_err());
                }
                bytes[at] = clean;
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(refused > 50, "damage was seen {refused} times");
    }
}
