//! Tests of the S3 of the tests itself, with the SDK that the program uses: the other tests rely on this behaviour.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, ResponseChecksumValidation};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};

use pixpipe_test_support::faults::{self, Fault, Times};
use pixpipe_test_support::run::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

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
    // The two rounds write different contents: with equal ones, If-Match would hold for every writer of the second.
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

    let wrong_secret = block_on(put(&client(&server, "wrong")).send()).expect_err("the secret is wrong");
    assert_eq!(wrong_secret.code(), Some("SignatureDoesNotMatch"));
    let wrong_checksum = block_on(put(&right).checksum_crc32("AAAAAA==").send()).expect_err("the checksum is wrong");
    assert_eq!(wrong_checksum.code(), Some("BadDigest"));
    let wrong_bucket = block_on(put(&right).bucket("nowhere").send()).expect_err("there is no such bucket");
    assert_eq!(wrong_bucket.code(), Some("NoSuchBucket"));
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn flips_a_bit_that_only_a_checksum_detects() {
    let server = S3Server::with_buckets();
    let intact = vec![7; 1000];
    server.put("src", "k", Upload::of(intact.clone()));
    server.fault(faults::get("src", "k"), Times::Always, Fault::FlipBit);
    let checking = client(&server, SECRET_ACCESS_KEY);
    let trusting = checking.config().to_builder();
    let trusting = trusting.response_checksum_validation(ResponseChecksumValidation::WhenRequired).build();
    let read = |client: &Client| {
        block_on(async {
            let answer = client.get_object().bucket("src").key("k").send().await.expect("the headers are intact");
            answer.body.collect().await.map(AggregatedBytes::to_vec)
        })
    };
    let flipped = read(&Client::from_conf(trusting)).expect("without a check the fault is not detected");
    assert_eq!(flipped.len(), intact.len());
    assert_eq!(flipped.iter().zip(&intact).filter(|(got, sent)| got != sent).count(), 1);
    let detected = read(&checking).expect_err("the stored checksum does not match");
    assert!(format!("{detected:?}").contains("Checksum"), "{detected:?}");
}

#[test]
fn cuts_a_body_after_half_of_it_has_been_sent() {
    let server = S3Server::with_buckets();
    server.put("src", "k", Upload::of(vec![7; 30_000]));
    server.fault(faults::get("src", "k"), Times::First(1), Fault::CutBody);
    let client = client(&server, SECRET_ACCESS_KEY);
    let (received, failed) = block_on(async {
        let mut body = client.get_object().bucket("src").key("k").send().await.expect("the headers are intact").body;
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
