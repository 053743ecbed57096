//! The parts of a file that its decoder needs, without the others and without a copy.
//!
//! Decoders keep what they may be asked for: texts, metadata, profiles, of any number and length. What they never see
//! takes no memory.

use std::io::{BufRead, Error, ErrorKind, Read, Result, Seek, SeekFrom};

/// Reads slices one after the other. It cannot seek, which the decoders of PNG and GIF ask for and never do.
pub(super) struct Excerpt<'a, I> {
    part: &'a [u8],
    parts: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Excerpt<'a, I> {
    pub(super) const fn new(parts: I) -> Self {
        Self { part: &[], parts }
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> BufRead for Excerpt<'a, I> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        while self.part.is_empty() {
            match self.parts.next() {
                Some(part) => self.part = part,
                None => break,
            }
        }
        Ok(self.part)
    }

    fn consume(&mut self, amount: usize) {
        self.part = self.part.get(amount..).unwrap_or_default();
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Excerpt<'a, I> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<I> Seek for Excerpt<'_, I> {
    fn seek(&mut self, _: SeekFrom) -> Result<u64> {
        Err(Error::from(ErrorKind::Unsupported))
    }
}
