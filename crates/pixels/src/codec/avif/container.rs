//! The container of AVIF: boxes of an ISO base media file (ISO/IEC 14496-12) that hold still pictures as items
//! (ISO/IEC 23008-12, "HEIF"; ISO/IEC 23000-22, "MIAF").
//!
//! Only what the first picture needs is read, and nothing is copied before it is wanted: a header may take little
//! memory, however many items the file names.

use std::borrow::Cow;
use std::ops::Range;

use super::super::CodecError;
use super::super::cursor::index;
use crate::geometry::{Orientation, Size};

/// The limits of items and of properties in a file. A picture of 2,000 tiles of 512 px has 500 megapixels.
const MAX_ITEMS: usize = 2048;
const MAX_PROPERTIES: usize = 2048;

/// Boxes that a file has outside of all others. One that is longer than the rest of the file shows that it was cut;
/// other bytes of that kind do not belong to it.
const OUTER_BOXES: [&[u8; 4]; 12] =
    [b"ftyp", b"meta", b"mdat", b"moov", b"moof", b"free", b"skip", b"uuid", b"wide", b"styp", b"sidx", b"mfra"];

/// Auxiliary pictures that are an alpha channel: of MIAF, and of the older HEVC.
const ALPHA_TYPES: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0"];

/// A file whose items and properties are found.
#[derive(Debug)]
pub(super) struct Container<'a> {
    file: &'a [u8],
    primary: u32,
    /// In the order of their numbers.
    items: Vec<Item>,
    properties: Vec<Part>,
    references: Range<usize>,
    item_data: Range<usize>,
    has_long_references: bool,
    /// Frames of the sequence that the file may have beside its picture.
    pub(super) frames: u32,
}

/// A box, without its head: its kind and where it lies in the file.
#[derive(Debug, Clone)]
struct Part {
    kind: [u8; 4],
    body: Range<usize>,
}

#[derive(Debug, Clone)]
struct Item {
    id: u32,
    kind: [u8; 4],
    is_protected: bool,
    location: Option<Location>,
    /// The numbers of its properties, a byte or two each.
    properties: Range<usize>,
    has_long_numbers: bool,
}

/// Where an item's bytes lie.
#[derive(Debug, Clone)]
struct Location {
    /// 0: in the file. 1: in the box `idat`.
    method: u64,
    is_external: bool,
    base: u64,
    /// Its extents in the box `iloc`.
    extents: Range<usize>,
    /// Bytes of an extent's index, offset and length.
    widths: [usize; 3],
}

/// The first picture of a file.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) color: Layer,
    pub(super) alpha: Option<Layer>,
    /// Whether the colours are multiplied by alpha.
    pub(super) is_premultiplied: bool,
    /// The part of the picture that is shown.
    pub(super) window: Window,
    pub(super) orientation: Orientation,
    pub(super) coding: Option<ColorCoding>,
    /// The ICC profile.
    pub(super) profile: Option<Range<usize>>,
}

/// Pictures of one size that cover a large one, row by row.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) size: Size,
    pub(super) tile: Size,
    pub(super) columns: u32,
    pub(super) tiles: Vec<Tile>,
}

/// A coded picture: a place in the list of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile(usize);

/// A part of a picture, in pixels from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
}

/// The meaning of samples, in the code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColorCoding {
    pub(super) primaries: u16,
    pub(super) transfer: u16,
    pub(super) matrix: u16,
    pub(super) is_full_range: bool,
}

fn corrupt(text: impl Into<String>) -> CodecError {
    CodecError::Corrupt(text.into())
}

fn unsupported(text: impl Into<String>) -> CodecError {
    CodecError::Unsupported(text.into())
}

/// The fields of one box, big-endian.
#[derive(Debug, Clone)]
struct Fields<'a> {
    bytes: &'a [u8],
    kind: &'static str,
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| corrupt(format!("the box \"{}\" ends inside one of its fields", self.kind)))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, CodecError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn short(&mut self) -> Result<u16, CodecError> {
        let bytes = self.take(2)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u16::from(*byte)))
    }

    fn long(&mut self) -> Result<u32, CodecError> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// A number of two bytes, or of four.
    fn short_or_long(&mut self, is_long: bool) -> Result<u32, CodecError> {
        if is_long { self.long() } else { self.short().map(u32::from) }
    }

    /// The version and the flags of a full box.
    fn version(&mut self) -> Result<(u8, u32), CodecError> {
        let [version, flags @ ..] = self.long()?.to_be_bytes();
        Ok((version, flags.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))))
    }
}

/// The head of a box: its kind, its length with the head (`None`: it ends with what it lies in), the head's length.
fn head(bytes: &[u8]) -> Option<([u8; 4], Option<u64>, usize)> {
    let ([a, b, c, d, kind @ ..], rest) = bytes.split_first_chunk::<8>()?;
    match u32::from_be_bytes([*a, *b, *c, *d]) {
        0 => Some((*kind, None, 8)),
        1 => Some((*kind, Some(u64::from_be_bytes(*rest.first_chunk()?)), 16)),
        length => Some((*kind, Some(length.into()), 8)),
    }
}

/// The boxes in a part of the file.
fn boxes(file: &[u8], within: Range<usize>) -> impl Iterator<Item = Result<Part, CodecError>> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        let rest = file.get(at..within.end).filter(|rest| !rest.is_empty())?;
        let part = head(rest).and_then(|(kind, length, head_bytes)| {
            let length = length.map_or(Some(rest.len()), |length| usize::try_from(length).ok())?;
            (head_bytes..=rest.len()).contains(&length).then(|| Part { kind, body: at + head_bytes..at + length })
        });
        at = part.as_ref().map_or(within.end, |part| part.body.end);
        Some(part.ok_or_else(|| corrupt("a box is longer than the box that it lies in")))
    })
}

/// The number of samples in the first track of the box `moov` (ISO/IEC 14496-12, 8.7.3).
fn count_frames(file: &[u8], moov: Range<usize>) -> Option<u32> {
    const PATH: [&[u8; 4]; 5] = [b"trak", b"mdia", b"minf", b"stbl", b"stsz"];
    let inner = |within: Range<usize>, kind: &[u8; 4]| {
        boxes(file, within).map_while(Result::ok).find(|part| part.kind == *kind).map(|part| part.body)
    };
    let sizes = PATH.into_iter().try_fold(moov, inner)?;
    // Version and flags, and the size that all samples have, or zero.
    let count = file.get(sizes)?.get(8..12)?;
    Some(count.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

impl<'a> Container<'a> {
    /// Finds the items, and checks that all their bytes are there.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, CodecError> {
        let (mut meta, mut frames) = (None, 1);
        let mut at = 0;
        let is_at_end = loop {
            let rest = file.get(at..).unwrap_or_default();
            let Some((kind, length, head_bytes)) = head(rest) else { break true };
            let is_known = OUTER_BOXES.contains(&&kind);
            let length = length.map_or(rest.len(), |length| usize::try_from(length).unwrap_or(usize::MAX));
            if length < head_bytes || (length > rest.len() && !is_known) {
                break false;
            }
            if length > rest.len() {
                let (kind, actual) = (kind.escape_ascii(), rest.len());
                return Err(CodecError::Truncated(format!(
                    "the file ends inside the box \"{kind}\": it has {actual} of {length} bytes"
                )));
            }
            if kind == *b"meta" && meta.is_none() {
                meta = Some(at + head_bytes..at + length);
            }
            if kind == *b"moov" {
                frames = count_frames(file, at + head_bytes..at + length).unwrap_or(1).max(1);
            }
            at += length;
        };
        let Some(meta) = meta else {
            let text = "the file has no box \"meta\", which would say where its picture is";
            return Err(if is_at_end { CodecError::Truncated(text.to_owned()) } else { corrupt(text) });
        };
        Ok(Self { frames, ..Self::of_meta(file, meta)? })
    }

    fn of_meta(file: &'a [u8], meta: Range<usize>) -> Result<Self, CodecError> {
        const KINDS: [&[u8; 4]; 7] = [b"hdlr", b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"idat"];
        let fields = |part: &Part, kind| Fields { bytes: file.get(part.body.clone()).unwrap_or_default(), kind };
        // The first four bytes are the version and the flags.
        let meta = meta.start.saturating_add(4)..meta.end;
        let mut parts: [Option<Part>; 7] = [const { None }; 7];
        for part in boxes(file, meta) {
            let part = part?;
            if let Some((_, found)) = KINDS.iter().zip(&mut parts).find(|(kind, _)| ***kind == part.kind) {
                found.get_or_insert(part);
            }
        }
        let [handler, primary, infos, locations, properties, references, item_data] = parts;
        let missing = |kind: &str| corrupt(format!("the box \"meta\" has no box \"{kind}\""));
        let handler = handler.ok_or_else(|| missing("hdlr"))?;
        let mut handler = fields(&handler, "hdlr");
        handler.take(8)?;
        if handler.take(4)? != b"pict" {
            return Err(unsupported("the file holds an image sequence or a film, and no still picture"));
        }
        let mut primary = fields(&primary.ok_or_else(|| missing("pitm"))?, "pitm");
        let (version, _) = primary.version()?;
        let primary = primary.short_or_long(version > 0)?;
        let mut container = Self {
            file,
            primary,
            items: Vec::new(),
            properties: Vec::new(),
            references: 0..0,
            item_data: item_data.map_or(0..0, |part| part.body),
            has_long_references: false,
            frames: 1,
        };
        container.read_infos(&infos.ok_or_else(|| missing("iinf"))?)?;
        container.read_locations(&locations.ok_or_else(|| missing("iloc"))?)?;
        container.read_properties(&properties.ok_or_else(|| missing("iprp"))?)?;
        if let Some(references) = references {
            let (version, _) = fields(&references, "iref").version()?;
            container.has_long_references = version > 0;
            container.references = references.body.start + 4..references.body.end;
        }
        Ok(container)
    }

    fn fields(&self, part: &Part, kind: &'static str) -> Fields<'a> {
        Fields { bytes: self.file.get(part.body.clone()).unwrap_or_default(), kind }
    }

    /// The position of `fields` in the file, if they are the rest of `part`.
    fn position(part: &Part, fields: &Fields<'_>) -> usize {
        part.body.end - fields.bytes.len()
    }

    /// `iinf`: numbers and kinds of the items.
    fn read_infos(&mut self, part: &Part) -> Result<(), CodecError> {
        let mut fields = self.fields(part, "iinf");
        let (version, _) = fields.version()?;
        let count = index(fields.short_or_long(version > 0)?);
        if count > MAX_ITEMS {
            return Err(unsupported(format!("the file has {count} items; accepted are at most {MAX_ITEMS}")));
        }
        self.items.reserve_exact(count);
        for part in boxes(self.file, Self::position(part, &fields)..part.body.end).take(count) {
            let part = part?;
            let mut fields = self.fields(&part, "infe");
            let (version, _) = fields.version()?;
            if part.kind != *b"infe" || version < 2 {
                continue;
            }
            let id = fields.short_or_long(version > 2)?;
            let is_protected = fields.short()? != 0;
            let kind = fields.long()?.to_be_bytes();
            let (location, properties, has_long_numbers) = (None, 0..0, false);
            self.items.push(Item { id, kind, is_protected, location, properties, has_long_numbers });
        }
        self.items.sort_by_key(|item| item.id);
        if self.items.is_sorted_by(|a, b| a.id < b.id) { Ok(()) } else { Err(corrupt("two items have one number")) }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.items.binary_search_by_key(&id, |item| item.id).ok()
    }

    /// `iloc`: where the bytes of the items lie.
    fn read_locations(&mut self, part: &Part) -> Result<(), CodecError> {
        let mut fields = self.fields(part, "iloc");
        let (version, _) = fields.version()?;
        let [offset, length, base_width, index_width] =
            [12, 8, 4, 0].map(|shift| move |sizes: u16| usize::from(sizes >> shift & 15));
        let sizes = fields.short()?;
        let index_width = if version == 0 { 0 } else { index_width(sizes) };
        let (base_width, widths) = (base_width(sizes), [index_width, offset(sizes), length(sizes)]);
        if version > 2 || base_width > 8 || widths.iter().any(|width| *width > 8) {
            return Err(corrupt("the box \"iloc\" is of a version or has lengths that do not exist"));
        }
        let count = fields.short_or_long(version == 2)?;
        for _ in 0..count {
            let id = fields.short_or_long(version == 2)?;
            let method = if version == 0 { 0 } else { u64::from(fields.short()? & 15) };
            let is_external = fields.short()? != 0;
            let base = fields.number(base_width)?;
            let extents = usize::from(fields.short()?);
            let start = Self::position(part, &fields);
            fields.take(extents * widths.iter().sum::<usize>())?;
            let extents = start..Self::position(part, &fields);
            let location = Location { method, is_external, base, extents, widths };
            if !is_external {
                for extent in self.extents(&location) {
                    extent?;
                }
            }
            if let Some(item) = self.find(id).and_then(|place| self.items.get_mut(place)) {
                item.location = Some(location);
            }
        }
        Ok(())
    }

    /// The parts of the file that an item consists of.
    fn extents(&self, location: &Location) -> impl Iterator<Item = Result<Range<usize>, CodecError>> {
        let mut fields = Fields { bytes: self.file.get(location.extents.clone()).unwrap_or_default(), kind: "iloc" };
        let (base, method, file_bytes) = (location.base, location.method, self.file.len());
        let [index_width, offset_width, length_width] = location.widths;
        let idat = self.item_data.clone();
        std::iter::from_fn(move || {
            if fields.bytes.is_empty() || method > 1 {
                return None;
            }
            let mut extent = || {
                fields.take(index_width)?;
                let offset = fields.number(offset_width)?.checked_add(base);
                let length = fields.number(length_width)?;
                if length == 0 {
                    return Err(unsupported("an item has a part without a length"));
                }
                let end = offset.and_then(|offset| offset.checked_add(length)).unwrap_or(u64::MAX);
                let [start, end] =
                    [offset.unwrap_or(u64::MAX), end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
                if method == 0 && end > file_bytes {
                    return Err(CodecError::Truncated(format!(
                        "the file has {file_bytes} bytes, and a part of its picture ends at {end}"
                    )));
                }
                if method == 0 {
                    return Ok(start..end);
                }
                let range = idat.start.saturating_add(start)..idat.start.saturating_add(end);
                if range.end > idat.end { Err(corrupt("an item ends outside of the box \"idat\"")) } else { Ok(range) }
            };
            Some(extent())
        })
    }

    /// `iprp`: the properties, and which item has which.
    fn read_properties(&mut self, part: &Part) -> Result<(), CodecError> {
        let file = self.file;
        for part in boxes(file, part.body.clone()) {
            let part = part?;
            if part.kind == *b"ipco" {
                self.properties.reserve_exact(boxes(file, part.body.clone()).take(MAX_PROPERTIES).count());
                for property in boxes(file, part.body.clone()) {
                    if self.properties.len() == MAX_PROPERTIES {
                        return Err(unsupported(format!("the file has more than {MAX_PROPERTIES} properties")));
                    }
                    self.properties.push(property?);
                }
            } else if part.kind == *b"ipma" {
                let mut fields = self.fields(&part, "ipma");
                let (version, flags) = fields.version()?;
                let has_long_numbers = flags & 1 == 1;
                for _ in 0..fields.long()? {
                    let id = fields.short_or_long(version > 0)?;
                    let [count] = *fields.take(1)? else { continue };
                    let start = Self::position(&part, &fields);
                    fields.take(usize::from(count) * if has_long_numbers { 2 } else { 1 })?;
                    let numbers = start..Self::position(&part, &fields);
                    if let Some(item) = self.find(id).and_then(|place| self.items.get_mut(place)) {
                        (item.properties, item.has_long_numbers) = (numbers, has_long_numbers);
                    }
                }
            }
        }
        Ok(())
    }

    /// The properties of an item, and whether a reader must know them.
    fn properties(&self, item: &Item) -> impl Iterator<Item = Result<(bool, &Part), CodecError>> {
        let numbers = self.file.get(item.properties.clone()).unwrap_or_default();
        let (width, first_bit) = if item.has_long_numbers { (2, 0x8000) } else { (1, 0x80) };
        numbers.chunks_exact(width).filter_map(move |number| {
            let number = number.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
            // Zero is no property.
            let place = (number & !first_bit).checked_sub(1)?;
            let property = self.properties.get(place);
            Some(property.map(|property| (number & first_bit != 0, property)).ok_or_else(|| {
                corrupt(format!("an item has the property {}, and there are {}", place + 1, self.properties.len()))
            }))
        })
    }

    /// The items to which the item `from` refers in this way.
    fn references(&self, kind: [u8; 4]) -> impl Iterator<Item = Result<(u32, Vec<u32>), CodecError>> {
        let is_long = self.has_long_references;
        let parts = boxes(self.file, self.references.clone());
        parts.filter(move |part| !matches!(part, Ok(part) if part.kind != kind)).map(move |part| {
            let mut fields = self.fields(&part?, "iref");
            let from = fields.short_or_long(is_long)?;
            let count = usize::from(fields.short()?);
            if count > MAX_ITEMS {
                return Err(unsupported(format!("a picture has {count} parts; accepted are at most {MAX_ITEMS}")));
            }
            Ok((from, (0..count).map(|_| fields.short_or_long(is_long)).collect::<Result<_, _>>()?))
        })
    }

    /// The item's bytes.
    fn parts_of(&self, item: &Item) -> Result<impl Iterator<Item = Result<Range<usize>, CodecError>>, CodecError> {
        let location = item
            .location
            .as_ref()
            .ok_or_else(|| corrupt(format!("the file does not say where item {} is", item.id)))?;
        if location.is_external || location.method > 1 {
            return Err(unsupported(format!("item {} lies in another file or another item", item.id)));
        }
        Ok(self.extents(location))
    }

    /// The bytes of a coded picture.
    pub(super) fn data(&self, tile: Tile) -> Result<Cow<'a, [u8]>, CodecError> {
        let item = self.items.get(tile.0).ok_or_else(|| corrupt("there is no such item"))?;
        let mut parts = self.parts_of(item)?;
        let slice = |part: Range<usize>| self.file.get(part).unwrap_or_default();
        let first = slice(parts.next().ok_or_else(|| corrupt(format!("item {} has no bytes", item.id)))??);
        let mut data = Cow::Borrowed(first);
        for part in parts {
            let part = slice(part?);
            // Parts that overlap could be any number of times as long as the file.
            if data.len() + part.len() > self.file.len() {
                return Err(corrupt(format!("item {} is longer than the file", item.id)));
            }
            data.to_mut().extend_from_slice(part);
        }
        Ok(data)
    }

    /// The first part of a coded picture, and whether it is all of it.
    pub(super) fn start_of_data(&self, tile: Tile) -> Result<(&'a [u8], bool), CodecError> {
        let item = self.items.get(tile.0).ok_or_else(|| corrupt("there is no such item"))?;
        let mut parts = self.parts_of(item)?;
        let first = parts.next().ok_or_else(|| corrupt(format!("item {} has no bytes", item.id)))??;
        Ok((self.file.get(first).unwrap_or_default(), parts.next().is_none()))
    }

    /// The first picture.
    pub(super) fn picture(&self) -> Result<Picture, CodecError> {
        let place = self.find(self.primary).ok_or_else(|| corrupt("the primary item is not in the file"))?;
        let (color, facts) = self.layer(place)?;
        let mut alpha = None;
        for reference in self.references(*b"auxl") {
            let (from, targets) = reference?;
            let Some(from) = self.find(from) else { continue };
            if !self.is_alpha(from)? {
                continue;
            }
            if targets.contains(&self.primary) && alpha.is_none() {
                alpha = Some(from);
            } else if targets.iter().any(|id| self.find(*id).is_some_and(|place| color.tiles.contains(&Tile(place)))) {
                return Err(unsupported("each tile has an alpha channel of its own; accepted is one for the picture"));
            }
        }
        let alpha = alpha.map(|place| self.layer(place)).transpose()?.map(|(layer, _)| layer);
        if let Some(alpha) = alpha.as_ref().filter(|alpha| alpha.size != color.size) {
            return Err(corrupt(format!(
                "the picture has {} pixels, and its alpha channel {}",
                color.size, alpha.size
            )));
        }
        let mut is_premultiplied = false;
        for reference in self.references(*b"prem") {
            is_premultiplied |= reference?.0 == self.primary;
        }
        // A grid may leave its colours to its tiles.
        let of_tile = match color.tiles.first() {
            Some(Tile(first)) if *first != place => self.facts(*first)?,
            _ => Facts::default(),
        };
        let window = facts.window(color.size)?;
        Ok(Picture {
            is_premultiplied: is_premultiplied && alpha.is_some(),
            window,
            orientation: facts.orientation(),
            coding: facts.coding.or(of_tile.coding),
            profile: facts.profile.or(of_tile.profile),
            color,
            alpha,
        })
    }

    fn is_alpha(&self, place: usize) -> Result<bool, CodecError> {
        let Some(item) = self.items.get(place) else { return Ok(false) };
        for property in self.properties(item) {
            let (_, property) = property?;
            if property.kind == *b"auxC" {
                let mut fields = self.fields(property, "auxC");
                fields.version()?;
                return Ok(ALPHA_TYPES.iter().any(|kind| fields.bytes.starts_with(kind)));
            }
        }
        Ok(false)
    }

    /// The coded pictures that an item consists of, and its properties.
    fn layer(&self, place: usize) -> Result<(Layer, Facts), CodecError> {
        let facts = self.facts(place)?;
        let size = facts.size()?;
        let item = self.items.get(place).ok_or_else(|| corrupt("there is no such item"))?;
        match &item.kind {
            b"av01" => Ok((Layer { size, tile: size, columns: 1, tiles: vec![Tile(place)] }, facts)),
            b"grid" => Ok((self.grid(place, item.id, size)?, facts)),
            kind => Err(unsupported(format!(
                "the picture is coded as \"{}\"; accepted is AV1, in one piece or as a grid",
                kind.escape_ascii()
            ))),
        }
    }

    /// ISO/IEC 23008-12, 6.6.2.3.
    fn grid(&self, place: usize, id: u32, size: Size) -> Result<Layer, CodecError> {
        let data = self.data(Tile(place))?;
        let mut fields = Fields { bytes: &data, kind: "grid" };
        let [_version, flags, rows, columns] = *fields.take(4)? else { return Err(corrupt("a grid is too short")) };
        let (rows, columns) = (u32::from(rows) + 1, u32::from(columns) + 1);
        let is_long = flags & 1 == 1;
        let (width, height) = (fields.short_or_long(is_long)?, fields.short_or_long(is_long)?);
        if Size::new(width, height) != Some(size) {
            return Err(corrupt(format!("a grid has {width}x{height} pixels, and its item {size}")));
        }
        let mut tiles = Vec::new();
        for reference in self.references(*b"dimg") {
            let (from, targets) = reference?;
            if from == id && tiles.is_empty() {
                tiles = targets;
            }
        }
        if u32::try_from(tiles.len()) != Ok(rows * columns) {
            return Err(corrupt(format!("a grid of {columns}x{rows} tiles has {}", tiles.len())));
        }
        let mut layer = Layer { size, tile: size, columns, tiles: Vec::with_capacity(tiles.len()) };
        for id in tiles {
            let place = self.find(id).ok_or_else(|| corrupt(format!("the tile {id} is not in the file")))?;
            let tile = self.facts(place)?.size()?;
            if self.items.get(place).is_none_or(|item| item.kind != *b"av01") {
                return Err(unsupported("a tile of a grid is not AV1"));
            }
            if !layer.tiles.is_empty() && layer.tile != tile {
                return Err(corrupt(format!("the tiles of a grid have {} and {tile} pixels", layer.tile)));
            }
            layer.tile = tile;
            layer.tiles.push(Tile(place));
        }
        let covers = |length: u32, tile: u32, count: u32| {
            let (length, tile, count) = (u64::from(length), u64::from(tile), u64::from(count));
            length <= tile * count && length > tile * (count - 1)
        };
        let tile = layer.tile;
        if covers(width, tile.width(), columns) && covers(height, tile.height(), rows) {
            Ok(layer)
        } else {
            Err(corrupt(format!("{columns}x{rows} tiles of {tile} pixels do not make {size}")))
        }
    }

    /// The properties of an item. One that is not known, and must be, is an error.
    fn facts(&self, place: usize) -> Result<Facts, CodecError> {
        let item = self.items.get(place).ok_or_else(|| corrupt("there is no such item"))?;
        if item.is_protected {
            return Err(unsupported("the picture is encrypted"));
        }
        let mut facts = Facts::default();
        for property in self.properties(item) {
            let (is_essential, property) = property?;
            facts.add(self.fields(property, "ipco"), property, is_essential)?;
        }
        Ok(facts)
    }
}

/// The properties of an item that matter to its pixels.
#[derive(Debug, Default)]
struct Facts {
    size: Option<Size>,
    coding: Option<ColorCoding>,
    profile: Option<Range<usize>>,
    /// Quarter turns to the left, before the mirroring.
    turns: u8,
    /// The direction in which the picture is mirrored after it is turned.
    mirroring: Option<Mirroring>,
    /// Width, height, and the offsets of the centre, a numerator and a denominator each.
    crop: Option<[u32; 8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mirroring {
    TopToBottom,
    LeftToRight,
}

impl Facts {
    fn add(&mut self, mut fields: Fields<'_>, part: &Part, is_essential: bool) -> Result<(), CodecError> {
        match &part.kind {
            b"ispe" => {
                fields.version()?;
                let (width, height) = (fields.long()?, fields.long()?);
                self.size = Some(super::super::raster::size(width, height)?);
            }
            b"colr" => match fields.take(4)? {
                b"nclx" => {
                    let (primaries, transfer, matrix) = (fields.short()?, fields.short()?, fields.short()?);
                    let is_full_range = fields.take(1)?.iter().any(|flags| flags & 0x80 != 0);
                    self.coding.get_or_insert(ColorCoding { primaries, transfer, matrix, is_full_range });
                }
                b"prof" | b"rICC" => {
                    self.profile.get_or_insert(part.body.start + 4..part.body.end);
                }
                _ => {}
            },
            b"irot" => {
                let turns = fields.take(1)?.iter().fold(0, |_, byte| byte & 3);
                // A turn after a mirroring is the opposite turn before it.
                self.turns += if self.mirroring.is_some() { 4 - turns } else { turns };
                self.turns %= 4;
            }
            b"imir" if self.mirroring.is_none() => {
                let is_left_to_right = fields.take(1)?.iter().any(|byte| byte & 1 == 1);
                self.mirroring = Some(if is_left_to_right { Mirroring::LeftToRight } else { Mirroring::TopToBottom });
            }
            b"clap" if self.crop.is_none() && self.turns == 0 && self.mirroring.is_none() => {
                let mut crop = [0; 8];
                for number in &mut crop {
                    *number = fields.long()?;
                }
                self.crop = Some(crop);
            }
            b"imir" | b"clap" => {
                return Err(unsupported(
                    "the picture is cropped or mirrored twice, or cropped after it is turned; accepted is one crop, \
                     then turns, then one mirroring",
                ));
            }
            b"lsel" if fields.clone().short()? != 0xffff => {
                return Err(unsupported("the picture is one layer of several (\"lsel\"); accepted are all of them"));
            }
            b"a1op" if fields.clone().take(1)? != [0] => {
                return Err(unsupported(
                    "the picture is an operating point of several (\"a1op\"); accepted is the first",
                ));
            }
            b"lsel" | b"a1op" | b"av1C" | b"a1lx" | b"pixi" | b"pasp" | b"auxC" | b"clli" | b"mdcv" | b"cclv"
            | b"amve" => {}
            kind if is_essential => {
                let kind = kind.escape_ascii();
                return Err(unsupported(format!(
                    "the picture has the essential property \"{kind}\", which is not known"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn size(&self) -> Result<Size, CodecError> {
        self.size.ok_or_else(|| corrupt("the picture has no size (the property \"ispe\")"))
    }

    fn orientation(&self) -> Orientation {
        // EXIF's numbers name the mirroring that a viewer makes first, and the turn that follows.
        Orientation::from_exif(match (self.turns, self.mirroring) {
            (0, None) => 1,
            (1, None) => 8,
            (2, None) => 3,
            (_, None) => 6,
            (0, Some(Mirroring::LeftToRight)) | (2, Some(Mirroring::TopToBottom)) => 2,
            (0, Some(Mirroring::TopToBottom)) | (2, Some(Mirroring::LeftToRight)) => 4,
            (1, Some(Mirroring::LeftToRight)) | (3, Some(Mirroring::TopToBottom)) => 7,
            (_, Some(_)) => 5,
        })
    }

    /// The part of a picture of this size that is shown (ISO/IEC 14496-12, 12.1.4).
    fn window(&self, size: Size) -> Result<Window, CodecError> {
        let Some([w, w_by, h, h_by, x, x_by, y, y_by]) = self.crop else {
            return Ok(Window { left: 0, top: 0, size });
        };
        // The start of `length / by` pixels whose centre is `offset / offset_by` pixels from the centre of `whole`.
        let part = |whole: u32, length: u32, by: u32, offset: u32, offset_by: u32| {
            let (by, offset_by, offset) = (i64::from(by), i64::from(offset_by), i64::from(offset.cast_signed()));
            let (length, whole) = (i64::from(length), i64::from(whole));
            if by == 0 || offset_by == 0 {
                return Err(corrupt("the crop (\"clap\") has a denominator of zero"));
            }
            let twice_start = (whole - length / by) * offset_by + 2 * offset;
            if length % by != 0 || twice_start % (2 * offset_by) != 0 {
                return Err(unsupported("the crop (\"clap\") lies between two pixels"));
            }
            let (start, length) = (twice_start / (2 * offset_by), length / by);
            if start < 0 || length < 1 || start + length > whole {
                return Err(corrupt("the crop (\"clap\") lies outside of the picture"));
            }
            let number = |number| u32::try_from(number).map_err(|_| corrupt("the crop (\"clap\") is too large"));
            Ok((number(start)?, number(length)?))
        };
        let (left, width) = part(size.width(), w, w_by, x, x_by)?;
        let (top, height) = part(size.height(), h, h_by, y, y_by)?;
        Ok(Window { left, top, size: super::super::raster::size(width, height)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Property<'a> = (&'a [u8; 4], &'a [u8]);

    fn facts(properties: &[Property<'_>]) -> Result<Facts, CodecError> {
        let mut facts = Facts::default();
        for (kind, body) in properties {
            let part = Part { kind: **kind, body: 0..body.len() };
            facts.add(Fields { bytes: body, kind: "ipco" }, &part, true)?;
        }
        Ok(facts)
    }

    /// Expected: `avifImageIrotImirToExifOrientation` of libavif 1.4, by which Pillow turns.
    #[test]
    fn turns_and_mirroring_are_an_orientation() {
        let turn = |quarters: &'static [u8]| (b"irot", quarters);
        let mirror = |axis: &'static [u8]| (b"imir", axis);
        let cases: &[(&[Property<'_>], u16)] = &[
            (&[], 1),
            (&[turn(&[1])], 8),
            (&[turn(&[2])], 3),
            (&[turn(&[3])], 6),
            (&[mirror(&[0])], 4),
            (&[mirror(&[1])], 2),
            (&[turn(&[1]), mirror(&[0])], 5),
            (&[turn(&[1]), mirror(&[1])], 7),
            (&[turn(&[2]), mirror(&[0])], 2),
            (&[turn(&[2]), mirror(&[1])], 4),
            (&[turn(&[3]), mirror(&[0])], 7),
            (&[turn(&[3]), mirror(&[1])], 5),
            // Mirrored first: the opposite turn, and then the mirroring.
            (&[mirror(&[1]), turn(&[1])], 5),
        ];
        for (properties, exif) in cases {
            let actual = facts(properties).expect("known properties").orientation();
            assert_eq!(actual, Orientation::from_exif(*exif), "{properties:?}");
        }
    }

    #[test]
    fn a_crop_is_found_from_its_centre() {
        let size = Size::new(500, 380).expect("not zero");
        let window = |numbers: [i32; 8]| {
            let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
            facts(&[(b"clap", &body)]).and_then(|facts| facts.window(size))
        };
        // The centre of 400x300 at (40, 20) is (240, 170), that of the picture (250, 190).
        let expected = Window { left: 40, top: 20, size: Size::new(400, 300).expect("not zero") };
        assert_eq!(window([400, 1, 300, 1, -10, 1, -20, 1]), Ok(expected));
        assert_eq!(window([800, 2, 300, 1, -20, 2, -20, 1]), Ok(expected));
        let refused = [
            ("half a pixel", [400, 1, 300, 1, -21, 2, -20, 1], true),
            ("a side of half a pixel", [801, 2, 300, 1, 0, 1, 0, 1], true),
            ("outside", [400, 1, 300, 1, -60, 1, 0, 1], false),
            ("larger", [501, 1, 300, 1, 0, 2, 0, 1], true),
            ("nothing", [0, 1, 300, 1, 0, 1, 0, 1], false),
            ("no denominator", [400, 0, 300, 1, 0, 1, 0, 1], false),
        ];
        for (label, numbers, is_unsupported) in refused {
            let error = window(numbers).expect_err(label);
            assert_eq!(matches!(error, CodecError::Unsupported(_)), is_unsupported, "{label}: {error}");
        }
    }
}
