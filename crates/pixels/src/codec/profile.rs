//! Where a file's ICC profile lies, or what stands for one. It is read for its conversion only, so a plan that waits
//! for room holds none of it.

use std::borrow::Cow;
use std::ops::Range;

/// An embedded ICC profile, or what stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Parts of the file, in the order of the profile.
    Parts(Vec<Range<usize>>),
    /// A zlib stream, as in PNG.
    Deflated(Range<usize>),
    /// Sub-blocks up to the empty one, each after its length, as in GIF.
    SubBlocks(Range<usize>),
    /// No profile, but the code points of one (ITU-T H.273), as in AVIF.
    CodePoints(CodePoints),
    /// The profile is longer than [`Profile::MAX_BYTES`], or in more than [`Profile::MAX_PARTS`] parts.
    TooLarge,
}

/// Primaries and transfer, by their numbers in ITU-T H.273, 8.1 and 8.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodePoints {
    pub(crate) primaries: u8,
    pub(crate) transfer: u8,
}

impl Profile {
    /// The longest profile that is read: the limit of the colour engine. Those of printers have up to 4 MiB.
    pub(crate) const MAX_BYTES: usize = 10 << 20;
    /// The most parts of a profile: a byte counts them in a JPEG (ICC.1, annex B.4).
    pub(crate) const MAX_PARTS: usize = 255;

    /// A profile in one part.
    pub(super) fn whole(part: Range<usize>) -> Self {
        Self::of_parts(vec![part])
    }

    /// A profile in these parts.
    pub(super) fn of_parts(parts: Vec<Range<usize>>) -> Self {
        let length = parts.iter().map(ExactSizeIterator::len).fold(0, usize::saturating_add);
        if length > Self::MAX_BYTES || parts.len() > Self::MAX_PARTS { Self::TooLarge } else { Self::Parts(parts) }
    }

    /// The longest that [`Profile::read`] can make of it.
    pub(crate) fn max_bytes(&self) -> usize {
        /// A zlib stream expands at most 1,032 times (zlib's technical details).
        const MAX_EXPANSION: usize = 1032;
        match self {
            Self::Parts(parts) => parts.iter().map(ExactSizeIterator::len).sum(),
            Self::Deflated(stream) => stream.len().saturating_mul(MAX_EXPANSION).min(Self::MAX_BYTES),
            Self::SubBlocks(blocks) => blocks.len().min(Self::MAX_BYTES),
            Self::TooLarge | Self::CodePoints(_) => 0,
        }
    }

    /// The profile in the file that it was found in.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub(crate) fn read<'a>(&self, file: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        let slice = |range: &Range<usize>| file.get(range.clone()).unwrap_or_default();
        let too_large = || format!("it has more than {} bytes or {} parts", Self::MAX_BYTES, Self::MAX_PARTS);
        match self {
            Self::Parts(parts) => match parts.as_slice() {
                [part] => Ok(Cow::Borrowed(slice(part))),
                parts => Ok(Cow::Owned(parts.iter().map(slice).collect::<Vec<_>>().concat())),
            },
            Self::Deflated(stream) => match fdeflate::decompress_to_vec_bounded(slice(stream), Self::MAX_BYTES) {
                Ok(profile) => Ok(Cow::Owned(profile)),
                Err(fdeflate::BoundedDecompressionError::OutputTooLarge { .. }) => Err(too_large()),
                Err(_) => Err("it cannot be inflated".to_owned()),
            },
            Self::SubBlocks(blocks) => {
                let mut rest = slice(blocks);
                let mut profile = Vec::with_capacity(rest.len().min(Self::MAX_BYTES));
                while let Some((length, after)) = rest.split_first() {
                    let (block, after) = after.split_at_checked(usize::from(*length)).unwrap_or((after, &[]));
                    if block.is_empty() {
                        break;
                    }
                    if profile.len() + block.len() > Self::MAX_BYTES {
                        return Err(too_large());
                    }
                    profile.extend_from_slice(block);
                    rest = after;
                }
                Ok(Cow::Owned(profile))
            }
            Self::TooLarge => Err(too_large()),
            Self::CodePoints(_) => Err("there is none".to_owned()),
        }
    }
}
