//! Tests of the environment variables.

use std::path::PathBuf;

use pixpipe_test_support::run::{Pixpipe, entries};
use pixpipe_test_support::server::S3Server;

use super::Folders;

#[test]
fn all_faults_of_the_environment_are_reported_together_with_received_and_accepted_values() {
    let wrong = [
        ("SIZES", "224,0", "4096"),
        ("FIT", "crop-it", "contain"),
        ("FILTER", "nearest", "lanczos3"),
        ("DECODE", "slowly", "exact"),
        ("COLOR", "adobe", "srgb"),
        ("BACKGROUND", "#ffffff", "RRGGBB"),
        ("FORMAT", "avif", "webp"),
        ("JPEG_QUALITY", "101", "100"),
        ("JPEG_SUBSAMPLING", "411", "444"),
        ("MAX_SOURCE_BYTES", "many-bytes", "1"),
        ("MAX_SOURCE_PIXELS", "-5", "1"),
        ("MEMORY_LIMIT_BYTES", "512M", "bytes"),
        ("CONCURRENCY", "none", "1"),
        ("GRACE_SECONDS", "soon", "0"),
        ("TIME_LIMIT_SECONDS", "0", "1"),
        ("STORE", "ftp://x", "dir:"),
        ("SKIP_UNCHANGED", "perhaps", "false"),
        ("LOG_FORMAT", "xml", "text"),
    ];
    let server = S3Server::with_buckets();
    let healthy = Pixpipe::with_s3(server.endpoint()).without("DEST_BUCKET").batch(&entries(&[("src", "a.jpg")]));
    let all_wrong = wrong.iter().fold(healthy, |run, (name, value, _)| run.env(name, value));

    let finished = all_wrong.run().expect_code(78);

    let output = finished.both_streams();
    for (name, received, accepted) in wrong {
        let line = output.lines().find(|line| line.contains(name) && line.contains(received));
        let line = line.unwrap_or_else(|| panic!("no line with {name} and {received:?} in\n{output}"));
        assert!(line.contains(accepted), "{name} accepts {accepted:?}, but: {line}");
    }
    assert!(output.contains("DEST_BUCKET"), "{output}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_required_variable_that_is_not_set_is_a_fault_of_the_configuration() {
    let folders = Folders::new();
    for name in ["SQS_BODY", "DEST_BUCKET"] {
        let finished = folders.run().without(name).run().expect_code(78);
        assert!(finished.both_streams().contains(name), "{finished:?}");
    }
    assert_eq!(folders.written(), Vec::<PathBuf>::new());
}

#[test]
fn a_queue_without_a_region_is_a_fault_of_the_configuration() {
    let folders = Folders::new();
    let run = folders.run().env("RETRY_QUEUE_URL", "http://127.0.0.1:9/queue");
    let finished = run.without("AWS_REGION").run().expect_code(78);
    assert!(finished.both_streams().contains("AWS_REGION"), "{finished:?}");
    assert_eq!(folders.written(), Vec::<PathBuf>::new());
}

#[test]
fn the_configuration_is_checked_before_the_batch() {
    let folders = Folders::new();
    folders.run().env("SQS_BODY", "{bucket: x}").env("FIT", "crop").run().expect_code(78);
}

#[test]
fn a_preset_is_printed_as_the_settings_that_it_stands_for() {
    let folders = Folders::new();
    let run = folders.run().without("SIZES").env("PRESET", "torchvision-256-224").env("FORMAT", "webp");
    let text = run.arg("--check-config").run().expect_code(0).both_streams();
    for line in [
        "* PRESET=torchvision-256-224 (default: none)",
        "* SIZES=224@256 (by PRESET, default: 224)",
        "  FIT=cover (by PRESET)",
        "  CROP_ROUND=even (by PRESET)",
        "* FILTER=bilinear (by PRESET, default: lanczos3)",
        "* DECODE=exact (by PRESET, default: fast)",
        "* COLOR=ignore (by PRESET, default: srgb)",
        "* FORMAT=webp (default: jpeg)",
    ] {
        assert!(text.lines().any(|other| other == line), "no line {line} in\n{text}");
    }
}

#[test]
fn geometry_beside_a_preset_is_reported_with_all_other_faults() {
    let folders = Folders::new();
    let run = folders.run().env("PRESET", "clip-224").env("FIT", "cover").env("COLOR", "adobe");
    let text = run.without("DEST_BUCKET").run().expect_code(78).both_streams();
    let faults = ["SIZES=\"32\"", "FIT=\"cover\"", "COLOR=\"adobe\"", "DEST_BUCKET"];
    for fault in faults {
        assert_eq!(text.lines().filter(|line| line.contains(fault)).count(), 1, "{fault} in\n{text}");
    }
    assert_eq!(folders.written(), Vec::<PathBuf>::new());
}

#[test]
fn a_misspelt_variable_is_warned_of_and_changes_nothing() {
    let folders = Folders::new();
    let run = || folders.run().env("SIZE", "64").env("DEST_BUKET", "x").env("HOME", "/root");
    for finished in [run().run().expect_code(0), run().arg("--check-config").run().expect_code(0)] {
        let warnings: Vec<_> = finished.stderr.lines().filter(|line| line.contains("has no effect")).collect();
        assert_eq!(warnings.len(), 2, "{}", finished.stderr);
        assert!(warnings[0].contains("DEST_BUKET") && warnings[0].contains("is DEST_BUCKET meant?"), "{warnings:?}");
        assert!(warnings[1].contains("SIZE ") && warnings[1].contains("is SIZES meant?"), "{warnings:?}");
    }
    assert_eq!(folders.written().len(), 1);
}

#[test]
fn a_configuration_without_a_batch_is_shown_with_examples() {
    let folders = Folders::new();
    let run = folders.run().without("SQS_BODY").env("DEST_PREFIX", "train/").env("SIZES", "224,299");
    let text = run.env("SOURCE_BUCKET", "in").arg("--check-config").run().expect_code(0).stdout;
    for line in [
        "  SQS_BODY is not set",
        "  s3://in/photos/cat.jpg -> s3://dest/train/224x224/photos/cat.jpg",
        "  s3://in/photos/dog.png -> s3://dest/train/299x299/photos/dog.png.jpg",
        "SQS_BODY is not set: no entries. Nothing was read or written.",
    ] {
        assert!(text.lines().any(|other| other == line), "no line {line} in\n{text}");
    }
    folders.run().env("SQS_BODY", "{bucket: x}").arg("--check-config").run().expect_code(65);
}
