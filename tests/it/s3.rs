//! The program against an S3 over HTTP: what it reads, what it writes and what it sends.

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::credentials::{ContainerCredentials, Trap};
use crate::support::faults::{self, Fault, Gate, Times};
use crate::support::photos;
use crate::support::run::{Finished, Pixpipe, entries, notification, outputs, text};
use crate::support::s3::{Checksums, Upload, md5_hex};
use crate::support::server::{Request, S3Server};

/// A server whose bucket `src` holds one photo, `a.jpg`.
fn with_one_photo() -> S3Server {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 1)));
    server
}

/// A run on `src/a.jpg` that makes one small output, `32x32/a.jpg`.
fn small_run(server: &S3Server) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", "a.jpg")]))
}

fn writes(server: &S3Server) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.method == Method::PUT).collect()
}

fn outcome(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

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
        assert_eq!(output.metadata.get("source-etag").map(|etag| etag.trim_matches('"')), Some(source.etag.as_str()));
        assert!(output.metadata.get("spec").is_some_and(|spec| !spec.is_empty()), "{:?}", output.metadata);
        assert_eq!(output.metadata.get("source-version-id"), None, "the source's bucket has no versions");
        assert!(output.has_checksum(), "{key} was written without a checksum");
    }

    let record = finished.record("a.jpg");
    assert_eq!(text(&record, "status"), "written");
    assert_eq!(text(&record, "bucket"), "src");
    assert_eq!(text(&record, "format"), "jpeg");
    let mut told = outputs(&record);
    told.sort();
    assert_eq!(told, keys);
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
        assert_eq!(server.requests_of(&Method::GET, "src", key).len(), 1, "GETs of {key}");
        for size in ["32x32", "48x16"] {
            assert_eq!(server.requests_of(&Method::PUT, "dest", &format!("{size}/{key}")).len(), 1, "{size} of {key}");
        }
    }
    assert_eq!(writes(&server).len(), 2 * keys.len());
}

#[test]
fn the_same_object_twice_in_one_batch_is_made_once() {
    let server = with_one_photo();
    let twice = entries(&[("src", "a.jpg"), ("src", "a.jpg")]);
    let finished = small_run(&server).batch(&twice).run().expect_code(0);
    let mut statuses: Vec<String> = finished.records().iter().map(|record| text(record, "status").to_owned()).collect();
    statuses.sort();
    assert_eq!(statuses, ["skipped", "written"]);
    assert_eq!(server.requests_of(&Method::GET, "src", "a.jpg").len(), 1);
    assert_eq!(writes(&server).len(), 1);
}

#[test]
fn the_version_of_the_source_is_noted_where_its_bucket_has_versions() {
    let server = S3Server::start();
    server.create_versioned_bucket("src");
    server.create_bucket("dest");
    let old = server.put("src", "a.jpg", Upload::of(photos::jpeg(100, 100, 1)));
    let new = server.put("src", "a.jpg", Upload::of(photos::jpeg(100, 100, 2)));
    assert_ne!(old.version_id, new.version_id);

    // The event is about the old version; what counts is the object as it is now.
    let event = json!({ "bucket": "src", "key": "a.jpg", "etag": old.etag, "versionId": old.version_id });
    small_run(&server).batch(&event).run().expect_code(0);

    let output = server.object("dest", "32x32/a.jpg");
    assert_eq!(output.metadata.get("source-version-id"), new.version_id.as_ref());
    assert_eq!(output.metadata.get("source-etag").map(|etag| etag.trim_matches('"')), Some(new.etag.as_str()));
}

#[test]
fn nothing_of_the_source_but_its_pixels_reaches_the_output() {
    let server = S3Server::with_buckets();
    let metadata = [("owner".to_owned(), "somebody".to_owned())].into();
    server.put("src", "a.jpg", Upload { metadata, ..Upload::of(photos::jpeg(100, 100, 1)) });
    small_run(&server).run().expect_code(0);
    let names: Vec<String> = server.object("dest", "32x32/a.jpg").metadata.into_keys().collect();
    assert_eq!(names, ["source-etag", "spec"]);
}

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
fn without_skip_unchanged_every_output_is_made_again_under_the_same_condition() {
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
    assert_eq!(conditions, ["", &source], "all of it, and whether it is still that one after an output was replaced");
}

#[test]
fn an_overwritten_source_makes_a_new_output() {
    let server = with_one_photo();
    small_run(&server).run().expect_code(0);
    let old = server.object("dest", "32x32/a.jpg");
    let source = server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 7)));

    let finished = small_run(&server).run().expect_code(0);

    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    let new = server.object("dest", "32x32/a.jpg");
    assert_ne!(old.bytes, new.bytes);
    assert_eq!(new.metadata.get("source-etag").map(|etag| etag.trim_matches('"')), Some(source.etag.as_str()));
}

#[test]
fn an_output_that_is_missing_or_made_otherwise_is_made_again() {
    let server = with_one_photo();
    let run = || small_run(&server).env("SIZES", "32,16");
    run().run().expect_code(0);

    server.delete("dest", "16x16/a.jpg");
    assert_eq!(run().run().expect_code(0).outcome("a.jpg"), outcome("written", ""), "one output is missing");
    assert_eq!(server.keys("dest"), ["16x16/a.jpg", "32x32/a.jpg"]);

    let old_spec = server.object("dest", "32x32/a.jpg").metadata.get("spec").cloned();
    let finished = run().env("JPEG_QUALITY", "40").run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""), "the quality is another");
    assert_ne!(server.object("dest", "32x32/a.jpg").metadata.get("spec").cloned(), old_spec);

    server.put("dest", "32x32/a.jpg", Upload::of("somebody else's object"));
    assert_eq!(run().run().expect_code(0).outcome("a.jpg"), outcome("written", ""), "one output is not ours");
    photos::decode_jpeg(&server.object("dest", "32x32/a.jpg").bytes);
}

#[test]
fn a_new_output_is_written_only_where_there_is_none_and_an_old_one_only_where_it_is_still_the_same() {
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
fn an_output_that_another_task_wrote_in_between_is_not_overwritten_by_an_older_source() {
    let server = with_one_photo();
    let gate = Gate::closed();
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::First(1), Fault::Hold(gate.clone()));

    // One task has read the old source and is about to write ...
    let slow = small_run(&server).start();
    gate.wait_for(1);
    // ... when the source is overwritten and another task makes the output of the new one.
    let new = server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 7)));
    small_run(&server).run().expect_code(0);
    let newest = server.object("dest", "32x32/a.jpg");
    gate.open();

    assert_eq!(slow.finish().expect_code(0).outcome("a.jpg"), outcome("skipped", "unchanged"));
    let output = server.object("dest", "32x32/a.jpg");
    assert_eq!(output.bytes, newest.bytes);
    assert_eq!(output.metadata.get("source-etag").map(|etag| etag.trim_matches('"')), Some(new.etag.as_str()));
}

#[test]
fn a_source_that_was_changed_and_changed_back_has_its_own_output() {
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
    // ... when it is changed back, and another task finds the output that it should have.
    server.put("src", "a.jpg", Upload::of(first));
    assert_eq!(small_run(&server).run().expect_code(0).outcome("a.jpg"), outcome("skipped", "unchanged"));
    gate.open();

    assert_eq!(slow.finish().expect_code(0).outcome("a.jpg"), outcome("written", ""));
    assert_eq!(server.object("dest", "32x32/a.jpg").bytes, output.bytes);
}

#[test]
fn an_output_that_changes_under_every_write_ends_in_conflict_after_five_attempts() {
    let server = with_one_photo();
    let always_lost = Fault::Answer(412, "PreconditionFailed");
    server.fault(faults::put("dest", "32x32/a.jpg"), Times::Always, always_lost);
    let finished = small_run(&server).run().expect_code(75);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "conflict"));
    assert_eq!(writes(&server).len(), 5);
    assert_eq!(server.requests_of(&Method::HEAD, "dest", "32x32/a.jpg").len(), 5, "each attempt starts at the heads");
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn a_write_that_loses_a_race_twice_is_made_on_the_third_attempt() {
    let server = with_one_photo();
    let target = || faults::put("dest", "32x32/a.jpg");
    server.fault(target(), Times::First(1), Fault::Answer(412, "PreconditionFailed"));
    server.fault(target(), Times::First(1), Fault::Answer(409, "ConditionalRequestConflict"));
    let finished = small_run(&server).run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    assert_eq!(writes(&server).len(), 3);
}

#[test]
fn one_size_that_loses_a_race_is_made_again_alone() {
    for skip_unchanged in ["true", "false"] {
        let server = with_one_photo();
        let lost = Fault::Answer(412, "PreconditionFailed");
        server.fault(faults::put("dest", "16x16/a.jpg"), Times::First(1), lost);
        let run = small_run(&server).env("SIZES", "16,32").env("SKIP_UNCHANGED", skip_unchanged);
        let record = run.run().expect_code(0).record("a.jpg");
        assert_eq!(text(&record, "status"), "written");
        let mut told = outputs(&record);
        told.sort();
        assert_eq!(told, ["16x16/a.jpg", "32x32/a.jpg"], "SKIP_UNCHANGED={skip_unchanged}: each output once");
        assert_eq!(server.keys("dest"), told);
    }
}

#[test]
fn a_key_is_taken_as_the_event_means_it_and_kept_as_it_is() {
    let raw_keys = [
        "two  spaces.jpg",
        "a+b.jpg",
        "100%.jpg",
        "%2B and %20.jpg",
        "Grüße/写真/😀.jpg",
        "combining-e\u{301}.jpg",
        "../up.jpg",
        "a/../b/./c.jpg",
        "/leading.jpg",
        "a//b.jpg",
        "?query&x=1#fragment.jpg",
        "quote\"'\\backslash.jpg",
        "line\nbreak.jpg",
        "no extension",
        "other.png",
        "UPPER.JPEG",
    ];
    let server = S3Server::with_buckets();
    let photo = photos::jpeg(64, 48, 1);
    for key in raw_keys {
        server.put("src", key, Upload::of(photo.clone()));
    }

    let batch = entries(&raw_keys.map(|key| ("src", key)));
    let finished = small_run(&server).batch(&batch).run().expect_code(0);

    let mut expected = raw_keys.map(|key| match key {
        "no extension" | "other.png" => format!("32x32/{key}.jpg"),
        _ => format!("32x32/{key}"),
    });
    for (key, output) in raw_keys.iter().zip(&expected) {
        assert_eq!(outputs(&finished.record(key)).as_slice(), std::slice::from_ref(output));
    }
    expected.sort();
    assert_eq!(server.keys("dest"), expected);
}

#[test]
fn a_key_that_the_sdk_makes_no_request_of_has_failed_for_good() {
    let server = with_one_photo();
    let keys = [" ", "\t", "a.jpg"];
    let finished = small_run(&server).batch(&entries(&keys.map(|key| ("src", key)))).run().expect_code(1);
    for key in &keys[..2] {
        assert_eq!(finished.outcome(key), outcome("failed", "invalid-entry"), "{key:?}");
    }
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
}

#[test]
fn the_key_of_an_s3_notification_is_form_encoded() {
    let cases = [
        ("two+words+%2B+100%25.jpg", "two words + 100%.jpg"),
        ("Gr%C3%BC%C3%9Fe/%E5%86%99%E7%9C%9F.jpg", "Grüße/写真.jpg"),
        ("literal%252B.jpg", "literal%2B.jpg"),
    ];
    let server = S3Server::with_buckets();
    let photo = photos::jpeg(64, 48, 1);
    let batch: Value = cases.iter().map(|(encoded, _)| notification("src", encoded, photo.len())).collect();
    for (_, key) in cases {
        server.put("src", key, Upload::of(photo.clone()));
    }
    let finished = small_run(&server).batch(&batch).run().expect_code(0);
    for (_, key) in cases {
        assert_eq!(outputs(&finished.record(key)), [format!("32x32/{key}")]);
        server.object("dest", &format!("32x32/{key}"));
    }
}

#[test]
fn every_request_is_signed_names_the_program_and_asks_for_checksums() {
    let server = with_one_photo();
    small_run(&server).run().expect_code(0);
    small_run(&server).run().expect_code(0);
    let requests = server.requests();
    assert!(requests.len() >= 4, "{requests:?}");
    for request in &requests {
        assert!(request.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential="), "{request:?}");
        let program = concat!("app/pixpipe-", env!("CARGO_PKG_VERSION")); // the SDK's form of an application's name
        assert!(request.header("user-agent").contains(program), "{:?}", request.header("user-agent"));
    }
    for get in server.requests_of(&Method::GET, "src", "a.jpg") {
        assert_eq!(get.header("x-amz-checksum-mode").to_ascii_uppercase(), "ENABLED");
    }
}

#[test]
fn only_the_buckets_of_the_batch_and_the_destination_are_touched() {
    let server = with_one_photo();
    server.create_bucket("bystander");
    small_run(&server).run().expect_code(0);
    assert_eq!(server.keys("dest"), ["32x32/a.jpg"]);
    for request in server.requests() {
        let place = (request.bucket.as_str(), request.key.as_str());
        assert!([("src", "a.jpg"), ("dest", "32x32/a.jpg")].contains(&place), "{request:?}");
    }
}

#[test]
fn with_keys_in_the_environment_the_instance_metadata_is_not_asked() {
    let server = with_one_photo();
    let trap = Trap::set();
    let finished = small_run(&server).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &trap.endpoint()).run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    assert!(!trap.has_caught());
}

#[test]
fn the_credentials_of_a_container_are_fetched_once_and_the_instance_metadata_is_not_asked() {
    let server = S3Server::with_buckets();
    let keys = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"];
    for (key, seed) in keys.into_iter().zip(1..) {
        server.put("src", key, Upload::of(photos::jpeg(100, 100, seed)));
    }
    let trap = Trap::set();
    let container = ContainerCredentials::serve();

    small_run(&server)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", ContainerCredentials::AUTHORIZATION)
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &trap.endpoint())
        .batch(&entries(&keys.map(|key| ("src", key))))
        .run()
        .expect_code(0);

    assert_eq!(container.times_asked(), 1);
    assert!(!trap.has_caught());
    assert_eq!(server.keys("dest").len(), keys.len());
}

#[test]
fn a_wrong_secret_key_ends_in_access_denied() {
    let server = with_one_photo();
    let finished = small_run(&server).env("AWS_SECRET_ACCESS_KEY", "not the secret").run().expect_code(1);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "access-denied"));
}

#[test]
fn an_object_that_its_event_calls_too_large_is_never_requested() {
    let server = with_one_photo();
    let event = notification("src", "a.jpg", 1001);
    let finished = small_run(&server).env("MAX_SOURCE_BYTES", "1000").batch(&event).run().expect_code(1);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "too-many-bytes"));
    assert_eq!(server.requests_of(&Method::GET, "src", "a.jpg").len(), 0);
}

#[test]
fn an_object_that_is_larger_than_its_event_says_is_refused_too() {
    let server = with_one_photo();
    for event in [notification("src", "a.jpg", 10), entries(&[("src", "a.jpg")])] {
        let finished = small_run(&server).env("MAX_SOURCE_BYTES", "1000").batch(&event).run().expect_code(1);
        assert_eq!(finished.outcome("a.jpg"), outcome("failed", "too-many-bytes"), "{event}");
    }
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn an_etag_that_is_not_an_md5_is_no_reason_to_refuse_an_object() {
    let random = "0123456789abcdef0123456789abcdef";
    let cases = [
        ("multipart.jpg", Upload { etag: Some("0123456789abcdef0123456789abcdef-3"), ..Upload::default() }),
        ("kms.jpg", Upload { etag: Some(random), encryption: Some("aws:kms"), ..Upload::default() }),
        ("kms-dsse.jpg", Upload { etag: Some(random), encryption: Some("aws:kms:dsse"), ..Upload::default() }),
    ];
    let server = S3Server::with_buckets();
    let keys = cases.each_ref().map(|(key, _)| ("src", *key));
    for (key, upload) in cases {
        server.put("src", key, Upload { bytes: photos::jpeg(64, 48, 1), checksums: Checksums::None, ..upload });
    }
    let run = || small_run(&server).batch(&entries(&keys)).run().expect_code(0);

    let first = run();
    let second = run();

    for (_, key) in keys {
        assert_eq!(first.outcome(key), outcome("written", ""), "{key}");
        assert_eq!(second.outcome(key), outcome("skipped", "unchanged"), "{key}");
    }
}

#[test]
fn an_object_without_a_stored_checksum_and_one_with_crc32_are_read_alike() {
    let server = S3Server::with_buckets();
    let photo = photos::jpeg(64, 48, 1);
    server.put("src", "none.jpg", Upload { checksums: Checksums::None, ..Upload::of(photo.clone()) });
    server.put("src", "crc32.jpg", Upload { checksums: Checksums::Crc32, ..Upload::of(photo) });
    small_run(&server).batch(&entries(&[("src", "none.jpg"), ("src", "crc32.jpg")])).run().expect_code(0);
    assert_eq!(server.object("dest", "32x32/none.jpg").bytes, server.object("dest", "32x32/crc32.jpg").bytes);
}

#[test]
fn what_the_program_itself_wrote_is_skipped() {
    let server = with_one_photo();
    server.put("dest", "thumbs/32x32/a.jpg", Upload::of(photos::jpeg(32, 32, 1)));
    let finished = small_run(&server)
        .env("DEST_PREFIX", "thumbs/")
        .batch(&entries(&[("dest", "thumbs/32x32/a.jpg")]))
        .run()
        .expect_code(0);
    assert_eq!(text(&finished.record("thumbs/32x32/a.jpg"), "status"), "skipped");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn reading_and_writing_one_bucket_without_a_prefix_is_refused_as_a_loop() {
    let server = S3Server::with_buckets();
    server.put("dest", "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    let finished = small_run(&server).batch(&entries(&[("dest", "a.jpg")])).run().expect_code(1);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "would-loop"));
    assert_eq!(server.requests().len(), 0);
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

/// The server itself, asked by the SDK that the program uses: what the tests above take for granted.
mod the_test_server {
    use aws_sdk_s3::Client;
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, ResponseChecksumValidation};
    use aws_sdk_s3::error::ProvideErrorMetadata as _;
    use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};

    use crate::support::faults::{self, Fault, Times};
    use crate::support::run::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
    use crate::support::s3::Upload;
    use crate::support::server::S3Server;

    fn client(server: &S3Server, secret: &str) -> Client {
        let http = aws_smithy_http_client::Builder::new().build_http();
        Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(http)
                .region(Region::new("eu-central-1"))
                .credentials_provider(Credentials::new(ACCESS_KEY_ID, secret, None, None, "test"))
                .endpoint_url(server.endpoint())
                .force_path_style(true)
                .build(),
        )
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime on this thread starts")
            .block_on(work)
    }

    #[test]
    fn lets_exactly_one_of_many_racing_conditional_writes_win() {
        let server = S3Server::with_buckets();
        let client = client(&server, SECRET_ACCESS_KEY);
        // Contents that differ between the rounds: equal ones have the same ETag, and a condition on it would hold again.
        let won = |contents: std::ops::Range<u8>, etag: Option<String>| {
            let write = |byte: u8| {
                let put = client.put_object().bucket("dest").key("k").body(ByteStream::from(vec![byte; 1000]));
                let put = match etag.clone() {
                    Some(etag) => put.if_match(etag),
                    None => put.if_none_match("*"),
                };
                async move {
                    match put.send().await {
                        Ok(written) => written.e_tag,
                        Err(error) => {
                            assert_eq!(error.code(), Some("PreconditionFailed"), "{error:?}");
                            None
                        }
                    }
                }
            };
            let etags = block_on(futures_util::future::join_all(contents.map(write)));
            etags.into_iter().flatten().collect::<Vec<_>>()
        };
        let first = won(0..16, None);
        assert_eq!(first.len(), 1, "If-None-Match: *");
        let second = won(16..32, first.first().cloned());
        assert_eq!(second.len(), 1, "If-Match");
        assert_ne!(first, second);
    }

    #[test]
    fn answers_304_to_the_etag_that_the_reader_has() {
        let server = S3Server::with_buckets();
        let object = server.put("src", "k", Upload::of("contents"));
        let client = client(&server, SECRET_ACCESS_KEY);
        let status = |etag: String| {
            let read = block_on(client.get_object().bucket("src").key("k").if_none_match(etag).send());
            read.err().and_then(|error| error.raw_response().map(|answer| answer.status().as_u16()))
        };
        assert_eq!(status(format!("\"{}\"", object.etag)), Some(304));
        assert_eq!(status("\"another\"".to_owned()), None, "no error");
    }

    #[test]
    fn refuses_a_wrong_signature_a_wrong_checksum_and_an_unknown_bucket() {
        let server = S3Server::with_buckets();
        let right = client(&server, SECRET_ACCESS_KEY);
        let put = |client: &Client| client.put_object().bucket("dest").key("k").body(ByteStream::from_static(b"x"));

        let unsigned = block_on(put(&client(&server, "wrong")).send()).expect_err("the secret is wrong");
        assert_eq!(unsigned.code(), Some("SignatureDoesNotMatch"));
        let spoilt = block_on(put(&right).checksum_crc32("AAAAAA==").send()).expect_err("the checksum is wrong");
        assert_eq!(spoilt.code(), Some("BadDigest"));
        let lost = block_on(put(&right).bucket("nowhere").send()).expect_err("there is no such bucket");
        assert_eq!(lost.code(), Some("NoSuchBucket"));
        assert_eq!(server.keys("dest"), Vec::<String>::new());
    }

    #[test]
    fn flips_a_bit_so_that_only_a_checksum_can_tell() {
        let server = S3Server::with_buckets();
        let intact = vec![7; 1000];
        server.put("src", "k", Upload::of(intact.clone()));
        server.fault(faults::get("src", "k"), Times::Always, Fault::FlipBit);
        let checking = client(&server, SECRET_ACCESS_KEY);
        let trusting = checking.config().to_builder();
        let trusting = trusting.response_checksum_validation(ResponseChecksumValidation::WhenRequired).build();
        let read = |client: &Client| {
            block_on(async {
                let answer =
                    client.get_object().bucket("src").key("k").send().await.expect("the headers are as they were");
                answer.body.collect().await.map(AggregatedBytes::to_vec)
            })
        };
        let flipped = read(&Client::from_conf(trusting)).expect("who does not check does not notice");
        assert_eq!(flipped.len(), intact.len());
        assert_eq!(flipped.iter().zip(&intact).filter(|(got, sent)| got != sent).count(), 1);
        let noticed = read(&checking).expect_err("the stored checksum tells");
        assert!(format!("{noticed:?}").contains("Checksum"), "{noticed:?}");
    }

    #[test]
    fn cuts_a_body_after_half_of_it_has_been_sent() {
        let server = S3Server::with_buckets();
        server.put("src", "k", Upload::of(vec![7; 30_000]));
        server.fault(faults::get("src", "k"), Times::First(1), Fault::CutBody);
        let client = client(&server, SECRET_ACCESS_KEY);
        let (received, failed) = block_on(async {
            let mut body = client.get_object().bucket("src").key("k").send().await.expect("the headers come").body;
            let mut received = 0;
            loop {
                match body.next().await {
                    Some(Ok(chunk)) => received += chunk.len(),
                    Some(Err(_)) => return (received, true),
                    None => return (received, false),
                }
            }
        });
        assert_eq!((received, failed), (15_000, true));
    }
}
