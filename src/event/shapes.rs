//! Every shape in which an object can be named: notifications, events, envelopes, lists.

use serde_json::{Map, Value};

use super::{EXCERPT_CHARS, Entry, EntryKind};
use crate::object::{BucketName, NameError, ObjectKey, SourceObject};
use crate::one_line::one_line;
use crate::reason::SkipReason;

/// How often a JSON string in the place of a value is unwrapped.
const MAX_UNWRAPS: u8 = 4;

/// The bucket and the depth that an entry inherits from the shapes around it.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    bucket: Option<&'a BucketName>,
    unwraps: u8,
}

/// All entries of a batch, in the order of the text. `source_bucket` is the bucket of entries that name only a key.
pub(super) fn read(batch: &Value, source_bucket: Option<&BucketName>) -> Vec<Entry> {
    let mut reader = ShapeReader { entries: Vec::new() };
    reader.value(batch, "", &Surroundings { bucket: source_bucket, unwraps: 0 });
    reader.entries
}

struct ShapeReader {
    entries: Vec<Entry>,
}

impl ShapeReader {
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
            Ok(object) if object.key.is_folder_marker(object.size_bytes) => {
                EntryKind::Skip { object: Some(object), reason: SkipReason::FolderMarker }
            }
            Ok(object) => EntryKind::Work(object),
        };
        self.push(pointer, kind);
    }

    fn value(&mut self, value: &Value, pointer: &str, around: &Surroundings<'_>) {
        match value {
            Value::Array(items) => self.items(items, pointer, around),
            Value::Object(members) => self.members(members, pointer, around),
            Value::String(text) => self.text(text, pointer, around),
            other => self.invalid(
                pointer,
                other.clone(),
                format!("{other} is not an entry; accepted are an object, an array and a string"),
            ),
        }
    }

    fn items(&mut self, items: &[Value], pointer: &str, around: &Surroundings<'_>) {
        for (index, item) in items.iter().enumerate() {
            self.value(item, &format!("{pointer}/{index}"), around);
        }
    }

    fn text(&mut self, text: &str, pointer: &str, around: &Surroundings<'_>) {
        if text.starts_with("s3://") {
            return self.object(pointer, text.into(), from_s3_uri(text));
        }
        if around.unwraps == MAX_UNWRAPS {
            return self.invalid(
                pointer,
                text.into(),
                format!("JSON strings are unwrapped {MAX_UNWRAPS} times, this is one more"),
            );
        }
        self.embedded(text, pointer, &Surroundings { unwraps: around.unwraps + 1, ..*around });
    }

    /// JSON that an envelope carries as text. It needs no limit of depth: each level doubles the backslashes, so the
    /// length of the text limits it.
    fn embedded(&mut self, text: &str, pointer: &str, around: &Surroundings<'_>) {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.value(&value, pointer, around),
            Err(_) if text.starts_with("s3://") => self.object(pointer, text.into(), from_s3_uri(text)),
            Err(error) => {
                let excerpt = one_line(&text.chars().take(EXCERPT_CHARS).collect::<String>());
                self.invalid(
                    pointer,
                    text.into(),
                    format!("\"{excerpt}\" is neither JSON ({error}) nor s3://bucket/key"),
                );
            }
        }
    }

    fn members(&mut self, members: &Map<String, Value>, pointer: &str, around: &Surroundings<'_>) {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let Some(records) = members.get("Records") {
            self.records(records, members, pointer, around);
        } else if let Some(items) = members.get("Items") {
            self.batcher(items, members.get("BatchInput"), pointer, around);
        } else if text("Event") == Some("s3:TestEvent") {
            self.skip(pointer, SkipReason::TestEvent);
        } else if text("Type") == Some("Notification") {
            self.envelope(members, "Message", pointer, around);
        } else if members.contains_key("s3") || text("eventSource").is_some_and(is_s3_source) {
            self.s3_record(members, pointer);
        } else if members.contains_key("body") {
            self.envelope(members, "body", pointer, around);
        } else if members.contains_key("Body") {
            self.envelope(members, "Body", pointer, around);
        } else if members.contains_key("detail") || members.contains_key("detail-type") {
            self.eventbridge(members, pointer);
        } else if members.contains_key("key") || members.contains_key("Key") {
            self.object(pointer, members.clone().into(), from_members(members, around.bucket));
        } else {
            let names: Vec<String> = members.keys().take(8).map(|name| format!("\"{}\"", one_line(name))).collect();
            let names = names.join(", ");
            self.invalid(
                pointer,
                members.clone().into(),
                format!(
                    "an object with the members {names}; accepted is an S3 notification, an EventBridge event of \
                     aws.s3, an SNS or SQS envelope of one, {{\"bucket\",\"key\"}}, or {{\"Items\"}}"
                ),
            );
        }
    }

    /// Reads a list of records. The `attempts` beside the list are added to those of each record.
    fn records(&mut self, records: &Value, members: &Map<String, Value>, pointer: &str, around: &Surroundings<'_>) {
        let tried = match attempts(members.get("pixpipe")) {
            Ok(tried) => tried,
            Err(message) => return self.invalid(pointer, members.clone().into(), message),
        };
        let begin = self.entries.len();
        self.list(records, &format!("{pointer}/Records"), around);
        for entry in self.entries.iter_mut().skip(begin) {
            if let EntryKind::Work(object) = &mut entry.kind {
                object.attempts = object.attempts.saturating_add(tried);
            }
        }
    }

    fn list(&mut self, list: &Value, pointer: &str, around: &Surroundings<'_>) {
        match list {
            Value::Array(items) => self.items(items, pointer, around),
            other => self.invalid(pointer, other.clone(), format!("expected an array, received {}", kind_of(other))),
        }
    }

    fn batcher(&mut self, items: &Value, input: Option<&Value>, pointer: &str, around: &Surroundings<'_>) {
        let bucket = match input.and_then(|input| member(input, &["bucket", "Bucket"])) {
            None => Ok(None),
            Some(Value::String(name)) => BucketName::parse(name).map(Some).map_err(|error| error.to_string()),
            Some(other) => Err(format!("expected the name of a bucket, received {}", kind_of(other))),
        };
        match bucket {
            Ok(bucket) => {
                let around = Surroundings { bucket: bucket.as_ref().or(around.bucket), ..*around };
                self.list(items, &format!("{pointer}/Items"), &around);
            }
            // The items would have no bucket: they come back together with the input that should name it.
            Err(message) => {
                let received = serde_json::json!({"Items": items, "BatchInput": input});
                self.invalid(&format!("{pointer}/BatchInput/bucket"), received, message);
            }
        }
    }

    fn envelope(&mut self, members: &Map<String, Value>, name: &str, pointer: &str, around: &Surroundings<'_>) {
        let pointer = format!("{pointer}/{name}");
        match members.get(name) {
            Some(Value::String(text)) => self.embedded(text, &pointer, around),
            Some(value @ (Value::Object(_) | Value::Array(_))) => self.value(value, &pointer, around),
            other => {
                let received = other.map_or("no member of that name", kind_of);
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
        let source = members.get("source");
        if source.and_then(Value::as_str) != Some("aws.s3") {
            let received = source.map_or("missing".to_owned(), Value::to_string);
            let message = format!("\"source\" is {received}; accepted is \"aws.s3\"");
            return self.invalid(pointer, members.clone().into(), message);
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

/// Whether a notification of this name means a new object; `None` for a name that S3 does not document.
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

/// Whether an EventBridge event of this type means a new object; `None` for a type that S3 does not document.
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
        .ok_or_else(|| format!("\"{}\" is not s3://bucket/key", one_line(uri)))?;
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

/// An optional member: a record is not refused for it.
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

/// A count, in any spelling that launchers in other languages use: `2`, `2.0`, `"2"`, or `null` for none.
fn attempts(pixpipe: Option<&Value>) -> Result<u32, String> {
    let Some(value) = pixpipe.and_then(|pixpipe| pixpipe.get("attempts")).filter(|value| !value.is_null()) else {
        return Ok(0);
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let digits = text.strip_suffix(".0").unwrap_or(&text);
    digits.parse().map_err(|_| format!("\"pixpipe.attempts\" is {value}; accepted is a count"))
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
