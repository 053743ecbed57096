//! The coded picture: open bitstream units (OBUs) of AV1 (AV1 Bitstream & Decoding Process Specification, version 1.0.0
//! with Errata 1). Read are the facts that its memory and its colours depend on; the decoder does the rest.

use super::super::CodecError;
use super::container::ColorCoding;
use crate::geometry::Size;

/// The limit of frames in one picture: the layers of a progressive one are at most four (AVIF 1.1, 2.3.2.2).
pub(super) const MAX_FRAMES: u64 = 8;

/// Which samples of colour there are beside those of luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chroma {
    None,
    /// Half of them in both directions (4:2:0).
    Quarter,
    /// Half of them in each row (4:2:2).
    Half,
    /// All (4:4:4).
    Full,
}

/// What a sequence header says (5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) size: Size,
    /// Bits of a sample: 8, 10 or 12.
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    pub(super) coding: ColorCoding,
    /// What the head of a frame depends on.
    is_reduced: bool,
    timing: Option<u32>,
    screen_content: Choice,
    integer_vectors: Choice,
    frame_id_bits: u32,
}

/// A switch that the sequence sets, or leaves to each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Off,
    On,
    EachFrame,
}

/// Kinds of units (6.2.2).
mod kind {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const TEMPORAL_DELIMITER: u8 = 2;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const TILE_GROUP: u8 = 4;
    pub(super) const FRAME: u8 = 6;
    pub(super) const REDUNDANT_FRAME_HEADER: u8 = 7;
    pub(super) const TILE_LIST: u8 = 8;
}

fn corrupt(text: &str) -> CodecError {
    CodecError::Corrupt(text.to_owned())
}

/// A unit: its kind, all its bytes, and those behind its head.
struct Unit<'a> {
    kind: u8,
    whole: &'a [u8],
    body: &'a [u8],
}

/// The units of a coded picture.
fn units(mut rest: &[u8]) -> impl Iterator<Item = Result<Unit<'_>, CodecError>> {
    std::iter::from_fn(move || {
        let unit = (!rest.is_empty()).then(|| unit(rest))?;
        rest = unit.as_ref().map_or(&[], |unit| rest.get(unit.whole.len()..).unwrap_or_default());
        Some(unit)
    })
}

fn unit(bytes: &[u8]) -> Result<Unit<'_>, CodecError> {
    let short = || corrupt("a unit of the coded picture is longer than the picture");
    let first = *bytes.first().ok_or_else(short)?;
    if first & 0x80 != 0 {
        return Err(corrupt("the coded picture is not AV1: a unit has its forbidden bit set"));
    }
    let mut at = if first & 4 == 0 { 1 } else { 2 };
    let end = if first & 2 == 0 {
        // Only the last unit may leave its length out.
        bytes.len()
    } else {
        // `leb128`: seven bits a byte, the lowest first (4.10.5).
        let mut length = 0_u64;
        for place in 0..8 {
            let byte = *bytes.get(at).ok_or_else(short)?;
            at += 1;
            length |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        usize::try_from(length).ok().and_then(|length| at.checked_add(length)).ok_or_else(short)?
    };
    let whole = bytes.get(..end).ok_or_else(short)?;
    Ok(Unit { kind: first >> 3 & 15, whole, body: whole.get(at..).ok_or_else(short)? })
}

/// Bits, the first one of each byte is its highest.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Result<u32, CodecError> {
        let mut number = 0;
        for _ in 0..count {
            let byte =
                self.bytes.get(self.at / 8).ok_or_else(|| corrupt("a header of the coded picture is too short"))?;
            number = number << 1 | u32::from(*byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(number)
    }

    fn flag(&mut self) -> Result<bool, CodecError> {
        self.take(1).map(|bit| bit == 1)
    }

    /// `uvlc` (4.10.3), whose value does not matter.
    fn skip_variable(&mut self) -> Result<(), CodecError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        self.at += if zeros < 32 { zeros } else { 0 };
        Ok(())
    }
}

impl Sequence {
    /// The first sequence header in the units of a coded picture, which may be cut behind it.
    pub(super) fn find(data: &[u8]) -> Result<Self, CodecError> {
        for unit in units(data) {
            let unit = unit?;
            if unit.kind == kind::SEQUENCE_HEADER {
                return Self::read(unit.body);
            }
        }
        Err(corrupt("the coded picture has no sequence header"))
    }

    /// 5.5.1.
    fn read(body: &[u8]) -> Result<Self, CodecError> {
        let mut bits = Bits { bytes: body, at: 0 };
        let profile = bits.take(3)?;
        let _still_picture = bits.flag()?;
        let is_reduced = bits.flag()?;
        let mut timing = None;
        if is_reduced {
            bits.take(5)?;
        } else {
            timing = operating_points(&mut bits)?;
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        let mut frame_id_bits = 0;
        if !is_reduced && bits.flag()? {
            frame_id_bits = bits.take(4)? + 2;
            frame_id_bits += bits.take(3)? + 1;
        }
        bits.take(3)?; // superblocks, filter-intra, edge filter
        let (mut screen_content, mut integer_vectors) = (Choice::EachFrame, Choice::EachFrame);
        if !is_reduced {
            bits.take(4)?; // compounds, warping, dual filter
            let has_order_hint = bits.flag()?;
            if has_order_hint {
                bits.take(2)?;
            }
            let choice = |bits: &mut Bits<'_>| {
                if bits.flag()? {
                    return Ok(Choice::EachFrame);
                }
                Ok(if bits.flag()? { Choice::On } else { Choice::Off })
            };
            screen_content = choice(&mut bits)?;
            if screen_content != Choice::Off {
                integer_vectors = choice(&mut bits)?;
            }
            if has_order_hint {
                bits.take(3)?;
            }
        }
        bits.take(3)?; // super-resolution, CDEF, loop restoration
        let (sample_bits, chroma, coding) = color_config(&mut bits, profile)?;
        Ok(Self {
            size: Size::new(width, height).ok_or_else(|| corrupt("the coded picture has no pixels"))?,
            bits: sample_bits,
            chroma,
            coding,
            is_reduced,
            timing,
            screen_content,
            integer_vectors,
            frame_id_bits,
        })
    }

    /// Whether the header of a frame begins a new frame. One that has another size than the sequence is an error: its
    /// memory is not planned.
    fn begins_frame(&self, body: &[u8]) -> Result<bool, CodecError> {
        /// `frame_type`.
        const KEY: u32 = 0;
        const SWITCH: u32 = 3;
        if self.is_reduced {
            return Ok(true);
        }
        let mut bits = Bits { bytes: body, at: 0 };
        if bits.flag()? {
            // A frame that was decoded before is shown.
            return Ok(false);
        }
        let frame_type = bits.take(2)?;
        let is_shown = bits.flag()?;
        match self.timing {
            Some(time_bits) if is_shown => {
                bits.take(time_bits)?;
            }
            _ => {}
        }
        if !is_shown {
            bits.flag()?;
        }
        if frame_type != SWITCH && !(frame_type == KEY && is_shown) {
            bits.flag()?; // error resilience
        }
        bits.flag()?; // no update of probabilities
        let has_screen_content = match self.screen_content {
            Choice::EachFrame => bits.flag()?,
            choice => choice == Choice::On,
        };
        if has_screen_content && self.integer_vectors == Choice::EachFrame {
            bits.flag()?;
        }
        bits.take(self.frame_id_bits)?;
        if frame_type == SWITCH || bits.flag()? {
            return Err(CodecError::Unsupported("the coded picture has frames or layers of several sizes".to_owned()));
        }
        Ok(true)
    }
}

/// The part of a sequence header on time and operating points. Returns the length of a frame's time, if frames have
/// one.
fn operating_points(bits: &mut Bits<'_>) -> Result<Option<u32>, CodecError> {
    let (mut time_bits, mut delay_bits) = (None, None);
    if bits.flag()? {
        bits.take(32)?;
        bits.take(32)?;
        let is_regular = bits.flag()?;
        if is_regular {
            bits.skip_variable()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? + 1);
            bits.take(32)?;
            bits.take(5)?;
            let length = bits.take(5)? + 1;
            time_bits = (!is_regular).then_some(length);
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.take(5)? {
        bits.take(12)?;
        let level = bits.take(5)?;
        if level > 7 {
            bits.flag()?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.take(delay_bits)?;
            bits.take(delay_bits)?;
            bits.flag()?;
        }
        if has_display_delay && bits.flag()? {
            bits.take(4)?;
        }
    }
    Ok(time_bits)
}

/// 5.5.2.
fn color_config(bits: &mut Bits<'_>, profile: u32) -> Result<(u8, Chroma, ColorCoding), CodecError> {
    /// The code points of sRGB: primaries, transfer, matrix.
    const SRGB: [u16; 3] = [1, 13, 0];
    const UNSPECIFIED: u16 = 2;
    let is_high = bits.flag()?;
    let sample_bits = match (is_high, profile) {
        (false, _) => 8,
        (true, 2) if bits.flag()? => 12,
        (true, _) => 10,
    };
    let is_gray = profile != 1 && bits.flag()?;
    let mut points = [UNSPECIFIED; 3];
    if bits.flag()? {
        for point in &mut points {
            *point = u16::try_from(bits.take(8)?).unwrap_or(UNSPECIFIED);
        }
    }
    let [primaries, transfer, matrix] = points;
    let is_srgb = !is_gray && points == SRGB;
    let is_full_range = is_srgb || bits.flag()?;
    let chroma = match (profile, sample_bits) {
        _ if is_gray => Chroma::None,
        _ if is_srgb => Chroma::Full,
        (0, _) => Chroma::Quarter,
        (1, _) => Chroma::Full,
        (_, 8 | 10) => Chroma::Half,
        _ if !bits.flag()? => Chroma::Full,
        _ if bits.flag()? => Chroma::Quarter,
        _ => Chroma::Half,
    };
    Ok((sample_bits, chroma, ColorCoding { primaries, transfer, matrix, is_full_range }))
}

/// The number of frames in a coded picture.
pub(super) fn count_frames(data: &[u8], sequence: &Sequence) -> Result<u64, CodecError> {
    let mut frames = 0;
    for unit in units(data) {
        let unit = unit?;
        frames += match unit.kind {
            kind::FRAME | kind::FRAME_HEADER => u64::from(sequence.begins_frame(unit.body)?),
            _ => 0,
        };
    }
    match frames {
        0 => Err(corrupt("the coded picture has no frame")),
        1..=MAX_FRAMES => Ok(frames),
        _ => Err(CodecError::Unsupported(format!(
            "the coded picture has {frames} frames; accepted are at most {MAX_FRAMES}"
        ))),
    }
}

/// The units that the decoder needs: no metadata, no padding, nothing that is not known.
pub(super) fn needed(data: &[u8], sequence: &Sequence) -> Result<Vec<u8>, CodecError> {
    let mut needed = Vec::with_capacity(data.len());
    for unit in units(data) {
        let unit = unit?;
        match unit.kind {
            kind::SEQUENCE_HEADER if Sequence::read(unit.body)? != *sequence => {
                return Err(corrupt("the coded picture has two different sequence headers"));
            }
            kind::SEQUENCE_HEADER
            | kind::TEMPORAL_DELIMITER
            | kind::FRAME_HEADER
            | kind::TILE_GROUP
            | kind::FRAME
            | kind::REDUNDANT_FRAME_HEADER => needed.extend_from_slice(unit.whole),
            kind::TILE_LIST => {
                return Err(CodecError::Unsupported("the coded picture is a list of large-scale tiles".to_owned()));
            }
            _ => {}
        }
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::super::container::Container;
    use super::*;

    /// The sequence header of the first tile of a file of `testdata/images`.
    fn sequence(name: &str) -> Sequence {
        let path = format!("{}/../../testdata/images/{name}", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let container = Container::open(&file).expect("a whole file");
        let tile = *container.picture().expect("a picture").color.tiles.first().expect("a tile");
        Sequence::find(&container.data(tile).expect("its bytes")).expect("a header")
    }

    /// Expected: what `testdata/make_images.py` asked the encoders for.
    #[test]
    fn a_sequence_header_says_what_the_encoder_was_told() {
        let cases = [
            ("avif/420-8.avif", (500, 380), 8, Chroma::Quarter, true),
            ("avif/422-8-limited.avif", (500, 380), 8, Chroma::Half, false),
            ("avif/444-8.avif", (500, 380), 8, Chroma::Full, true),
            ("avif/lossless.avif", (500, 380), 8, Chroma::Full, true),
            ("avif/grey-8.avif", (500, 380), 8, Chroma::None, true),
            ("avif/420-10.avif", (500, 380), 10, Chroma::Quarter, true),
            ("avif/444-10-bt2020.avif", (500, 380), 10, Chroma::Full, true),
            ("avif/422-12-limited.avif", (500, 380), 12, Chroma::Half, false),
            ("avif/grey-10.avif", (500, 380), 10, Chroma::None, true),
            ("avif/grid.avif", (128, 128), 8, Chroma::Quarter, true),
            ("avif/animated.avif", (500, 380), 8, Chroma::Quarter, true),
            ("avif/1x1.avif", (1, 1), 8, Chroma::Quarter, true),
        ];
        for (name, (width, height), bits, chroma, is_full_range) in cases {
            let Sequence { size, bits: actual_bits, chroma: actual_chroma, coding, .. } = sequence(name);
            assert_eq!(
                (Some(size), actual_bits, actual_chroma, coding.is_full_range),
                (Size::new(width, height), bits, chroma, is_full_range),
                "{name}"
            );
        }
        let points = |name| {
            let ColorCoding { primaries, transfer, matrix, .. } = sequence(name).coding;
            [primaries, transfer, matrix]
        };
        assert_eq!(points("avif/lossless.avif"), [1, 13, 0]);
        assert_eq!(points("avif/code-points-p3.avif"), [12, 13, 6]);
        assert_eq!(points("avif/444-10-bt2020.avif"), [1, 13, 9]);
    }

    #[test]
    fn units_have_lengths_of_seven_bits_a_byte() {
        // A delimiter without a body, padding of 130 bytes (0x82 0x01), a frame without a length.
        let data = [&[0x12, 0, 0x7a, 0x82, 1][..], &[9; 130], &[0x30, 1, 2]].concat();
        let units: Vec<(u8, usize)> = units(&data)
            .map(|unit| unit.map(|unit| (unit.kind, unit.body.len())))
            .collect::<Result<_, _>>()
            .expect("whole units");
        assert_eq!(units, [(2, 0), (15, 130), (6, 2)]);
        for cut in [&data[..4], &data[..100], &[0x82, 0], &[0x7a, 0x80]] {
            assert!(super::units(cut).any(|unit| unit.is_err()), "{cut:?}");
        }
    }
}
