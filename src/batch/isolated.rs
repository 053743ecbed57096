//! A record that was tried before, in a child process.
//!
//! It may have ended the process that tried it before: a codec crashed, or the memory ran out. A child process can end
//! only itself; if it does, that is the record's outcome.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

use serde_json::{Value, json};

use super::{Context, record};
use crate::child::ChildProgram;
use crate::object::SourceObject;
use crate::outcome::{Exit, Facts, Outcome, Status};
use crate::reason::FailReason;
use crate::store::Store;

/// Signals that ask a process to end.
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

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
    outcome_of(&ended)
}

/// The outcome of the one record of a child process that has ended.
fn outcome_of(ended: &Output) -> (Status, Facts) {
    let lines = ended.stdout.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| Outcome::from_json(&serde_json::from_slice::<Value>(line).ok()?));
    lines.next().unwrap_or_else(|| {
        // It did not begin, for lack of memory or threads: not the record's fault.
        let is_asked = matches!(ended.status.signal(), Some(SIGINT | SIGTERM));
        let is_worth_retrying = is_asked || ended.status.code() == Some(i32::from(Exit::Retry.code()));
        let reason = if is_worth_retrying { FailReason::Interrupted } else { FailReason::Internal };
        let detail = format!("the child process ended before it reported: {}", ended.status);
        (Status::failed(reason, detail), Facts::default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    #[test]
    fn a_child_process_that_could_not_begin_is_not_the_records_fault() {
        let written = br#"{"status":"written","bucket":"b","key":"k"}"#;
        let failed =
            |reason, why: &str| Status::failed(reason, format!("the child process ended before it reported: {why}"));
        // The raw status is that of wait(2): the signal, or the exit code in the next byte.
        let cases = [
            (0, [written.as_slice(), b"\n{\"_aws\":{}}\n"].concat(), Status::Written),
            (75 << 8, vec![], failed(FailReason::Interrupted, "exit status: 75")),
            (101 << 8, vec![], failed(FailReason::Internal, "exit status: 101")),
            (15, vec![], failed(FailReason::Interrupted, "signal: 15 (SIGTERM)")),
            (9, b"{\"status\":\"writ".to_vec(), failed(FailReason::Internal, "signal: 9 (SIGKILL)")),
        ];
        for (raw, stdout, expected) in cases {
            let ended = Output { status: ExitStatus::from_raw(raw), stdout, stderr: vec![] };
            assert_eq!(outcome_of(&ended).0, expected);
        }
    }
}
