//! Tests of SIGTERM and SIGINT.

use rustix::process::Signal;
use serde_json::Value;

use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, Running, entries, outcome, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::with_status;

const INTERRUPTED_KEYS: [&str; 4] = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"];

/// A run on four photos whose GETs are held back. Two of them were begun when the signal arrived.
struct Interrupted {
    server: S3Server,
    gate: Gate,
    running: Running,
}

impl Interrupted {
    fn begin(signal: Signal, grace_seconds: &str) -> Self {
        let server = S3Server::with_buckets();
        for (key, seed) in INTERRUPTED_KEYS.into_iter().zip(1..) {
            server.put("src", key, Upload::of(photos::jpeg(64, 48, seed)));
        }
        let gate = Gate::closed();
        server.fault(faults::under(hyper::Method::GET, "src", ""), Times::Always, Fault::Hold(gate.clone()));
        let running = Pixpipe::with_s3(server.endpoint())
            .env("SIZES", "32")
            .env("CONCURRENCY", "2")
            .env("GRACE_SECONDS", grace_seconds)
            .batch(&entries(&INTERRUPTED_KEYS.map(|key| ("src", key))))
            .start();
        gate.wait_for(2);
        running.signal(signal);
        // The program's own message shows that it has received the signal.
        running.wait_for_diagnostic(if signal == Signal::INT { "SIGINT" } else { "SIGTERM" });
        Self { server, gate, running }
    }
}

fn assert_in_flight_work_is_finished(signal: Signal) {
    let Interrupted { server, gate, running } = Interrupted::begin(signal, "3600");
    gate.open();

    let finished = running.finish().expect_code(75);

    let records = finished.records();
    assert_eq!(records.len(), INTERRUPTED_KEYS.len(), "one line for each record\n{}", finished.stdout);
    assert_eq!(with_status(&records, "written").len(), 2, "{}", finished.stdout);
    let failed = with_status(&records, "failed");
    assert!(failed.iter().all(|record| text(record, "reason") == "interrupted"), "{failed:?}");
    assert_eq!(failed.len(), 2);
    for record in failed {
        let key = text(record, "key");
        assert_eq!(server.requests_of(&hyper::Method::GET, "src", key).len(), 0, "{key} was begun after the signal");
    }
    assert_eq!(server.keys("dest").len(), 2);
    let count = |member: &str| finished.summary().get(member).and_then(Value::as_u64);
    assert_eq!((count("written"), count("failed")), (Some(2), Some(2)));
}

#[test]
fn after_sigterm_records_in_flight_are_finished_and_no_other_is_begun() {
    assert_in_flight_work_is_finished(Signal::TERM);
}

#[test]
fn after_sigint_records_in_flight_are_finished_and_no_other_is_begun() {
    assert_in_flight_work_is_finished(Signal::INT);
}

#[test]
fn when_the_grace_is_over_all_unfinished_records_are_interrupted() {
    for grace_seconds in ["0", "1"] {
        let Interrupted { server, gate, running } = Interrupted::begin(Signal::TERM, grace_seconds);
        let finished = running.finish().expect_code(75);
        gate.open();
        for key in INTERRUPTED_KEYS {
            assert_eq!(finished.outcome(key), outcome("failed", "interrupted"), "GRACE_SECONDS={grace_seconds}");
        }
        finished.summary();
        assert_eq!(server.keys("dest"), Vec::<String>::new());
    }
}

#[test]
fn a_second_signal_ends_the_grace() {
    let Interrupted { server, gate, running } = Interrupted::begin(Signal::TERM, "3600");
    running.signal(Signal::TERM);
    let finished = running.finish().expect_code(75);
    gate.open();
    for key in INTERRUPTED_KEYS {
        assert_eq!(finished.outcome(key), outcome("failed", "interrupted"));
    }
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn a_signal_during_the_last_write_still_counts_it_as_written() {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    let gate = Gate::closed();
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::First(1), Fault::Hold(gate.clone()));
    let running = Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", "a.jpg")])).start();
    gate.wait_for(1);
    running.signal(Signal::TERM);
    running.wait_for_diagnostic("SIGTERM");
    gate.open();
    let finished = running.finish().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
}

#[test]
fn at_the_time_limit_a_task_ends_as_after_a_signal() {
    let server = S3Server::with_buckets();
    for (key, seed) in INTERRUPTED_KEYS.into_iter().zip(1..) {
        server.put("src", key, Upload::of(photos::jpeg(64, 48, seed)));
    }
    let gate = Gate::closed();
    server.fault(faults::under(hyper::Method::GET, "src", ""), Times::Always, Fault::Hold(gate.clone()));
    let finished = Pixpipe::with_s3(server.endpoint())
        .with_queues()
        .env("SIZES", "32")
        .env("CONCURRENCY", "2")
        .env("TIME_LIMIT_SECONDS", "1")
        .env("GRACE_SECONDS", "0")
        .batch(&entries(&INTERRUPTED_KEYS.map(|key| ("src", key))))
        .run()
        .expect_code(0);
    gate.open();
    for key in INTERRUPTED_KEYS {
        assert_eq!(finished.outcome(key), outcome("failed", "interrupted"));
    }
    assert!(finished.stderr.contains("TIME_LIMIT_SECONDS"), "{}", finished.stderr);
    assert_eq!(server.take_messages("retry").len(), INTERRUPTED_KEYS.len());
}
