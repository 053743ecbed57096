//! Tests of the batch in `SQS_BODY`, and of the exit codes that follow from it.

use std::path::PathBuf;

use serde_json::json;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{entries, notification, outcome, text};

use super::Folders;

#[test]
fn a_body_that_is_not_json_is_refused_with_a_quote_of_its_beginning_and_the_likely_cause() {
    let folders = Folders::new();
    let cases = [
        ("", "empty"),
        ("   \n", "empty"),
        ("hello, world", "hello, world"),
        ("{bucket: x}", "{bucket: x}"),
        ("{bucket: x}", "input template"),
        ("{\"bucket\":\"src\",", "{\\\"bucket\\\":\\\"src\\\","),
    ];
    for (body, expected) in cases {
        let finished = folders.run().env("SQS_BODY", body).run().expect_code(65);
        let output = finished.both_streams();
        let unescaped = expected.replace('\\', "");
        assert!(output.contains(expected) || output.contains(&unescaped), "{body:?}: no {expected:?} in\n{output}");
    }
    let long = format!("not JSON {}", "x".repeat(5000));
    let finished = folders.run().env("SQS_BODY", &long).run().expect_code(65);
    assert!(finished.both_streams().contains("not JSON xxx"), "{finished:?}");
    assert!(!finished.both_streams().contains(&long), "only the beginning is quoted");
    assert_eq!(folders.written(), Vec::<PathBuf>::new());
}

#[test]
fn an_entry_that_is_not_an_event_is_one_failed_record_named_by_its_pointer() {
    let folders = Folders::new();
    let batch = json!([{ "bucket": "src", "key": "a.png" }, { "hello": "world" }]);
    let finished = folders.run().batch(&batch).run().expect_code(1);
    assert_eq!(finished.outcome("a.png"), outcome("written", ""));
    let mut others = finished.records();
    others.retain(|record| text(record, "key") != "a.png");
    assert_eq!(others.len(), 1, "{finished:?}");
    for other in others {
        assert_eq!((text(&other, "status"), text(&other, "reason")), ("failed", "invalid-entry"));
        assert!(other.to_string().contains("/1"), "no pointer in {other}");
    }
}

#[test]
fn entries_that_ask_for_no_work_are_skipped_and_exit_with_0() {
    let folders = Folders::new();
    let removed = {
        let mut event = notification("src", "a.png", 10);
        *event.pointer_mut("/Records/0/eventName").expect("a notification has an eventName") =
            json!("ObjectRemoved:Delete");
        event
    };
    let cases = [
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-01-02T03:04:05.678Z", "Bucket": "src" }),
        removed,
        json!({ "bucket": "src", "key": "folder/", "size": 0 }),
    ];
    for event in cases {
        let finished = folders.run().batch(&event).run().expect_code(0);
        let records = finished.records();
        let statuses: Vec<_> = records.iter().map(|record| text(record, "status")).collect();
        assert_eq!(statuses, ["skipped"], "{event}");
        assert!(records.iter().all(|record| !text(record, "reason").is_empty()), "{records:?}");
    }
    assert_eq!(folders.written(), Vec::<PathBuf>::new());
}

#[test]
fn a_batch_that_is_written_or_skipped_exits_with_0() {
    let folders = Folders::new();
    let finished = folders.run().run().expect_code(0);
    assert_eq!(finished.outcome("a.png"), outcome("written", ""));
    let finished = folders.run().run().expect_code(0);
    assert_eq!(finished.outcome("a.png"), outcome("skipped", "unchanged"));
    folders.run().batch(&json!([])).run().expect_code(0);
}

#[test]
fn one_permanent_failure_exits_with_1_and_its_neighbours_are_written() {
    let folders = Folders::new();
    let photo = photos::jpeg(64, 48, 1);
    let half = photo.len() / 2;
    folders.put("truncated.jpg", photo.get(..half).expect("half is not more than the whole"));
    folders.put("text.jpg", b"this is not an image despite its name");
    folders.put("empty.jpg", b"");
    folders.put("z.jpg", &photo);
    let cases = [("truncated.jpg", "truncated"), ("text.jpg", "unsupported-format"), ("absent.jpg", "not-found")];
    for (key, reason) in cases {
        let batch = entries(&[("src", "a.png"), ("src", key), ("src", "z.jpg")]);
        let finished = folders.run().env("SKIP_UNCHANGED", "false").batch(&batch).run().expect_code(1);
        assert_eq!(finished.outcome(key), outcome("failed", reason));
        assert_eq!(finished.outcome("a.png"), outcome("written", ""));
        assert_eq!(finished.outcome("z.jpg"), outcome("written", ""));
    }
    let finished = folders.run().batch(&entries(&[("src", "empty.jpg")])).run().expect_code(1);
    assert_eq!(text(&finished.record("empty.jpg"), "status"), "failed");
}

#[test]
fn an_image_beyond_the_limits_is_refused() {
    let folders = Folders::new();
    let cases = [("MAX_SOURCE_BYTES", "100", "too-many-bytes"), ("MAX_SOURCE_PIXELS", "3071", "too-many-pixels")];
    for (name, limit, reason) in cases {
        let finished = folders.run().env(name, limit).run().expect_code(1);
        assert_eq!(finished.outcome("a.png"), outcome("failed", reason));
    }
    folders.run().env("MAX_SOURCE_PIXELS", "3072").run().expect_code(0);
}

#[test]
fn if_a_queue_does_not_answer_the_exit_code_reports_it_and_standard_error_names_the_record() {
    let folders = Folders::new();
    // Nothing listens on port 9.
    let run = folders.run().env("FAILED_QUEUE_URL", "http://127.0.0.1:9/queue").env("AWS_REGION", "us-east-1");
    let run = run.env("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9").env("AWS_ACCESS_KEY_ID", "id");
    let run = run.env("AWS_SECRET_ACCESS_KEY", "key").env("SQS_BODY", r#"["s3://src/missing.jpg"]"#);
    let finished = run.run().expect_code(1);
    assert_eq!(finished.summary()["handed_back"], 0);
    assert!(finished.stderr.contains("/0") && finished.stderr.contains("not handed back"), "{}", finished.stderr);
}
