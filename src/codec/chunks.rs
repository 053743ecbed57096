//! A cursor over hostile bytes: whatever is not there is a truncated file.

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

    /// The next `length` bytes; `what` names them where they are missing.
    pub(super) fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| {
            CodecError::Truncated(format!(
                "the file ends inside {what}: {} of {length} bytes are there",
                self.rest.len()
            ))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], CodecError> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| CodecError::Truncated(format!("the file ends inside {what}")))
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8, CodecError> {
        self.array::<1>(what).map(|[byte]| byte)
    }
}

/// A length of 32 bits as an index; every machine this runs on has at least as many.
pub(super) fn index(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
