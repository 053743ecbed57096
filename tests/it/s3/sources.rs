//! Tests of sources: size limits, `ETag`s and checksums.

use hyper::Method;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{entries, notification, outcome, text};
use pixpipe_test_support::s3::{Checksums, Upload};
use pixpipe_test_support::server::S3Server;

use super::{small_run, with_one_photo};

#[test]
fn an_object_that_is_too_large_by_its_event_is_never_requested() {
    let server = with_one_photo();
    let event = notification("src", "a.jpg", 1001);
    let finished = small_run(&server).env("MAX_SOURCE_BYTES", "1000").batch(&event).run().expect_code(1);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "too-many-bytes"));
    assert_eq!(server.requests_of(&Method::GET, "src", "a.jpg").len(), 0);
}

#[test]
fn an_object_that_is_too_large_despite_its_event_is_refused() {
    let server = with_one_photo();
    for event in [notification("src", "a.jpg", 10), entries(&[("src", "a.jpg")])] {
        let finished = small_run(&server).env("MAX_SOURCE_BYTES", "1000").batch(&event).run().expect_code(1);
        assert_eq!(finished.outcome("a.jpg"), outcome("failed", "too-many-bytes"), "{event}");
    }
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn an_object_whose_etag_is_not_an_md5_is_accepted() {
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
fn an_output_is_never_a_source_whatever_its_bucket_is_called() {
    let server = with_one_photo();
    small_run(&server).batch(&entries(&[("src", "a.jpg")])).run().expect_code(0);
    // The same bucket under another name, or the destination of another stack.
    let output = server.object("dest", "32x32/a.jpg");
    let metadata = output.metadata.clone();
    server.create_bucket("alias");
    server.put("alias", "32x32/a.jpg", Upload { metadata, ..Upload::of(output.bytes.to_vec()) });
    // Metadata of others have names like ours.
    let metadata = [("spec".to_owned(), "iso 100".to_owned())].into();
    server.put("alias", "camera.jpg", Upload { metadata, ..Upload::of(output.bytes.to_vec()) });
    let batch = entries(&[("alias", "32x32/a.jpg"), ("alias", "camera.jpg")]);
    let finished = small_run(&server).env("DEST_PREFIX", "again/").batch(&batch).run().expect_code(0);
    assert_eq!(finished.outcome("32x32/a.jpg"), outcome("skipped", "own-output"));
    assert_eq!(finished.outcome("camera.jpg"), outcome("written", ""));
    assert_eq!(server.keys("dest"), ["32x32/a.jpg", "again/32x32/camera.jpg"]);
}

#[test]
fn of_two_sources_of_one_output_the_second_is_refused_before_it_is_read() {
    let server = S3Server::with_buckets();
    server.create_bucket("other");
    for (bucket, key, seed) in [("src", "x.png", 1), ("src", "x.png.jpg", 2), ("other", "x.png", 3)] {
        server.put(bucket, key, Upload::of(photos::jpeg(64, 48, seed)));
    }
    let all = [("src", "x.png"), ("src", "x.png.jpg"), ("other", "x.png")];
    let finished = small_run(&server).batch(&entries(&all)).run().expect_code(1);
    let ends: Vec<_> = finished.records().iter().map(|record| text(record, "reason").to_owned()).collect();
    assert_eq!(ends, ["", "invalid-entry", "invalid-entry"]);
    assert!(text(&finished.record("x.png.jpg"), "detail").contains("DEST_PREFIX"), "{}", finished.stdout);
    let first = server.object("dest", "32x32/x.png.jpg").bytes;

    // One at a time, in a later batch, and made again.
    for (bucket, key) in &all[1..] {
        server.forget_requests();
        for remake in ["true", "false"] {
            let run = small_run(&server).env("SKIP_UNCHANGED", remake).batch(&entries(&[(bucket, key)]));
            assert_eq!(run.run().expect_code(1).outcome(key), outcome("failed", "invalid-entry"));
        }
        assert_eq!(server.downloads_of(bucket, key), 0, "{key}");
    }
    assert_eq!(server.object("dest", "32x32/x.png.jpg").bytes, first);
    let again = small_run(&server).batch(&entries(&all[..1])).run().expect_code(0);
    assert_eq!(again.outcome("x.png"), outcome("skipped", "unchanged"));
}

#[test]
fn two_names_of_one_source_are_no_collision() {
    let server = S3Server::with_buckets();
    server.create_bucket("alias");
    for bucket in ["src", "alias"] {
        server.put(bucket, "a.jpg", Upload::of(photos::jpeg(64, 48, 1)));
    }
    small_run(&server).batch(&entries(&[("src", "a.jpg")])).run().expect_code(0);
    let finished = small_run(&server).batch(&entries(&[("alias", "a.jpg")])).run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("skipped", "unchanged"));
}
