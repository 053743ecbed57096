//! A record's line in the log.
//!
//! The line is also a protocol: a child process reports its record by it (`batch::isolated`), so every field that is
//! written here is read back here.

use std::time::Duration;

use pixpipe_pixels::codec::Format;
use serde_json::{Map, Value, json};

use super::{Facts, Outcome, OutputFacts, Status, Subject};
use crate::object::SourceObject;
use crate::one_line::one_line;
use crate::reason::{FailReason, SkipReason};

impl Outcome {
    /// The log line: one JSON document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut line = Map::new();
        line.insert("status".into(), self.status.as_str().into());
        match &self.subject {
            Subject::Object(object) => {
                line.insert("bucket".into(), object.bucket.as_str().into());
                line.insert("key".into(), object.key.as_str().into());
            }
            Subject::Batch(reference) => {
                line.insert("batch".into(), reference.batch.address().into());
            }
            Subject::Unknown(_) | Subject::Nothing => {
                line.insert("entry".into(), self.pointer.as_str().into());
            }
        }
        match &self.status {
            Status::Written => {}
            Status::Skipped(reason) => {
                line.insert("reason".into(), reason.as_str().into());
            }
            Status::Failed { reason, detail } => {
                line.insert("reason".into(), reason.as_str().into());
                line.insert("detail".into(), detail.as_str().into());
            }
        }
        let facts = &self.facts;
        if !facts.outputs.is_empty() {
            line.insert("outputs".into(), facts.outputs.iter().map(|output| output.key.clone()).collect());
        }
        let known = [
            ("source_bytes", facts.source_bytes.map(Value::from)),
            ("source_width", facts.source_width.map(Value::from)),
            ("source_height", facts.source_height.map(Value::from)),
            ("format", facts.format.map(|format| format.as_str().into())),
            ("orientation", facts.orientation.map(Value::from)),
            ("frames", facts.frames.map(Value::from)),
            ("source_etag", facts.source_etag.clone().map(Value::from)),
            ("source_version_id", facts.source_version_id.clone().map(Value::from)),
            ("source_sha256", facts.source_sha256.clone().map(Value::from)),
            ("files", self.files()),
            ("broken_profile", facts.broken_profile.clone().map(Value::from)),
            ("get_ms", facts.get.map(milliseconds)),
            ("decode_ms", facts.decode.map(milliseconds)),
            ("resize_ms", facts.resize.map(milliseconds)),
            ("encode_ms", facts.encode.map(milliseconds)),
            ("put_ms", facts.put.map(milliseconds)),
        ];
        line.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(line)
    }

    /// The facts about each output, if a manifest is asked for: the line has their keys already.
    fn files(&self) -> Option<Value> {
        let outputs = &self.facts.outputs;
        let are_wanted = outputs.iter().any(|output| output.sha256.is_some());
        if are_wanted { serde_json::to_value(outputs).ok() } else { None }
    }

    /// The line of the manifest: what came of the record, without the times that it took.
    #[must_use]
    pub fn to_manifest(&self) -> Value {
        let Value::Object(mut line) = self.to_json() else { return Value::Null };
        line.retain(|name, _| !name.ends_with("_ms") && name != "outputs");
        if let Some(files) = line.remove("files") {
            line.insert("outputs".into(), files);
        }
        if let Some(label) = self.subject.object().and_then(SourceObject::folder) {
            line.insert("label".into(), label.into());
        }
        Value::Object(line)
    }

    /// Status and facts from a record's log line; `None` if the line is not that of a record.
    #[must_use]
    pub fn from_json(line: &Value) -> Option<(Status, Facts)> {
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let reason = text("reason");
        let status = match text("status")? {
            "written" => Status::Written,
            "skipped" => Status::Skipped(SkipReason::ALL.into_iter().find(|known| Some(known.as_str()) == reason)?),
            "failed" => Status::failed(
                FailReason::ALL.into_iter().find(|known| Some(known.as_str()) == reason)?,
                text("detail").unwrap_or_default(),
            ),
            _ => return None,
        };
        let time = |name: &str| {
            let milliseconds = line.get(name)?.as_f64()?;
            Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
        };
        let pixels = |name: &str| line.get(name)?.as_u64()?.try_into().ok();
        let facts = Facts {
            outputs: outputs(line),
            source_etag: text("source_etag").map(str::to_owned),
            source_version_id: text("source_version_id").map(str::to_owned),
            source_sha256: text("source_sha256").map(str::to_owned),
            source_bytes: line.get("source_bytes").and_then(Value::as_u64),
            source_width: pixels("source_width"),
            source_height: pixels("source_height"),
            format: Format::ALL.into_iter().find(|known| Some(known.as_str()) == text("format")),
            orientation: line.get("orientation").and_then(|value| value.as_u64()?.try_into().ok()),
            frames: pixels("frames"),
            broken_profile: text("broken_profile").map(str::to_owned),
            get: time("get_ms"),
            decode: time("decode_ms"),
            resize: time("resize_ms"),
            encode: time("encode_ms"),
            put: time("put_ms"),
        };
        Some((status, facts))
    }

    /// The log line for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let name = match &self.subject {
            Subject::Object(object) => object.to_string(),
            Subject::Batch(reference) => format!("batch {}", reference.batch),
            Subject::Unknown(_) | Subject::Nothing if self.pointer.is_empty() => "the whole batch".to_owned(),
            Subject::Unknown(_) | Subject::Nothing => format!("entry {}", self.pointer),
        };
        let status = self.status.as_str();
        match &self.status {
            Status::Written => {
                let keys: Vec<&str> = self.facts.outputs.iter().map(|output| output.key.as_str()).collect();
                format!("{status:<8}{name} -> {}", one_line(&keys.join(", ")))
            }
            Status::Skipped(reason) => format!("{status:<8}{name}: {}", reason.as_str()),
            Status::Failed { reason, detail } => {
                format!("{status:<8}{name}: {}: {}", reason.as_str(), one_line(detail))
            }
        }
    }
}

/// The outputs of a line: with all facts, or else their keys alone.
fn outputs(line: &Value) -> Vec<OutputFacts> {
    let files = line.get("files").and_then(|files| serde_json::from_value(files.clone()).ok());
    let keys = || line.get("outputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    files.unwrap_or_else(|| keys().iter().filter_map(Value::as_str).map(OutputFacts::named).collect())
}

/// Milliseconds, to the hundredth.
fn milliseconds(duration: Duration) -> Value {
    let hundredths = duration.as_micros() / 10;
    json!(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_hash(key: &str) -> OutputFacts {
        let text = |text: &str| text.to_owned();
        OutputFacts {
            key: text(key),
            size: text("224x224"),
            bytes: 5,
            etag: text("e"),
            sha256: Some(text("s")),
            spec: text("0123456789abcdef"),
        }
    }

    #[test]
    fn a_line_of_the_manifest_has_the_files_and_the_label() {
        let key = crate::object::ObjectKey::parse("train/cat/1.jpg").expect("a key");
        let bucket = crate::object::BucketName::parse("photos").expect("a name");
        let mut written = Outcome::of(Status::Written);
        written.subject = Subject::Object(SourceObject::new(bucket, key));
        written.facts.outputs = vec![with_hash("224x224/train/cat/1.jpg")];
        written.facts.frames = Some(1);
        written.facts.get = Some(Duration::from_secs(1));
        let file = json!({
            "key": "224x224/train/cat/1.jpg", "size": "224x224", "bytes": 5, "etag": "e", "sha256": "s",
            "spec": "0123456789abcdef",
        });
        let expected = json!({
            "status": "written", "bucket": "photos", "key": "train/cat/1.jpg", "frames": 1, "outputs": [file],
            "label": "cat",
        });
        assert_eq!(written.to_manifest(), expected);
    }

    #[test]
    fn a_line_has_what_is_known() {
        let mut line = Outcome::of(Status::failed(FailReason::Truncated, "the file ends"));
        line.facts.source_bytes = Some(7);
        line.facts.get = Some(Duration::from_micros(1234));
        let expected = json!({
            "status": "failed", "entry": "/0", "reason": "truncated", "detail": "the file ends",
            "source_bytes": 7, "get_ms": 1.23,
        });
        assert_eq!(line.to_json(), expected);
        assert_eq!(line.to_text(), "failed  entry /0: truncated: the file ends");
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let facts = Facts {
            outputs: ["224x224/a \u{1f4f7}.jpg", "299x299/a.jpg"].map(with_hash).into(),
            source_etag: Some("d41d".into()),
            source_version_id: Some("v1".into()),
            source_sha256: Some("e3b0".into()),
            orientation: Some(6),
            frames: Some(12),
            source_bytes: Some(u64::MAX),
            source_width: Some(4032),
            source_height: Some(3024),
            format: Some(Format::Jpeg),
            broken_profile: Some("too short".into()),
            get: Some(Duration::from_micros(12_340)),
            decode: Some(Duration::from_micros(10)),
            resize: Some(Duration::ZERO),
            encode: Some(Duration::from_hours(1)),
            put: None,
        };
        let mut statuses = vec![Status::Written];
        statuses.extend(SkipReason::ALL.map(Status::Skipped));
        statuses.extend(FailReason::ALL.map(|reason| Status::failed(reason, "why \"so\"")));
        for status in statuses {
            let outcome = Outcome { facts: facts.clone(), ..Outcome::of(status.clone()) };
            assert_eq!(Outcome::from_json(&outcome.to_json()), Some((status, facts.clone())));
        }
        for other in
            [json!({"_aws": {}}), json!({"status": "done"}), json!({"status": "failed", "reason": "x"}), json!(7)]
        {
            assert_eq!(Outcome::from_json(&other), None, "{other}");
        }
    }
}
