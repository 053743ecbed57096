//! Queues that accept messages over SQS's JSON protocol and keep them until the test takes them out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::s3::md5_hex;

/// Whether a request is one to SQS. All of them use the same path, so a header decides.
pub(crate) fn is_for_queues(headers: &HeaderMap) -> bool {
    headers.get("x-amz-target").is_some_and(|target| target == "AmazonSQS.SendMessageBatch")
}

/// All queues. Each is named by the last part of its URL, and exists as soon as it is named.
#[derive(Default)]
pub(crate) struct Queues {
    messages: Mutex<BTreeMap<String, Vec<Value>>>,
}

/// The body of the request of that name.
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
    /// Handles one `SendMessageBatch` and returns the answer's body. With `refuse_half`, every second message is
    /// refused and not kept. `None` if it has no message: SQS refuses it then.
    pub(crate) fn answer(&self, request: &[u8], refuse_half: bool) -> Option<Bytes> {
        let SendMessageBatch { queue_url, entries } =
            serde_json::from_slice(request).expect("the body is a SendMessageBatch");
        assert!(entries.len() <= 10, "{} entries in one request", entries.len());
        if entries.is_empty() {
            return None;
        }
        let queue = queue_url.rsplit('/').next().expect("a split has a last part").to_owned();
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, Entry { id, message_body }) in entries.into_iter().enumerate() {
            if refuse_half && index % 2 == 1 {
                let message = "refused on purpose by the test";
                failed.push(json!({"Id": id, "SenderFault": false, "Code": "InternalError", "Message": message}));
                continue;
            }
            let md5 = md5_hex(message_body.as_bytes());
            successful.push(json!({"Id": id, "MessageId": id, "MD5OfMessageBody": md5}));
            let body = serde_json::from_str(&message_body).expect("every message of the program is JSON");
            messages.entry(queue.clone()).or_default().push(body);
        }
        Some(Bytes::from(json!({"Successful": successful, "Failed": failed}).to_string()))
    }

    /// SQS's answer to a `SendMessageBatch` without messages.
    pub(crate) fn refusal_of_none() -> Response<Bytes> {
        let error = json!({
            "__type": "com.amazonaws.sqs#EmptyBatchRequest",
            "message": "There should be at least one SendMessageBatchRequestEntry in the request.",
        });
        Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-query-error", "AWS.SimpleQueueService.EmptyBatchRequest;Sender")
            .body(Bytes::from(error.to_string()))
            .expect("a status and two headers are a valid answer")
    }

    /// Removes all messages from a queue and returns their bodies.
    pub(crate) fn take(&self, queue: &str) -> Vec<Value> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).remove(queue).unwrap_or_default()
    }
}
