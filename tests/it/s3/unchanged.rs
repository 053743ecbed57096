//! Tests of outputs that exist already: skipped if they are up to date, else rewritten.

use hyper::Method;
use serde_json::Value;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::outcome;
use pixpipe_test_support::s3::Upload;

use super::{small_run, source_etag, with_one_photo, writes};

#[test]
fn a_second_run_finds_everything_unchanged_and_writes_nothing() {
    let server = with_one_photo();
    let run = || small_run(&server).env("SIZES", "32,16").run().expect_code(0);
    assert_eq!(run().outcome("a.jpg"), outcome("written", ""));
    let written = server.object("dest", "32x32/a.jpg");
    server.forget_requests();

    let second = run();

    assert_eq!(second.outcome("a.jpg"), outcome("skipped", "unchanged"));
    assert_eq!(writes(&server).len(), 0);
    let gets = server.requests_of(&Method::GET, "src", "a.jpg");
    let etag = format!("\"{}\"", server.object("src", "a.jpg").etag);
    assert_eq!(gets.iter().map(|get| get.header("if-none-match")).collect::<Vec<_>>(), [etag]);
    assert_eq!(server.object("dest", "32x32/a.jpg").bytes, written.bytes);
    let count = |member: &str| second.summary().get(member).and_then(Value::as_u64);
    assert_eq!((count("written"), count("skipped"), count("failed")), (Some(0), Some(1), Some(0)));
}

#[test]
fn without_skip_unchanged_every_output_is_rewritten_under_the_same_condition() {
    let server = with_one_photo();
    small_run(&server).run().expect_code(0);
    let first = server.object("dest", "32x32/a.jpg");
    server.forget_requests();

    let finished = small_run(&server).env("SKIP_UNCHANGED", "false").run().expect_code(0);

    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    let conditions: Vec<String> = writes(&server).iter().map(|put| put.header("if-match").to_owned()).collect();
    assert_eq!(conditions, [format!("\"{}\"", first.etag)]);
    let gets = server.requests_of(&Method::GET, "src", "a.jpg");
    let source = format!("\"{}\"", server.object("src", "a.jpg").etag);
    let conditions: Vec<_> = gets.iter().map(|get| get.header("if-none-match")).collect();
    assert_eq!(conditions, ["", &source], "one read, and one check after the output was replaced");
}

#[test]
fn an_overwritten_source_gets_a_new_output() {
    let server = with_one_photo();
    small_run(&server).run().expect_code(0);
    let old = server.object("dest", "32x32/a.jpg");
    let source = server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 7)));

    let finished = small_run(&server).run().expect_code(0);

    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    let new = server.object("dest", "32x32/a.jpg");
    assert_ne!(old.bytes, new.bytes);
    assert_eq!(source_etag(&new), Some(source.etag.as_str()));
}

#[test]
fn an_output_that_is_missing_or_has_another_spec_or_owner_is_rewritten() {
    let server = with_one_photo();
    let run = || small_run(&server).env("SIZES", "32,16");
    run().run().expect_code(0);

    server.delete("dest", "16x16/a.jpg");
    assert_eq!(run().run().expect_code(0).outcome("a.jpg"), outcome("written", ""), "one output is missing");
    assert_eq!(server.keys("dest"), ["16x16/a.jpg", "32x32/a.jpg"]);

    let old_spec = server.object("dest", "32x32/a.jpg").metadata.get("spec").cloned();
    let finished = run().env("JPEG_QUALITY", "40").run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""), "the quality has changed");
    assert_ne!(server.object("dest", "32x32/a.jpg").metadata.get("spec").cloned(), old_spec);

    server.put("dest", "32x32/a.jpg", Upload::of("somebody else's object"));
    assert_eq!(run().run().expect_code(0).outcome("a.jpg"), outcome("written", ""), "one output is not ours");
    photos::decode_jpeg(&server.object("dest", "32x32/a.jpg").bytes);
}

#[test]
fn a_source_without_an_etag_is_never_taken_for_unchanged() {
    let server = with_one_photo();
    let put = |seed| {
        server.put("src", "a.jpg", Upload { etag: Some(""), ..Upload::of(photos::jpeg(64, 48, seed)) });
    };
    put(1);
    small_run(&server).run().expect_code(0);
    let old = server.object("dest", "32x32/a.jpg").bytes;
    put(2);

    let finished = small_run(&server).run().expect_code(0);

    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    assert_ne!(server.object("dest", "32x32/a.jpg").bytes, old, "the output of the old source is still there");
}

#[test]
fn a_source_with_a_weak_etag_is_unchanged_if_the_etag_is() {
    let server = with_one_photo();
    server.put("src", "a.jpg", Upload { etag: Some("W/weak"), ..Upload::of(photos::jpeg(64, 48, 1)) });
    assert_eq!(small_run(&server).run().expect_code(0).outcome("a.jpg"), outcome("written", ""));

    let finished = small_run(&server).run().expect_code(0);

    assert_eq!(finished.outcome("a.jpg"), outcome("skipped", "unchanged"));
}
