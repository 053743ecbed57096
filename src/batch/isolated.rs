//! A record that was tried before, in a child process.
//!
//! It may have ended the process that tried it before: a codec crashed, or the memory ran out. A child process can end
//! only itself; if it does, that is the record's outcome.

use serde_json::{Value, json};

use super::{Context, record};
use crate::child::ChildProgram;
use crate::object::SourceObject;
use crate::outcome::{Facts, Outcome, Status};
use crate::reason::FailReason;
use crate::store::Store;

/// Processes one record as if for the first time, in a child process that knows no other record and no queue.
pub(super) async fn process<S: Store>(
    context: &Context<'_, S>,
    program: &ChildProgram,
    object: &SourceObject,
) -> (Status, Facts) {
    let mut entry = json!({"bucket": object.bucket.as_str(), "key": object.key.as_str()});
    if let (Some(members), Some(size_bytes)) = (entry.as_object_mut(), object.size_bytes) {
        members.insert("size".to_owned(), size_bytes.into());
    }
    // The same limit, hence the same budget: the budget leaves room for the base of both processes.
    let memory_bytes = context.machine.memory_bytes;
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
            tracing::warn!("no child process for {object}: {error}; it is processed in this one");
            return record::process(context, object).await;
        }
    };
    let lines = ended.stdout.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| Outcome::from_json(&serde_json::from_slice::<Value>(line).ok()?));
    lines.next().unwrap_or_else(|| {
        let detail = format!("the child process died before reporting: {}", ended.status);
        (Status::failed(FailReason::Internal, detail), Facts::default())
    })
}
