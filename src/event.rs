//! The text of `SQS_BODY` → entries: every accepted shape, in any mix and nesting (contract, section 2).

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::object::{BucketName, NameError, ObjectKey, SourceObject};

/// How often a JSON string in the place of a value is unwrapped.
const MAX_UNWRAPS: u8 = 4;
/// How much of an unreadable batch its error shows, in characters.
const EXCERPT_CHARS: usize = 80;

/// `SQS_BODY` cannot be read as a batch at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is no text.
    #[error("SQS_BODY is empty; accepted is JSON: an S3 notification, an EventBridge event, an array of them, …")]
    Empty,
    /// The text is JSON whose quotes were removed.
    #[error(
        "SQS_BODY is not JSON: it begins with \"{excerpt}\"; an input template removed the quotes: hand the body over \
         whole, as a dynamic path such as $.body"
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
        /// What the parser met, and where.
        cause: String,
    },
}

/// One entry of the batch, and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// JSON pointer (RFC 6901) into the batch; it goes on inside strings that hold JSON.
    pub pointer: String,
    /// What the entry asks for.
    pub kind: EntryKind,
}

/// What one entry of the batch asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryKind {
    /// Make the outputs of this object.
    Work(SourceObject),
    /// Nothing is to be done, for this reason.
    Skip {
        /// The object, where the entry names one.
        object: Option<SourceObject>,
        /// Why.
        reason: SkipReason,
    },
    /// The entry is none of the accepted shapes.
    Invalid {
        /// What was received and what is accepted.
        message: String,
        /// The entry as it was received.
        received: Value,
    },
}

/// Why an entry or a record is no work.
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

/// Reads a batch. Entries come in the order of the text; an entry that cannot be read is an entry of its own.
///
/// `source_bucket` is the bucket of entries that name only a key.
///
/// # Errors
/// [`BatchError`] where the text is not JSON at all. A bare `s3://bucket/key` is accepted like the JSON string.
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
    let mut reader = Reader { entries: Vec::new() };
    reader.value(&batch, "", &Context { bucket: source_bucket, unwraps: 0 });
    Ok(reader.entries)
}

fn not_json(text: &str, error: &serde_json::Error) -> BatchError {
    let excerpt: String = text.chars().take(EXCERPT_CHARS).flat_map(char::escape_debug).collect();
    let mut inside = text.trim_start_matches(['[', '{', ' ', '\n', '\t', '\r']).chars();
    let opened = text.starts_with(['{', '[']);
    if opened && inside.next().is_some_and(|first| first.is_alphabetic() || first == '_') {
        BatchError::QuotesRemoved { excerpt }
    } else {
        BatchError::NotJson { excerpt, cause: error.to_string() }
    }
}

/// Marks what the entries of one batch have in common: the second of two that name the same object is a duplicate,
/// and what this configuration wrote itself is no work.
///
/// Of two entries the later event stays, where S3's sequencers tell; otherwise the first stays and forgets its size,
/// so that no stale size decides.
#[must_use]
pub fn select(entries: Vec<Entry>, is_own_output: impl Fn(&SourceObject) -> bool) -> Vec<Entry> {
    let mut selected: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut seen: HashMap<(BucketName, ObjectKey), usize> = HashMap::new();
    for mut entry in entries {
        if let EntryKind::Work(object) = &mut entry.kind {
            let place = (object.bucket.clone(), object.key.clone());
            let earlier = seen.get(&place).and_then(|index| selected.get_mut(*index));
            if is_own_output(object) {
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

/// What an entry inherits from what is around it.
#[derive(Clone, Copy)]
struct Context<'a> {
    bucket: Option<&'a BucketName>,
    unwraps: u8,
}

struct Reader {
    entries: Vec<Entry>,
}

impl Reader {
    fn push(&mut self, pointer: &str, kind: EntryKind) {
        self.entries.push(Entry { pointer: pointer.to_owned(), kind });
    }

    fn invalid(&mut self, pointer: &str, received: Value, message: impl Into<String>) {
        self.push(pointer, EntryKind::Invalid { message: message.into(), received });
    }

    fn skip(&mut self, pointer: &str, reason: SkipReason) {
        self.push(pointer, EntryKind::Skip { object: None, reason });
    }

    fn object(&mut self, pointer: &str, received: Value, object: Result<SourceObject, String>) {
        let kind = match object {
            Err(message) => EntryKind::Invalid { message, received },
            Ok(object) if object.is_folder_marker(object.size_bytes) => {
                EntryKind::Skip { object: Some(object), reason: SkipReason::FolderMarker }
            }
            Ok(object) => EntryKind::Work(object),
        };
        self.push(pointer, kind);
    }

    fn value(&mut self, value: &Value, pointer: &str, context: &Context<'_>) {
        match value {
            Value::Array(items) => self.items(items, pointer, context),
            Value::Object(members) => self.members(members, pointer, context),
            Value::String(text) => self.text(text, pointer, context),
            other => self.invalid(
                pointer,
                other.clone(),
                format!("{other} is no entry; accepted is an object, an array or a string"),
            ),
        }
    }

    fn items(&mut self, items: &[Value], pointer: &str, context: &Context<'_>) {
        for (index, item) in items.iter().enumerate() {
            self.value(item, &format!("{pointer}/{index}"), context);
        }
    }

    fn text(&mut self, text: &str, pointer: &str, context: &Context<'_>) {
        if text.starts_with("s3://") {
            return self.object(pointer, text.into(), from_s3_uri(text));
        }
        if context.unwraps == MAX_UNWRAPS {
            return self.invalid(
                pointer,
                text.into(),
                format!("JSON strings are unwrapped {MAX_UNWRAPS} times, this is one more"),
            );
        }
        self.embedded(text, pointer, &Context { unwraps: context.unwraps + 1, ..*context });
    }

    /// JSON that an envelope carries as text. Its nesting is bounded by its length: each level doubles the escapes.
    fn embedded(&mut self, text: &str, pointer: &str, context: &Context<'_>) {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.value(&value, pointer, context),
            Err(_) if text.starts_with("s3://") => self.object(pointer, text.into(), from_s3_uri(text)),
            Err(error) => {
                let excerpt: String = text.chars().take(EXCERPT_CHARS).collect();
                self.invalid(
                    pointer,
                    text.into(),
                    format!("{excerpt:?} is neither JSON ({error}) nor s3://bucket/key"),
                );
            }
        }
    }

    fn members(&mut self, members: &Map<String, Value>, pointer: &str, context: &Context<'_>) {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let Some(records) = members.get("Records") {
            self.records(records, members, pointer, context);
        } else if let Some(items) = members.get("Items") {
            self.batcher(items, members.get("BatchInput"), pointer, context);
        } else if text("Event") == Some("s3:TestEvent") {
            self.skip(pointer, SkipReason::TestEvent);
        } else if text("Type") == Some("Notification") {
            self.envelope(members, "Message", pointer, context);
        } else if members.contains_key("s3") || text("eventSource").is_some_and(is_s3_source) {
            self.s3_record(members, pointer);
        } else if members.contains_key("body") {
            self.envelope(members, "body", pointer, context);
        } else if members.contains_key("Body") {
            self.envelope(members, "Body", pointer, context);
        } else if members.contains_key("detail") || members.contains_key("detail-type") {
            self.eventbridge(members, pointer);
        } else if members.contains_key("key") || members.contains_key("Key") {
            self.object(pointer, members.clone().into(), from_members(members, context.bucket));
        } else {
            let names: Vec<&str> = members.keys().take(8).map(String::as_str).collect();
            self.invalid(
                pointer,
                members.clone().into(),
                format!(
                    "an object with the members {names:?}; accepted is an S3 notification, an EventBridge event of \
                     aws.s3, an SNS or SQS envelope of one, {{\"bucket\",\"key\"}}, or {{\"Items\"}}"
                ),
            );
        }
    }

    /// All records of a batch that was tried before have that behind them, whatever each says of itself.
    fn records(&mut self, records: &Value, members: &Map<String, Value>, pointer: &str, context: &Context<'_>) {
        let tried = match attempts(members.get("pixpipe")) {
            Ok(tried) => tried,
            Err(message) => return self.invalid(pointer, members.clone().into(), message),
        };
        let begin = self.entries.len();
        self.list(records, &format!("{pointer}/Records"), context);
        for entry in self.entries.iter_mut().skip(begin) {
            if let EntryKind::Work(object) = &mut entry.kind {
                object.attempts = object.attempts.saturating_add(tried);
            }
        }
    }

    fn list(&mut self, list: &Value, pointer: &str, context: &Context<'_>) {
        match list {
            Value::Array(items) => self.items(items, pointer, context),
            other => self.invalid(pointer, other.clone(), format!("expected an array, received {}", kind_of(other))),
        }
    }

    fn batcher(&mut self, items: &Value, input: Option<&Value>, pointer: &str, context: &Context<'_>) {
        let bucket = match input.and_then(|input| member(input, &["bucket", "Bucket"])) {
            None => Ok(None),
            Some(Value::String(name)) => BucketName::parse(name).map(Some).map_err(|error| error.to_string()),
            Some(other) => Err(format!("expected the name of a bucket, received {}", kind_of(other))),
        };
        match bucket {
            Ok(bucket) => {
                let context = Context { bucket: bucket.as_ref().or(context.bucket), ..*context };
                self.list(items, &format!("{pointer}/Items"), &context);
            }
            // The items would have no bucket: they come back together with what should have told it.
            Err(message) => {
                let received = serde_json::json!({"Items": items, "BatchInput": input});
                self.invalid(&format!("{pointer}/BatchInput/bucket"), received, message);
            }
        }
    }

    fn envelope(&mut self, members: &Map<String, Value>, name: &str, pointer: &str, context: &Context<'_>) {
        let pointer = format!("{pointer}/{name}");
        match members.get(name) {
            Some(Value::String(text)) => self.embedded(text, &pointer, context),
            Some(value @ (Value::Object(_) | Value::Array(_))) => self.value(value, &pointer, context),
            other => {
                let received = other.map_or("nothing", kind_of);
                self.invalid(
                    &pointer,
                    members.clone().into(),
                    format!("expected JSON, as text or as it is; received {received}"),
                );
            }
        }
    }

    fn s3_record(&mut self, members: &Map<String, Value>, pointer: &str) {
        let source = members.get("eventSource");
        if let Some(source) = source.filter(|source| !source.as_str().is_some_and(is_s3_source)) {
            return self.invalid(
                pointer,
                members.clone().into(),
                format!("\"eventSource\" is {source}; accepted is \"aws:s3\""),
            );
        }
        match members.get("eventName").map(|name| (name, name.as_str().and_then(notification_creates))) {
            None | Some((_, Some(true))) => self.object(pointer, members.clone().into(), from_s3_record(members)),
            Some((_, Some(false))) => {
                let object = from_s3_record(members).ok();
                self.push(pointer, EntryKind::Skip { object, reason: SkipReason::NotCreated });
            }
            Some((name, None)) => {
                self.invalid(
                    pointer,
                    members.clone().into(),
                    format!("\"eventName\" is {name}; known are S3's, such as \"ObjectCreated:Put\""),
                );
            }
        }
    }

    fn eventbridge(&mut self, members: &Map<String, Value>, pointer: &str) {
        let source = members.get("source").and_then(Value::as_str);
        if source != Some("aws.s3") {
            return self.invalid(
                pointer,
                members.clone().into(),
                format!("\"source\" is {source:?}; accepted is \"aws.s3\""),
            );
        }
        match members.get("detail-type").map(|kind| (kind, kind.as_str().and_then(detail_creates))) {
            None | Some((_, Some(true))) => self.object(pointer, members.clone().into(), from_eventbridge(members)),
            Some((_, Some(false))) => {
                let object = from_eventbridge(members).ok();
                self.push(pointer, EntryKind::Skip { object, reason: SkipReason::NotCreated });
            }
            Some((kind, None)) => {
                self.invalid(
                    pointer,
                    members.clone().into(),
                    format!("\"detail-type\" is {kind}; accepted is \"Object Created\""),
                );
            }
        }
    }
}

/// AWS's own, and the names that S3-compatible stores put there (`minio:s3`, `ceph:s3`).
fn is_s3_source(source: &str) -> bool {
    source.ends_with(":s3")
}

/// Whether a notification of this name means a new object; nothing for a name that S3 does not document.
fn notification_creates(event_name: &str) -> Option<bool> {
    let name = event_name.strip_prefix("s3:").unwrap_or(event_name);
    let family = name.split(':').next().unwrap_or(name);
    match family {
        "ObjectCreated" => Some(true),
        "ObjectRemoved"
        | "ObjectTagging"
        | "ObjectAcl"
        | "ObjectRestore"
        | "ObjectAccessed"
        | "Replication"
        | "LifecycleExpiration"
        | "LifecycleTransition"
        | "IntelligentTiering"
        | "ReducedRedundancyLostObject"
        | "TestEvent" => Some(false),
        _ => None,
    }
}

/// Whether an EventBridge event of this type means a new object; nothing for a type that S3 does not document.
fn detail_creates(detail_type: &str) -> Option<bool> {
    match detail_type {
        "Object Created" => Some(true),
        "Object Deleted"
        | "Object Restore Initiated"
        | "Object Restore Completed"
        | "Object Restore Expired"
        | "Object Storage Class Changed"
        | "Object Access Tier Changed"
        | "Object ACL Updated"
        | "Object Tags Added"
        | "Object Tags Deleted" => Some(false),
        _ => None,
    }
}

fn from_s3_record(members: &Map<String, Value>) -> Result<SourceObject, String> {
    let s3 = members.get("s3").ok_or("\"s3\" is missing")?;
    let bucket = required_text(s3.get("bucket").and_then(|bucket| bucket.get("name")), "s3.bucket.name")?;
    let object = s3.get("object").ok_or("\"s3.object\" is missing")?;
    let key = required_text(object.get("key"), "s3.object.key")?;
    let bucket = BucketName::parse(bucket).map_err(text_of)?;
    let key = ObjectKey::parse_form_encoded(key).map_err(text_of)?;
    Ok(SourceObject {
        size_bytes: size(object.get("size"))?,
        etag: etag(object.get("eTag")),
        version_id: optional_text(object.get("versionId")),
        sequencer: optional_text(object.get("sequencer")),
        attempts: attempts(members.get("pixpipe"))?,
        ..SourceObject::new(bucket, key)
    })
}

fn from_eventbridge(members: &Map<String, Value>) -> Result<SourceObject, String> {
    let detail = members.get("detail").ok_or("\"detail\" is missing")?;
    let bucket = required_text(detail.get("bucket").and_then(|bucket| bucket.get("name")), "detail.bucket.name")?;
    let object = detail.get("object").ok_or("\"detail.object\" is missing")?;
    let key = required_text(object.get("key"), "detail.object.key")?;
    let bucket = BucketName::parse(bucket).map_err(text_of)?;
    let key = ObjectKey::parse(key).map_err(text_of)?;
    Ok(SourceObject {
        size_bytes: size(object.get("size"))?,
        etag: etag(object.get("etag")),
        version_id: optional_text(object.get("version-id")),
        sequencer: optional_text(object.get("sequencer")),
        attempts: attempts(members.get("pixpipe"))?,
        ..SourceObject::new(bucket, key)
    })
}

fn from_members(members: &Map<String, Value>, default_bucket: Option<&BucketName>) -> Result<SourceObject, String> {
    let any = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
    let key = ObjectKey::parse(required_text(any(&["key", "Key"]), "key")?).map_err(text_of)?;
    let bucket = match any(&["bucket", "Bucket"]) {
        None => default_bucket
            .cloned()
            .ok_or("no bucket: neither \"bucket\" here or in \"BatchInput\", nor SOURCE_BUCKET")?,
        bucket => BucketName::parse(required_text(bucket, "bucket")?).map_err(text_of)?,
    };
    Ok(SourceObject {
        size_bytes: size(any(&["size", "Size"]))?,
        etag: etag(any(&["etag", "Etag", "ETag", "eTag"])),
        version_id: optional_text(any(&["versionId", "VersionId"])),
        sequencer: optional_text(any(&["sequencer"])),
        attempts: attempts(any(&["pixpipe"]))?,
        ..SourceObject::new(bucket, key)
    })
}

fn from_s3_uri(uri: &str) -> Result<SourceObject, String> {
    let (bucket, key) = uri
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| format!("{uri:?} is not s3://bucket/key"))?;
    Ok(SourceObject::new(BucketName::parse(bucket).map_err(text_of)?, ObjectKey::parse(key).map_err(text_of)?))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn text_of(error: NameError) -> String {
    error.to_string()
}

fn required_text<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a str, String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("\"{name}\" is {}; accepted is a string", kind_of(other))),
        None => Err(format!("\"{name}\" is missing")),
    }
}

/// What only helps is not worth refusing a record for.
fn optional_text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn etag(value: Option<&Value>) -> Option<String> {
    optional_text(value).map(|etag| etag.trim_matches('"').to_owned())
}

/// Bytes, as a number or, as inventories and CSV readers give it, as digits in a string.
fn size(value: Option<&Value>) -> Result<Option<u64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str().and_then(|digits| digits.parse().ok()))
            .map(Some)
            .ok_or_else(|| format!("the size is {value}; accepted is a number of bytes")),
    }
}

fn attempts(pixpipe: Option<&Value>) -> Result<u32, String> {
    match pixpipe.and_then(|pixpipe| pixpipe.get("attempts")) {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .and_then(|attempts| u32::try_from(attempts).ok())
            .ok_or_else(|| format!("\"pixpipe.attempts\" is {value}; accepted is a count")),
    }
}

fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(*name))
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
