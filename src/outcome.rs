//! The outcome of each record and of the whole batch: pure.

mod line;
mod message;
mod progress;
mod summary;

use std::time::Duration;

pub use self::message::{Message, Queue};
pub use self::progress::Progress;
pub use self::summary::{Exit, Summary};
use crate::event::Reference;
use crate::object::SourceObject;
use crate::reason::{FailReason, SkipReason};
use pixpipe_pixels::codec::Format;
use serde::{Deserialize, Serialize};

/// How a record ended.
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
        /// An explanation for people.
        detail: String,
    },
}

impl Status {
    /// A failure.
    pub fn failed(reason: FailReason, detail: impl Into<String>) -> Self {
        Self::Failed { reason, detail: detail.into() }
    }

    /// Whether the same record may succeed when it is tried again.
    #[must_use]
    pub const fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Failed { reason, .. } => reason.is_worth_retrying(),
            Self::Written | Self::Skipped(_) => false,
        }
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

/// Facts about a source and its outputs, as far as the record came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The outputs that were written.
    pub outputs: Vec<OutputFacts>,
    /// `ETag` of the source that they were made from, without quotes.
    pub source_etag: Option<String>,
    /// Its version, in a bucket that has versions.
    pub source_version_id: Option<String>,
    /// The SHA-256 of the source, in hexadecimal, if a manifest is asked for.
    pub source_sha256: Option<String>,
    /// Size of the source.
    pub source_bytes: Option<u64>,
    /// Width as stored, in pixels.
    pub source_width: Option<u32>,
    /// Height as stored, in pixels.
    pub source_height: Option<u32>,
    /// Its format.
    pub format: Option<Format>,
    /// Its EXIF orientation, 1 to 8.
    pub orientation: Option<u8>,
    /// Its frames or pages; the first is read.
    pub frames: Option<u32>,
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

/// Facts about an output that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFacts {
    /// Its key.
    pub key: String,
    /// The folder of its size: `224x224`.
    pub size: String,
    /// Its length.
    pub bytes: u64,
    /// Its `ETag`, without quotes.
    pub etag: String,
    /// Its SHA-256 in hexadecimal, if a manifest is asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// The hash of its settings.
    pub spec: String,
}

impl OutputFacts {
    /// Of an output of which only the key is known.
    fn named(key: &str) -> Self {
        let (size, etag, spec) = (String::new(), String::new(), String::new());
        Self { key: key.to_owned(), size, bytes: 0, etag, sha256: None, spec }
    }
}

/// What an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An object.
    Object(SourceObject),
    /// A batch that could not be read.
    Batch(Reference),
    /// Nothing that is accepted: the entry as it was received, JSON.
    Unknown(String),
    /// Nothing, and that is right.
    Nothing,
}

impl Subject {
    /// The object, if it is one.
    #[must_use]
    pub const fn object(&self) -> Option<&SourceObject> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// How one entry of the batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the entry stood: a JSON pointer.
    pub pointer: String,
    /// What the entry named.
    pub subject: Subject,
    /// Whether the entry lies in a batch that is kept elsewhere ([`crate::event::Entry::is_referenced`]).
    pub is_referenced: bool,
    /// How often the record was tried by now.
    pub attempts: u32,
    /// How it ended.
    pub status: Status,
    /// Facts from on the way.
    pub facts: Facts,
}

#[cfg(test)]
impl Outcome {
    /// Of an entry that was tried once and named no object.
    pub(crate) fn of(status: Status) -> Self {
        let (subject, facts) = (Subject::Nothing, Facts::default());
        Self { pointer: "/0".into(), subject, is_referenced: false, attempts: 1, status, facts }
    }
}
