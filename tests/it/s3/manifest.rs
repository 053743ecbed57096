//! Tests of `MANIFEST_PREFIX`: what came of each record, as an object beside the outputs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use pixpipe_test_support::faults::{self, Fault, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, outcome};
use pixpipe_test_support::s3::{Upload, md5_hex};
use pixpipe_test_support::server::S3Server;

/// The SHA-256 of bytes, by the tool of the system.
fn sha256(bytes: &[u8]) -> String {
    let mut tool = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("coreutils");
    tool.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
    let output = tool.wait_with_output().expect("it ends").stdout;
    String::from_utf8_lossy(&output).split_whitespace().next().unwrap_or_default().to_owned()
}

fn with_photos() -> S3Server {
    let server = S3Server::with_buckets();
    server.create_versioned_bucket("versioned");
    server.put("versioned", "train/cat/a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    let photo = photos::jpeg(64, 48, 9);
    server.put("src", "cut.jpg", Upload::of(&photo[..photo.len() / 2]));
    server
}

fn run(server: &S3Server, batch: &Value) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).env("SIZES", "32,16").env("MANIFEST_PREFIX", "manifests/m-").batch(batch)
}

/// All manifests, in the order of their keys; each line is a document.
fn manifests(server: &S3Server) -> Vec<Vec<Value>> {
    let keys: Vec<String> = server.keys("dest").into_iter().filter(|key| key.starts_with("manifests/m-")).collect();
    let read = |key: &String| {
        let bytes = server.object("dest", key).bytes;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
    };
    keys.iter().map(read).collect()
}

#[test]
fn a_manifest_tells_what_came_of_each_record() {
    let server = with_photos();
    let body = json!([
        "s3://versioned/train/cat/a.jpg", "s3://src/cut.jpg", {"nothing": 1},
        // Tried before: its child process reports to its parent, and writes no manifest of its own.
        {"bucket": "versioned", "key": "train/cat/a.jpg", "pixpipe": {"attempts": 1}},
    ]);
    run(&server, &body).run().expect_code(1);

    let all = manifests(&server);
    let [lines] = all.as_slice() else { panic!("one object a task: {all:?}") };
    assert_eq!(lines.len(), 4);
    let line = |name: &str, value: &str| lines.iter().find(|line| line[name] == value).expect("a line");
    let source = server.object("versioned", "train/cat/a.jpg");
    let file = |size: &str| {
        let key = format!("{size}/train/cat/a.jpg");
        let output = server.object("dest", &key);
        json!({
            "key": key, "size": size, "bytes": output.bytes.len(), "etag": md5_hex(&output.bytes),
            "sha256": sha256(&output.bytes), "spec": output.metadata["spec"],
        })
    };
    let expected = json!({
        "status": "written", "bucket": "versioned", "key": "train/cat/a.jpg", "label": "cat",
        "source_bytes": source.bytes.len(), "source_width": 64, "source_height": 48, "format": "jpeg",
        "orientation": 1, "frames": 1, "source_etag": source.etag, "source_version_id": source.version_id,
        "source_sha256": sha256(&source.bytes), "outputs": [file("32x32"), file("16x16")],
    });
    assert_eq!(*line("status", "written"), expected);
    assert_eq!(line("key", "cut.jpg")["reason"], "truncated");
    assert_eq!(line("entry", "/2")["reason"], "invalid-entry");
    assert_eq!(line("reason", "duplicate")["key"], "train/cat/a.jpg");
}

#[test]
fn a_retried_record_is_in_the_manifest_of_its_parent() {
    let server = with_photos();
    let tried = json!([{"bucket": "versioned", "key": "train/cat/a.jpg", "pixpipe": {"attempts": 1}}]);
    run(&server, &tried).run().expect_code(0);
    run(&server, &tried).run().expect_code(0);
    let all = manifests(&server);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1], "{all:?}");
    let output = server.object("dest", "16x16/train/cat/a.jpg");
    assert_eq!(all[0][0]["outputs"][1]["sha256"], sha256(&output.bytes));
    assert_eq!((&all[1][0]["status"], &all[1][0]["reason"]), (&json!("skipped"), &json!("unchanged")));
}

#[test]
fn a_manifest_is_no_source_and_its_failure_changes_no_exit_code() {
    let server = with_photos();
    let body = json!(["s3://versioned/train/cat/a.jpg"]);
    run(&server, &body).run().expect_code(0);
    let key = server.keys("dest").into_iter().find(|key| key.starts_with("manifests/")).expect("a manifest");
    let again = Pixpipe::with_s3(server.endpoint()).env("DEST_PREFIX", "again/");
    let finished = again.batch(&json!([{"bucket": "dest", "key": key}])).run().expect_code(0);
    assert_eq!(finished.outcome(&key), outcome("skipped", "own-output"));

    let refused = Fault::Answer(403, "AccessDenied");
    server.fault(faults::under(hyper::Method::PUT, "dest", "manifests/"), Times::Always, refused);
    let finished = run(&server, &body).env("SKIP_UNCHANGED", "false").run().expect_code(0);
    assert!(finished.stderr.contains("the manifest s3://dest/manifests/m-"), "{}", finished.stderr);
    let without = run(&server, &body).without("MANIFEST_PREFIX").env("SKIP_UNCHANGED", "false").run().expect_code(0);
    let record = without.record("train/cat/a.jpg");
    assert_eq!((record.get("files"), record.get("source_sha256")), (None, None), "nothing is hashed");
}
