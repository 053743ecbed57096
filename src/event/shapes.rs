//! Every shape in which an object can be named: notifications, events, envelopes, lists.

use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{BatchError, EXCERPT_CHARS, Entry, EntryKind, Reference};
use crate::object::{BucketName, NameError, ObjectKey, SourceObject};
use crate::one_line::one_line;
use crate::reason::SkipReason;

/// How often a JSON string in the place of a value is unwrapped.
const MAX_UNWRAPS: u8 = 4;
/// How deep arrays, envelopes and lists may lie in each other.
const MAX_DEPTH: u8 = 32;
/// The most members of an object.
const MAX_MEMBERS: usize = 1000;
/// The longest record, event or object that is read as one: a key of 1,024 bytes, all of them escaped, takes 6 KiB.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// What an entry inherits from the shapes around it.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    bucket: Option<&'a BucketName>,
    unwraps: u8,
    depth: u8,
}

/// Reads entries out of JSON, one level at a time: what lies deeper is text until it is its turn. So the memory is that
/// of the entries, whatever the text is made of.
pub(super) struct ShapeReader<'a> {
    source_bucket: Option<&'a BucketName>,
    most: usize,
    entries: Vec<Entry>,
}

/// The members of an object. Of two of one name the last counts.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The text of a short member.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name)?.get();
        if text.len() > MAX_RECORD_BYTES { None } else { serde_json::from_str(text).ok() }
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            if members.len() == MAX_MEMBERS {
                return Err(serde::de::Error::custom(format!("an object has more than {MAX_MEMBERS} members")));
            }
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Hands the items of an array to a function, one after the other; it returns whether to go on.
struct Items<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> bool> Visitor<'de> for Items<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut goes_on = true;
        while let Some(item) = items.next_element()? {
            goes_on = goes_on && (self.0)(item);
        }
        Ok(())
    }
}

/// The object as `serde_json` reads it: for one that is short.
fn map(raw: &RawValue) -> Result<Map<String, Value>, String> {
    let text = raw.get();
    if text.len() > MAX_RECORD_BYTES {
        return Err(format!("an entry of {} bytes; at most {MAX_RECORD_BYTES} are accepted", text.len()));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl<'a> ShapeReader<'a> {
    /// `source_bucket` is the bucket of entries that name only a key; `most` is the largest number of entries.
    pub(super) const fn new(source_bucket: Option<&'a BucketName>, most: usize) -> Self {
        Self { source_bucket, most, entries: Vec::new() }
    }

    /// All entries, in the order of the text.
    ///
    /// # Errors
    /// [`BatchError::TooManyEntries`].
    pub(super) fn entries(self) -> Result<Vec<Entry>, BatchError> {
        let Self { most, entries, .. } = self;
        if entries.len() > most { Err(BatchError::TooManyEntries { most }) } else { Ok(entries) }
    }

    /// Reads a whole document.
    pub(super) fn document(&mut self, document: &RawValue) {
        self.value(document, "", &self.outermost());
    }

    /// Reads one line of a batch in lines: JSON, `s3://bucket/key`, or a key.
    pub(super) fn line(&mut self, line: &str, pointer: &str) {
        let around = self.outermost();
        let indented = line.trim_start();
        let line = if indented.starts_with("s3://") { indented } else { line };
        match around.bucket.filter(|_| is_bare_key(line) && !line.starts_with("s3://")) {
            Some(bucket) => self.key(line, pointer, bucket),
            None => self.word(line, pointer, &around),
        }
    }

    const fn outermost(&self) -> Surroundings<'a> {
        Surroundings { bucket: self.source_bucket, unwraps: 0, depth: 0 }
    }

    fn push(&mut self, pointer: &str, kind: EntryKind) {
        self.entries.push(Entry { pointer: pointer.to_owned(), is_referenced: false, kind });
    }

    fn invalid(&mut self, pointer: &str, received: impl Into<String>, message: impl Into<String>) {
        self.push(pointer, EntryKind::Invalid { message: message.into(), received: received.into() });
    }

    fn skip(&mut self, pointer: &str, reason: SkipReason) {
        self.push(pointer, EntryKind::Skip { object: None, reason });
    }

    fn object(&mut self, pointer: &str, received: impl Into<String>, object: Result<SourceObject, String>) {
        let kind = match object {
            Err(message) => EntryKind::Invalid { message, received: received.into() },
            Ok(object) if object.key.is_folder_marker(object.size_bytes) => {
                EntryKind::Skip { object: Some(object), reason: SkipReason::FolderMarker }
            }
            Ok(object) => EntryKind::Work(object),
        };
        self.push(pointer, kind);
    }

    fn value(&mut self, value: &RawValue, pointer: &str, around: &Surroundings<'_>) {
        if around.depth == MAX_DEPTH {
            return self.invalid(
                pointer,
                value.get(),
                format!("arrays and objects are nested more than {MAX_DEPTH} deep"),
            );
        }
        let inside = Surroundings { depth: around.depth + 1, ..*around };
        match value.get().as_bytes().first() {
            Some(b'[') => self.items(value, pointer, &inside),
            Some(b'{') => self.members(value, pointer, &inside),
            Some(b'"') => match serde_json::from_str::<String>(value.get()) {
                Ok(text) => self.text(&text, value, pointer, around),
                Err(error) => self.invalid(pointer, value.get(), error.to_string()),
            },
            _ => self.invalid(
                pointer,
                value.get(),
                format!("{} is not an entry; accepted are an object, an array and a string", excerpt(value.get())),
            ),
        }
    }

    fn items(&mut self, list: &RawValue, pointer: &str, around: &Surroundings<'_>) {
        let mut index = 0;
        let read = serde_json::Deserializer::from_str(list.get()).deserialize_seq(Items(|item| {
            self.value(item, &format!("{pointer}/{index}"), around);
            index += 1;
            self.entries.len() <= self.most
        }));
        if let Err(error) = read {
            self.invalid(pointer, list.get(), error.to_string());
        }
    }

    fn text(&mut self, text: &str, received: &RawValue, pointer: &str, around: &Surroundings<'_>) {
        if around.unwraps == MAX_UNWRAPS && !text.starts_with("s3://") {
            return self.invalid(
                pointer,
                received.get(),
                format!("JSON strings are unwrapped {MAX_UNWRAPS} times, this is one more"),
            );
        }
        self.word(text, pointer, &Surroundings { unwraps: around.unwraps + 1, ..*around });
    }

    /// JSON that an envelope carries as text, an `s3://` address, or a key. JSON needs no limit on its depth: each
    /// level doubles the backslashes, so the length of the text limits it.
    fn word(&mut self, text: &str, pointer: &str, around: &Surroundings<'_>) {
        let received = || Value::from(text).to_string();
        if text.starts_with("s3://") {
            return self.object(pointer, received(), from_s3_uri(text));
        }
        match (serde_json::from_str::<&RawValue>(text), around.bucket) {
            (Ok(value), _) => self.value(value, pointer, around),
            (Err(_), Some(bucket)) if is_bare_key(text) => self.key(text, pointer, bucket),
            (Err(error), bucket) => {
                let mut message = format!("\"{}\" is neither JSON ({error}) nor s3://bucket/key", excerpt(text));
                if bucket.is_none() && is_bare_key(text) && !text.contains("://") {
                    message += "; for a key alone, set SOURCE_BUCKET";
                }
                self.invalid(pointer, received(), message);
            }
        }
    }

    fn key(&mut self, key: &str, pointer: &str, bucket: &BucketName) {
        let object = ObjectKey::parse(key).map(|key| SourceObject::new(bucket.clone(), key));
        self.object(pointer, Value::from(key).to_string(), object.map_err(text_of));
    }

    fn members(&mut self, value: &RawValue, pointer: &str, around: &Surroundings<'_>) {
        let members = match serde_json::Deserializer::from_str(value.get()).deserialize_map(MembersVisitor) {
            Ok(members) => members,
            Err(error) => return self.invalid(pointer, value.get(), error.to_string()),
        };
        let text = |name: &str| members.text(name);
        let has = |name: &str| members.has(name);
        if let Some(records) = members.get("Records") {
            self.records(records, value, &members, pointer, around);
        } else if let Some(items) = members.get("Items") {
            self.batcher(items, &members, pointer, around);
        } else if text("Event").as_deref() == Some("s3:TestEvent") {
            self.skip(pointer, SkipReason::TestEvent);
        } else if text("Type").as_deref() == Some("Notification") {
            self.envelope(&members, "Message", value, pointer, around);
        } else if has("s3") || text("eventSource").is_some_and(|source| is_s3_source(&source)) {
            self.leaf(value, pointer, Self::s3_record);
        } else if has("body") {
            self.envelope(&members, "body", value, pointer, around);
        } else if has("Body") {
            self.envelope(&members, "Body", value, pointer, around);
        } else if has("detail") || has("detail-type") {
            self.leaf(value, pointer, Self::eventbridge);
        } else if has("batch") {
            let kind = match map(value).and_then(|members| from_reference(&members)) {
                Ok(reference) => EntryKind::Reference(reference),
                Err(message) => EntryKind::Invalid { message, received: value.get().to_owned() },
            };
            self.push(pointer, kind);
        } else if has("key") || has("Key") {
            self.object(pointer, value.get(), map(value).and_then(|members| from_members(&members, around.bucket)));
        } else {
            let names: Vec<String> =
                members.0.iter().take(8).map(|(name, _)| format!("\"{}\"", excerpt(name))).collect();
            let names = names.join(", ");
            self.invalid(
                pointer,
                value.get(),
                format!(
                    "an object with the members {names}; accepted is an S3 notification, an EventBridge event of \
                     aws.s3, an SNS or SQS envelope of one, {{\"bucket\",\"key\"}}, {{\"batch\"}} or {{\"Items\"}}"
                ),
            );
        }
    }

    /// An object that is read as a whole.
    fn leaf(&mut self, value: &RawValue, pointer: &str, read: fn(&mut Self, &Map<String, Value>, &str, &str)) {
        match map(value) {
            Ok(members) => read(self, &members, value.get(), pointer),
            Err(message) => self.invalid(pointer, value.get(), message),
        }
    }

    /// Reads a list of records. The `attempts` beside the list are added to those of each record.
    fn records(
        &mut self,
        records: &RawValue,
        value: &RawValue,
        members: &Members<'_>,
        pointer: &str,
        around: &Surroundings<'_>,
    ) {
        let tried = match members.get("pixpipe").map(map).transpose() {
            Ok(pixpipe) => attempts(pixpipe.map(Value::Object).as_ref()),
            Err(_) => Ok(0),
        };
        let tried = match tried {
            Ok(tried) => tried,
            Err(message) => return self.invalid(pointer, value.get(), message),
        };
        let begin = self.entries.len();
        self.list(records, &format!("{pointer}/Records"), around);
        for entry in self.entries.iter_mut().skip(begin) {
            entry.kind.add_attempts(tried);
        }
    }

    fn list(&mut self, list: &RawValue, pointer: &str, around: &Surroundings<'_>) {
        if list.get().starts_with('[') {
            self.items(list, pointer, around);
        } else {
            self.invalid(pointer, list.get(), format!("expected an array, received {}", kind_of_raw(list)));
        }
    }

    fn batcher(&mut self, items: &RawValue, members: &Members<'_>, pointer: &str, around: &Surroundings<'_>) {
        let input = members.get("BatchInput");
        let bucket = match input
            .and_then(|input| map(input).ok())
            .as_ref()
            .and_then(|input| ["bucket", "Bucket"].iter().find_map(|name| input.get(*name)))
        {
            None => Ok(None),
            Some(Value::String(name)) => BucketName::parse(name).map(Some).map_err(text_of),
            Some(other) => Err(format!("expected the name of a bucket, received {}", kind_of(other))),
        };
        match bucket {
            Ok(bucket) => {
                let around = Surroundings { bucket: bucket.as_ref().or(around.bucket), ..*around };
                self.list(items, &format!("{pointer}/Items"), &around);
            }
            // The items would have no bucket: they come back together with the input that should name it.
            Err(message) => {
                let input = input.map_or("null", RawValue::get);
                let received = format!("{{\"Items\":{},\"BatchInput\":{input}}}", items.get());
                self.invalid(&format!("{pointer}/BatchInput/bucket"), received, message);
            }
        }
    }

    fn envelope(
        &mut self,
        members: &Members<'_>,
        name: &str,
        value: &RawValue,
        pointer: &str,
        around: &Surroundings<'_>,
    ) {
        let pointer = format!("{pointer}/{name}");
        match members.get(name) {
            Some(text) if text.get().starts_with('"') => match serde_json::from_str::<String>(text.get()) {
                Ok(text) => self.word(&text, &pointer, around),
                Err(error) => self.invalid(&pointer, value.get(), error.to_string()),
            },
            Some(inside) if inside.get().starts_with(['{', '[']) => self.value(inside, &pointer, around),
            other => {
                let received = other.map_or("no member of that name", kind_of_raw);
                self.invalid(&pointer, value.get(), format!("expected JSON, as text or as it is; received {received}"));
            }
        }
    }

    fn s3_record(&mut self, members: &Map<String, Value>, received: &str, pointer: &str) {
        let source = members.get("eventSource");
        if let Some(source) = source.filter(|source| !source.as_str().is_some_and(is_s3_source)) {
            let message = format!("\"eventSource\" is {}; accepted is \"aws:s3\"", shown(source));
            return self.invalid(pointer, received, message);
        }
        match members.get("eventName").map(|name| (name, name.as_str().and_then(notification_creates))) {
            None | Some((_, Some(true))) => self.object(pointer, received, from_s3_record(members)),
            Some((_, Some(false))) => {
                let object = from_s3_record(members).ok();
                self.push(pointer, EntryKind::Skip { object, reason: SkipReason::NotCreated });
            }
            Some((name, None)) => {
                let name = shown(name);
                let message = format!("\"eventName\" is {name}; known are S3's, such as \"ObjectCreated:Put\"");
                self.invalid(pointer, received, message);
            }
        }
    }

    fn eventbridge(&mut self, members: &Map<String, Value>, received: &str, pointer: &str) {
        let source = members.get("source");
        if source.and_then(Value::as_str) != Some("aws.s3") {
            let source = source.map_or("missing".to_owned(), shown);
            return self.invalid(pointer, received, format!("\"source\" is {source}; accepted is \"aws.s3\""));
        }
        match members.get("detail-type").map(|kind| (kind, kind.as_str().and_then(detail_creates))) {
            None | Some((_, Some(true))) => self.object(pointer, received, from_eventbridge(members)),
            Some((_, Some(false))) => {
                let object = from_eventbridge(members).ok();
                self.push(pointer, EntryKind::Skip { object, reason: SkipReason::NotCreated });
            }
            Some((kind, None)) => {
                let message = format!("\"detail-type\" is {}; accepted is \"Object Created\"", shown(kind));
                self.invalid(pointer, received, message);
            }
        }
    }
}

/// The start of a text, on one line.
fn excerpt(text: &str) -> String {
    one_line(&text.chars().take(EXCERPT_CHARS).collect::<String>())
}

/// The start of a value.
fn shown(value: &Value) -> String {
    excerpt(&value.to_string())
}

/// Whether a text that is no JSON may be meant as a key.
pub(super) fn is_bare_key(text: &str) -> bool {
    !text.is_empty() && !text.trim_start().starts_with(['{', '[', '"'])
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

/// A batch that lies in the store.
fn from_reference(members: &Map<String, Value>) -> Result<Reference, String> {
    let address = |name: &str| {
        let text = required_text(members.get(name), name)?;
        from_s3_uri(text).map_err(|message| format!("\"{name}\": {message}"))
    };
    let report = match members.get("report") {
        None | Some(Value::Null) => None,
        Some(_) => Some(address("report")?),
    };
    Ok(Reference { batch: address("batch")?, report, attempts: attempts(members.get("pixpipe"))? })
}

fn from_s3_uri(uri: &str) -> Result<SourceObject, String> {
    let (bucket, key) = uri
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| format!("\"{}\" is not s3://bucket/key", excerpt(uri)))?;
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

fn kind_of_raw(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
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
