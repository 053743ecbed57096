//! Tests of the outputs: keys, formats, metadata and their number.

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Finished, Pixpipe, entries, outputs, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::{small_run, source_etag, with_one_photo, writes};

#[test]
fn every_size_is_written_under_its_own_prefix_with_type_and_origin() {
    let server = with_one_photo();
    let source = server.object("src", "a.jpg");

    let finished = Pixpipe::with_s3(server.endpoint())
        .env("DEST_PREFIX", "thumbs/")
        .env("SIZES", "224,64x48,16")
        .batch(&entries(&[("src", "a.jpg")]))
        .run()
        .expect_code(0);

    let keys = ["thumbs/16x16/a.jpg", "thumbs/224x224/a.jpg", "thumbs/64x48/a.jpg"];
    assert_eq!(server.keys("dest"), keys);
    for (key, (width, height)) in keys.iter().zip([(16, 16), (224, 224), (64, 48)]) {
        let output = server.object("dest", key);
        let (got_width, got_height, _) = photos::decode_jpeg(&output.bytes);
        assert_eq!((got_width, got_height), (width, height), "{key}");
        assert_eq!(output.content_type.as_deref(), Some("image/jpeg"), "{key}");
        assert_eq!(source_etag(&output), Some(source.etag.as_str()));
        assert!(output.metadata.get("spec").is_some_and(|spec| !spec.is_empty()), "{:?}", output.metadata);
        assert_eq!(output.metadata.get("source-version-id"), None, "the source's bucket is not versioned");
        assert!(output.has_checksum(), "{key} was written without a checksum");
    }

    let record = finished.record("a.jpg");
    assert_eq!(text(&record, "status"), "written");
    assert_eq!(text(&record, "bucket"), "src");
    assert_eq!(text(&record, "format"), "jpeg");
    let mut listed = outputs(&record);
    listed.sort();
    assert_eq!(listed, keys);
    let number = |member: &str| record.get(member).and_then(Value::as_u64);
    assert_eq!(number("source_bytes"), u64::try_from(source.bytes.len()).ok());
    assert_eq!((number("source_width"), number("source_height")), (Some(400), Some(300)));
    for step in ["get_ms", "decode_ms", "resize_ms", "encode_ms", "put_ms"] {
        assert!(record.get(step).is_some_and(Value::is_number), "no {step} in {record}");
    }
}

#[test]
fn each_format_has_its_extension_and_content_type() {
    let server = with_one_photo();
    let cases = [
        ("png", "32x32/a.jpg.png", "image/png"),
        ("webp", "32x32/a.jpg.webp", "image/webp"),
        ("npy", "32x32/a.jpg.npy", "application/octet-stream"),
    ];
    for (format, key, content_type) in cases {
        small_run(&server).env("FORMAT", format).run().expect_code(0);
        assert_eq!(server.object("dest", key).content_type.as_deref(), Some(content_type), "{format}");
    }
}

#[test]
fn real_photos_become_exact_squares() {
    let server = S3Server::with_buckets();
    let photos = photos::real();
    assert!(!photos.is_empty(), "testdata/photos has no photo");
    let names: Vec<(&str, &str)> = photos.iter().map(|(name, _)| ("src", name.as_str())).collect();
    for (name, bytes) in &photos {
        server.put("src", name, Upload::of(bytes.clone()));
    }

    let finished = Pixpipe::with_s3(server.endpoint()).batch(&entries(&names)).run().expect_code(0);

    assert_eq!(finished.records().len(), photos.len());
    for (name, _) in &photos {
        let record = finished.record(name);
        assert_eq!(text(&record, "status"), "written", "{record}");
        let outputs = outputs(&record);
        assert_eq!(outputs.len(), 1, "{record}");
        for key in outputs {
            let (width, height, _) = photos::decode_jpeg(&server.object("dest", &key).bytes);
            assert_eq!((width, height), (224, 224), "{key}");
        }
    }
}

#[test]
fn a_record_costs_one_get_of_the_source_and_one_put_per_size() {
    let server = S3Server::with_buckets();
    let keys = ["a.jpg", "b.jpg", "c.jpg"];
    for (key, seed) in keys.into_iter().zip(1..) {
        server.put("src", key, Upload::of(photos::jpeg(300, 200, seed)));
    }
    Pixpipe::with_s3(server.endpoint())
        .env("SIZES", "32,48x16")
        .batch(&entries(&keys.map(|key| ("src", key))))
        .run()
        .expect_code(0);

    for key in keys {
        assert_eq!(server.downloads_of("src", key), 1, "downloads of {key}");
        let requests = server.requests_of(&Method::GET, "src", key).len();
        assert_eq!(requests, 2, "{key} is looked at once more after its outputs are written");
        for size in ["32x32", "48x16"] {
            assert_eq!(server.requests_of(&Method::PUT, "dest", &format!("{size}/{key}")).len(), 1, "{size} of {key}");
        }
    }
    assert_eq!(writes(&server).len(), 2 * keys.len());
}

#[test]
fn the_same_object_twice_in_one_batch_is_rendered_once() {
    let server = with_one_photo();
    let twice = entries(&[("src", "a.jpg"), ("src", "a.jpg")]);
    let finished = small_run(&server).batch(&twice).run().expect_code(0);
    let mut statuses: Vec<String> = finished.records().iter().map(|record| text(record, "status").to_owned()).collect();
    statuses.sort();
    assert_eq!(statuses, ["skipped", "written"]);
    assert_eq!(server.downloads_of("src", "a.jpg"), 1);
    assert_eq!(writes(&server).len(), 1);
}

#[test]
fn the_version_of_the_source_is_recorded_if_its_bucket_is_versioned() {
    let server = S3Server::start();
    server.create_versioned_bucket("src");
    server.create_bucket("dest");
    let old = server.put("src", "a.jpg", Upload::of(photos::jpeg(100, 100, 1)));
    let new = server.put("src", "a.jpg", Upload::of(photos::jpeg(100, 100, 2)));
    assert_ne!(old.version_id, new.version_id);

    // The event names the old version, but the program reads the newest.
    let event = json!({ "bucket": "src", "key": "a.jpg", "etag": old.etag, "versionId": old.version_id });
    small_run(&server).batch(&event).run().expect_code(0);

    let output = server.object("dest", "32x32/a.jpg");
    assert_eq!(output.metadata.get("source-version-id"), new.version_id.as_ref());
    assert_eq!(source_etag(&output), Some(new.etag.as_str()));
}

#[test]
fn only_pixels_of_the_source_reach_the_output() {
    let server = S3Server::with_buckets();
    let metadata = [("owner".to_owned(), "somebody".to_owned())].into();
    server.put("src", "a.jpg", Upload { metadata, ..Upload::of(photos::jpeg(100, 100, 1)) });
    small_run(&server).run().expect_code(0);
    let names: Vec<String> = server.object("dest", "32x32/a.jpg").metadata.into_keys().collect();
    assert_eq!(names, ["source", "source-etag", "spec"]);
}

#[test]
fn a_killed_program_leaves_no_partial_output() {
    let server = with_one_photo();
    let gate = Gate::closed();
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::Always, Fault::Hold(gate.clone()));
    let running = small_run(&server).env("SIZES", "16,32").start();
    gate.wait_for(1);
    running.signal(Signal::KILL);
    let killed: Finished = running.finish();
    assert_eq!(killed.code, None);
    gate.open();
    for key in server.keys("dest") {
        photos::decode_jpeg(&server.object("dest", &key).bytes);
    }
    small_run(&server).env("SIZES", "16,32").run().expect_code(0);
    assert_eq!(server.keys("dest"), ["16x16/a.jpg", "32x32/a.jpg"]);
}
