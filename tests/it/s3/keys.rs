//! Tests of keys and buckets: encodings, odd keys, and objects that the program wrote itself.

use serde_json::Value;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{entries, notification, outcome, outputs, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::{small_run, with_one_photo};

#[test]
fn a_raw_key_is_used_unchanged() {
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
fn a_key_that_the_sdk_cannot_request_is_an_invalid_entry() {
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
fn an_output_of_the_program_itself_is_skipped() {
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
