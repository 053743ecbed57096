//! Tests of conditional writes: tasks that race for an output, and sources that change meanwhile.

use hyper::Method;

use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{outcome, outputs, text};
use pixpipe_test_support::s3::{Condition, Upload, md5_hex};

use super::{small_run, source_etag, with_one_photo, writes};

#[test]
fn a_new_output_is_written_if_absent_and_an_old_one_only_if_it_has_not_changed() {
    let server = with_one_photo();
    server.put("dest", "16x16/a.jpg", Upload::of("somebody else's object"));
    let there = format!("\"{}\"", md5_hex(b"somebody else's object"));

    small_run(&server).env("SIZES", "32,16").run().expect_code(0);

    let condition = |key: &str| {
        let puts = server.requests_of(&Method::PUT, "dest", key);
        puts.iter()
            .map(|put| (put.header("if-match").to_owned(), put.header("if-none-match").to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(condition("32x32/a.jpg"), [(String::new(), "*".to_owned())]);
    assert_eq!(condition("16x16/a.jpg"), [(there, String::new())]);
}

#[test]
fn an_output_of_a_newer_source_is_not_overwritten_by_a_slower_task() {
    let server = with_one_photo();
    let gate = Gate::closed();
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::First(1), Fault::Hold(gate.clone()));

    // One task has read the old source and is about to write ...
    let slow = small_run(&server).start();
    gate.wait_for(1);
    // ... when the source is overwritten and another task writes the output of the new one.
    let new = server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 7)));
    small_run(&server).run().expect_code(0);
    let newest = server.object("dest", "32x32/a.jpg");
    gate.open();

    assert_eq!(slow.finish().expect_code(0).outcome("a.jpg"), outcome("skipped", "unchanged"));
    let output = server.object("dest", "32x32/a.jpg");
    assert_eq!(output.bytes, newest.bytes);
    assert_eq!(source_etag(&output), Some(new.etag.as_str()));
}

#[test]
fn a_source_that_was_changed_and_changed_back_keeps_its_output() {
    let server = with_one_photo();
    let first = server.object("src", "a.jpg").bytes;
    small_run(&server).run().expect_code(0);
    let output = server.object("dest", "32x32/a.jpg");
    server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 7)));
    let gate = Gate::closed();
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::First(1), Fault::Hold(gate.clone()));

    // One task has read the changed source and is about to write ...
    let slow = small_run(&server).start();
    gate.wait_for(1);
    // ... when it is changed back, and another task finds the right output in place.
    server.put("src", "a.jpg", Upload::of(first));
    assert_eq!(small_run(&server).run().expect_code(0).outcome("a.jpg"), outcome("skipped", "unchanged"));
    gate.open();

    assert_eq!(slow.finish().expect_code(0).outcome("a.jpg"), outcome("written", ""));
    assert_eq!(server.object("dest", "32x32/a.jpg").bytes, output.bytes);
}

#[test]
fn an_output_that_changes_before_every_write_ends_in_conflict_after_five_rounds() {
    let server = with_one_photo();
    let always_lost = Fault::Answer(412, "PreconditionFailed");
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::Always, always_lost);
    let finished = small_run(&server).run().expect_code(75);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "conflict"));
    assert_eq!(writes(&server).len(), 5);
    assert_eq!(server.requests_of(&Method::HEAD, "dest", "32x32/a.jpg").len(), 5, "each round begins with the heads");
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn a_write_that_loses_a_race_twice_succeeds_in_the_third_round() {
    let server = with_one_photo();
    let target = || faults::put("dest", "32x32/a.jpg");
    server.fault(target(), Times::First(1), Fault::Answer(412, "PreconditionFailed"));
    server.fault(target(), Times::First(1), Fault::Answer(409, "ConditionalRequestConflict"));
    let finished = small_run(&server).run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    assert_eq!(writes(&server).len(), 3);
}

#[test]
fn only_the_size_that_lost_a_race_is_written_again() {
    for skip_unchanged in ["true", "false"] {
        let server = with_one_photo();
        let lost = Fault::Answer(412, "PreconditionFailed");
        server.fault(faults::put("dest", "16x16/a.jpg"), Times::First(1), lost);
        let run = small_run(&server).env("SIZES", "16,32").env("SKIP_UNCHANGED", skip_unchanged);
        let record = run.run().expect_code(0).record("a.jpg");
        assert_eq!(text(&record, "status"), "written");
        let mut listed = outputs(&record);
        listed.sort();
        assert_eq!(listed, ["16x16/a.jpg", "32x32/a.jpg"], "SKIP_UNCHANGED={skip_unchanged}: each output once");
        assert_eq!(server.keys("dest"), listed);
    }
}

#[test]
fn two_programs_at_once_leave_one_whole_output() {
    let server = with_one_photo();
    let gate = Gate::closed();
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::First(2), Fault::Hold(gate.clone()));
    let tasks: [_; 2] = std::array::from_fn(|_| small_run(&server).start());
    gate.wait_for(2);
    gate.open();
    let mut outcomes: Vec<_> = tasks.into_iter().map(|task| task.finish().expect_code(0).outcome("a.jpg")).collect();
    outcomes.sort();
    assert_eq!(outcomes, [outcome("skipped", "unchanged"), outcome("written", "")]);
    photos::decode_jpeg(&server.object("dest", "32x32/a.jpg").bytes);
}

#[test]
fn a_new_output_of_a_source_that_changed_meanwhile_is_made_again() {
    let server = with_one_photo();
    let memory = server.memory();
    // The newer output was there and was deleted: the condition of the write holds.
    server.at_request(faults::put("dest", "32x32/a.jpg"), move || {
        let newer = Upload::of(photos::jpeg(64, 48, 2)).into_object();
        memory.put("src", "a.jpg", newer, &Condition::Always).expect("the bucket exists");
    });
    small_run(&server).run().expect_code(0);
    let source = server.object("src", "a.jpg");
    assert_eq!(server.object("dest", "32x32/a.jpg").metadata["source-etag"], source.etag);
}

#[test]
fn a_store_that_ignores_the_conditions_of_reads_has_sources_that_are_unchanged() {
    let server = with_one_photo();
    server.memory().ignore_read_conditions();
    let run = || small_run(&server).run().expect_code(0).outcome("a.jpg");
    assert_eq!(run(), outcome("written", ""));
    assert_eq!(run(), outcome("skipped", "unchanged"));
    assert_eq!(writes(&server).len(), 1);
    let reads = server.requests_of(&Method::GET, "src", "a.jpg");
    assert_eq!(reads.len(), 3, "a download and a second look; then a look");
}
