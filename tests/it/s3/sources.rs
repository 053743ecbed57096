//! Tests of sources: size limits, `ETag`s and checksums.

use hyper::Method;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{entries, notification, outcome};
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
