//! Tests of the program against ministack, a local AWS. Its signatures, policies and notifications are independent of
//! this project.
//!
//! Not part of `cargo test`: `acceptance/ministack/run` starts the server, prepares it with `setup.py` and runs these
//! tests.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};
use serde::Deserialize;
use serde_json::{Value, json};

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Finished, Pixpipe, entries, outcome, outputs, text};

/// The contents of the file that `setup.py` wrote.
#[derive(Deserialize)]
struct Setup {
    endpoint: String,
    region: String,
    /// The credentials of each role, and those of `root`.
    credentials: BTreeMap<String, Credentials>,
    /// The bodies of the messages that each queue received.
    notifications: BTreeMap<String, Vec<String>>,
    /// The URL of each queue for records that are handed back.
    queues: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Credentials {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Setup {
    fn read() -> Self {
        let path = std::env::var("MINISTACK_SETUP").expect("acceptance/ministack/run sets MINISTACK_SETUP");
        let json = std::fs::read(path).expect("setup.py has written its file");
        serde_json::from_slice(&json).expect("the file has the form that setup.py writes")
    }

    fn credentials(&self, name: &str) -> Credentials {
        self.credentials.get(name).unwrap_or_else(|| panic!("no credentials of {name:?}")).clone()
    }

    /// A run with the credentials of `name` that makes one small output of each source, under `thumbs/`.
    fn run(&self, name: &str) -> Pixpipe {
        let Credentials { id, secret, token } = self.credentials(name);
        let run = Pixpipe::with_s3(&self.endpoint)
            .env("AWS_REGION", &self.region)
            .env("AWS_ACCESS_KEY_ID", &id)
            .env("AWS_SECRET_ACCESS_KEY", &secret)
            .env("AWS_ENDPOINT_URL_SQS", &self.endpoint)
            .env("DEST_PREFIX", "thumbs/")
            .env("SIZES", "32");
        token.iter().fold(run, |run, token| run.env("AWS_SESSION_TOKEN", token))
    }

    fn queue(&self, name: &str) -> &str {
        &self.queues[name]
    }

    /// The bodies of all messages that are visible in the queue now. Delayed ones are not.
    fn received(&self, queue: &str) -> Vec<Value> {
        let Credentials { id, secret, token } = self.credentials("root");
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(aws_sdk_sqs::config::Region::new(self.region.clone()))
            .credentials_provider(aws_sdk_sqs::config::Credentials::new(id, secret, token, None, "test"))
            .endpoint_url(&self.endpoint)
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let receive = client.receive_message().queue_url(self.queue(queue)).max_number_of_messages(10).send();
        let answer = runtime.block_on(receive).expect("the queue answers");
        let bodies = answer.messages().iter().filter_map(|message| message.body());
        bodies.map(|body| serde_json::from_str(body).expect("every handed-back record is JSON")).collect()
    }
}

/// Access to the store with all rights.
struct Owner {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Owner {
    fn of(setup: &Setup) -> Self {
        let Credentials { id, secret, token } = setup.credentials("root");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new(setup.region.clone()))
            .credentials_provider(SdkCredentials::new(id, secret, token, None, "test"))
            .endpoint_url(&setup.endpoint)
            .force_path_style(true)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { client: Client::from_conf(config), runtime: runtime.expect("a runtime on this thread starts") }
    }

    /// Writes the photo of this `seed` to `key` in `src` and returns its version id.
    fn put(&self, key: &str, seed: u32) -> String {
        let photo = ByteStream::from(photos::jpeg(200, 150, seed));
        let put = self.client.put_object().bucket("src").key(key).body(photo).send();
        let written = self.runtime.block_on(put).expect("the owner may write");
        written.version_id.expect("the bucket is versioned")
    }

    fn head(&self, key: &str) -> Option<HeadObjectOutput> {
        let head = self.client.head_object().bucket("dest").key(key).send();
        match self.runtime.block_on(head) {
            Ok(head) => Some(head),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => None,
            Err(error) => panic!("HEAD of {key:?} in dest: {error:?}"),
        }
    }

    fn get(&self, key: &str) -> Vec<u8> {
        let get = self.client.get_object().bucket("dest").key(key).send();
        self.runtime
            .block_on(async { get.await.expect("the output is there").body.collect().await })
            .map(AggregatedBytes::to_vec)
            .expect("the output can be read")
    }

    fn assert_thumbnail(&self, key: &str) {
        let (width, height, _) = photos::decode_jpeg(&self.get(key));
        assert_eq!((width, height), (32, 32), "{key}");
    }
}

#[test]
fn a_photo_becomes_an_output_with_type_and_origin() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    let version = owner.put("plain/two words + 100% ü.jpg", 1);

    let batch = entries(&[("src", "plain/two words + 100% ü.jpg")]);
    let finished = setup.run("root").batch(&batch).run().expect_code(0);

    let key = "thumbs/32x32/plain/two words + 100% ü.jpg";
    assert_eq!(outputs(&finished.record("plain/two words + 100% ü.jpg")), [key]);
    owner.assert_thumbnail(key);
    let head = owner.head(key).expect("the output is there");
    assert_eq!(head.content_type.as_deref(), Some("image/jpeg"));
    let metadata = head.metadata.unwrap_or_default();
    assert_eq!(metadata.get("source-version-id"), Some(&version));
    assert!(metadata.contains_key("source-etag") && metadata.contains_key("spec"), "{metadata:?}");
}

#[test]
fn an_unchanged_source_is_skipped_and_an_overwritten_one_is_rendered_again() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    let run = || {
        let finished = setup.run("pixpipe").batch(&entries(&[("src", "again/a.jpg")])).run().expect_code(0);
        let head = owner.head("thumbs/32x32/again/a.jpg").expect("the output is there");
        (finished.outcome("again/a.jpg"), head.e_tag, head.metadata.unwrap_or_default().remove("source-version-id"))
    };
    let first_version = owner.put("again/a.jpg", 1);
    let first = run();
    assert_eq!((first.0.clone(), first.2.as_ref()), (outcome("written", ""), Some(&first_version)));
    let second = run();
    assert_eq!(second, (outcome("skipped", "unchanged"), first.1.clone(), first.2.clone()));
    let second_version = owner.put("again/a.jpg", 2);
    let third = run();
    assert_eq!((third.0, third.2.as_ref()), (outcome("written", ""), Some(&second_version)));
    assert_ne!(third.1, first.1);
}

#[test]
fn of_four_programs_at_once_one_writes_and_the_others_find_the_output_unchanged() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    owner.put("race/a.jpg", 1);
    let batch = entries(&[("src", "race/a.jpg")]);
    let running: Vec<_> = (0..4).map(|_| setup.run("pixpipe").batch(&batch).start()).collect();
    let outcomes: Vec<_> =
        running.into_iter().map(|running| running.finish().expect_code(0).outcome("race/a.jpg")).collect();
    let written = outcomes.iter().filter(|found| **found == outcome("written", "")).count();
    let unchanged = outcomes.iter().filter(|found| **found == outcome("skipped", "unchanged")).count();
    assert_eq!((written, unchanged), (1, 3), "{outcomes:?}");
    owner.assert_thumbnail("thumbs/32x32/race/a.jpg");
}

#[test]
fn a_role_that_may_read_the_source_and_write_under_the_prefix_is_enough() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    for role in ["pixpipe", "write-only"] {
        let key = format!("role/{role}.jpg");
        owner.put(&key, 1);
        let finished = setup.run(role).batch(&entries(&[("src", &key)])).run().expect_code(0);
        assert_eq!(finished.outcome(&key), outcome("written", ""), "{role}");
        owner.assert_thumbnail(&format!("thumbs/32x32/{key}"));
    }
}

#[test]
fn a_role_without_write_access_to_the_prefix_fails_with_access_denied() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    owner.put("denied/a.jpg", 1);
    let cases = [("read-only", "thumbs/"), ("pixpipe", "elsewhere/")];
    for (role, prefix) in cases {
        let batch = entries(&[("src", "denied/a.jpg")]);
        let finished = setup.run(role).env("DEST_PREFIX", prefix).batch(&batch).run().expect_code(1);
        assert_eq!(finished.outcome("denied/a.jpg"), outcome("failed", "access-denied"), "{role} {prefix}");
        assert!(owner.head(&format!("{prefix}32x32/denied/a.jpg")).is_none());
    }
}

#[test]
fn a_role_without_read_access_to_the_source_fails_with_access_denied() {
    let setup = Setup::read();
    let batch = entries(&[("notifying", "two words + 100% ü.png")]);
    let finished = setup.run("pixpipe").batch(&batch).run().expect_code(1);
    assert_eq!(finished.outcome("two words + 100% ü.png"), outcome("failed", "access-denied"));
}

/// Runs the program once on the test event in a queue and once on its other message. Returns both runs in this order.
fn run_on_messages(setup: &Setup, queue: &str) -> (Finished, Finished) {
    let messages = setup.notifications.get(queue).map(Vec::as_slice).unwrap_or_default();
    let (test_events, photos): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message.contains("s3:TestEvent"));
    let run = |messages: Vec<&String>| {
        assert_eq!(messages.len(), 1, "{messages:?}");
        let body = messages.into_iter().map(String::as_str).collect::<String>();
        setup.run("root").env("DEST_PREFIX", &format!("thumbs/{queue}/")).env("SQS_BODY", &body).run()
    };
    (run(test_events), run(photos))
}

#[test]
fn the_messages_that_s3_and_sns_send_are_understood() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    for (queue, bucket) in [("from-s3", "notifying"), ("from-sns", "publishing")] {
        let (test_event, photo) = run_on_messages(&setup, queue);

        let statuses: Vec<String> =
            test_event.expect_code(0).records().iter().map(|record| text(record, "status").to_owned()).collect();
        assert_eq!(statuses, ["skipped"], "the test event of {queue}");

        let key = "two words + 100% ü.png";
        let photo = photo.expect_code(0);
        assert_eq!(photo.outcome(key), outcome("written", ""), "{queue}");
        let record = photo.record(key);
        assert_eq!(record.get("bucket").and_then(Value::as_str), Some(bucket));
        owner.assert_thumbnail(&format!("thumbs/{queue}/32x32/{key}.jpg"));
    }
}

#[test]
fn a_permanent_failure_is_handed_back_with_its_reason_and_can_be_launched_again() {
    let setup = Setup::read();
    let owner = Owner::of(&setup);
    owner.put("hand-back/good.jpg", 7);
    let batch = json!(["s3://src/hand-back/good.jpg", "s3://src/hand-back/missing +%.jpg", {"Key": 7}]);

    let run = setup.run("root").env("FAILED_QUEUE_URL", setup.queue("failed-1"));
    let finished = run.env("RETRY_QUEUE_URL", setup.queue("retry-1")).batch(&batch).run().expect_code(0);

    assert_eq!(finished.summary()["handed_back"], 2);
    owner.assert_thumbnail("thumbs/32x32/hand-back/good.jpg");
    assert!(setup.received("retry-1").is_empty());
    let messages = setup.received("failed-1");
    assert_eq!(messages.len(), 2, "{messages:?}");
    let of = |reason: &str| {
        let record = messages.iter().map(|message| &message["Records"][0]).find(|r| r["pixpipe"]["reason"] == reason);
        record.unwrap_or_else(|| panic!("no record failed with {reason}: {messages:?}"))
    };
    assert_eq!(of("not-found")["pixpipe"]["attempts"], 1);
    assert_eq!(of("not-found")["s3"]["object"]["key"], "hand-back/missing+%2B%25.jpg");
    assert_eq!(of("invalid-entry")["pixpipe"]["entry"], json!({"Key": 7}));

    owner.put("hand-back/missing +%.jpg", 8);
    let again = json!({"Records": [of("not-found")]});
    setup.run("root").batch(&again).run().expect_code(0);
    owner.assert_thumbnail("thumbs/32x32/hand-back/missing +%.jpg");
}

#[test]
fn a_temporary_failure_is_retried_until_the_last_attempt() {
    let setup = Setup::read();
    // Nothing listens on port 9: the store does not answer, but the queues do.
    let run = |batch: &Value| {
        let run = setup.run("root").env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
        run.env("RETRY_QUEUE_URL", setup.queue("retry-2"))
            .env("FAILED_QUEUE_URL", setup.queue("failed-2"))
            .env("MAX_ATTEMPTS", "2")
            .batch(batch)
            .run()
            .expect_code(0)
    };
    let first = run(&json!(["s3://src/never"]));
    assert_eq!(first.summary()["handed_back"], 1);
    assert!(setup.received("failed-2").is_empty());

    let object = json!({"bucket": {"name": "src"}, "object": {"key": "never"}});
    run(&json!({"Records": [{"s3": object, "pixpipe": {"attempts": 1}}]}));
    let messages = setup.received("failed-2");
    assert_eq!(messages.len(), 1, "{messages:?}");
    let expected = json!({"attempts": 2, "reason": "store-unavailable"});
    assert_eq!(messages[0]["Records"][0]["pixpipe"], expected);
}

#[test]
fn if_a_queue_fails_the_exit_code_reports_the_record() {
    let setup = Setup::read();
    let missing = setup.queue("failed-3").replace("failed-3", "no-such-queue");
    let failed = setup.run("root").env("FAILED_QUEUE_URL", &missing).batch(&json!(["s3://src/nothing-there"])).run();
    assert_eq!(failed.expect_code(1).summary()["handed_back"], 0);

    let run = setup.run("root").env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    let run = run.env("RETRY_QUEUE_URL", &missing);
    run.batch(&json!(["s3://src/never"])).run().expect_code(75);

    // The failed queue does not replace the retry queue: the launcher has to retry the record.
    let run = setup.run("root").env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    let run = run.env("FAILED_QUEUE_URL", setup.queue("failed-3"));
    run.batch(&json!(["s3://src/never"])).run().expect_code(75);
}
