//! Baseline JPEG at half, a quarter or an eighth of its size, with the very pixels of libjpeg-turbo in less time.
//!
//! It decodes what cameras and libraries write: Huffman codes, 8 bits, one scan, grey or YCbCr of 4:4:4, 4:2:2 or
//! 4:2:0, with or without restarts. Everything else is not its own, and neither is a file with any oddity or damage:
//! then there is no result, and libjpeg-turbo decodes the file or says what is wrong with it. Every bit of the file is
//! read, those outside the crop too. docs/decisions/011-reduced-jpeg.md has the reasons and the measurements.

mod bits;
mod code;
#[cfg(any(test, fuzzing))]
pub(super) mod judge;
mod lanes;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod transform;

use std::ops::Range;
use std::sync::Arc;

use self::bits::{Bits, Chunk, Source};
use self::code::{AC_BITS, Ac, DC_BITS, Dc, Definition, END, SKIP_BITS, STEP, Symbol};
use self::tables::{Component, Tables};
use self::transform::{Group, LANES, MAX_COEFFICIENT, MAX_DC, NATURAL, SLOTS};
use crate::geometry::{DctScale, Part, Size};

/// Units (MCUs) whose blocks are transformed together.
const UNITS: usize = LANES;
/// More than the bytes of so many units: 6 blocks of 64 coefficients of 26 bits and a DC difference each.
const UNITS_BYTES: usize = UNITS * 6 * 64 * 27 / 8;
/// Probes between two refills of 56 bits, with a DC difference before them.
const PROBES: u32 = (56 - DC_BITS) / if AC_BITS > SKIP_BITS { AC_BITS } else { SKIP_BITS };
/// Codes whose tables are kept: most cameras write the same in every file.
const KEPT_TABLES: usize = 8;
/// Bytes of rows that are kept; more are freed after the file that needed them.
const KEPT_ROWS_BYTES: usize = 1 << 20;

/// The part of a file that is wanted.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) scale: DctScale,
    /// Width and height at that scale.
    pub(super) size: Size,
    /// The columns and rows at that scale that are wanted. All others may hold anything.
    pub(super) part: &'a Part,
}

/// Tables of codes by their definitions, the oldest first.
#[derive(Debug)]
struct Kept<K, T>(Vec<(K, Arc<T>)>);

impl<K: PartialEq, T> Kept<K, T> {
    fn get(&mut self, key: K, new: impl FnOnce(&K) -> Option<T>) -> Option<Arc<T>> {
        if let Some((_, table)) = self.0.iter().find(|(known, _)| *known == key) {
            return Some(Arc::clone(table));
        }
        let table = Arc::new(new(&key)?);
        if self.0.len() == KEPT_TABLES {
            self.0.remove(0);
        }
        self.0.push((key, Arc::clone(&table)));
        Some(table)
    }
}

/// The decoder of one thread: buffers and tables that are kept from file to file.
#[derive(Debug)]
pub(super) struct Decoder {
    dc: Kept<Definition, Dc>,
    ac: Kept<(Definition, u8), Ac>,
    chunk: Box<Chunk>,
    groups: Vec<Group>,
    /// A row of units of each component.
    planes: [Vec<u8>; 3],
    /// A row of each colour difference in the width of the picture.
    wide: [Vec<u8>; 2],
}

/// A component with its tables, and how it is decoded.
#[derive(Debug)]
struct Channel {
    dc: Arc<Dc>,
    ac: Arc<Ac>,
    quantiser: [i16; 64],
    /// The largest DC that is within [`MAX_DC`].
    max_dc: u32,
    across: usize,
    down: usize,
    /// Samples of a block's side.
    side: usize,
    /// Its first group.
    group: usize,
    /// Bytes of a row of its plane.
    stride: usize,
    /// Samples of a row that belong to the picture.
    width: usize,
}

/// One block of a unit.
#[derive(Debug)]
struct Block<'a> {
    channel: &'a Channel,
    component: usize,
    /// Its column and row in the unit.
    x: usize,
    y: usize,
}

impl Decoder {
    /// An upper bound of what is kept from file to file: 24 KiB for each code of DC, 32 KiB for each of AC.
    pub(super) const KEPT_BYTES: usize = KEPT_ROWS_BYTES + KEPT_TABLES * (24 + 32 + 2) * 1024 + (128 << 10);

    pub(super) fn new() -> Self {
        Self {
            dc: Kept(Vec::new()),
            ac: Kept(Vec::new()),
            chunk: bits::empty_chunk(),
            groups: Vec::new(),
            planes: Default::default(),
            wide: Default::default(),
        }
    }

    /// Decodes the wanted part of a file into `pixels`, RGB of the size that the job says. `None` if the file is one
    /// for libjpeg-turbo; then `pixels` may hold anything.
    pub(super) fn decode(&mut self, file: &[u8], job: &Job<'_>, pixels: &mut [u8]) -> Option<()> {
        if job.scale == DctScale::Full {
            return None;
        }
        let tables = Tables::read(file)?;
        let decoded = Size::new(u32::try_from(tables.width).ok()?, u32::try_from(tables.height).ok()?)?;
        if job.scale.scaled(decoded) != job.size {
            return None;
        }
        let channels = self.channels(&tables, 8 / job.scale.divisor() as usize)?;
        let done = decode_scan(Scan { decoder: self, file, tables: &tables, channels: &channels, job, pixels });
        if self.planes.iter().chain(&self.wide).map(Vec::capacity).sum::<usize>() > KEPT_ROWS_BYTES {
            (self.planes, self.wide) = Default::default();
        }
        done
    }

    fn channels(&mut self, tables: &Tables, side: usize) -> Option<Vec<Channel>> {
        let mut group = 0;
        let (widest, tallest) = tables.components.first().map(|luma| (luma.across, luma.down))?;
        let units = tables.width.div_ceil(8 * widest);
        let mut channels = Vec::with_capacity(tables.components.len());
        for component in &tables.components {
            let Component { across, down, quantiser, dc, ac } = component;
            let (across, down) = (*across, *down);
            // libjpeg (`jdmaster.c`) gives a component that has half of the samples twice the side, up to 8.
            let side = if widest == 2 * across && tallest == 2 * down { 2 * side } else { side };
            let largest = quantiser.iter().copied().max().map_or(1, |q| i32::from(q).max(1));
            let max_size = (MAX_COEFFICIENT / largest + 1).ilog2() as u8;
            channels.push(Channel {
                dc: self.dc.get(dc.clone(), Dc::try_new)?,
                ac: self.ac.get((ac.clone(), max_size), |(code, max_size)| Ac::try_new(code, *max_size))?,
                quantiser: *quantiser,
                max_dc: (MAX_DC / i32::from(quantiser[0]).max(1)).cast_unsigned(),
                across,
                down,
                side,
                group,
                stride: units.next_multiple_of(UNITS) * across * side,
                width: (tables.width * across * side).div_ceil(8 * widest),
            });
            group += across * down;
        }
        for (plane, channel) in self.planes.iter_mut().zip(&channels) {
            plane.resize(channel.stride * channel.down * channel.side, 0);
        }
        self.groups.clear();
        self.groups.resize(group, Group { coefficients: [[0; LANES]; SLOTS], end: 0 });
        Some(channels)
    }
}

/// What [`scan`] works on.
struct Scan<'a> {
    decoder: &'a mut Decoder,
    file: &'a [u8],
    tables: &'a Tables,
    channels: &'a [Channel],
    job: &'a Job<'a>,
    pixels: &'a mut [u8],
}

/// [`scan`], compiled for the instructions that this CPU has.
fn decode_scan(work: Scan<'_>) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe")]
        fn scan_avx2(work: Scan<'_>) -> Option<()> {
            scan(work, |group, channel, plane| transform::transform(group, channel, plane))
        }
        #[target_feature(enable = "sse2")]
        fn scan_sse2(work: Scan<'_>) -> Option<()> {
            scan(work, |group, channel, plane| transform::transform(group, channel, plane))
        }
        let has_avx2 = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt")
            && std::arch::is_x86_feature_detected!("movbe");
        #[expect(unsafe_code, reason = "the same function, compiled for what this CPU has")]
        // SAFETY: all features of the first were just detected, and every x86_64 has SSE2.
        unsafe {
            if has_avx2 { scan_avx2(work) } else { scan_sse2(work) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    scan(work, transform::transform)
}

/// Decodes the scan: entropy-coded data → coefficients → samples → pixels, eight units at a time.
#[inline(always)]
fn scan(work: Scan<'_>, transform: impl Fn(&Group, &Channel, &mut [u8]) -> Option<()>) -> Option<()> {
    let Scan { decoder, file, tables, channels, job, pixels } = work;
    let Decoder { chunk, groups, planes, wide, .. } = decoder;
    let luma = channels.first()?;
    let (units_across, units_down) = (tables.width.div_ceil(8 * luma.across), tables.height.div_ceil(8 * luma.down));
    let (unit_width, unit_height) = (luma.across * luma.side, luma.down * luma.side);
    let columns = job.part.columns.start as usize..job.part.columns.end.min(job.size.width()) as usize;
    let rows = job.part.rows.start as usize..job.part.rows.end.min(job.size.height()) as usize;
    // One more on either side: 4:2:2 is smoothed across the edges of units.
    let wanted_columns = (columns.start / unit_width).saturating_sub(1)..columns.end.div_ceil(unit_width) + 1;
    let wanted_rows = rows.start / unit_height..rows.end.div_ceil(unit_height);
    let blocks: Vec<Block<'_>> = channels
        .iter()
        .enumerate()
        .flat_map(|(component, channel)| {
            (0..channel.down).flat_map(move |y| (0..channel.across).map(move |x| Block { channel, component, x, y }))
        })
        .collect();
    let mut source = Source::new(file, tables.data, chunk);
    let mut bits = Bits::default();
    let mut predictions = [0_i32; 4];
    let (mut units_left, mut next_restart) = (tables.restart_interval, 0_u8);
    for row in 0..units_down {
        let is_row_wanted = wanted_rows.contains(&row);
        for first in (0..units_across).step_by(UNITS) {
            let end = (first + UNITS).min(units_across);
            let is_wanted = is_row_wanted && end > wanted_columns.start && first < wanted_columns.end;
            let mut unit = first;
            while unit < end {
                if tables.restart_interval > 0 && units_left == 0 {
                    bits = source.restart(bits, 0xd0 + next_restart)?;
                    next_restart = (next_restart + 1) % 8;
                    units_left = tables.restart_interval;
                    predictions = [0; 4];
                }
                let until = if tables.restart_interval > 0 { end.min(unit + units_left) } else { end };
                units_left = units_left.saturating_sub(until - unit);
                source.ensure(&mut bits, UNITS_BYTES)?;
                let data = source.data();
                for unit in unit..until {
                    for Block { channel, component, x, y } in &blocks {
                        let (next, difference) = dc_difference(bits, data, &channel.dc);
                        let dc = &mut predictions[component & 3];
                        *dc = dc.wrapping_add(difference);
                        if dc.unsigned_abs() > channel.max_dc {
                            return None;
                        }
                        if channel.side == 1 {
                            let at = y * channel.stride + unit * channel.across + x;
                            let dequantised = *dc * i32::from(channel.quantiser[0]);
                            *planes.get_mut(*component)?.get_mut(at)? = transform::mean(dequantised);
                        }
                        if is_wanted && channel.side > 1 {
                            let block = (unit - first) * channel.across + x;
                            let at = channel.group + y * channel.across + block / LANES;
                            let group = groups.get_mut(at)?;
                            group.coefficients[0][block % LANES] = *dc as i16;
                            bits = values(next, data, channel, group, block % LANES);
                        } else {
                            bits = skip(next, data, &channel.ac, 1);
                        }
                    }
                }
                if bits.is_lost() {
                    return None;
                }
                unit = until;
            }
            if is_wanted {
                for (channel, plane) in channels.iter().zip(planes.iter_mut()).filter(|(channel, _)| channel.side > 1) {
                    transform_groups(channel, groups, plane, first, &transform)?;
                }
            }
        }
        if is_row_wanted {
            let top = row * unit_height;
            for y in top.max(rows.start)..(top + unit_height).min(rows.end) {
                let width = job.size.width() as usize;
                let pixels = pixels.get_mut((y * width + columns.start) * 3..(y * width + columns.end) * 3)?;
                write_row(channels, planes, wide, y - top, &columns, pixels)?;
            }
        }
    }
    source.is_at_end(bits).then_some(())
}

/// A DC difference. [`PROBES`] probes may follow.
#[inline(always)]
fn dc_difference(mut bits: Bits, data: &Chunk, dc: &Dc) -> (Bits, i32) {
    bits.refill(data);
    let (length, difference) = dc.probe(bits.peek(DC_BITS));
    if length > 0 {
        bits.skip(length);
        return (bits, difference);
    }
    let Some((length, difference)) = dc.find(bits.peek(32)) else { return (Bits::LOST, 0) };
    bits.skip(length);
    bits.refill(data);
    (bits, difference)
}

/// Any AC symbol.
#[inline(always)]
fn symbol(mut bits: Bits, data: &Chunk, find: impl FnOnce(u32) -> Option<Symbol>) -> (Bits, Symbol) {
    bits.refill(data);
    let Some(symbol) = find(bits.peek(32)) else {
        return (Bits::LOST, Symbol { length: 0, advance: END, value: 0 });
    };
    bits.skip(symbol.length);
    bits.refill(data);
    (bits, symbol)
}

/// Reads the rest of a block, from the coefficient `index` on, without its values.
#[inline(always)]
fn skip(mut bits: Bits, data: &Chunk, ac: &Ac, mut index: u32) -> Bits {
    loop {
        for _ in 0..PROBES {
            let (length, advance) = ac.skips(bits.peek(SKIP_BITS));
            if length == 0 {
                let (next, symbol) = symbol(bits, data, |bits| ac.find(bits));
                index += symbol.advance;
                if index >= 64 {
                    return if index == 64 || symbol.advance == END { next } else { Bits::LOST };
                }
                bits = next;
                break;
            }
            let before = bits;
            bits.skip(length);
            index += advance;
            if index >= 64 {
                if index.wrapping_sub(END) < 64 {
                    return bits;
                }
                return one_by_one(before, data, ac, index - advance, |_, _| Some(()));
            }
        }
        bits.refill(data);
    }
}

/// Reads the AC coefficients of a block into a lane of its group.
#[inline(always)]
fn values(mut bits: Bits, data: &Chunk, channel: &Channel, group: &mut Group, lane: usize) -> Bits {
    const LAST: u32 = 63 * STEP;
    let ac = &*channel.ac;
    let Group { coefficients, end } = group;
    let slot = |index: u32| (index / STEP) as usize & (SLOTS - 1);
    // In steps.
    let mut index = STEP;
    loop {
        for _ in 0..PROBES {
            let probe = ac.probe(bits.peek(AC_BITS));
            let before = bits;
            bits.skip(probe.length());
            let ((first, a), (second, b)) = (probe.first(index), probe.second(index));
            coefficients[slot(first)][lane] = a;
            coefficients[slot(second)][lane] = b;
            index += probe.advance();
            if index > LAST {
                index -= probe.advance();
                if probe.is_empty() {
                    let (next, symbol) = symbol(before, data, |bits| ac.find_after(probe, bits));
                    if symbol.advance == END {
                        *end = (*end).max(index / STEP);
                        return next;
                    }
                    index += symbol.advance * STEP;
                    let last = index / STEP - 1;
                    let Some(value) = within_limit(channel, last, symbol.value) else { return Bits::LOST };
                    coefficients[slot(index - STEP)][lane] = value;
                    if index > LAST {
                        *end = 64;
                        return next;
                    }
                    bits = next;
                    break;
                }
                let told = (index + probe.advance()).wrapping_sub(END * STEP);
                if told <= LAST {
                    *end = (*end).max(told / STEP);
                    return bits;
                }
                *end = 64;
                return one_by_one(before, data, ac, index / STEP, |index, value| {
                    coefficients[index as usize & (SLOTS - 1)][lane] = within_limit(channel, index, value)?;
                    Some(())
                });
            }
        }
        bits.refill(data);
    }
}

/// What is left of a block whose last probe ran beyond its last coefficient.
#[cold]
#[inline(never)]
fn one_by_one(
    mut bits: Bits,
    data: &Chunk,
    ac: &Ac,
    mut index: u32,
    mut put: impl FnMut(u32, i32) -> Option<()>,
) -> Bits {
    while index < 64 {
        let (next, symbol) = symbol(bits, data, |bits| ac.find(bits));
        bits = next;
        index += symbol.advance;
        if symbol.advance == END {
            break;
        }
        if index > 64 || put(index - 1, symbol.value).is_none() {
            return Bits::LOST;
        }
    }
    bits
}

/// The value of the coefficient at a zigzag index, unless it is beyond the last one or larger than any that a picture
/// has.
#[inline(always)]
fn within_limit(channel: &Channel, index: u32, value: i32) -> Option<i16> {
    let quantiser = channel.quantiser[usize::from(*NATURAL.get(index as usize)?)];
    let is_within = (value * i32::from(quantiser)).abs() <= MAX_COEFFICIENT;
    is_within.then_some(value as i16)
}

/// Transforms what the groups of a channel hold, into the columns of its plane from the unit `first` on, and empties
/// them.
#[inline(always)]
fn transform_groups(
    channel: &Channel,
    groups: &mut [Group],
    plane: &mut [u8],
    first: usize,
    transform: impl Fn(&Group, &Channel, &mut [u8]) -> Option<()>,
) -> Option<()> {
    let &Channel { across, down, side, stride, .. } = channel;
    for y in 0..down {
        for x in 0..across {
            let at = channel.group + y * across + x;
            let group = groups.get_mut(at)?;
            let start = y * side * stride + (first * across + x * LANES) * side;
            transform(group, channel, plane.get_mut(start..)?)?;
            let end = std::mem::take(&mut group.end).clamp(1, 64) as usize;
            group.coefficients.iter_mut().take(end).for_each(|slot| *slot = [0; LANES]);
        }
    }
    Some(())
}

/// The pixels of row `y` of a row of units.
#[inline(always)]
fn write_row(
    channels: &[Channel],
    planes: &[Vec<u8>; 3],
    wide: &mut [Vec<u8>; 2],
    y: usize,
    columns: &Range<usize>,
    pixels: &mut [u8],
) -> Option<()> {
    fn row<'a>(channel: &Channel, plane: &'a [u8], y: usize) -> Option<&'a [u8]> {
        plane.get(y * channel.stride..)?.get(..channel.width)
    }
    let luma = row(channels.first()?, &planes[0], y)?.get(columns.clone())?;
    let [full, blue, red] = channels else {
        rows::grey_to_rgb(luma, pixels);
        return Some(());
    };
    let (blue_row, red_row) = (row(blue, &planes[1], y)?, row(red, &planes[2], y)?);
    if blue.across * blue.side == full.across * full.side {
        rows::to_rgb(luma, blue_row.get(columns.clone())?, red_row.get(columns.clone())?, pixels);
        return Some(());
    }
    let [wide_blue, wide_red] = wide;
    for (narrow, wide) in [(blue_row, &mut *wide_blue), (red_row, &mut *wide_red)] {
        // As in `jdsample.c`: rows of two samples, and those at an eighth, are not smoothed.
        if narrow.len() > 2 && full.side > 1 {
            rows::doubled_smoothly(narrow, wide);
        } else {
            rows::doubled(narrow, wide);
        }
    }
    rows::to_rgb(luma, wide_blue.get(columns.clone())?, wide_red.get(columns.clone())?, pixels);
    Some(())
}
