//! Tests of batches that lie in the store, and of their reports.

use rustix::process::Signal;
use serde_json::{Value, json};

use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, outcome, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

/// Three photos, one file that ends too early, and the bucket `work`.
fn with_photos() -> S3Server {
    let server = S3Server::with_buckets();
    server.create_bucket("work");
    for (key, seed) in [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)] {
        server.put("src", key, Upload::of(photos::jpeg(64, 48, seed)));
    }
    let photo = photos::jpeg(64, 48, 9);
    server.put("src", "cut.jpg", Upload::of(&photo[..photo.len() / 2]));
    server
}

fn put(server: &S3Server, key: &str, batch: &str) {
    server.put("work", key, Upload::of(batch));
}

fn run(server: &S3Server, body: &Value) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).with_queues().env("SIZES", "32").batch(body)
}

fn lose_every_write(server: &S3Server, key: &str) {
    let lost = Fault::Answer(412, "PreconditionFailed");
    server.fault(faults::put("dest", &format!("32x32/{key}")), Times::Always, lost);
}

const ALL_LINES: &str =
    "s3://src/a.jpg\n{\"bucket\":\"src\",\"key\":\"cut.jpg\"}\n[\"s3://src/b.jpg\",\"s3://src/c.jpg\"]\n";

#[test]
fn the_records_of_a_batch_in_the_store_are_made_and_reported() {
    let server = with_photos();
    put(&server, "batches/1.jsonl", ALL_LINES);
    let body = json!([{"messageId": "1", "body": json!({
        "batch": "s3://work/batches/1.jsonl", "report": "s3://work/reports/1.jsonl",
    }).to_string()}, "s3://src/missing.jpg"]);

    let finished = run(&server, &body).run().expect_code(0);

    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        assert_eq!(finished.outcome(key), outcome("written", ""), "{key}");
    }
    assert_eq!(finished.outcome("cut.jpg"), outcome("failed", "truncated"));
    assert_eq!(finished.outcome("missing.jpg"), outcome("failed", "not-found"));
    assert_eq!(finished.summary()["reasons"], json!({"not-found": 1, "truncated": 1}));
    assert_eq!(server.take_messages("failed").len(), 2, "what failed for good is handed back one by one");
    let report = server.object("work", "reports/1.jsonl");
    let counts = [("written", "3"), ("skipped", "0"), ("failed", "2"), ("handed-back", "2")];
    assert_eq!(report.metadata, counts.map(|(name, count)| (name.to_owned(), count.to_owned())).into());
    assert_eq!(String::from_utf8_lossy(&report.bytes), finished.stdout, "the lines of the log");
}

#[test]
fn unfinished_records_of_a_batch_stay_in_it_and_the_next_task_does_only_them() {
    let server = with_photos();
    put(&server, "1", ALL_LINES);
    lose_every_write(&server, "b.jpg");
    let body = |attempts: u32| json!({"batch": "s3://work/1", "pixpipe": {"attempts": attempts}});

    let finished = run(&server, &body(0)).run().expect_code(75);

    assert_eq!(finished.outcome("b.jpg"), outcome("failed", "conflict"));
    assert_eq!(server.take_messages("retry"), Vec::<Value>::new(), "who gave the batch gives it again");
    let failed = server.take_messages("failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["Records"][0]["pixpipe"], json!({"attempts": 1, "reason": "truncated"}));

    server.clear_faults();
    server.forget_requests();
    let finished = run(&server, &body(1)).run().expect_code(0);

    for (key, expected) in [("a.jpg", outcome("skipped", "unchanged")), ("b.jpg", outcome("written", ""))] {
        assert_eq!(finished.outcome(key), expected, "{key}");
    }
    // A child process asks for the heads of its outputs again: those of a and c were asked for once.
    for (key, heads) in [("a.jpg", 1), ("c.jpg", 1), ("b.jpg", 2)] {
        let heads_seen = server.requests_of(&hyper::Method::HEAD, "dest", &format!("32x32/{key}")).len();
        assert_eq!(heads_seen, heads, "{key}");
    }

    lose_every_write(&server, "b.jpg");
    server.put("src", "b.jpg", Upload::of(photos::jpeg(64, 48, 7)));
    run(&server, &body(2)).run().expect_code(0);
    let failed = server.take_messages("failed");
    let reasons: Vec<_> = failed.iter().map(|message| text(&message["Records"][0]["pixpipe"], "reason")).collect();
    assert_eq!(reasons.len(), 3, "{failed:?}");
    assert!(reasons.contains(&"conflict"), "at the last attempt it has failed for good: {reasons:?}");
}

#[test]
fn a_batch_that_cannot_be_read_is_one_failed_record_and_the_others_are_made() {
    let cases = [
        ("s3://work/none", "not-found", Upload::of("")),
        ("s3://work/text", "invalid-entry", Upload::of("[\"s3://src/a.jpg\"")),
        ("s3://work/bytes", "invalid-entry", Upload::of([0xff, 0xfe, 0x00].as_slice())),
        ("s3://work/long", "too-many-bytes", Upload::of(vec![b' '; (16 << 20) + 1])),
        ("s3://work/many", "invalid-entry", Upload::of("s3://src/a.jpg\n".repeat(100_001))),
    ];
    for (address, reason, upload) in cases {
        let server = with_photos();
        let key = address.trim_start_matches("s3://work/");
        if key != "none" {
            server.put("work", key, upload);
        }
        let body = json!([{"batch": address, "report": "s3://work/report"}, "s3://src/b.jpg"]);
        let finished = run(&server, &body).run().expect_code(0);
        assert_eq!(finished.outcome("b.jpg"), outcome("written", ""), "{address}");
        let line = finished.records().into_iter().find(|line| text(line, "batch") == address).expect("a line");
        assert_eq!((text(&line, "status"), text(&line, "reason")), ("failed", reason), "{address}");
        let expected = json!({
            "batch": address, "report": "s3://work/report", "pixpipe": {"attempts": 1, "reason": reason},
        });
        assert_eq!(server.take_messages("failed"), [expected]);
        assert_eq!(server.object("work", "report").metadata["failed"], "1", "{address}");
    }
    let server = with_photos();
    put(&server, "1", "s3://src/a.jpg");
    server.fault(faults::get("work", "1"), Times::Always, Fault::Answer(503, "SlowDown"));
    run(&server, &json!({"batch": "s3://work/1", "pixpipe": {"attempts": 9}})).run().expect_code(75);
    assert_eq!(server.take_messages("retry"), Vec::<Value>::new(), "who gave the batch gives it again");
    assert_eq!(server.take_messages("failed"), Vec::<Value>::new());
}

#[test]
fn a_batch_is_read_once_and_four_deep() {
    let server = with_photos();
    for depth in 1..=5 {
        let next = json!([{"batch": format!("s3://work/{}", depth + 1)}, {"batch": "s3://work/1"}]);
        put(&server, &depth.to_string(), &next.to_string());
    }
    put(&server, "4", r#"[{"batch":"s3://work/5"},"s3://src/a.jpg"]"#);
    let finished = run(&server, &json!({"batch": "s3://work/1"})).run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""), "it lies four deep");
    let mut others: Vec<_> = finished.records();
    others.retain(|line| text(line, "key") != "a.jpg");
    let reasons: Vec<_> = others.iter().map(|line| text(line, "reason")).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "duplicate").count(), 3, "a circle ends: {reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| **reason == "invalid-entry").count(), 1, "five deep: {reasons:?}");
    assert_eq!(server.downloads_of("work", "1"), 1);
}

#[test]
fn a_report_has_one_place_and_that_is_not_among_the_outputs() {
    let server = with_photos();
    put(&server, "1", "s3://src/a.jpg");
    put(&server, "2", r#"{"batch":"s3://work/1","report":"s3://work/inner"}"#);
    let refused = |body: &Value, prefix: &str, words: &str| {
        let finished = run(&server, body).env("DEST_PREFIX", prefix).env("SKIP_UNCHANGED", "false").run();
        let lines = finished.expect_code(0).records();
        let line = lines.iter().find(|line| text(line, "reason") == "invalid-entry").expect("a refusal");
        assert!(text(line, "detail").contains(words), "{line}");
    };
    let with_report = |report: &str| json!({"batch": "s3://work/1", "report": report});
    refused(&with_report("s3://dest/train/32x32/a.jpg"), "train/", "where outputs go");
    refused(&with_report("s3://dest/r"), "", "where outputs go");
    refused(&json!({"batch": "s3://work/2"}), "train/", "it may stand in SQS_BODY");
    put(&server, "3", "s3://src/b.jpg");
    let two = json!([with_report("s3://work/r1"), {"batch": "s3://work/3", "report": "s3://work/r2"}]);
    refused(&two, "train/", "s3://work/r1 is named already");
    assert_eq!(server.keys("work"), ["1", "2", "3", "r1"]);
}

#[test]
fn a_report_that_cannot_be_written_changes_no_exit_code() {
    let server = with_photos();
    put(&server, "1", "s3://src/a.jpg");
    server.fault(faults::put("work", "r"), Times::Always, Fault::Answer(403, "AccessDenied"));
    let finished = run(&server, &json!({"batch": "s3://work/1", "report": "s3://work/r"})).run().expect_code(0);
    assert!(finished.stderr.contains("the report s3://work/r is not written"), "{}", finished.stderr);
}

#[test]
fn a_signal_before_the_batch_is_read_leaves_it_to_who_gave_it() {
    let server = with_photos();
    put(&server, "1", "s3://src/a.jpg");
    let gate = Gate::closed();
    server.fault(faults::get("work", "1"), Times::Always, Fault::Hold(gate.clone()));
    let running = run(&server, &json!({"batch": "s3://work/1"})).start();
    gate.wait_for(1);
    running.signal(Signal::TERM);
    running.finish().expect_code(75);
    assert_eq!(server.take_messages("retry"), Vec::<Value>::new());
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn unfinished_records_of_a_file_are_not_handed_back_either() {
    let server = with_photos();
    lose_every_write(&server, "b.jpg");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), ALL_LINES).expect("writable");
    let run = run(&server, &Value::Null).without("SQS_BODY").arg("--batch").arg(&file.path().display().to_string());
    let finished = run.run().expect_code(75);
    assert_eq!(finished.outcome("b.jpg"), outcome("failed", "conflict"));
    assert_eq!(server.take_messages("retry"), Vec::<Value>::new());
    assert_eq!(server.take_messages("failed").len(), 1, "cut.jpg");
}

#[test]
fn a_signal_before_the_batch_is_read_also_stops_what_was_known_before() {
    let server = with_photos();
    put(&server, "1", "s3://src/a.jpg");
    let gate = Gate::closed();
    server.fault(faults::get("work", "1"), Times::Always, Fault::Hold(gate.clone()));
    let running = run(&server, &json!([{"batch": "s3://work/1"}, "s3://src/b.jpg"])).start();
    gate.wait_for(1);
    running.signal(Signal::TERM);
    running.finish().expect_code(75);
    assert_eq!(server.take_messages("retry").len(), 1, "b.jpg does not begin");
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}
