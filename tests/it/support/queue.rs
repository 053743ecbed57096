//! Queues that take messages as SQS does over its JSON protocol, and keep them until the test takes them out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hyper::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::s3::md5_hex;

/// Whether a request is one to SQS: they are told apart by a header, all go to the same path.
pub(crate) fn is_for_queues(headers: &HeaderMap) -> bool {
    headers.get("x-amz-target").is_some_and(|target| target == "AmazonSQS.SendMessageBatch")
}

/// Messages by the last part of the queue's URL.
#[derive(Default)]
pub(crate) struct Queues {
    messages: Mutex<BTreeMap<String, Vec<Value>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    message_body: String,
}

impl Queues {
    /// Keeps the messages of one `SendMessageBatch`, or every second of them, and answers.
    pub(crate) fn answer(&self, request: &[u8], refuse_half: bool) -> Bytes {
        let SendMessageBatch { queue_url, entries } = serde_json::from_slice(request).expect("a SendMessageBatch");
        assert!((1..=10).contains(&entries.len()), "{} entries in one request", entries.len());
        let queue = queue_url.rsplit('/').next().expect("a last part").to_owned();
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, Entry { id, message_body }) in entries.into_iter().enumerate() {
            if refuse_half && index % 2 == 1 {
                failed
                    .push(json!({"Id": id, "SenderFault": false, "Code": "InternalError", "Message": "by the script"}));
                continue;
            }
            let md5 = md5_hex(message_body.as_bytes());
            successful.push(json!({"Id": id, "MessageId": id, "MD5OfMessageBody": md5}));
            let body = serde_json::from_str(&message_body).expect("a message is JSON");
            messages.entry(queue.clone()).or_default().push(body);
        }
        Bytes::from(json!({"Successful": successful, "Failed": failed}).to_string())
    }

    /// Takes all messages out of a queue.
    pub(crate) fn take(&self, queue: &str) -> Vec<Value> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).remove(queue).unwrap_or_default()
    }
}
