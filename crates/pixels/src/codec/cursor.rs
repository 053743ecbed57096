//! A cursor over hostile bytes: reading beyond the end is [`CodecError::Truncated`].

use super::CodecError;

/// Reads forward; never past the end.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Number of bytes of `whole`, which this cursor was made for, that were read.
    pub(super) const fn position(&self, whole: &[u8]) -> usize {
        whole.len() - self.rest.len()
    }

    /// The next `length` bytes; `part` names them in the error.
    pub(super) fn take(&mut self, length: usize, part: &str) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| {
            CodecError::Truncated(format!("the file ends inside {part}: it has {} of {length} bytes", self.rest.len()))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, part: &str) -> Result<[u8; N], CodecError> {
        let taken = self.take(N, part)?;
        taken.try_into().map_err(|_| CodecError::Truncated(format!("the file ends inside {part}")))
    }

    pub(super) fn byte(&mut self, part: &str) -> Result<u8, CodecError> {
        self.array::<1>(part).map(|[byte]| byte)
    }
}

/// A 32-bit length as an index. Every machine that this runs on has at least 32 bits.
pub(super) fn index(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
