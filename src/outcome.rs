//! What became of each record, of the batch, and the exit code that says so: pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::Destination;
use crate::event::SkipReason;
use crate::handback::Message;
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
    pub format: Option<&'static str>,
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

/// The queue that a record is handed back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// `RETRY_QUEUE_URL`: it is worth retrying.
    Retry,
    /// `FAILED_QUEUE_URL`: it failed for good, or was tried often enough.
    Failed,
}

/// The longest time that SQS hides a message.
const MAX_DELAY_SECONDS: u16 = 900;
/// How long a record is hidden that failed for the first time; each further time twice as long.
const FIRST_DELAY_SECONDS: u16 = 15;

impl Outcome {
    /// The queue that the record belongs into; nothing where it has come to its end.
    #[must_use]
    pub fn queue(&self, max_attempts: u32) -> Option<Queue> {
        match &self.status {
            Status::Failed { reason, .. } if reason.is_worth_retrying() && self.attempts < max_attempts => {
                Some(Queue::Retry)
            }
            Status::Failed { .. } => Some(Queue::Failed),
            Status::Written | Status::Skipped(_) => None,
        }
    }

    /// The record as a message: a minimal S3 notification, which is accepted again. What named no object comes back as
    /// it was received, as the member `entry`. Before a retry, a store that does not answer is given time; an interrupted
    /// record is not delayed.
    #[must_use]
    pub fn to_message(&self, queue: Queue) -> Message {
        let Status::Failed { reason, .. } = &self.status else {
            return Message { body: String::new(), delay_seconds: 0 };
        };
        let mut pixpipe = json!({"attempts": self.attempts, "reason": reason.as_str()});
        let record = if let Some(object) = &self.object {
            let known = [
                ("key", Some(Value::from(object.key.form_encoded()))),
                ("size", object.size_bytes.map(Value::from)),
                ("eTag", object.etag.clone().map(Value::from)),
                ("versionId", object.version_id.clone().map(Value::from)),
                ("sequencer", object.sequencer.clone().map(Value::from)),
            ];
            let known: Map<_, _> =
                known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            json!({
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": object.bucket.as_str()}, "object": known},
                "pixpipe": pixpipe,
            })
        } else {
            if let (Some(members), Some(received)) = (pixpipe.as_object_mut(), &self.received) {
                members.insert("entry".to_owned(), received.clone());
            }
            json!({"pixpipe": pixpipe})
        };
        let doublings = self.attempts.saturating_sub(1).min(6);
        let delay_seconds = match (queue, reason) {
            (Queue::Retry, FailReason::StoreUnavailable | FailReason::Conflict) => {
                (FIRST_DELAY_SECONDS << doublings).min(MAX_DELAY_SECONDS)
            }
            _ => 0,
        };
        Message { body: json!({"Records": [record]}).to_string(), delay_seconds }
    }

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

/// The value of the metrics' dimension. CloudWatch accepts printable ASCII, at most 1,024 characters: other bytes are
/// percent-encoded.
fn dimension(destination: &Destination) -> String {
    let printable = |byte: u8| {
        if (b' '..=b'~').contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    let text: String = destination.to_string().bytes().map(printable).collect();
    text.chars().take(1024).collect()
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    written: u64,
    skipped: u64,
    failed: u64,
    handed_back: u64,
    source_bytes: u64,
    broken_profiles: u64,
    unfinished: u64,
    failed_for_good: u64,
}

/// The exit codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Every record was written or skipped, or handed back.
    Done,
    /// At least one record failed for good, and was not handed back.
    Failed,
    /// The command line is not understood.
    Usage,
    /// `SQS_BODY` cannot be read as a batch.
    Batch,
    /// Unfinished work is worth retrying, and was not handed back.
    Retry,
    /// The configuration is at fault.
    Config,
}

impl Exit {
    /// The code, as in `sysexits.h` where that has one.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Batch => 65,
            Self::Retry => 75,
            Self::Config => 78,
        }
    }
}

impl Report {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        self.source_bytes += outcome.facts.source_bytes.unwrap_or(0);
        self.broken_profiles += u64::from(outcome.facts.broken_profile.is_some());
        match &outcome.status {
            Status::Written => self.written += 1,
            Status::Skipped(_) => self.skipped += 1,
            Status::Failed { reason, .. } => {
                self.failed += 1;
                if reason.is_worth_retrying() {
                    self.unfinished += 1;
                } else {
                    self.failed_for_good += 1;
                }
            }
        }
    }

    /// Counts one outcome, added before, as handed back: the exit code no longer tells of it.
    pub fn hand_back(&mut self, outcome: &Outcome) {
        if let Status::Failed { reason, .. } = &outcome.status {
            self.handed_back += 1;
            let count = if reason.is_worth_retrying() { &mut self.unfinished } else { &mut self.failed_for_good };
            *count = count.saturating_sub(1);
        }
    }

    /// The exit code: what is worth retrying counts more than what failed for good.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        if self.unfinished > 0 {
            Exit::Retry
        } else if self.failed_for_good > 0 {
            Exit::Failed
        } else {
            Exit::Done
        }
    }

    /// The summary line, which CloudWatch reads as metrics (embedded metric format). `now`: milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self, destination: &Destination, now_ms: u64, took: Duration) -> Value {
        let metric = |name: &str, unit: &str| json!({"Name": name, "Unit": unit});
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        json!({
            "_aws": {
                "Timestamp": now_ms,
                "CloudWatchMetrics": [{
                    "Namespace": "pixpipe",
                    "Dimensions": [["destination"]],
                    "Metrics": [
                        metric("written", "Count"),
                        metric("skipped", "Count"),
                        metric("failed", "Count"),
                        metric("handed_back", "Count"),
                        metric("broken_profiles", "Count"),
                        metric("source_bytes", "Bytes"),
                        metric("duration_ms", "Milliseconds"),
                    ],
                }],
            },
            "destination": dimension(destination),
            "written": self.written,
            "skipped": self.skipped,
            "failed": self.failed,
            "handed_back": self.handed_back,
            "broken_profiles": self.broken_profiles,
            "source_bytes": self.source_bytes,
            "duration_ms": duration_ms,
            "exit_code": self.exit().code(),
        })
    }

    /// The summary for people.
    #[must_use]
    pub fn to_text(&self, destination: &Destination, took: Duration) -> String {
        let mut text = format!(
            "{} written, {} skipped, {} failed to {destination} in {:.2} s",
            self.written,
            self.skipped,
            self.failed,
            took.as_secs_f64()
        );
        if self.handed_back > 0 {
            text += &format!(", {} handed back", self.handed_back);
        }
        if self.broken_profiles > 0 {
            text += &format!(", {} broken colour profiles ignored", self.broken_profiles);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Entry, EntryKind};
    use crate::object::{BucketName, ObjectKey};

    fn outcome(status: Status) -> Outcome {
        Outcome { pointer: "/0".into(), object: None, received: None, attempts: 1, status, facts: Facts::default() }
    }

    #[test]
    fn the_worst_decides_the_exit_code() {
        let failed = |reason| Status::failed(reason, "");
        let cases = [
            (vec![], 0),
            (vec![Status::Written, Status::Skipped(SkipReason::Unchanged)], 0),
            (vec![Status::Written, failed(FailReason::Corrupt)], 1),
            (vec![failed(FailReason::Corrupt), failed(FailReason::Interrupted)], 75),
            (vec![failed(FailReason::StoreUnavailable), Status::Written], 75),
            (vec![failed(FailReason::Conflict)], 75),
            (vec![failed(FailReason::NotFound)], 1),
            (vec![failed(FailReason::Internal)], 1),
        ];
        for (statuses, code) in cases {
            let mut report = Report::default();
            for status in &statuses {
                report.add(&outcome(status.clone()));
            }
            assert_eq!(report.exit().code(), code, "{statuses:?}");
        }
    }

    #[test]
    fn what_is_handed_back_is_accepted_again() {
        let key = ObjectKey::parse("a b+ü%/1.jpg").expect("a key");
        let object = SourceObject {
            size_bytes: Some(7),
            etag: Some("e".into()),
            version_id: Some("v".into()),
            sequencer: Some("00AA".into()),
            ..SourceObject::new(BucketName::parse("photos").expect("a name"), key)
        };
        let failed = Outcome {
            object: Some(object.clone()),
            attempts: 2,
            ..outcome(Status::failed(FailReason::StoreUnavailable, "no answer"))
        };
        assert_eq!(failed.to_message(Queue::Failed).delay_seconds, 0);
        let message = failed.to_message(Queue::Retry);
        assert_eq!(message.delay_seconds, 30);
        let entries = event::parse(&message.body, None).expect("a batch");
        let [Entry { kind: EntryKind::Work(again), .. }] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(*again, SourceObject { attempts: 2, ..object });
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!(body["Records"][0]["pixpipe"], json!({"attempts": 2, "reason": "store-unavailable"}));
    }

    #[test]
    fn an_entry_that_is_nothing_comes_back_as_it_was() {
        let invalid = Outcome {
            received: Some(json!({"Key": 7})),
            ..outcome(Status::failed(FailReason::InvalidEntry, "\"key\" is a number"))
        };
        let body: Value = serde_json::from_str(&invalid.to_message(Queue::Failed).body).expect("JSON");
        let expected = json!({"attempts": 1, "reason": "invalid-entry", "entry": {"Key": 7}});
        assert_eq!(body["Records"][0]["pixpipe"], expected);
    }

    #[test]
    fn records_are_retried_until_they_were_tried_often_enough() {
        let cases = [
            (Status::Written, 1, None),
            (Status::Skipped(SkipReason::Unchanged), 1, None),
            (Status::failed(FailReason::Corrupt, ""), 1, Some(Queue::Failed)),
            (Status::failed(FailReason::Interrupted, ""), 0, Some(Queue::Retry)),
            (Status::failed(FailReason::StoreUnavailable, ""), 2, Some(Queue::Retry)),
            (Status::failed(FailReason::StoreUnavailable, ""), 3, Some(Queue::Failed)),
            (Status::failed(FailReason::Conflict, ""), 9, Some(Queue::Failed)),
        ];
        for (status, attempts, queue) in cases {
            let outcome = Outcome { attempts, ..outcome(status) };
            assert_eq!(outcome.queue(3), queue, "{outcome:?}");
        }
    }

    #[test]
    fn what_was_handed_back_no_longer_counts() {
        let mut report = Report::default();
        let corrupt = outcome(Status::failed(FailReason::Corrupt, ""));
        let interrupted = outcome(Status::failed(FailReason::Interrupted, ""));
        report.add(&corrupt);
        report.add(&interrupted);
        assert_eq!(report.exit(), Exit::Retry);
        report.hand_back(&interrupted);
        assert_eq!(report.exit(), Exit::Failed);
        report.hand_back(&corrupt);
        assert_eq!((report.exit(), report.failed, report.handed_back), (Exit::Done, 2, 2));
    }

    #[test]
    fn reasons_are_those_of_the_contract() {
        let texts: Vec<_> = FailReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let contract = "not-found access-denied too-many-bytes too-many-pixels unsupported-format truncated corrupt \
                        invalid-entry would-loop conflict interrupted store-unavailable internal";
        assert_eq!(texts.join(" "), contract);
    }

    #[test]
    fn a_line_has_what_is_known() {
        let mut line = outcome(Status::failed(FailReason::Truncated, "the file ends"));
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
