//! Entropy-coded bytes → bits: stuffing is removed chunk by chunk, and a reader of three numbers stays in registers.

/// Unstuffed bytes that are held at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Unstuffed bytes, and room behind them so that no load is short. What is beyond the data does not matter: a reader
/// that got there is not at the end of a scan ([`Source::is_at_end`]).
pub(super) type Chunk = [u8; CHUNK_BYTES + 8];

/// A chunk without data.
pub(super) fn empty_chunk() -> Box<Chunk> {
    let bytes = vec![0; CHUNK_BYTES + 8].into_boxed_slice();
    bytes.try_into().expect("it has that length")
}

/// The place of a reader. The bytes are not in it: behind a reference it would not stay in registers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bits {
    /// The next byte to load.
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// The number of them that count. As wide as the others: padding would send the three through memory.
    count: u64,
}

impl Bits {
    /// The place of a reader that has met a fault: beyond the end of any data. An `Option` would not stay in registers.
    pub(super) const LOST: Self = Self { at: usize::MAX >> 4, buffer: 0, count: 0 };

    pub(super) const fn is_lost(self) -> bool {
        self.at >= Self::LOST.at
    }

    /// At least 56 bits, without a branch (F. Giesen, "Reading bits in far too many ways", variant 4).
    #[inline(always)]
    pub(super) fn refill(&mut self, data: &Chunk) {
        let word =
            data.get(self.at.min(CHUNK_BYTES)..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_be_bytes(*b));
        self.buffer |= word >> (self.count & 63);
        self.at += ((63_u64.wrapping_sub(self.count) >> 3) & 0x7) as usize;
        self.count |= 0x38; // 56 or more
    }

    /// The next `count` bits, 1 to 32.
    #[inline(always)]
    pub(super) const fn peek(self, count: u32) -> u32 {
        (self.buffer >> (64 - count)) as u32
    }

    #[inline(always)]
    pub(super) const fn skip(&mut self, count: u32) {
        self.buffer <<= count & 63;
        self.count = self.count.wrapping_sub(count as u64);
    }

    /// The number of bits that were read.
    const fn position(self) -> usize {
        (self.at * 8).wrapping_sub(self.count as usize)
    }
}

/// The entropy-coded bytes of a scan, a chunk at a time. A chunk ends at a marker or when it is full.
#[derive(Debug)]
pub(super) struct Source<'a> {
    file: &'a [u8],
    /// The first byte of the file that is in no chunk yet.
    at: usize,
    chunk: &'a mut Chunk,
    /// The number of bytes in the chunk that are data.
    length: usize,
    /// Whether the chunk ends at a marker.
    is_last: bool,
}

impl<'a> Source<'a> {
    /// The bytes of `file` from `at` on. `chunk` is kept from file to file.
    pub(super) const fn new(file: &'a [u8], at: usize, chunk: &'a mut Chunk) -> Self {
        Self { file, at, chunk, length: 0, is_last: false }
    }

    /// Makes sure that `bytes`, at most [`CHUNK_BYTES`], are in the chunk from `bits` on, or all up to the next marker.
    /// Moves what is left of the chunk to its start. `None` if there is no marker, or fill bytes before it.
    pub(super) fn ensure(&mut self, bits: &mut Bits, bytes: usize) -> Option<()> {
        if self.is_last || self.length.saturating_sub(bits.at) >= bytes {
            return Some(());
        }
        let done = bits.at.min(self.length);
        self.chunk.copy_within(done..self.length, 0);
        self.length -= done;
        bits.at -= done;
        while self.length < CHUNK_BYTES {
            let rest = self.file.get(self.at..).filter(|rest| !rest.is_empty())?;
            let room = self.chunk.get_mut(self.length..CHUNK_BYTES)?;
            let rest = rest.get(..room.len().min(rest.len()))?;
            let (copied, passed) = match memchr::memchr(0xff, rest) {
                None => (rest.len(), rest.len()),
                Some(escape) => match self.file.get(self.at + escape + 1)? {
                    0 => (escape + 1, escape + 2),
                    0xff => return None,
                    _ => {
                        self.is_last = true;
                        (escape, escape)
                    }
                },
            };
            room.get_mut(..copied)?.copy_from_slice(rest.get(..copied)?);
            self.length += copied;
            self.at += passed;
            if self.is_last {
                break;
            }
        }
        Some(())
    }

    /// The bytes that [`Bits`] reads.
    #[inline(always)]
    pub(super) const fn data(&self) -> &Chunk {
        self.chunk
    }

    /// The code of the marker behind the chunk, and its position, if `bits` have read everything but padding.
    fn marker(&self, bits: Bits) -> Option<(u8, usize)> {
        let left = (self.length * 8).checked_sub(bits.position())?;
        let code = *self.file.get(self.at + 1)?;
        (self.is_last && left < 8).then_some((code, self.at))
    }

    /// Goes on behind a restart marker, which must be this one.
    pub(super) fn restart(&mut self, bits: Bits, code: u8) -> Option<Bits> {
        let (found, at) = self.marker(bits)?;
        (self.length, self.at, self.is_last) = (0, at + 2, false);
        (found == code).then(Bits::default)
    }

    /// Whether the end-of-image marker follows, and then nothing.
    pub(super) fn is_at_end(&self, bits: Bits) -> bool {
        self.marker(bits) == Some((super::super::marker::EOI, self.file.len().wrapping_sub(2)))
    }
}
