//! Files that kill the process, spin, panic or exhaust the memory. None of them affects another record.

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Finished, Pixpipe, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

/// A server whose bucket `src` holds two photos and one file that triggers the fault `kind`.
fn with_poison(kind: &str) -> S3Server {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    server.put("src", "b-poison.jpg", Upload::of(format!("pixpipe-fault:{kind}")));
    server.put("src", "c.jpg", Upload::of(photos::jpeg(64, 48, 2)));
    server
}

const KEYS: [&str; 3] = ["a.jpg", "b-poison.jpg", "c.jpg"];

/// The batch of all three, each with this number of attempts.
fn batch(attempts: u32) -> Value {
    let record = |key| {
        json!({
            "eventSource": "aws:s3",
            "s3": {"bucket": {"name": "src"}, "object": {"key": key}},
            "pixpipe": {"attempts": attempts, "reason": "interrupted"},
        })
    };
    json!({ "Records": KEYS.map(record) })
}

fn run(server: &S3Server, attempts: u32) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).with_queues().env("SIZES", "32").batch(&batch(attempts))
}

/// Checks that both photos are written, that only the poison file is in the failed queue, and that nothing else was
/// written or sent.
#[track_caller]
fn assert_only_poison_failed(server: &S3Server, finished: Finished, reason: &str, attempts: u32) {
    let finished = finished.expect_code(0);
    for key in ["a.jpg", "c.jpg"] {
        assert_ne!(text(&finished.record(key), "status"), "failed", "{key}");
        photos::decode_jpeg(&server.object("dest", &format!("32x32/{key}")).bytes);
    }
    assert_eq!(text(&finished.record("b-poison.jpg"), "reason"), reason);
    assert_eq!(server.keys("dest"), ["32x32/a.jpg", "32x32/c.jpg"]);
    assert_eq!(server.take_messages("retry"), Vec::<Value>::new());
    let failed = server.take_messages("failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["Records"][0]["s3"]["object"]["key"], "b-poison.jpg");
    assert_eq!(failed[0]["Records"][0]["pixpipe"], json!({"attempts": attempts, "reason": reason}));
}

#[test]
fn a_file_that_crashes_the_process_kills_only_its_child_process_when_it_is_retried() {
    let server = with_poison("crash");
    let first = run(&server, 0).env("CONCURRENCY", "1").run();
    assert_eq!(first.code, None, "a signal must end the process\n{}", first.stdout);
    assert_eq!((server.take_messages("retry"), server.take_messages("failed")), (vec![], vec![]));

    let second = run(&server, 1).run();
    let record = second.record("b-poison.jpg");
    assert!(text(&record, "detail").contains("SIGABRT"), "{record}");
    assert_only_poison_failed(&server, second, "internal", 2);
}

#[test]
fn a_file_that_exhausts_the_memory_kills_only_its_child_process_when_it_is_retried() {
    let server = with_poison("eat-memory");
    let limit_kibibytes = 2 << 20;
    let first = run(&server, 0).limit_address_space(limit_kibibytes).run();
    assert_eq!(first.code, None, "a signal must end the process\n{}", first.stdout);

    let second = run(&server, 1).limit_address_space(limit_kibibytes).run();
    assert_only_poison_failed(&server, second, "internal", 2);
}

#[test]
fn a_file_that_makes_the_codec_panic_fails_at_the_first_attempt() {
    let server = with_poison("panic");
    assert_only_poison_failed(&server, run(&server, 0).run(), "internal", 1);
}

#[test]
fn a_file_that_spins_is_abandoned_at_the_limit_of_cpu_time() {
    let server = with_poison("spin");
    let finished = run(&server, 0).run();
    let poison = finished.record("b-poison.jpg");
    assert!(text(&poison, "detail").contains("given up after 5 s of CPU time"), "{}", finished.stdout);
    assert_only_poison_failed(&server, finished, "corrupt", 1);
}

#[test]
fn after_a_file_that_spins_the_task_ends_and_the_others_count_as_not_tried() {
    let server = with_poison("spin");
    let batch = json!(["s3://src/b-poison.jpg", "s3://src/a.jpg", "s3://src/c.jpg"]);
    let finished = run(&server, 0).env("CONCURRENCY", "1").batch(&batch).run().expect_code(0);
    assert_eq!(text(&finished.record("b-poison.jpg"), "reason"), "corrupt");
    let mut others: Vec<_> = server.take_messages("retry");
    others.sort_by_key(|message| message["Records"][0]["s3"]["object"]["key"].to_string());
    let not_tried = json!({"attempts": 0, "reason": "interrupted"});
    for (message, key) in others.iter().zip(["a.jpg", "c.jpg"]) {
        assert_eq!(message["Records"][0]["s3"]["object"]["key"], key);
        assert_eq!(message["Records"][0]["pixpipe"], not_tried);
    }
    assert_eq!((others.len(), server.take_messages("failed").len()), (2, 1));
}

#[test]
fn without_threads_to_be_had_the_same_work_is_worth_retrying() {
    let server = with_poison("none");
    let batch = json!(["s3://src/a.jpg"]);
    for threads in 1..=3 {
        let finished = run(&server, 0).batch(&batch).limit_threads(threads).run().expect_code(75);
        assert!(finished.stderr.contains("thread"), "{threads} threads: {}", finished.stderr);
    }
}

#[test]
fn without_queues_the_exit_code_reports_the_failed_record() {
    let server = with_poison("crash");
    let run = run(&server, 1).without("RETRY_QUEUE_URL").without("FAILED_QUEUE_URL");
    let finished = run.run().expect_code(1);
    assert_eq!(text(&finished.record("b-poison.jpg"), "reason"), "internal");
    assert_eq!(server.keys("dest"), ["32x32/a.jpg", "32x32/c.jpg"]);
}

#[test]
fn a_retried_record_gets_the_same_output_and_line_as_at_the_first_attempt() {
    let server = with_poison("crash");
    let first = run(&server, 0).batch(&json!(["s3://src/a.jpg"])).env("DEST_PREFIX", "first/").run().expect_code(0);
    let batch = json!({"Records": [batch(1)["Records"][0]]});
    let again = run(&server, 1).batch(&batch).env("DEST_PREFIX", "again/").run().expect_code(0);
    assert_eq!(server.object("dest", "first/32x32/a.jpg").bytes, server.object("dest", "again/32x32/a.jpg").bytes);
    let (first, again) = (first.record("a.jpg"), again.record("a.jpg"));
    for member in ["status", "bucket", "key", "source_bytes", "source_width", "source_height", "format"] {
        assert_eq!(first[member], again[member], "{member}");
    }
    let members = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&first), members(&again));
}

#[test]
fn a_signal_while_decoding_does_not_wait_for_the_decoder() {
    let server = with_poison("spin");
    let gate = Gate::closed();
    // When a photo is about to be written, the decoder is already at work on the file that spins.
    server.fault(faults::under(Method::PUT, "dest", ""), Times::Always, Fault::Hold(gate.clone()));
    let running = run(&server, 0).env("GRACE_SECONDS", "0").start();
    gate.wait_for(1);
    running.signal(Signal::TERM);
    let finished = running.finish().expect_code(0);
    gate.open();
    assert_eq!(text(&finished.record("b-poison.jpg"), "reason"), "interrupted");
    assert_eq!(finished.summary()["handed_back"], 3);
    assert_eq!(server.take_messages("retry").len(), 3);
}

#[test]
fn a_signal_ends_the_child_process_of_a_retried_record() {
    for (grace_seconds, signals) in [("0", 1), ("3600", 2)] {
        let server = with_poison("crash");
        let gate = Gate::closed();
        server.fault(faults::get("src", "a.jpg"), Times::Always, Fault::Hold(gate.clone()));
        let running = run(&server, 1).env("GRACE_SECONDS", grace_seconds).start();
        gate.wait_for(1);
        running.signal(Signal::TERM);
        running.wait_for_diagnostic("SIGTERM");
        for _ in 1..signals {
            running.signal(Signal::TERM);
        }
        let finished = running.finish().expect_code(0);
        gate.open();
        assert_eq!(finished.summary()["handed_back"], 3, "{}", finished.both_streams());
        let mut attempts: Vec<_> = server
            .take_messages("retry")
            .iter()
            .map(|message| message["Records"][0]["pixpipe"]["attempts"].as_u64())
            .collect();
        attempts.sort_unstable();
        // Only the first record was begun.
        assert_eq!(attempts, [Some(1), Some(1), Some(2)]);
        assert_eq!(server.keys("dest"), Vec::<String>::new());
    }
}
