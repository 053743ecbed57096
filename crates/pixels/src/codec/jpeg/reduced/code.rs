//! Huffman codes, and tables that tell several symbols from one probe of bits.

/// Bits of a probe for a DC difference.
pub(super) const DC_BITS: u32 = 12;
/// Bits of a probe for AC coefficients with their values.
pub(super) const AC_BITS: u32 = 11;
/// Bits of a probe for AC coefficients without values.
pub(super) const SKIP_BITS: u32 = 12;
/// Bits of a code that [`Code::find`] looks up at once.
const SHORT_BITS: u32 = 12;
/// What the end of a block adds to the index of the next coefficient.
pub(super) const END: u32 = 128;
/// The largest sizes of a DC difference and of an AC coefficient at 8 bits a sample (T.81, F.1.2).
const MAX_DC_SIZE: u8 = 11;
const MAX_AC_SIZE: u8 = 10;

/// A code as a DHT segment defines it (T.81, B.2.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    /// The number of codes of each length, 1 to 16.
    pub(super) counts: [u8; 16],
    /// Their symbols.
    pub(super) symbols: Vec<u8>,
}

/// The codes of a definition, one symbol at a time.
#[derive(Debug, Clone)]
struct Code {
    /// By the next 12 bits: `length << 8 | symbol`; 0 if the code is longer.
    short: Box<[u16; 1 << SHORT_BITS]>,
    /// For each length, the 16 bits behind the last code, and what leads from a code to the index of its symbol.
    ends: [u32; 17],
    offsets: [i32; 17],
    symbols: Box<[u8; 256]>,
}

impl Code {
    /// `None` if the codes do not fit their lengths. The code of ones alone is reserved (T.81, C.2).
    fn try_new(definition: &Definition) -> Option<Self> {
        let mut symbols = Box::new([0; 256]);
        symbols.get_mut(..definition.symbols.len())?.copy_from_slice(&definition.symbols);
        let mut code = Self { short: Box::new([0; 1 << SHORT_BITS]), ends: [0; 17], offsets: [0; 17], symbols };
        let (mut next, mut index) = (0_u32, 0_i32);
        for (length, count) in (1_u32..).zip(definition.counts) {
            let slot = length as usize;
            code.offsets[slot] = index - next.cast_signed();
            for _ in 0..count {
                if length <= SHORT_BITS {
                    let symbol = code.symbols[index as usize & 255];
                    let first = (next << (SHORT_BITS - length)) as usize;
                    let same = code.short.get_mut(first..first + (1 << (SHORT_BITS - length)))?;
                    same.fill(u16::from(symbol) | (length as u16) << 8);
                }
                (next, index) = (next + 1, index + 1);
            }
            if next >= 1 << length {
                return None;
            }
            code.ends[slot] = next << (16 - length);
            next <<= 1;
        }
        Some(code)
    }

    /// Length and symbol of the code at the start of 16 bits.
    #[inline(always)]
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let short = self.short[(bits >> (16 - SHORT_BITS)) as usize & ((1 << SHORT_BITS) - 1)];
        if short == 0 { self.find_long(bits) } else { Some((u32::from(short >> 8), short as u8)) }
    }

    #[cold]
    fn find_long(&self, bits: u32) -> Option<(u32, u8)> {
        let length = (SHORT_BITS + 1..=16).find(|length| bits < self.ends[*length as usize])?;
        let index = (bits >> (16 - length)).cast_signed() + self.offsets[length as usize];
        Some((length, self.symbols[index as usize & 255]))
    }

    /// Length, symbol and value at the start of `width` bits, if all of them are there.
    fn whole(&self, bits: u32, width: u32) -> Option<(u32, u8, i32)> {
        let (length, symbol) = self.find(bits << (16 - width))?;
        let size = u32::from(symbol & 15);
        let left = width.checked_sub(length + size)?;
        Some((length + size, symbol, extended((bits >> left) & ((1 << size) - 1), size)))
    }
}

/// The value of `size` bits (T.81, figure F.12).
const fn extended(bits: u32, size: u32) -> i32 {
    let value = bits.cast_signed();
    if size == 0 || value >= 1 << (size - 1) { value } else { value - (1 << size) + 1 }
}

/// The coefficients that a symbol tells, zeros included.
const fn advance(symbol: u8) -> u32 {
    if symbol == 0 { END } else { symbol as u32 / 16 + 1 }
}

/// A symbol and its value, read bit by bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// Bits of the code and the value.
    pub(super) length: u32,
    /// The coefficients that it tells; at least [`END`] at the end of a block.
    pub(super) advance: u32,
    /// The value of the last of them.
    pub(super) value: i32,
}

impl Symbol {
    #[inline(always)]
    fn of((length, symbol): (u32, u8), bits: u32) -> Self {
        let size = u32::from(symbol & 15);
        let value = (u64::from(bits) << length) as u32;
        let value = extended(value.checked_shr(32 - size).unwrap_or(0), size);
        Self { length: length + size, advance: advance(symbol), value }
    }
}

/// The table of a DC code.
#[derive(Debug)]
pub(super) struct Dc {
    code: Code,
    /// By the next bits: `length | difference << 16`; 0 if they do not hold both.
    table: Box<[u32; 1 << DC_BITS]>,
}

impl Dc {
    pub(super) fn try_new(definition: &Definition) -> Option<Self> {
        let code = Code::try_new(definition)?;
        if definition.symbols.iter().any(|size| *size > MAX_DC_SIZE) {
            return None;
        }
        let mut table = Box::new([0; 1 << DC_BITS]);
        for (bits, entry) in (0..).zip(table.iter_mut()) {
            if let Some((length, _, value)) = code.whole(bits, DC_BITS) {
                *entry = length | (value << 16).cast_unsigned();
            }
        }
        Some(Self { code, table })
    }

    /// Length and difference, 0 and nothing if a probe does not hold them.
    #[inline(always)]
    pub(super) fn probe(&self, bits: u32) -> (u32, i32) {
        let entry = self.table[bits as usize & ((1 << DC_BITS) - 1)];
        (entry & 0xffff, entry.cast_signed() >> 16)
    }

    /// The same for any code, from the next 32 bits.
    #[cold]
    pub(super) fn find(&self, bits: u32) -> Option<(u32, i32)> {
        let Symbol { length, value, .. } = Symbol::of(self.code.find(bits >> 16)?, bits);
        Some((length, value))
    }
}

/// The tables of an AC code.
#[derive(Debug)]
pub(super) struct Ac {
    code: Code,
    /// See [`Probe`].
    table: Box<[u64; 1 << AC_BITS]>,
    /// By the next bits, as many symbols as they hold whole: `length | advance << 8`; 0 if not one.
    skips: Box<[u16; 1 << SKIP_BITS]>,
}

/// One or two coefficients with their values, and an end of block.
///
/// Bits 0–5: length in bits, 0 if not one coefficient is whole; then 32–39 and 40–47 are the length and the symbol of
/// the code, if that is whole at least. 10–16 and 17–23: where the values go, counted from the index of the next
/// coefficient. 24–31: how far that index moves. 32–47 and 48–63: the values.
///
/// Indices are counted in [`STEP`]s. Then an index plus such a field is one addition: what is below the field cannot
/// carry into it, and what is above it is masked away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe(u64);

/// What an index counts for each coefficient.
pub(super) const STEP: u32 = 16;
/// An advance that leads beyond every block: where not one coefficient is whole.
const BEYOND: u32 = 255;

impl Probe {
    #[inline(always)]
    pub(super) const fn is_empty(self) -> bool {
        self.length() == 0
    }

    /// Length and symbol of the code alone; the length is 0 if it is longer than a probe.
    #[inline(always)]
    const fn code(self) -> (u32, u8) {
        ((self.0 >> 32) as u32 & 0xff, (self.0 >> 40) as u8)
    }

    #[inline(always)]
    pub(super) const fn length(self) -> u32 {
        self.0 as u32 & 63
    }

    /// Index and value of the first coefficient; the index is only right in the bits of a [`STEP`] and above, below
    /// 128 of them.
    #[inline(always)]
    pub(super) const fn first(self, index: u32) -> (u32, i16) {
        (index.wrapping_add((self.0 >> 6) as u32), (self.0 >> 32) as i16)
    }

    /// The same of the second.
    #[inline(always)]
    pub(super) const fn second(self, index: u32) -> (u32, i16) {
        (index.wrapping_add((self.0 >> 13) as u32), (self.0 >> 48) as i16)
    }

    #[inline(always)]
    pub(super) const fn advance(self) -> u32 {
        (self.0 >> 20) as u32 & (0xff * STEP)
    }
}

impl Ac {
    /// `None` for symbols that 8 bits do not have, and for those that end a block in libjpeg but are no end of block.
    /// Values of more than `max_size` bits are in no probe.
    pub(super) fn try_new(definition: &Definition, max_size: u8) -> Option<Self> {
        let code = Code::try_new(definition)?;
        let is_odd =
            |symbol: &u8| symbol % 16 > MAX_AC_SIZE || (symbol.is_multiple_of(16) && !matches!(symbol, 0 | 0xf0));
        if definition.symbols.iter().any(is_odd) {
            return None;
        }
        let mut table = Box::new([0; 1 << AC_BITS]);
        for (bits, entry) in (0..).zip(table.iter_mut()) {
            *entry = Self::entry(&code, bits, max_size);
        }
        let mut skips = Box::new([0; 1 << SKIP_BITS]);
        for (bits, entry) in (0..).zip(skips.iter_mut()) {
            *entry = Self::skip(&code, bits);
        }
        Some(Self { code, table, skips })
    }

    fn entry(code: &Code, bits: u32, max_size: u8) -> u64 {
        let mut coefficients = [(0, 0); 2];
        let (mut told, mut length, mut total) = (0, 0, 0);
        while total < END {
            let rest = (bits << length) & ((1 << AC_BITS) - 1);
            let Some((symbol_length, symbol, value)) = code.whole(rest, AC_BITS) else { break };
            let moves = advance(symbol);
            // Bits that were shifted in are not there. A probe must not lead beyond the garbage behind a block.
            if length + symbol_length > AC_BITS || symbol & 15 > max_size || (total + moves) & (END - 1) > 63 {
                break;
            }
            if symbol != 0 {
                let Some(place) = coefficients.get_mut(told) else { break };
                *place = (total + moves - 1, value);
                told += 1;
            }
            length += symbol_length;
            total += moves;
        }
        // What is not told is a zero behind the others, where nothing is yet.
        for (place, _) in coefficients.iter_mut().skip(told) {
            *place = total & (END - 1);
        }
        if length == 0 {
            let whole = code.find(bits << (16 - AC_BITS)).filter(|(length, _)| *length <= AC_BITS);
            let (length, symbol) = whole.unwrap_or_default();
            return u64::from(BEYOND) << 24 | u64::from(length) << 32 | u64::from(symbol) << 40;
        }
        let [(first, a), (second, b)] = coefficients;
        let value = |value: i32| u64::from((value as i16).cast_unsigned());
        u64::from(length)
            | u64::from(first) << 10
            | u64::from(second) << 17
            | u64::from(total) << 24
            | value(a) << 32
            | value(b) << 48
    }

    fn skip(code: &Code, bits: u32) -> u16 {
        let (mut length, mut total) = (0, 0);
        while total < END {
            let rest = (bits << length) & ((1 << SKIP_BITS) - 1);
            let Some((code_length, symbol)) = code.find(rest << (16 - SKIP_BITS)) else { break };
            let symbol_length = code_length + u32::from(symbol & 15);
            if length + symbol_length > SKIP_BITS || (total + advance(symbol)) & (END - 1) > 63 {
                break;
            }
            length += symbol_length;
            total += advance(symbol);
        }
        (length | total << 8) as u16
    }

    #[inline(always)]
    pub(super) fn probe(&self, bits: u32) -> Probe {
        Probe(self.table[bits as usize & ((1 << AC_BITS) - 1)])
    }

    /// Length and advance of the symbols in a probe, both 0 if it has none.
    #[inline(always)]
    pub(super) fn skips(&self, bits: u32) -> (u32, u32) {
        let entry = u32::from(self.skips[bits as usize & ((1 << SKIP_BITS) - 1)]);
        (entry & 0xff, entry >> 8)
    }

    /// One symbol, from the next 32 bits.
    #[inline(always)]
    pub(super) fn find(&self, bits: u32) -> Option<Symbol> {
        Some(Symbol::of(self.code.find(bits >> 16)?, bits))
    }

    /// The same if a probe of these bits was empty.
    #[inline(always)]
    pub(super) fn find_after(&self, probe: Probe, bits: u32) -> Option<Symbol> {
        let code = probe.code();
        if code.0 == 0 { self.find(bits) } else { Some(Symbol::of(code, bits)) }
    }
}
