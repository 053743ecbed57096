//! Why a record was skipped or failed: the stable words of the log, the queues and the contract.

use pixpipe_pixels::codec::CodecError;
use pixpipe_pixels::render::RenderError;

/// Why an entry or a record needs no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// `s3:TestEvent`, sent by S3 when a notification is configured.
    TestEvent,
    /// An event that creates nothing: removal, tagging, ACL, restore, replication, lifecycle.
    NotCreated,
    /// An empty object whose key ends in `/`.
    FolderMarker,
    /// Another entry of this batch names the same object.
    Duplicate,
    /// The object is an output of this very configuration.
    OwnOutput,
    /// The outputs already are those of the object as it is now.
    Unchanged,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::TestEvent, Self::NotCreated, Self::FolderMarker, Self::Duplicate, Self::OwnOutput, Self::Unchanged];

    /// The stable text of the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TestEvent => "test-event",
            Self::NotCreated => "not-created",
            Self::FolderMarker => "folder-marker",
            Self::Duplicate => "duplicate",
            Self::OwnOutput => "own-output",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailReason {
    /// There is no such object or bucket.
    NotFound,
    /// The store refuses the task's role.
    AccessDenied,
    /// The object is larger than `MAX_SOURCE_BYTES`, or than the memory.
    TooManyBytes,
    /// The image is larger than `MAX_SOURCE_PIXELS`, or than the memory.
    TooManyPixels,
    /// The bytes are not an image of a format that can be read.
    UnsupportedFormat,
    /// The image is too narrow or too flat for outputs that follow its aspect ratio.
    UnsupportedAspect,
    /// The file ends before its image.
    Truncated,
    /// The file contradicts itself.
    Corrupt,
    /// The entry, its key, or the key that its output would have cannot be used.
    InvalidEntry,
    /// The output would trigger the next event.
    WouldLoop,
    /// Other tasks wrote the same outputs again and again.
    Conflict,
    /// The task was asked to end.
    Interrupted,
    /// The store does not answer.
    StoreUnavailable,
    /// A bug.
    Internal,
}

impl FailReason {
    /// Every reason, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::NotFound,
        Self::AccessDenied,
        Self::TooManyBytes,
        Self::TooManyPixels,
        Self::UnsupportedFormat,
        Self::UnsupportedAspect,
        Self::Truncated,
        Self::Corrupt,
        Self::InvalidEntry,
        Self::WouldLoop,
        Self::Conflict,
        Self::Interrupted,
        Self::StoreUnavailable,
        Self::Internal,
    ];

    /// The stable text of the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AccessDenied => "access-denied",
            Self::TooManyBytes => "too-many-bytes",
            Self::TooManyPixels => "too-many-pixels",
            Self::UnsupportedFormat => "unsupported-format",
            Self::UnsupportedAspect => "unsupported-aspect",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::InvalidEntry => "invalid-entry",
            Self::WouldLoop => "would-loop",
            Self::Conflict => "conflict",
            Self::Interrupted => "interrupted",
            Self::StoreUnavailable => "store-unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same record may succeed when it is tried again.
    #[must_use]
    pub const fn is_worth_retrying(self) -> bool {
        matches!(self, Self::Conflict | Self::Interrupted | Self::StoreUnavailable)
    }
}

impl From<&CodecError> for FailReason {
    fn from(error: &CodecError) -> Self {
        match error {
            CodecError::Unsupported(_) => Self::UnsupportedFormat,
            CodecError::Truncated(_) => Self::Truncated,
            CodecError::TooLarge(_) => Self::TooManyPixels,
            CodecError::Corrupt(_) => Self::Corrupt,
            // The enum may grow: a kind of error that is not known here is not the file's fault.
            _ => Self::Internal,
        }
    }
}

impl From<&RenderError> for FailReason {
    fn from(error: &RenderError) -> Self {
        match error {
            RenderError::Codec(error) => error.into(),
            RenderError::TooManyPixels { .. } => Self::TooManyPixels,
            RenderError::UnsupportedAspect(_) => Self::UnsupportedAspect,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    use pixpipe_pixels::geometry::{Fit, OutputSize, Size};

    #[test]
    fn reasons_are_those_of_the_contract() {
        let texts: Vec<_> = FailReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let contract = "not-found access-denied too-many-bytes too-many-pixels unsupported-format unsupported-aspect \
                        truncated corrupt invalid-entry would-loop conflict interrupted store-unavailable internal";
        assert_eq!(texts.join(" "), contract);
    }

    #[test]
    fn a_fault_of_the_file_is_not_one_of_the_program() {
        let size = Size::new(1, 1).expect("not zero");
        let short = OutputSize::Short(NonZeroU32::MIN);
        let flat = short.placement(Size::new(17, 1).expect("not zero"), Fit::Cover).expect_err("too flat");
        let codec = |error: fn(String) -> CodecError| RenderError::Codec(error("why".to_owned()));
        let cases = [
            (codec(CodecError::Unsupported), FailReason::UnsupportedFormat),
            (codec(CodecError::Truncated), FailReason::Truncated),
            (codec(CodecError::TooLarge), FailReason::TooManyPixels),
            (codec(CodecError::Corrupt), FailReason::Corrupt),
            (codec(CodecError::Encode), FailReason::Internal),
            (RenderError::TooManyPixels { size, limit: 0 }, FailReason::TooManyPixels),
            (RenderError::UnsupportedAspect(flat), FailReason::UnsupportedAspect),
            (RenderError::UnknownSize(size.into()), FailReason::Internal),
            (RenderError::Scale("why".to_owned()), FailReason::Internal),
        ];
        for (error, reason) in cases {
            assert_eq!(FailReason::from(&error), reason, "{error}");
        }
    }
}
