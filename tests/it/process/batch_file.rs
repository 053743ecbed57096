//! Tests of `--batch`: a batch from a file or from standard input.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, outcome, text};

use super::Folders;

fn run(folders: &Folders, argument: &str) -> Pixpipe {
    folders.run().without("SQS_BODY").env("SOURCE_BUCKET", "src").arg("--batch").arg(argument)
}

#[test]
fn a_batch_is_read_from_a_file_or_standard_input() {
    let folders = Folders::new();
    folders.put("folder/b c.png", &photos::png(64, 48, 2));
    let list = folders.outside.path().join("list.txt");
    fs::write(&list, "a.png\nfolder/b c.png\ns3://src/none.png\n").expect("writable");
    let from_file = run(&folders, &list.display().to_string()).run().expect_code(1);
    let from_input = run(&folders, "-").stdin(fs::File::open(&list).expect("a file")).run().expect_code(1);
    for (finished, expected) in [(from_file, outcome("written", "")), (from_input, outcome("skipped", "unchanged"))] {
        assert_eq!(finished.outcome("a.png"), expected);
        assert_eq!(finished.outcome("folder/b c.png"), expected);
        assert_eq!(finished.outcome("none.png"), outcome("failed", "not-found"));
    }
}

#[test]
fn one_batch_is_enough() {
    let folders = Folders::new();
    let finished = folders.run().arg("--batch").arg("-").run().expect_code(64);
    assert!(finished.stderr.contains("SQS_BODY is set and --batch is given"), "{}", finished.stderr);
    let finished = run(&folders, "nowhere/list.txt").run().expect_code(65);
    assert!(finished.stderr.contains("--batch nowhere/list.txt"), "{}", finished.stderr);
    let finished = run(&folders, "-").run().expect_code(65);
    assert!(finished.stderr.contains("it is empty"), "{}", finished.stderr);
    let finished = folders.run().arg("--batch").run().expect_code(64);
    assert!(finished.stderr.contains("needs the name of a file"), "{}", finished.stderr);
    assert!(folders.written().is_empty());
}

#[test]
fn a_long_list_is_done_in_parts_and_a_signal_says_what_is_left() {
    let folders = Folders::new();
    let list = folders.outside.path().join("list.txt");
    let lines = |last: &str| format!("{}{last}\n", "none.png\n".repeat(25_000));
    fs::write(&list, lines("a.png")).expect("writable");
    let finished = run(&folders, &list.display().to_string()).run().expect_code(1);
    let summary = finished.summary();
    let count = |name: &str| summary[name].as_u64().expect("a count");
    // In each of three parts, the first names what all others of it name.
    assert_eq!((count("written"), count("skipped"), count("failed")), (1, 24_997, 3));

    // A pipe that stays open: the program has read one part, and waits for the next.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let running = run(&folders, "-").stdin(reader).start();
    let feeder = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, lines("a.png").as_bytes()).expect("the program reads");
        writer
    });
    running.wait_for_line("not-found");
    let writer = feeder.join().expect("all is written");
    running.signal(Signal::TERM);
    let finished = running.finish().expect_code(75);
    drop(writer);
    assert!(finished.stderr.contains("the batch is not read to its end"), "{}", finished.stderr);
    let records = finished.records();
    assert!(records.iter().all(|line: &Value| text(line, "key") != "a.png"), "the last line was never read");
}
