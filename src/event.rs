//! The text of a batch → entries → those that are work: `docs/contract.md`, "Shapes of `SQS_BODY`".

mod shapes;

use std::collections::HashMap;

use serde_json::value::RawValue;

use self::shapes::ShapeReader;
use crate::destination::Destination;
use crate::object::{BucketName, ObjectKey, SourceObject};
use crate::one_line::one_line;
use crate::reason::{FailReason, SkipReason};

/// How much of an unreadable batch its error shows, in characters.
const EXCERPT_CHARS: usize = 80;
/// The most entries of one batch.
pub const MAX_ENTRIES: usize = 100_000;

/// Why a text cannot be read as a batch at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is no text.
    #[error(
        "it is empty: a batch is JSON, for example [\"s3://bucket/key\"], an S3 notification or an EventBridge event, \
         or one entry a line (see --help)"
    )]
    Empty,
    /// The text is JSON whose quotes were removed.
    #[error(
        "it is not JSON: it begins with \"{excerpt}\". Its quotes are missing. In a shell, put single quotes around \
         it; in an input template, pass the body whole, as a dynamic path such as $.body"
    )]
    QuotesRemoved {
        /// The first characters.
        excerpt: String,
    },
    /// The text is not JSON.
    #[error("it is not JSON: it begins with \"{excerpt}\" ({cause}){hint}")]
    NotJson {
        /// The first characters.
        excerpt: String,
        /// The parser's words: the fault and its line and column.
        cause: String,
        /// What to do, if that can be told.
        hint: &'static str,
    },
    /// There is more than one task is given.
    #[error("it has more than {most} entries, as many as the memory of this task allows: split it")]
    TooManyEntries {
        /// The most entries.
        most: usize,
    },
}

/// One entry of the batch, and its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// JSON pointer (RFC 6901) into the batch; it goes on inside strings that hold JSON, and inside batches that are
    /// named by reference. A batch in lines counts as an array of them.
    pub pointer: String,
    /// Whether the entry lies in a batch that is kept elsewhere: who gave the batch gives it again if it is unfinished,
    /// so the entry is not handed back.
    pub is_referenced: bool,
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
        /// The entry as it was received: JSON.
        received: String,
    },
    /// Read another batch.
    Reference(Reference),
    /// A reference whose batch could not be read.
    Unread {
        /// The reference.
        reference: Reference,
        /// The reason.
        reason: FailReason,
        /// An explanation for people.
        detail: String,
    },
}

impl EntryKind {
    /// Adds attempts to what may be tried.
    pub(crate) fn add_attempts(&mut self, tried: u32) {
        let attempts = match self {
            Self::Work(object) => &mut object.attempts,
            Self::Reference(reference) => &mut reference.attempts,
            Self::Skip { .. } | Self::Invalid { .. } | Self::Unread { .. } => return,
        };
        *attempts = attempts.saturating_add(tried);
    }
}

/// A batch that lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The object that holds it.
    pub batch: SourceObject,
    /// The object that receives the outcomes.
    pub report: Option<SourceObject>,
    /// How often the batch was tried before.
    pub attempts: u32,
}

/// Reads a batch: JSON, or one entry a line. Entries come in the order of the text; an entry that cannot be read is an
/// entry of its own.
///
/// `source_bucket` is the bucket of entries that name only a key.
///
/// # Errors
/// [`BatchError`] if the text is neither, or has too many entries. A bare `s3://bucket/key` is a line.
pub fn parse(text: &str, source_bucket: Option<&BucketName>) -> Result<Vec<Entry>, BatchError> {
    parse_at_most(text, source_bucket, MAX_ENTRIES)
}

/// As [`parse`], with at most so many entries.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_at_most(
    text: &str,
    source_bucket: Option<&BucketName>,
    most: usize,
) -> Result<Vec<Entry>, BatchError> {
    let text = without_mark(text);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some(first) = lines.next() else { return Err(BatchError::Empty) };
    let is_one = lines.next().is_none();
    let mut reader = ShapeReader::new(source_bucket, most);
    if is_one && source_bucket.is_some() && shapes::is_bare_key(first) {
        reader.line(first, "");
    } else {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(document) => reader.document(document),
            Err(error) if !is_line(first, source_bucket) => return Err(not_json(text.trim(), &error)),
            Err(_) if is_one => reader.line(first, ""),
            Err(_) => return parse_lines(text.lines(), 0, source_bucket, most),
        }
    }
    reader.entries()
}

/// A text without the mark of its byte order, which tools of Windows write.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads at most so many lines of a batch; empty ones are left out. The first line has the number `first`.
///
/// # Errors
/// [`BatchError::TooManyEntries`].
pub(crate) fn parse_lines<'t>(
    lines: impl Iterator<Item = &'t str>,
    first: usize,
    source_bucket: Option<&BucketName>,
    most: usize,
) -> Result<Vec<Entry>, BatchError> {
    let mut reader = ShapeReader::new(source_bucket, most);
    for (number, line) in lines.enumerate() {
        if !line.trim().is_empty() {
            reader.line(line, &format!("/{}", first + number));
        }
    }
    reader.entries()
}

/// Whether a text is a line of a batch in lines.
pub(crate) fn is_line(text: &str, source_bucket: Option<&BucketName>) -> bool {
    let is_key = source_bucket.is_some() && shapes::is_bare_key(text);
    is_key || text.trim_start().starts_with("s3://") || serde_json::from_str::<&RawValue>(text).is_ok()
}

fn not_json(text: &str, error: &serde_json::Error) -> BatchError {
    let excerpt = one_line(&text.chars().take(EXCERPT_CHARS).collect::<String>());
    let mut inside = text.trim_start_matches(['[', '{', ' ', '\n', '\t', '\r']).chars();
    let opened = text.starts_with(['{', '[']);
    if opened && inside.next().is_some_and(|first| first.is_alphabetic() || first == '_') {
        return BatchError::QuotesRemoved { excerpt };
    }
    let hint =
        if shapes::is_bare_key(text) && !text.contains("://") { "; for a key alone, set SOURCE_BUCKET" } else { "" };
    BatchError::NotJson { excerpt, cause: error.to_string(), hint }
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
