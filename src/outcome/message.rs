//! A record that goes back to a queue.

use serde_json::{Map, Value, json};

use super::{Outcome, Status, Subject};
use crate::reason::FailReason;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its text.
    pub body: String,
    /// How long it stays hidden: 0..=900 s.
    pub delay_seconds: u16,
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
/// The delay after the first failure; it doubles with each further one.
const FIRST_DELAY_SECONDS: u16 = 15;
/// The longest entry that comes back whole: a message of SQS has 256 KiB in every queue.
const MAX_ENTRY_BYTES: usize = 200 << 10;
/// The part of a longer one that comes back, in characters.
const EXCERPT_CHARS: usize = 1000;

impl Outcome {
    /// The queue that the record goes to, and the message; `None` unless the record failed. A record of a batch that is
    /// kept elsewhere goes to no retry queue, and neither does such a batch: who gave it gives it again.
    ///
    /// The message is a minimal S3 notification, which is accepted again; a batch that could not be read is its
    /// reference. An entry that named neither comes back as it was received, as the member `entry`. A retry is delayed
    /// if the store did not answer or other tasks were in the way; an interrupted record is not.
    #[must_use]
    pub fn hand_back(&self, max_attempts: u32) -> Option<(Queue, Message)> {
        let Status::Failed { reason, .. } = &self.status else { return None };
        let is_batch = matches!(self.subject, Subject::Batch(_));
        if is_batch && reason.is_worth_retrying() {
            // A message would name a batch that its launcher deletes as soon as this task has handed all back.
            return None;
        }
        let queue =
            if reason.is_worth_retrying() && self.attempts < max_attempts { Queue::Retry } else { Queue::Failed };
        if queue == Queue::Retry && self.is_referenced {
            return None;
        }
        let pixpipe = json!({"attempts": self.attempts, "reason": reason.as_str()});
        let body = match &self.subject {
            Subject::Object(object) => {
                let known = [
                    ("key", Some(Value::from(object.key.form_encoded()))),
                    ("size", object.size_bytes.map(Value::from)),
                    ("eTag", object.etag.clone().map(Value::from)),
                    ("versionId", object.version_id.clone().map(Value::from)),
                    ("sequencer", object.sequencer.clone().map(Value::from)),
                ];
                let known: Map<_, _> =
                    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
                json!({"Records": [{
                    "eventSource": "aws:s3",
                    "eventName": "ObjectCreated:Put",
                    "s3": {"bucket": {"name": object.bucket.as_str()}, "object": known},
                    "pixpipe": pixpipe,
                }]})
            }
            Subject::Batch(reference) => {
                let batch = reference.batch.address();
                match &reference.report {
                    Some(report) => json!({"batch": batch, "report": report.address(), "pixpipe": pixpipe}),
                    None => json!({"batch": batch, "pixpipe": pixpipe}),
                }
            }
            Subject::Unknown(received) => {
                let (attempts, reason) = (self.attempts, reason.as_str());
                let pixpipe = json!({"attempts": attempts, "reason": reason, "entry": entry(received)});
                json!({"Records": [{"pixpipe": pixpipe}]})
            }
            Subject::Nothing => json!({"Records": [{"pixpipe": pixpipe}]}),
        };
        let doublings = self.attempts.saturating_sub(1).min(6);
        let delay_seconds = match (queue, reason) {
            (Queue::Retry, FailReason::StoreUnavailable | FailReason::Conflict) => {
                (FIRST_DELAY_SECONDS << doublings).min(MAX_DELAY_SECONDS)
            }
            _ => 0,
        };
        Some((queue, Message { body: body.to_string(), delay_seconds }))
    }
}

/// An entry as it was received; the start of one that no message could hold.
fn entry(received: &str) -> Value {
    let whole = (received.len() <= MAX_ENTRY_BYTES).then(|| serde_json::from_str(received).ok()).flatten();
    whole.unwrap_or_else(|| received.chars().take(EXCERPT_CHARS).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Entry, EntryKind, Reference};
    use crate::object::{BucketName, ObjectKey, SourceObject};
    use crate::reason::SkipReason;

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
            subject: Subject::Object(object.clone()),
            attempts: 2,
            ..Outcome::of(Status::failed(FailReason::StoreUnavailable, "no answer"))
        };
        let given_up = failed.hand_back(2).expect("it failed");
        assert_eq!((given_up.0, given_up.1.delay_seconds), (Queue::Failed, 0));
        let (_, message) = failed.hand_back(3).expect("it failed");
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
            subject: Subject::Unknown(r#"{"Key": 7}"#.to_owned()),
            ..Outcome::of(Status::failed(FailReason::InvalidEntry, "\"key\" is a number"))
        };
        let (_, message) = invalid.hand_back(3).expect("it failed");
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        let expected = json!({"attempts": 1, "reason": "invalid-entry", "entry": {"Key": 7}});
        assert_eq!(body["Records"][0]["pixpipe"], expected);
    }

    #[test]
    fn a_batch_that_could_not_be_read_comes_back_as_its_reference() {
        let object = |key: &str| {
            SourceObject::new(BucketName::parse("work").expect("a name"), ObjectKey::parse(key).expect("a key"))
        };
        let reference =
            Reference { batch: object("batches/1 é.json"), report: Some(object("reports/1")), attempts: 1 };
        let unread = Outcome {
            subject: Subject::Batch(reference.clone()),
            ..Outcome::of(Status::failed(FailReason::NotFound, "it is not there"))
        };
        let (queue, message) = unread.hand_back(3).expect("it failed");
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        let expected = json!({
            "batch": "s3://work/batches/1 é.json", "report": "s3://work/reports/1",
            "pixpipe": {"attempts": 1, "reason": "not-found"},
        });
        assert_eq!((queue, body), (Queue::Failed, expected));
        let entries = event::parse(&message.body, None).expect("a batch");
        let [Entry { kind: EntryKind::Reference(again), .. }] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(*again, reference);

        for (reason, attempts) in [(FailReason::Interrupted, 0), (FailReason::StoreUnavailable, 3)] {
            let status = Status::failed(reason, "it is there");
            let unread = Outcome { attempts, status, subject: Subject::Batch(reference.clone()), ..unread.clone() };
            assert_eq!(unread.hand_back(3).map(|(queue, _)| queue), None, "{reason:?}");
        }
    }

    #[test]
    fn a_record_of_a_batch_that_is_kept_elsewhere_goes_to_no_retry_queue() {
        let queue = |reason, attempts| {
            let outcome = Outcome { is_referenced: true, attempts, ..Outcome::of(Status::failed(reason, "")) };
            outcome.hand_back(3).map(|(queue, _)| queue)
        };
        assert_eq!(queue(FailReason::Interrupted, 1), None);
        assert_eq!(queue(FailReason::Corrupt, 1), Some(Queue::Failed));
        assert_eq!(queue(FailReason::StoreUnavailable, 3), Some(Queue::Failed));
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
            let outcome = Outcome { attempts, ..Outcome::of(status) };
            assert_eq!(outcome.hand_back(3).map(|(queue, _)| queue), queue, "{outcome:?}");
        }
    }
}
