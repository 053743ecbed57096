//! The program as a process: arguments, environment, exit codes, signals, and what it says on which stream.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emf;
use crate::support::faults::{self, Fault, Gate, Times};
use crate::support::photos;
use crate::support::run::{
    Finished, Pixpipe, Running, SECRET_ACCESS_KEY, SESSION_TOKEN, entries, notification, outputs, text,
};
use crate::support::s3::Upload;
use crate::support::server::S3Server;

/// Every variable of the contract that has nothing to do with queues.
const VARIABLES: [&str; 21] = [
    "SQS_BODY",
    "DEST_BUCKET",
    "DEST_PREFIX",
    "SIZES",
    "FIT",
    "FILTER",
    "DECODE",
    "COLOR",
    "BACKGROUND",
    "FORMAT",
    "JPEG_QUALITY",
    "JPEG_SUBSAMPLING",
    "MAX_SOURCE_BYTES",
    "MAX_SOURCE_PIXELS",
    "MEMORY_LIMIT_BYTES",
    "CONCURRENCY",
    "GRACE_SECONDS",
    "STORE",
    "SOURCE_BUCKET",
    "SKIP_UNCHANGED",
    "LOG_FORMAT",
];

/// Folders as buckets, `src` and `dest`, with a photo at `src/a.png`.
struct Folders {
    /// The parent of the store, so that there is something outside it to protect.
    outside: TempDir,
}

impl Folders {
    fn new() -> Self {
        let outside = tempfile::tempdir().expect("a temporary folder can be made");
        let folders = Self { outside };
        for bucket in ["src", "dest"] {
            fs::create_dir_all(folders.root().join(bucket)).expect("a folder can be made");
        }
        folders.put("a.png", &photos::png(64, 48, 1));
        folders
    }

    fn root(&self) -> std::path::PathBuf {
        self.outside.path().join("store")
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        write(&self.root().join("src").join(key), bytes);
    }

    fn run(&self) -> Pixpipe {
        Pixpipe::with_folders(&self.root()).env("SIZES", "32").batch(&entries(&[("src", "a.png")]))
    }

    /// Every file under the temporary folder, with its contents, but those of the bucket `dest` and of the store itself.
    fn untouchable(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let mut files = files_under(self.outside.path());
        let writable = [self.root().join("dest"), self.root().join(".pixpipe")];
        files.retain(|path| !writable.iter().any(|folder| path.starts_with(folder)));
        files.into_iter().map(|path| (path.clone(), fs::read(&path).expect("a listed file can be read"))).collect()
    }

    fn written(&self) -> Vec<std::path::PathBuf> {
        files_under(&self.root().join("dest"))
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).expect("a folder can be made");
    fs::write(path, bytes).expect("a file can be written");
}

fn files_under(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a temporary folder can be listed") {
        let path = entry.expect("a temporary folder can be listed").path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn outcome(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// Everything that was said, on both streams.
fn said(finished: &Finished) -> String {
    format!("{}\n{}", finished.stdout, finished.stderr)
}

// --- arguments ---

#[test]
fn help_names_every_variable_and_every_exit_code() {
    let finished = Pixpipe::bare().arg("--help").run().expect_code(0);
    for name in VARIABLES {
        assert!(finished.stdout.contains(name), "no {name} in\n{}", finished.stdout);
    }
    for code in ["0", "1", "64", "65", "75", "78"] {
        let named = finished.stdout.lines().any(|line| line.split_whitespace().next() == Some(code));
        assert!(named, "no line begins with the exit code {code} in\n{}", finished.stdout);
    }
    assert_eq!(finished.stderr, "");
}

#[test]
fn version_is_the_name_and_the_version_of_the_package() {
    let finished = Pixpipe::bare().arg("--version").run().expect_code(0);
    assert_eq!(finished.stdout.trim_end(), concat!("pixpipe ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_argument_that_is_not_known_is_wrong_usage_and_touches_nothing() {
    let folders = Folders::new();
    for argument in ["--frobnicate", "a.png", "-x", ""] {
        let finished = folders.run().arg(argument).run().expect_code(64);
        assert!(finished.stderr.contains("--help"), "{argument:?}: {}", finished.stderr);
    }
    assert_eq!(folders.written(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn checking_the_configuration_touches_nothing() {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 64, 1)));
    let check = || Pixpipe::with_s3(server.endpoint()).batch(&entries(&[("src", "a.jpg")])).arg("--check-config");
    check().run().expect_code(0);
    let finished = check().env("FIT", "crop").run().expect_code(78);
    assert!(said(&finished).contains("FIT"), "{finished:?}");
    assert_eq!(server.requests().len(), 0);
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

// --- configuration ---

#[test]
fn every_fault_of_the_environment_is_told_in_one_go_with_what_was_received_and_what_is_accepted() {
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
        ("STORE", "ftp://x", "dir:"),
        ("SKIP_UNCHANGED", "perhaps", "false"),
        ("LOG_FORMAT", "xml", "text"),
    ];
    let server = S3Server::with_buckets();
    let healthy = Pixpipe::with_s3(server.endpoint()).without("DEST_BUCKET").batch(&entries(&[("src", "a.jpg")]));
    let all_wrong = wrong.iter().fold(healthy, |run, (name, value, _)| run.env(name, value));

    let finished = all_wrong.run().expect_code(78);

    let said = said(&finished);
    for (name, received, accepted) in wrong {
        let line = said.lines().find(|line| line.contains(name) && line.contains(received));
        let line = line.unwrap_or_else(|| panic!("no line with {name} and {received:?} in\n{said}"));
        assert!(line.contains(accepted), "{name} accepts {accepted:?}, but: {line}");
    }
    assert!(said.contains("DEST_BUCKET"), "{said}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_variable_that_is_required_and_not_set_is_a_fault_of_the_configuration() {
    let folders = Folders::new();
    for name in ["SQS_BODY", "DEST_BUCKET"] {
        let finished = folders.run().without(name).run().expect_code(78);
        assert!(said(&finished).contains(name), "{finished:?}");
    }
    assert_eq!(folders.written(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_queue_without_a_region_is_a_fault_of_the_configuration() {
    let folders = Folders::new();
    let run = folders.run().env("RETRY_QUEUE_URL", "http://127.0.0.1:9/queue");
    let finished = run.without("AWS_REGION").run().expect_code(78);
    assert!(said(&finished).contains("AWS_REGION"), "{finished:?}");
    assert_eq!(folders.written(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_queue_that_does_not_answer_leaves_it_to_the_exit_code_and_says_which_record() {
    let folders = Folders::new();
    // Nothing listens on port 9 of this machine.
    let run = folders.run().env("FAILED_QUEUE_URL", "http://127.0.0.1:9/queue").env("AWS_REGION", "us-east-1");
    let run = run.env("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9").env("AWS_ACCESS_KEY_ID", "id");
    let run = run.env("AWS_SECRET_ACCESS_KEY", "key").env("SQS_BODY", r#"["s3://src/missing.jpg"]"#);
    let finished = run.run().expect_code(1);
    assert_eq!(finished.summary()["handed_back"], 0);
    assert!(finished.stderr.contains("/0") && finished.stderr.contains("not handed back"), "{}", finished.stderr);
}

#[test]
fn the_configuration_is_judged_before_the_batch() {
    let folders = Folders::new();
    folders.run().env("SQS_BODY", "{bucket: x}").env("FIT", "crop").run().expect_code(78);
}

// --- the batch ---

#[test]
fn a_body_that_is_not_json_is_refused_with_its_beginning_and_the_likely_cause() {
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
        let said = said(&finished);
        let unescaped = expected.replace('\\', "");
        assert!(said.contains(expected) || said.contains(&unescaped), "{body:?}: no {expected:?} in\n{said}");
    }
    let long = format!("not JSON {}", "x".repeat(5000));
    let finished = folders.run().env("SQS_BODY", &long).run().expect_code(65);
    assert!(said(&finished).contains("not JSON xxx"), "{finished:?}");
    assert!(!said(&finished).contains(&long), "the first characters are enough");
    assert_eq!(folders.written(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_entry_that_is_no_event_is_one_failed_record_named_by_its_pointer() {
    let folders = Folders::new();
    let batch = json!([{ "bucket": "src", "key": "a.png" }, { "hello": "world" }]);
    let finished = folders.run().batch(&batch).run().expect_code(1);
    assert_eq!(finished.outcome("a.png"), outcome("written", ""));
    let mut others = finished.records();
    others.retain(|record| text(record, "key") != "a.png");
    assert_eq!(others.len(), 1, "{finished:?}");
    for other in others {
        assert_eq!((text(&other, "status"), text(&other, "reason")), ("failed", "invalid-entry"));
        assert!(other.to_string().contains("/1"), "named by its pointer: {other}");
    }
}

#[test]
fn what_is_not_work_is_skipped_with_success() {
    let folders = Folders::new();
    let removed = {
        let mut event = notification("src", "a.png", 10);
        *event.pointer_mut("/Records/0/eventName").expect("a notification has it") = json!("ObjectRemoved:Delete");
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
    assert_eq!(folders.written(), Vec::<std::path::PathBuf>::new());
}

// --- exit codes ---

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
fn one_record_that_failed_for_good_exits_with_1_and_its_neighbours_are_written() {
    let folders = Folders::new();
    let photo = photos::jpeg(64, 48, 1);
    let half = photo.len() / 2;
    folders.put("truncated.jpg", photo.get(..half).expect("half of it"));
    folders.put("text.jpg", b"this is no image, whatever its name says");
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

// --- the log ---

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
fn whatever_the_destination_is_called_the_summary_is_valid() {
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
        u64::try_from(since_1970.expect("after 1970").as_millis()).expect("fits for 500 million years")
    };
    let folders = Folders::new();
    let before = now();
    let summary = folders.run().run().summary();
    let timestamp = summary.pointer("/_aws/Timestamp").and_then(Value::as_u64).expect("a timestamp");
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
        said(&run().env("LOG_FORMAT", "text").env("SKIP_UNCHANGED", "false").run().expect_code(1)),
        said(&run().arg("--check-config").run().expect_code(0)),
    ];
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(!line.starts_with("{\"status\""), "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
    }
}

#[test]
fn text_is_for_people_and_changes_nothing_else() {
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
fn the_report_is_on_standard_output_and_the_diagnostics_are_not() {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    let run = || Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", "a.jpg")]));
    let finished = run().env("RUST_LOG", "trace").run().expect_code(0);
    assert_eq!(finished.lines().len(), 2, "{}", finished.stdout);
    assert!(!finished.stderr.is_empty(), "trace says nothing");
    let quiet = run().env("RUST_LOG", "off").run().expect_code(0);
    assert_eq!((quiet.lines().len(), quiet.stderr.as_str()), (2, ""));
}

#[test]
fn a_standard_output_that_nobody_reads_changes_neither_the_work_nor_the_exit_code() {
    let closed = || std::io::pipe().expect("a pipe can be made").1;
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

#[test]
fn nothing_secret_is_logged_however_much_is_asked_for() {
    // Every pixel is "PiX", so that contents of the source or of the outputs would be seen as text or as numbers.
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
            let said = said(&finished);
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
            for (what, secret) in forbidden {
                let line = said.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{what} with RUST_LOG={filter}");
            }
        }
    }
    let raw = server.object("dest", "raw/32x32/a.bmp.npy").bytes;
    assert!(raw.windows(6).any(|window| window == b"PiXPiX"), "the outputs do have what was looked for");
}

fn flat_bmp(width_px: u32, height_px: u32, rgb: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width_px, height_px, image::Rgb(rgb))
        .write_to(&mut bytes, image::ImageFormat::Bmp)
        .expect("a flat image can be encoded");
    bytes.into_inner()
}

// --- signals ---

/// Four photos whose GETs are held back, and a run that has begun with two of them.
struct Interrupted {
    server: S3Server,
    gate: Gate,
    running: Running,
}

const INTERRUPTED_KEYS: [&str; 4] = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"];

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
        // That the signal has been taken in is seen by what the program says, not by waiting.
        running.wait_for_diagnostic(if signal == Signal::INT { "SIGINT" } else { "SIGTERM" });
        Self { server, gate, running }
    }
}

fn with_status<'a>(records: &'a [Value], status: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| text(record, "status") == status).collect()
}

fn expect_in_flight_work_to_be_finished(signal: Signal) {
    let Interrupted { server, gate, running } = Interrupted::begin(signal, "3600");
    gate.open();

    let finished = running.finish().expect_code(75);

    let records = finished.records();
    assert_eq!(records.len(), INTERRUPTED_KEYS.len(), "every record has its line\n{}", finished.stdout);
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
fn after_sigterm_what_is_in_flight_is_finished_and_nothing_new_begins() {
    expect_in_flight_work_to_be_finished(Signal::TERM);
}

#[test]
fn after_sigint_what_is_in_flight_is_finished_and_nothing_new_begins() {
    expect_in_flight_work_to_be_finished(Signal::INT);
}

#[test]
fn when_the_grace_is_over_all_that_is_left_is_interrupted() {
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

// --- folders as buckets ---

#[test]
fn with_folders_as_buckets_the_outputs_lie_beside_the_sources() {
    let folders = Folders::new();
    folders.put("deep/er/b.png", &photos::png(64, 48, 2));
    let before = folders.untouchable();
    folders
        .run()
        .env("DEST_PREFIX", "thumbs/")
        .batch(&entries(&[("src", "a.png"), ("src", "deep/er/b.png")]))
        .run()
        .expect_code(0);
    let dest = folders.root().join("dest/thumbs/32x32");
    for name in ["a.png.jpg", "deep/er/b.png.jpg"] {
        let bytes = fs::read(dest.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (width, height, _) = photos::decode_jpeg(&bytes);
        assert_eq!((width, height), (32, 32), "{name}");
    }
    assert_eq!(folders.untouchable(), before);
}

#[test]
fn a_program_that_is_killed_leaves_whole_outputs_in_its_folders_and_the_next_finishes_the_work() {
    for killed_at in 0..6 {
        let folders = Folders::new();
        let keys: Vec<String> = (0..8).map(|number| format!("{number}.png")).collect();
        for (key, seed) in keys.iter().zip(1..) {
            folders.put(key, &photos::png(64, 48, seed));
        }
        let batch = entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>());
        let run = || folders.run().env("SIZES", "32,640").env("CONCURRENCY", "2").batch(&batch);
        let running = run().start();
        // While the others are on their way.
        running.wait_for_line(&format!("/{killed_at}.png"));
        running.signal(Signal::KILL);
        running.finish();
        let whole = |path: &std::path::PathBuf| drop(photos::decode_jpeg(&fs::read(path).expect("a file")));
        folders.written().iter().for_each(whole);
        run().run().expect_code(0);
        let written = folders.written();
        assert_eq!(written.len(), 16, "killed at {killed_at}: {written:?}");
        written.iter().for_each(whole);
    }
}

#[test]
fn a_key_or_bucket_that_leads_out_of_the_folders_fails_that_record_alone() {
    let folders = Folders::new();
    let photo = photos::png(64, 48, 3);
    write(&folders.outside.path().join("secret.png"), &photo);
    write(&folders.root().join("secret.png"), &photo);
    let absolute = folders.outside.path().join("secret.png").display().to_string();
    folders.put("folder/b.png", &photo);
    let hostile = [
        ("src", "../secret.png"),
        ("src", "../../secret.png"),
        ("src", "x/../../../secret.png"),
        ("src", absolute.as_str()),
        ("src", "nul\0.png"),
        ("src", ""),
        ("src", "."),
        ("src", ".."),
        ("src", "folder"),
        (".pixpipe", "dest/32x32/a.png.jpg.json"),
        ("src", &"long/".repeat(300)),
        ("src", &"l".repeat(1000)),
        ("..", "secret.png"),
        ("../store/src", "a.png"),
        ("/", "secret.png"),
    ];
    let before = folders.untouchable();
    for (bucket, key) in hostile {
        let batch = entries(&[(bucket, key), ("src", "a.png")]);
        let finished = folders.run().env("SKIP_UNCHANGED", "false").batch(&batch).run().expect_code(1);
        assert_eq!(finished.outcome("a.png"), outcome("written", ""), "beside {bucket:?} {key:?}");
        let records = finished.records();
        let failed = with_status(&records, "failed");
        assert_eq!(failed.len(), 1, "{bucket:?} {key:?}: {}", finished.stdout);
        assert!(
            failed.iter().all(|record| ["invalid-entry", "not-found"].contains(&text(record, "reason"))),
            "{failed:?}"
        );
        assert_eq!(folders.written(), [folders.root().join("dest/32x32/a.png.jpg")], "{bucket:?} {key:?}");
        assert_eq!(folders.untouchable(), before, "{bucket:?} {key:?}");
    }
}
