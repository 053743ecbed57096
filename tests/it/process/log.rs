//! Tests of the log: lines of records, the summary and the diagnostics. None of them contains a secret.

use std::fs;

use serde_json::{Value, json};

use rustix::process::Signal;

use pixpipe_test_support::emf;
use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, SECRET_ACCESS_KEY, SESSION_TOKEN, entries, outcome, outputs, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::Folders;

#[test]
fn there_is_one_line_per_record_and_one_summary() {
    let folders = Folders::new();
    folders.put("b.png", &photos::png(64, 48, 2));
    folders.run().run().expect_code(0);

    let batch = entries(&[("src", "a.png"), ("src", "b.png"), ("src", "absent.png")]);
    let finished = folders.run().batch(&batch).run().expect_code(1);

    let lines = finished.lines();
    assert_eq!(lines.len(), 4, "{}", finished.stdout);
    assert!(lines.last().is_some_and(|line| line.get("_aws").is_some()), "the summary comes last");
    let mut outcomes: Vec<_> = finished
        .records()
        .iter()
        .map(|record| (text(record, "key").to_owned(), text(record, "status").to_owned()))
        .collect();
    outcomes.sort();
    let expected = [("a.png", "skipped"), ("absent.png", "failed"), ("b.png", "written")];
    assert_eq!(outcomes, expected.map(|(key, status)| (key.to_owned(), status.to_owned())));
    let count = |member: &str| finished.summary().get(member).and_then(Value::as_u64);
    assert_eq!((count("written"), count("skipped"), count("failed")), (Some(1), Some(1), Some(1)));
    assert_eq!(outputs(&finished.record("b.png")), ["32x32/b.png.jpg"]);
    assert!(!text(&finished.record("absent.png"), "detail").is_empty());
}

#[test]
fn the_summary_is_a_document_of_the_embedded_metric_format() {
    let folders = Folders::new();
    let cases = [
        ("written", entries(&[("src", "a.png")])),
        ("failed", entries(&[("src", "absent.png")])),
        ("empty", json!([])),
    ];
    for (name, batch) in cases {
        let summary = folders.run().batch(&batch).run().summary();
        assert_eq!(emf::broken_rules(&summary), Vec::<String>::new(), "{name}: {summary}");
        let metrics = emf::metric_names(&summary);
        for status in ["written", "skipped", "failed"] {
            assert!(metrics.iter().any(|metric| metric == status), "{name}: no metric {status} in {metrics:?}");
        }
    }
}

#[test]
fn the_summary_is_valid_for_every_destination_prefix() {
    let folders = Folders::new();
    for prefix in ["", "größe/写真/", "a\tb\n", &"long/".repeat(180)] {
        let summary = folders.run().env("DEST_PREFIX", prefix).batch(&json!([])).run().expect_code(0).summary();
        assert_eq!(emf::broken_rules(&summary), Vec::<String>::new(), "{prefix:?}: {summary}");
    }
}

#[test]
fn the_summary_carries_the_time_of_the_run() {
    let now = || {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since_1970.expect("the clock is after 1970").as_millis())
            .expect("64 bits last for 500 million years")
    };
    let folders = Folders::new();
    let before = now();
    let summary = folders.run().run().summary();
    let timestamp = summary.pointer("/_aws/Timestamp").and_then(Value::as_u64).expect("the summary has a timestamp");
    assert!((before..=now()).contains(&timestamp), "{timestamp} is not between {before} and now");
}

#[test]
fn a_key_cannot_forge_a_line_of_the_log() {
    let folders = Folders::new();
    let forged = "x\n{\"status\":\"written\",\"key\":\"forged\"}\r\n\u{1b}[31m.png";
    let absent = format!("absent {forged}");
    folders.put(forged, &photos::png(64, 48, 1));
    let run = || folders.run().batch(&entries(&[("src", forged), ("src", &absent)])).env("RUST_LOG", "trace");

    let finished = run().run().expect_code(1);
    assert_eq!(finished.lines().len(), 3, "{}", finished.stdout);
    assert_eq!(text(&finished.record(forged), "status"), "written");
    assert_eq!(text(&finished.record(&absent), "status"), "failed");

    let texts = [
        run().env("LOG_FORMAT", "text").env("SKIP_UNCHANGED", "false").run().expect_code(1).both_streams(),
        run().arg("--check-config").run().expect_code(0).both_streams(),
    ];
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(!line.starts_with("{\"status\""), "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
    }
}

#[test]
fn the_text_format_of_the_log_changes_nothing_else() {
    let folders = Folders::new();
    let batch = entries(&[("src", "a.png"), ("src", "absent.png")]);
    let finished = folders.run().env("LOG_FORMAT", "text").batch(&batch).run().expect_code(1);
    for expected in ["a.png", "written", "absent.png", "failed", "not-found"] {
        assert!(finished.stdout.contains(expected), "no {expected:?} in\n{}", finished.stdout);
    }
    assert!(finished.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{}", finished.stdout);
    assert_eq!(folders.written().len(), 1);
}

#[test]
fn the_lines_of_records_are_on_standard_output_and_diagnostics_on_standard_error() {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    let run = || Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", "a.jpg")]));
    let finished = run().env("RUST_LOG", "trace").run().expect_code(0);
    assert_eq!(finished.lines().len(), 2, "{}", finished.stdout);
    assert!(!finished.stderr.is_empty(), "no diagnostics with RUST_LOG=trace");
    let quiet = run().env("RUST_LOG", "off").run().expect_code(0);
    assert_eq!((quiet.lines().len(), quiet.stderr.as_str()), (2, ""));
}

#[test]
fn a_closed_or_full_standard_output_changes_neither_the_work_nor_the_exit_code() {
    let closed = || std::io::pipe().expect("a pipe can be created").1;
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
    let batch = entries(&[("src", "a.png"), ("src", "b.png")]);
    for code in [0, 1] {
        let folders = Folders::new();
        if code == 0 {
            folders.put("b.png", &photos::png(64, 48, 2));
        }
        folders.run().batch(&batch).stdout(closed()).run().expect_code(code);
        assert_eq!(folders.written().len(), 2 - usize::from(code == 1));
    }
    let folders = Folders::new();
    folders.run().stdout(full()).run().expect_code(0);
    assert_eq!(folders.written().len(), 1);
}

/// A batch whose lines do not fit into a pipe.
fn long_batch() -> Value {
    (0..400).map(|number| json!({"bucket": "src", "key": format!("{number}/{}", "absent/".repeat(15))})).collect()
}

#[test]
fn a_reader_that_does_not_read_stops_neither_the_work_nor_handing_back() {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    let mut batch = long_batch();
    batch.as_array_mut().expect("it is an array").push(json!("s3://src/a.jpg"));
    for stream in ["standard output", "standard error"] {
        let (unread, pipe) = std::io::pipe().expect("a pipe can be created");
        let run = Pixpipe::with_s3(server.endpoint()).with_queues().env("SIZES", "32").batch(&batch);
        let run = match stream {
            "standard output" => run.stdout(pipe),
            _ => run.env("RUST_LOG", "debug").stderr(pipe),
        };
        let finished = run.run().expect_code(0);
        drop(unread);
        assert_eq!(server.take_messages("failed").len(), 400, "{stream}");
        assert_eq!(server.keys("dest"), ["32x32/a.jpg"]);
        let is_told = finished.stderr.contains("lines of the log are missing");
        assert_eq!(is_told, stream == "standard output", "{}", finished.stderr);
        server.delete("dest", "32x32/a.jpg");
    }
}

#[test]
fn a_reader_that_does_not_read_stops_no_signal() {
    let server = S3Server::with_buckets();
    let mut batch = long_batch();
    let held = "z.jpg";
    batch.as_array_mut().expect("it is an array").push(json!({"bucket": "src", "key": held}));
    let gate = Gate::closed();
    server.fault(faults::get("src", held), Times::Always, Fault::Hold(gate.clone()));
    let (unread, pipe) = std::io::pipe().expect("a pipe can be created");
    let running = Pixpipe::with_s3(server.endpoint())
        .with_queues()
        .env("SIZES", "32")
        .env("GRACE_SECONDS", "0")
        .batch(&batch)
        .stdout(pipe)
        .start();
    gate.wait_for(1);
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    gate.open();
    drop(unread);
    assert_eq!(server.take_messages("failed").len() + server.take_messages("retry").len(), 401);
}

#[test]
fn no_secret_is_logged_at_any_log_level() {
    // Every pixel is "PiX", so contents of the source or the outputs are easy to find, as text or as numbers.
    let colour = *b"PiX";
    let server = S3Server::with_buckets();
    server.put("src", "a.bmp", Upload::of(flat_bmp(32, 32, colour)));
    let everything = "trace,pixpipe=trace,hyper=trace,hyper_util=trace,aws_config=trace,aws_runtime=trace,\
                      aws_sdk_s3=trace,aws_sigv4=trace,aws_smithy_http=trace,aws_smithy_http_client=trace,\
                      aws_smithy_runtime=trace,aws_smithy_runtime_api=trace,aws_smithy_types=trace,rustls=trace";
    for filter in ["info", "debug", "trace", everything] {
        for (format, prefix) in [("npy", "raw/"), ("png", "png/")] {
            let finished = Pixpipe::with_s3(server.endpoint())
                .env("AWS_SESSION_TOKEN", SESSION_TOKEN)
                .env("RUST_LOG", filter)
                .env("SOME_OTHER_SECRET", "the-value-of-another-variable")
                .env("FORMAT", format)
                .env("SIZES", "32")
                .env("DEST_PREFIX", prefix)
                .env("SKIP_UNCHANGED", "false")
                .batch(&entries(&[("src", "a.bmp"), ("src", "absent.bmp")]))
                .run()
                .expect_code(1);
            assert_eq!(finished.outcome("a.bmp"), outcome("written", ""));
            let output = finished.both_streams();
            let forbidden = [
                ("the secret key", SECRET_ACCESS_KEY),
                ("the session token", SESSION_TOKEN),
                ("the environment", "the-value-of-another-variable"),
                ("contents as text", "PiXPiX"),
                ("contents as text, blue first", "XiPXiP"),
                ("contents as numbers", "80, 105, 88, 80"),
                ("contents as numbers, blue first", "88, 105, 80, 88"),
                ("contents of a PNG", "IHDR"),
            ];
            for (name, secret) in forbidden {
                let line = output.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{name} with RUST_LOG={filter}");
            }
        }
    }
    let raw = server.object("dest", "raw/32x32/a.bmp.npy").bytes;
    assert!(raw.windows(6).any(|window| window == b"PiXPiX"), "the test looks for bytes that the outputs do not have");
}

fn flat_bmp(width_px: u32, height_px: u32, rgb: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width_px, height_px, image::Rgb(rgb))
        .write_to(&mut bytes, image::ImageFormat::Bmp)
        .expect("a flat image can be encoded");
    bytes.into_inner()
}
