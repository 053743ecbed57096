//! The text of `SQS_BODY` → entries → those that are work: `docs/contract.md`, "Shapes of `SQS_BODY`".

mod shapes;

use std::collections::HashMap;

use serde_json::Value;

use crate::destination::Destination;
use crate::object::{BucketName, ObjectKey, SourceObject};
use crate::one_line::one_line;
use crate::reason::SkipReason;

/// How much of an unreadable batch its error shows, in characters.
const EXCERPT_CHARS: usize = 80;

/// Why `SQS_BODY` cannot be read as a batch at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is no text.
    #[error(
        "SQS_BODY is empty: set it to JSON, for example [\"s3://bucket/key\"], an S3 notification or an EventBridge \
         event (see --help)"
    )]
    Empty,
    /// The text is JSON whose quotes were removed.
    #[error(
        "SQS_BODY is not JSON: it begins with \"{excerpt}\". Its quotes are missing. In a shell, put single quotes \
         around it; in an input template, pass the body whole, as a dynamic path such as $.body"
    )]
    QuotesRemoved {
        /// The first characters.
        excerpt: String,
    },
    /// The text is not JSON.
    #[error("SQS_BODY is not JSON: it begins with \"{excerpt}\" ({cause})")]
    NotJson {
        /// The first characters.
        excerpt: String,
        /// The parser's words: the fault and its line and column.
        cause: String,
    },
}

/// One entry of the batch, and its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// JSON pointer (RFC 6901) into the batch; it goes on inside strings that hold JSON.
    pub pointer: String,
    /// The work that the entry asks for, if it asks for any.
    pub kind: EntryKind,
}

/// The meaning of one entry of the batch.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryKind {
    /// Make the outputs of this object.
    Work(SourceObject),
    /// There is nothing to do.
    Skip {
        /// The object, if the entry names one.
        object: Option<SourceObject>,
        /// The reason.
        reason: SkipReason,
    },
    /// The entry is none of the accepted shapes.
    Invalid {
        /// The fault, and the shapes that are accepted.
        message: String,
        /// The entry as it was received.
        received: Value,
    },
}

/// Reads a batch. Entries come in the order of the text; an entry that cannot be read is an entry of its own.
///
/// `source_bucket` is the bucket of entries that name only a key.
///
/// # Errors
/// [`BatchError`] if the text is not JSON at all. A bare `s3://bucket/key` is accepted like the JSON string.
pub fn parse(text: &str, source_bucket: Option<&BucketName>) -> Result<Vec<Entry>, BatchError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(BatchError::Empty);
    }
    let batch = if trimmed.starts_with("s3://") {
        Value::String(trimmed.to_owned())
    } else {
        serde_json::from_str(trimmed).map_err(|error| not_json(trimmed, &error))?
    };
    Ok(shapes::read(&batch, source_bucket))
}

fn not_json(text: &str, error: &serde_json::Error) -> BatchError {
    let excerpt = one_line(&text.chars().take(EXCERPT_CHARS).collect::<String>());
    let mut inside = text.trim_start_matches(['[', '{', ' ', '\n', '\t', '\r']).chars();
    let opened = text.starts_with(['{', '[']);
    if opened && inside.next().is_some_and(|first| first.is_alphabetic() || first == '_') {
        BatchError::QuotesRemoved { excerpt }
    } else {
        BatchError::NotJson { excerpt, cause: error.to_string() }
    }
}

/// Marks the entries that are no work: a second entry that names the same object is a duplicate, and an object that
/// lies under `destination` is an output of this configuration.
///
/// Of two entries the later event stays, if S3's sequencers tell which one that is. Otherwise the first stays; if their
/// sizes differ, it loses its size, since that may be the old one.
#[must_use]
pub fn select(entries: Vec<Entry>, destination: &Destination) -> Vec<Entry> {
    let mut selected: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut seen: HashMap<(BucketName, ObjectKey), usize> = HashMap::new();
    for mut entry in entries {
        if let EntryKind::Work(object) = &mut entry.kind {
            let place = (object.bucket.clone(), object.key.clone());
            let earlier = seen.get(&place).and_then(|index| selected.get_mut(*index));
            if destination.contains(object) {
                entry.kind = EntryKind::Skip { object: Some(object.clone()), reason: SkipReason::OwnOutput };
            } else if let Some(Entry { kind: EntryKind::Work(kept), .. }) = earlier {
                let newer = object.is_newer_than(kept);
                if newer == Some(true) {
                    std::mem::swap(kept, object);
                } else if newer.is_none() && kept.size_bytes != object.size_bytes {
                    kept.size_bytes = None;
                }
                kept.attempts = kept.attempts.max(object.attempts);
                entry.kind = EntryKind::Skip { object: Some(object.clone()), reason: SkipReason::Duplicate };
            } else {
                seen.insert(place, selected.len());
            }
        }
        selected.push(entry);
    }
    selected
}

#[cfg(test)]
mod tests;
