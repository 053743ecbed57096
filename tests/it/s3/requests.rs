//! Tests of the requests: signatures, headers, credentials, and places that are never contacted.

use hyper::Method;
use serde_json::{Value, json};

use pixpipe_test_support::credentials::{ContainerCredentials, ForbiddenEndpoint};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{entries, outcome};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::{small_run, with_one_photo};

#[test]
fn every_request_is_signed_and_names_the_program_and_reads_ask_for_checksums() {
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
fn only_the_objects_of_the_batch_and_their_outputs_are_touched() {
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
fn with_keys_in_the_environment_the_instance_metadata_is_not_contacted() {
    let server = with_one_photo();
    let instance_metadata = ForbiddenEndpoint::listen();
    let finished =
        small_run(&server).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance_metadata.url()).run().expect_code(0);
    assert_eq!(finished.outcome("a.jpg"), outcome("written", ""));
    assert!(!instance_metadata.was_contacted());
}

#[test]
fn the_credentials_of_a_container_are_fetched_once_and_the_instance_metadata_is_not_contacted() {
    let server = S3Server::with_buckets();
    let keys = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"];
    for (key, seed) in keys.into_iter().zip(1..) {
        server.put("src", key, Upload::of(photos::jpeg(100, 100, seed)));
    }
    let instance_metadata = ForbiddenEndpoint::listen();
    let container = ContainerCredentials::serve();

    small_run(&server)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", ContainerCredentials::AUTHORIZATION)
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance_metadata.url())
        .batch(&entries(&keys.map(|key| ("src", key))))
        .run()
        .expect_code(0);

    assert_eq!(container.connections(), 1);
    assert!(!instance_metadata.was_contacted());
    assert_eq!(server.keys("dest").len(), keys.len());
}

#[test]
fn a_wrong_secret_key_is_access_denied() {
    let server = with_one_photo();
    let finished = small_run(&server).env("AWS_SECRET_ACCESS_KEY", "not the secret").run().expect_code(1);
    assert_eq!(finished.outcome("a.jpg"), outcome("failed", "access-denied"));
}

#[test]
fn few_file_descriptors_make_few_requests_at_a_time_and_no_failure() {
    let server = S3Server::with_buckets();
    let keys: Vec<String> = (0..200).map(|number| format!("{number}.jpg")).collect();
    for key in &keys {
        server.put("src", key, Upload::of(photos::jpeg(16, 16, 1)));
    }
    let batch = entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>());
    let run = small_run(&server).env("CONCURRENCY", "200").batch(&batch).limit_files(64);
    assert_eq!(run.run().expect_code(0).summary()["written"], 200);

    // The heads of all sizes of a record are asked for at once.
    let sizes: Vec<String> = (1..=150).map(|size| size.to_string()).collect();
    let batch = entries(&keys.iter().take(20).map(|key| ("src", key.as_str())).collect::<Vec<_>>());
    let run = small_run(&server).env("SIZES", &sizes.join(",")).batch(&batch).limit_files(128);
    assert_eq!(run.run().expect_code(0).summary()["written"], 20);
}

#[test]
fn a_download_is_not_asked_for_before_there_is_room_for_it() {
    let server = S3Server::with_buckets();
    // A photo with bytes behind it, as some cameras write them: large, and quickly decoded.
    let mut photo = photos::jpeg(64, 48, 1);
    photo.resize(12 << 20, 0);
    let keys: Vec<String> = (0..12).map(|number| format!("{number}.jpg")).collect();
    for key in &keys {
        server.put("src", key, Upload::of(photo.as_slice()));
    }
    let run = |batch: Value| {
        server.forget_requests();
        let run = small_run(&server).env("CONCURRENCY", "12").env("MEMORY_LIMIT_BYTES", "134217728").batch(&batch);
        assert_eq!(run.env("SKIP_UNCHANGED", "false").run().expect_code(0).summary()["written"], 12);
        keys.iter().map(|key| server.downloads_of("src", key)).sum::<usize>()
    };
    let downloads = run(keys.iter().map(|key| json!({"bucket": "src", "key": key, "size": photo.len()})).collect());
    assert_eq!(downloads, 12);
    // (128 − 48) MiB × 85 % × 25 % = 17 MiB are for files: one at a time. The server may count the end of one late.
    let most = server.most_downloads_at_once();
    assert!(most <= 2, "{most} downloads at the same time");

    // A size that the event does not tell is guessed. A download with too little room is broken off and asked for
    // again.
    let downloads = run(entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>()));
    assert!((12..=24).contains(&downloads), "{downloads} downloads");
}
