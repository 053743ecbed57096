//! The memory that a lossless stream's prefix codes take in the decoder (image-webp 0.2.4).
//!
//! A lossless picture is cut into blocks, and a small image in front of it names the group of prefix codes of each. A
//! group takes up to 20 KiB and more, there may be 65,536 of them, and no header says how many. So the stream is read
//! up to its codes, as the decoder does (RFC 9649, section 3).

use crate::geometry::Size;

/// The number of blocks' sides, alphabets and symbols of RFC 9649, section 3.6 and 3.7.
const LITERALS: u16 = 256;
const LENGTHS: u16 = 24;
const DISTANCES: u16 = 40;
const CODE_LENGTHS: u16 = 19;
const CODE_LENGTH_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const MAX_CODE_LENGTH: usize = 15;
/// The nearest pixels by their code: columns to the left (8 − low half) and rows above (high half).
const NEAREST: [u8; 120] = [
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36,
    0x3a, 0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34,
    0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67,
    0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79,
    0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52,
    0x5e, 0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61,
    0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
];

/// The bytes that the prefix codes of a stream take: all of them, or those up to the first beyond `limit_bytes`. Of a
/// broken stream, or one of another size, those before the fault: the decoder makes no more of them. The stream of
/// an alpha channel has no header.
pub(super) fn table_bytes(stream: &[u8], size: Size, has_header: bool, limit_bytes: u64) -> u64 {
    let mut codes = PrefixCodes { bits: Bits { bytes: stream, buffer: 0, count: 0 }, bytes: 0, limit_bytes };
    // A fault or the limit: both end the count.
    let _ = codes.read(size, has_header);
    codes.bytes
}

struct PrefixCodes<'a> {
    bits: Bits<'a>,
    /// Bytes of the groups that the decoder keeps for the picture.
    bytes: u64,
    limit_bytes: u64,
}

impl PrefixCodes<'_> {
    /// Reads the stream up to its entropy-coded pixels. `None` if it is broken, or the limit is exceeded.
    fn read(&mut self, size: Size, has_header: bool) -> Option<()> {
        let (width, height) = (size.width(), size.height());
        if has_header {
            self.bits.take(8)?;
            let actual = (self.bits.take(14)? + 1, self.bits.take(14)? + 1);
            self.bits.take(4)?;
            if actual != (width, height) {
                return None;
            }
        }
        let mut columns = width;
        let mut seen = [false; 4];
        while self.bits.take(1)? == 1 {
            let transform = self.bits.take(2)?;
            let seen = seen.get_mut(usize::try_from(transform).ok()?)?;
            if std::mem::replace(seen, true) {
                return None;
            }
            match transform {
                0 | 1 => {
                    let block_bits = self.bits.take(3)? + 2;
                    self.pixels(blocks(columns, block_bits), blocks(height, block_bits))?;
                }
                2 => {}
                _ => {
                    let colors = self.bits.take(8)? + 1;
                    self.pixels(colors, 1)?;
                    let packed_bits = match colors {
                        ..=2 => 3,
                        3 | 4 => 2,
                        5..=16 => 1,
                        _ => 0,
                    };
                    columns = blocks(columns, packed_bits);
                }
            }
        }
        let cache_bits = self.color_cache()?;
        let mut groups = 1;
        if self.bits.take(1)? == 1 {
            let block_bits = self.bits.take(3)? + 2;
            let codes = self.pixels(blocks(columns, block_bits), blocks(height, block_bits))?;
            groups += codes.iter().map(|pixel| pixel >> 8 & 0xffff).max().unwrap_or(0);
        }
        for _ in 0..groups {
            /// Five codes in a vector that doubles.
            const GROUP_BYTES: u64 = 3 * 5 * 56;
            self.bytes += GROUP_BYTES;
            for alphabet in alphabets(cache_bits) {
                self.bytes += self.code(alphabet)?.table_bytes();
                if self.bytes > self.limit_bytes {
                    return None;
                }
            }
        }
        Some(())
    }

    /// The pixels, as ARGB, of an image that has one group of codes.
    fn pixels(&mut self, width: u32, height: u32) -> Option<Vec<u32>> {
        let count = usize::try_from(u64::from(width) * u64::from(height)).ok()?;
        let cache_bits = self.color_cache()?;
        let mut cache = vec![0_u32; 1 << cache_bits];
        let place = |pixel: u32| match cache_bits {
            0 => 0,
            bits => (0x1e35_a7bd_u32.wrapping_mul(pixel) >> (32 - bits)) as usize,
        };
        let [green, red, blue, alpha, distance] = {
            let mut codes = alphabets(cache_bits).into_iter().map(|alphabet| self.code(alphabet));
            [codes.next()??, codes.next()??, codes.next()??, codes.next()??, codes.next()??]
        };
        let bits = &mut self.bits;
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(count).ok()?;
        if let (Some(green), Some(red), Some(blue), Some(alpha)) = (green.only(), red.only(), blue.only(), alpha.only())
            && green < LITERALS
        {
            pixels.resize(count, argb(alpha, red, green, blue));
            return Some(pixels);
        }
        while pixels.len() < count {
            let symbol = green.symbol(bits)?;
            if symbol < LITERALS {
                let (red, blue) = (red.symbol(bits)?, blue.symbol(bits)?);
                let pixel = argb(alpha.symbol(bits)?, red, symbol, blue);
                *cache.get_mut(place(pixel))? = pixel;
                pixels.push(pixel);
            } else if symbol < LITERALS + LENGTHS {
                let length = extended(symbol - LITERALS, bits)?;
                let code = extended(distance.symbol(bits)?, bits)?;
                let distance = match NEAREST.get(code - 1) {
                    Some(near) => {
                        let (rows, columns) = (i64::from(near >> 4), 8 - i64::from(near & 15));
                        usize::try_from((rows * i64::from(width) + columns).max(1)).ok()?
                    }
                    None => code - NEAREST.len(),
                };
                let start = pixels.len().checked_sub(distance)?;
                if length > count - pixels.len() {
                    return None;
                }
                for at in start..start + length {
                    let pixel = *pixels.get(at)?;
                    *cache.get_mut(place(pixel))? = pixel;
                    pixels.push(pixel);
                }
            } else {
                let pixel = *cache.get(usize::from(symbol - LITERALS - LENGTHS)).filter(|_| cache_bits > 0)?;
                pixels.push(pixel);
            }
        }
        Some(pixels)
    }

    /// The logarithm of the number of cached colours; 0 if there is no cache.
    fn color_cache(&mut self) -> Option<u32> {
        if self.bits.take(1)? == 0 {
            return Some(0);
        }
        Some(self.bits.take(4)?).filter(|bits| (1..=11).contains(bits))
    }

    fn code(&mut self, alphabet: u16) -> Option<Code> {
        if self.bits.take(1)? == 1 {
            let is_pair = self.bits.take(1)? == 1;
            let first_bits = if self.bits.take(1)? == 1 { 8 } else { 1 };
            let first = u16::try_from(self.bits.take(first_bits)?).ok()?;
            let mut symbols = vec![first];
            if is_pair {
                symbols.push(u16::try_from(self.bits.take(8)?).ok()?);
            }
            return Code::simple(symbols).filter(|code| code.symbols.iter().all(|symbol| *symbol < alphabet));
        }
        let mut lengths = [0_u8; CODE_LENGTHS as usize];
        let given = 4 + self.bits.take(4)? as usize;
        for place in CODE_LENGTH_ORDER.into_iter().take(given) {
            *lengths.get_mut(place)? = u8::try_from(self.bits.take(3)?).ok()?;
        }
        let code = Code::of_lengths(&lengths)?;
        let mut left = u32::from(alphabet);
        if self.bits.take(1)? == 1 {
            let bits = 2 + 2 * self.bits.take(3)?;
            left = 2 + self.bits.take(bits)?;
            if left > u32::from(alphabet) {
                return None;
            }
        }
        let mut lengths = vec![0_u8; usize::from(alphabet)];
        let (mut symbol, mut previous) = (0, 8);
        while symbol < lengths.len() && left > 0 {
            left -= 1;
            let length = code.symbol(&mut self.bits)?;
            let (repeats, length) = match length {
                0..16 => (1, u8::try_from(length).ok()?),
                16 => (3 + self.bits.take(2)?, previous),
                17 => (3 + self.bits.take(3)?, 0),
                _ => (11 + self.bits.take(7)?, 0),
            };
            let end = symbol + repeats as usize;
            lengths.get_mut(symbol..end)?.fill(length);
            symbol = end;
            if length != 0 {
                previous = length;
            }
        }
        Code::of_lengths(&lengths)
    }
}

/// The number of symbols of a group's codes: green with lengths and cached colours, red, blue, alpha, distance.
fn alphabets(cache_bits: u32) -> [u16; 5] {
    let cached = if cache_bits == 0 { 0 } else { 1 << cache_bits };
    [LITERALS + LENGTHS + cached, LITERALS, LITERALS, LITERALS, DISTANCES]
}

/// The number of blocks of `2^bits` pixels along a side.
const fn blocks(side_px: u32, bits: u32) -> u32 {
    side_px.div_ceil(1 << bits)
}

fn argb(alpha: u16, red: u16, green: u16, blue: u16) -> u32 {
    u32::from(alpha) << 24 | u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue)
}

/// A length or a distance: a symbol with more bits after it.
fn extended(symbol: u16, bits: &mut Bits<'_>) -> Option<usize> {
    let symbol = usize::from(symbol);
    if symbol < 4 {
        return Some(symbol + 1);
    }
    let more = (symbol - 2) >> 1;
    Some(((2 + (symbol & 1)) << more) + bits.take(u32::try_from(more).ok()?)? as usize + 1)
}

/// A prefix code: the number of codes of each length, and the symbols in the order of their codes.
struct Code {
    counts: [u16; MAX_CODE_LENGTH + 1],
    symbols: Vec<u16>,
}

impl Code {
    /// A code of one symbol, which has no bits, or of two of one bit each.
    fn simple(symbols: Vec<u16>) -> Option<Self> {
        let mut counts = [0; MAX_CODE_LENGTH + 1];
        *counts.get_mut(1)? = u16::try_from(symbols.len()).ok()?;
        Some(Self { counts, symbols })
    }

    /// The canonical code of these lengths; `None` unless it is complete.
    fn of_lengths(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0_u16; MAX_CODE_LENGTH + 1];
        for length in lengths.iter().filter(|length| **length != 0) {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        let mut symbols = Vec::with_capacity(counts.iter().map(|count| usize::from(*count)).sum());
        for (length, _) in (1_u8..).zip(counts.iter().skip(1)).filter(|(_, count)| **count > 0) {
            let of_length = (0_u16..).zip(lengths).filter(|(_, actual)| **actual == length);
            symbols.extend(of_length.map(|(symbol, _)| symbol));
        }
        if symbols.len() == 1 {
            return Self::simple(symbols);
        }
        let filled = counts.iter().enumerate().map(|(length, count)| u32::from(*count) << (MAX_CODE_LENGTH - length));
        (filled.sum::<u32>() == 1 << MAX_CODE_LENGTH).then_some(Self { counts, symbols })
    }

    /// The symbol of a code that has but one.
    fn only(&self) -> Option<u16> {
        if let [symbol] = self.symbols[..] { Some(symbol) } else { None }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<u16> {
        if let Some(symbol) = self.only() {
            return Some(symbol);
        }
        let (mut code, mut first, mut passed) = (0_u32, 0_u32, 0_u32);
        for count in self.counts.iter().skip(1).map(|count| u32::from(*count)) {
            code = code << 1 | bits.take(1)?;
            first <<= 1;
            if code < first + count {
                return self.symbols.get((passed + code - first) as usize).copied();
            }
            first += count;
            passed += count;
        }
        None
    }

    /// The memory of this code in the decoder: none for one symbol; a table of the first 10 bits, four bytes each, and
    /// two nodes for each longer code; and the allocator's own.
    fn table_bytes(&self) -> u64 {
        const TABLE_BITS: usize = 10;
        const NODE_BYTES: u64 = 16;
        const ALLOCATOR_BYTES: u64 = 2 * 16;
        match self.symbols.len() {
            1 => 0,
            2 => 4 * 2 + 3 * NODE_BYTES + ALLOCATOR_BYTES,
            _ => {
                let longest = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
                let longer: u64 = self.counts.iter().skip(TABLE_BITS + 1).map(|count| u64::from(*count)).sum();
                (4 << longest.min(TABLE_BITS)) + 2 * longer * NODE_BYTES + ALLOCATOR_BYTES
            }
        }
    }
}

/// Reads bits, the least significant one of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// The next bits, at most 32; `None` at the end.
    fn take(&mut self, bits: u32) -> Option<u32> {
        while self.count < bits {
            let (byte, rest) = self.bytes.split_first()?;
            self.buffer |= u64::from(*byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
        let taken = self.buffer & ((1 << bits) - 1);
        self.buffer >>= bits;
        self.count -= bits;
        u32::try_from(taken).ok()
    }
}
