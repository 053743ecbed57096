//! A record that was tried before, in a process of its own.
//!
//! What came back may have come back because it ended the whole process: a codec's crash, memory that ran out. So it is
//! tried where it can end nothing but itself, and where it does, that is its outcome.

use serde_json::{Value, json};

use super::{Workshop, record};
use crate::child::Program;
use crate::config::LEAST_MEMORY_BYTES;
use crate::memory::BASE_BYTES;
use crate::object::SourceObject;
use crate::outcome::{Facts, FailReason, Outcome, Status};
use crate::store::Store;

/// Works on one record, as if for the first time, in a process that knows no other and no queue.
pub(super) async fn work<S: Store>(
    workshop: &Workshop<'_, S>,
    program: &Program,
    object: &SourceObject,
) -> (Status, Facts) {
    let mut entry = json!({"bucket": object.bucket.as_str(), "key": object.key.as_str()});
    if let (Some(members), Some(size_bytes)) = (entry.as_object_mut(), object.size_bytes) {
        members.insert("size".to_owned(), size_bytes.into());
    }
    let memory_bytes = workshop.memory_bytes.saturating_sub(BASE_BYTES).max(LEAST_MEMORY_BYTES);
    let vars = [
        ("SQS_BODY", Some(entry.to_string())),
        ("MEMORY_LIMIT_BYTES", Some(memory_bytes.to_string())),
        ("LOG_FORMAT", Some("json".to_owned())),
        ("RETRY_QUEUE_URL", None),
        ("FAILED_QUEUE_URL", None),
    ];
    let ended = match program.run(&vars).await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!("no process of its own for s3://{}/{}: {error}", object.bucket, object.key);
            return record::work(workshop, object).await;
        }
    };
    let lines = ended.stdout.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| Outcome::from_json(&serde_json::from_slice::<Value>(line).ok()?));
    lines.next().unwrap_or_else(|| {
        let detail = format!("its process ended before the record did: {}", ended.status);
        (Status::failed(FailReason::Internal, detail), Facts::default())
    })
}
