//! A record that goes back to a queue.

use serde_json::{Map, Value, json};

use super::{Outcome, Status};
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

impl Outcome {
    /// The queue that the record goes to, and the message; `None` unless the record failed.
    ///
    /// The message is a minimal S3 notification, which is accepted again. An entry that named no object comes back as
    /// it was received, as the member `entry`. A retry is delayed if the store did not answer or other tasks were in
    /// the way; an interrupted record is not.
    #[must_use]
    pub fn hand_back(&self, max_attempts: u32) -> Option<(Queue, Message)> {
        let Status::Failed { reason, .. } = &self.status else { return None };
        let queue =
            if reason.is_worth_retrying() && self.attempts < max_attempts { Queue::Retry } else { Queue::Failed };
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
        Some((queue, Message { body: json!({"Records": [record]}).to_string(), delay_seconds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Entry, EntryKind};
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
            object: Some(object.clone()),
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
            received: Some(json!({"Key": 7})),
            ..Outcome::of(Status::failed(FailReason::InvalidEntry, "\"key\" is a number"))
        };
        let (_, message) = invalid.hand_back(3).expect("it failed");
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
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
            let outcome = Outcome { attempts, ..Outcome::of(status) };
            assert_eq!(outcome.hand_back(3).map(|(queue, _)| queue), queue, "{outcome:?}");
        }
    }
}
