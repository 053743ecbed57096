//! In the place of the decoder, in a build without the feature `avif`.

use super::super::CodecError;
use super::stream::{Chroma, Sequence, needed};
use crate::geometry::Size;

/// A frame that is never made.
pub(super) struct Frame {
    pub(super) size: Size,
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
}

impl Frame {
    /// Checks the coded picture, and refuses it.
    pub(super) fn decode(data: &[u8], sequence: &Sequence) -> Result<Self, CodecError> {
        needed(data, sequence)?;
        Err(CodecError::Unsupported(
            "this program was built without AVIF (cargo feature avif): use another build".to_owned(),
        ))
    }

    /// Reads no row.
    #[expect(clippy::unused_self, reason = "the shape of the decoder's")]
    pub(super) fn read_row(&self, _plane: usize, _row: u32, _samples: &mut [f32]) {}
}
