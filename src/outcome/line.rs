//! A record's line in the log.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Outcome, Status};

impl Outcome {
    /// The log line: one JSON document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut line = Map::new();
        line.insert("status".into(), self.status.as_str().into());
        match &self.object {
            Some(object) => {
                line.insert("bucket".into(), object.bucket.as_str().into());
                line.insert("key".into(), object.key.as_str().into());
            }
            None => {
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
            line.insert("outputs".into(), facts.outputs.clone().into());
        }
        let known = [
            ("source_bytes", facts.source_bytes.map(Value::from)),
            ("source_width", facts.source_width.map(Value::from)),
            ("source_height", facts.source_height.map(Value::from)),
            ("format", facts.format.map(Value::from)),
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

    /// The log line for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let what = match &self.object {
            Some(object) => format!("s3://{}/{}", object.bucket, object.key.as_str().escape_debug()),
            None => format!("entry {}", self.pointer),
        };
        let status = self.status.as_str();
        match &self.status {
            Status::Written => format!("{status:<8}{what} -> {}", self.facts.outputs.join(", ").escape_debug()),
            Status::Skipped(reason) => format!("{status:<8}{what}: {}", reason.as_str()),
            Status::Failed { reason, detail } => {
                format!("{status:<8}{what}: {}: {}", reason.as_str(), detail.escape_debug())
            }
        }
    }
}

/// Milliseconds, to the hundredth.
fn milliseconds(duration: Duration) -> Value {
    let hundredths = duration.as_micros() / 10;
    json!(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::FailReason;

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
}
