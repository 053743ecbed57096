//! Files that end the whole process, spin, panic or eat memory: each costs itself alone.

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::faults::{self, Fault, Gate, Times};
use crate::support::photos;
use crate::support::run::{Finished, Pixpipe, text};
use crate::support::s3::Upload;
use crate::support::server::S3Server;

/// A bucket with two photos and a poisonous file between them.
fn with_poison(kind: &str) -> S3Server {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    server.put("src", "b-poison.jpg", Upload::of(format!("pixpipe-fault:{kind}")));
    server.put("src", "c.jpg", Upload::of(photos::jpeg(64, 48, 2)));
    server
}

const KEYS: [&str; 3] = ["a.jpg", "b-poison.jpg", "c.jpg"];

/// All three, as if they had come back so often.
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

/// The photos are written, the poison is in the failed queue, and nothing else happened.
#[track_caller]
fn expect_only_poison_failed(server: &S3Server, finished: Finished, reason: &str, attempts: u32) {
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
fn a_file_that_crashes_the_process_ends_its_own_process_when_it_comes_back() {
    let server = with_poison("crash");
    let first = run(&server, 0).env("CONCURRENCY", "1").run();
    assert_eq!(first.code, None, "a signal ends the process\n{}", first.stdout);
    assert_eq!((server.take_messages("retry"), server.take_messages("failed")), (vec![], vec![]));

    let second = run(&server, 1).run();
    let record = second.record("b-poison.jpg");
    assert!(text(&record, "detail").contains("SIGABRT"), "{record}");
    expect_only_poison_failed(&server, second, "internal", 2);
}

#[test]
fn a_file_that_eats_all_memory_ends_its_own_process_when_it_comes_back() {
    let server = with_poison("eat-memory");
    let limit_kibibytes = 2 << 20;
    let first = run(&server, 0).limit_address_space(limit_kibibytes).run();
    assert_eq!(first.code, None, "a signal ends the process\n{}", first.stdout);

    let second = run(&server, 1).limit_address_space(limit_kibibytes).run();
    expect_only_poison_failed(&server, second, "internal", 2);
}

#[test]
fn a_file_that_makes_the_codec_panic_is_a_failure_at_once() {
    let server = with_poison("panic");
    expect_only_poison_failed(&server, run(&server, 0).run(), "internal", 1);
}

#[test]
fn a_file_that_spins_is_given_up_after_thirty_seconds_of_cpu_time() {
    let server = with_poison("spin");
    let finished = run(&server, 0).run();
    assert!(text(&finished.record("b-poison.jpg"), "detail").contains("30 s of CPU time"), "{}", finished.stdout);
    expect_only_poison_failed(&server, finished, "corrupt", 1);
}

#[test]
fn without_queues_the_exit_code_tells_of_the_culprit() {
    let server = with_poison("crash");
    let run = run(&server, 1).without("RETRY_QUEUE_URL").without("FAILED_QUEUE_URL");
    let finished = run.run().expect_code(1);
    assert_eq!(text(&finished.record("b-poison.jpg"), "reason"), "internal");
    assert_eq!(server.keys("dest"), ["32x32/a.jpg", "32x32/c.jpg"]);
}

#[test]
fn what_comes_back_is_made_as_it_would_be_the_first_time() {
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
    // By the time that a photo is about to be written, the file that spins is being decoded.
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
fn a_signal_ends_the_process_of_a_record_that_came_back() {
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
        assert_eq!(finished.summary()["handed_back"], 3);
        let mut attempts: Vec<_> = server
            .take_messages("retry")
            .iter()
            .map(|message| message["Records"][0]["pixpipe"]["attempts"].as_u64())
            .collect();
        attempts.sort_unstable();
        // Only the first was begun.
        assert_eq!(attempts, [Some(1), Some(1), Some(2)]);
        assert_eq!(server.keys("dest"), Vec::<String>::new());
    }
}
