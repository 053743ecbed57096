//! What became of each record: pure.

mod line;
mod message;

use std::time::Duration;

use serde_json::Value;

pub use self::message::Queue;
use crate::codec::Format;
use crate::event::SkipReason;
use crate::object::SourceObject;

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
    pub const ALL: [Self; 13] = [
        Self::NotFound,
        Self::AccessDenied,
        Self::TooManyBytes,
        Self::TooManyPixels,
        Self::UnsupportedFormat,
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

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Its outputs were written.
    Written,
    /// There was nothing to do.
    Skipped(SkipReason),
    /// It failed.
    Failed {
        /// The stable reason.
        reason: FailReason,
        /// What happened, for people.
        detail: String,
    },
}

impl Status {
    /// A failure.
    pub fn failed(reason: FailReason, detail: impl Into<String>) -> Self {
        Self::Failed { reason, detail: detail.into() }
    }

    /// The stable text of the log.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Skipped(_) => "skipped",
            Self::Failed { .. } => "failed",
        }
    }
}

/// What was seen of a source on the way, as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Keys of the outputs that were written.
    pub outputs: Vec<String>,
    /// Size of the source.
    pub source_bytes: Option<u64>,
    /// Width as stored, in pixels.
    pub source_width: Option<u32>,
    /// Height as stored, in pixels.
    pub source_height: Option<u32>,
    /// Its format.
    pub format: Option<Format>,
    /// Why its ICC profile was ignored, if it was.
    pub broken_profile: Option<String>,
    /// Time spent on requests for the source.
    pub get: Option<Duration>,
    /// Time spent decoding.
    pub decode: Option<Duration>,
    /// Time spent scaling.
    pub resize: Option<Duration>,
    /// Time spent encoding.
    pub encode: Option<Duration>,
    /// Time spent on requests for the outputs.
    pub put: Option<Duration>,
}

/// What became of one entry of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the entry stood: a JSON pointer.
    pub pointer: String,
    /// The object, if the entry named one.
    pub object: Option<SourceObject>,
    /// The entry as it was received, where it named none.
    pub received: Option<Value>,
    /// How often the record was tried by now.
    pub attempts: u32,
    /// What became of it.
    pub status: Status,
    /// What was seen on the way.
    pub facts: Facts,
}

#[cfg(test)]
impl Outcome {
    /// Of an entry that was tried once and named no object.
    pub(crate) fn of(status: Status) -> Self {
        Self { pointer: "/0".into(), object: None, received: None, attempts: 1, status, facts: Facts::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_contract() {
        let texts: Vec<_> = FailReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let contract = "not-found access-denied too-many-bytes too-many-pixels unsupported-format truncated corrupt \
                        invalid-entry would-loop conflict interrupted store-unavailable internal";
        assert_eq!(texts.join(" "), contract);
    }
}
