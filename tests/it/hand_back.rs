//! Tests of handing back: unfinished records go to a queue, in every order of signals and failures.

use hyper::Method;
use rustix::process::Signal;
use serde_json::json;

use pixpipe_test_support::credentials::ContainerCredentials;
use pixpipe_test_support::faults::{self, Fault, Gate, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Finished, Pixpipe, Running, entries, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

const PHOTOS: [&str; 3] = ["a.jpg", "b.jpg", "c.jpg"];
const TRUNCATED: &str = "truncated.jpg";

fn with_photos() -> S3Server {
    let server = S3Server::with_buckets();
    for (key, seed) in PHOTOS.into_iter().zip(1..) {
        server.put("src", key, Upload::of(photos::jpeg(64, 48, seed)));
    }
    let photo = photos::jpeg(64, 48, 9);
    server.put("src", TRUNCATED, Upload::of(&photo[..photo.len() / 2]));
    server
}

fn run(server: &S3Server, keys: &[&str]) -> Pixpipe {
    let batch = entries(&keys.iter().map(|key| ("src", *key)).collect::<Vec<_>>());
    Pixpipe::with_s3(server.endpoint()).with_queues().env("SIZES", "32").batch(&batch)
}

/// Lets every write of this photo lose its race. Its record is worth retrying, and fails without the pauses of retried
/// requests.
fn lose_every_write(server: &S3Server, key: &str) {
    let lost = Fault::Answer(412, "PreconditionFailed");
    server.fault(faults::put("dest", &format!("32x32/{key}")), Times::Always, lost);
}

/// Empties a queue and returns key, reason and attempts of each record, sorted.
fn take_records(server: &S3Server, queue: &str) -> Vec<(String, String, u64)> {
    let messages = server.take_messages(queue);
    let mut records: Vec<_> = messages
        .iter()
        .map(|message| {
            let record = &message["Records"][0];
            let attempts = record["pixpipe"]["attempts"].as_u64().expect("attempts is a number");
            (text(&record["s3"]["object"], "key").to_owned(), text(&record["pixpipe"], "reason").to_owned(), attempts)
        })
        .collect();
    records.sort();
    records
}

fn one(key: &str, reason: &str, attempts: u64) -> Vec<(String, String, u64)> {
    vec![(key.to_owned(), reason.to_owned(), attempts)]
}

#[test]
fn the_exit_code_is_right_with_and_without_each_queue() {
    let (retry, failed) = ("RETRY_QUEUE_URL", "FAILED_QUEUE_URL");
    let (good, bad, again) = ("a.jpg", TRUNCATED, "b.jpg");
    // Keys of the batch; the queue that is not set; exit code; number of records that are handed back.
    let cases: [(&[&str], Option<&str>, i32, u64); 11] = [
        (&[good], None, 0, 0),
        (&[good, bad], None, 0, 1),
        (&[good, again], None, 0, 1),
        (&[good, bad, again], None, 0, 2),
        (&[good, bad], Some(failed), 1, 0),
        (&[good, again], Some(retry), 75, 0),
        (&[good, bad, again], Some(retry), 75, 1),
        (&[good, bad, again], Some(failed), 1, 1),
        (&[good, bad], Some(retry), 0, 1),
        (&[good, again], Some(failed), 0, 1),
        (&[], None, 0, 0),
    ];
    for (keys, missing, code, handed_back) in cases {
        let server = with_photos();
        lose_every_write(&server, again);
        let run = run(&server, keys);
        let run = missing.into_iter().fold(run, Pixpipe::without);
        let finished = run.run().expect_code(code);
        assert_eq!(finished.summary()["handed_back"], handed_back, "{keys:?} without {missing:?}");
        assert_eq!(finished.summary()["exit_code"], code);
        // One attempt of three: what is worth retrying has not failed for good.
        assert_eq!(finished.summary()["failed_for_good"], u64::from(keys.contains(&bad)), "{keys:?}");
        let expected = |key, queue, reason| {
            let is_sent = keys.contains(&key) && missing != Some(queue);
            if is_sent { one(key, reason, 1) } else { vec![] }
        };
        assert_eq!(take_records(&server, "failed"), expected(bad, failed, "truncated"), "{keys:?} without {missing:?}");
        assert_eq!(take_records(&server, "retry"), expected(again, retry, "conflict"), "{keys:?} without {missing:?}");
    }
}

#[test]
fn at_the_last_attempt_a_record_goes_to_the_failed_queue_from_which_it_can_be_launched_again() {
    let server = with_photos();
    lose_every_write(&server, "b.jpg");
    for (attempt, queue) in [(1, "retry"), (2, "retry"), (3, "failed"), (4, "failed")] {
        let message = json!({"Records": [{
            "s3": {"bucket": {"name": "src"}, "object": {"key": "b.jpg"}},
            "pixpipe": {"attempts": attempt - 1, "reason": "conflict"},
        }]});
        let finished = run(&server, &[]).batch(&message).run().expect_code(0);
        assert_eq!(finished.summary()["failed_for_good"], u64::from(queue == "failed"), "attempt {attempt}");
        assert_eq!(take_records(&server, queue), one("b.jpg", "conflict", attempt), "attempt {attempt}");
    }
    server.clear_faults();
    let message = json!({"Records": [{
        "s3": {"bucket": {"name": "src"}, "object": {"key": "b.jpg"}},
        "pixpipe": {"attempts": 4, "reason": "conflict"},
    }]});
    let finished = run(&server, &[]).batch(&message).run().expect_code(0);
    assert_eq!(text(&finished.record("b.jpg"), "status"), "written");
}

#[test]
fn records_that_a_queue_does_not_accept_are_reported_by_the_exit_code() {
    let down = || Fault::Answer(503, "ServiceUnavailable");
    for fault in [down(), Fault::Reset] {
        let server = with_photos();
        server.fault(faults::queues(), Times::Always, fault);
        lose_every_write(&server, "b.jpg");
        let finished = run(&server, &["a.jpg", TRUNCATED]).run().expect_code(1);
        assert!(finished.stderr.contains("not handed back"), "{}", finished.stderr);
        run(&server, &["a.jpg", "b.jpg", TRUNCATED]).run().expect_code(75);
        assert_eq!((take_records(&server, "retry"), take_records(&server, "failed")), (vec![], vec![]));
    }
}

#[test]
fn sending_to_a_queue_that_fails_twice_succeeds_at_the_third_attempt() {
    for fault in [Fault::Answer(500, "InternalError"), Fault::Reset] {
        let server = with_photos();
        server.fault(faults::queues(), Times::First(2), fault);
        run(&server, &[TRUNCATED]).run().expect_code(0);
        assert_eq!(take_records(&server, "failed"), one(TRUNCATED, "truncated", 1));
    }
}

#[test]
fn a_message_whose_answer_was_lost_is_sent_twice_rather_than_not_at_all() {
    let server = with_photos();
    server.fault(faults::queues(), Times::First(1), Fault::LoseAnswer);
    run(&server, &[TRUNCATED]).run().expect_code(0);
    assert_eq!(
        take_records(&server, "failed"),
        [one(TRUNCATED, "truncated", 1), one(TRUNCATED, "truncated", 1)].concat()
    );
}

#[test]
fn entries_that_a_queue_refuses_are_not_counted_as_handed_back() {
    let server = with_photos();
    server.fault(faults::queues(), Times::Always, Fault::RefuseHalf);
    let keys: Vec<String> = (0..12).map(|number| format!("missing-{number:02}.jpg")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let finished = run(&server, &keys).run().expect_code(1);
    // Ten entries in one request and two in the next. Every second entry is refused.
    assert_eq!(finished.summary()["handed_back"], 6);
    assert_eq!(take_records(&server, "failed").len(), 6);
    assert_eq!(finished.stderr.matches("not handed back").count(), 6, "{}", finished.stderr);
}

// --- signals ---

/// Starts a run, holds back the requests that `target` matches, and sends SIGTERM when the first of them has arrived.
fn interrupt(server: &S3Server, run: Pixpipe, target: faults::Target) -> (Running, Gate) {
    let gate = Gate::closed();
    server.fault(target, Times::Always, Fault::Hold(gate.clone()));
    let running = run.start();
    gate.wait_for(1);
    running.signal(Signal::TERM);
    (running, gate)
}

#[test]
fn a_download_that_a_signal_interrupts_is_handed_back() {
    let server = with_photos();
    let run = run(&server, &PHOTOS).env("GRACE_SECONDS", "0").env("CONCURRENCY", "2");
    let (running, gate) = interrupt(&server, run, faults::under(Method::GET, "src", ""));
    let finished = running.finish().expect_code(0);
    gate.open();
    assert_eq!(finished.summary()["handed_back"], 3);
    let mut records = take_records(&server, "retry");
    // The third record was never begun, so its attempts are not counted up.
    records.sort_by_key(|(_, _, attempts)| *attempts);
    assert_eq!(records.iter().map(|(_, _, attempts)| *attempts).collect::<Vec<_>>(), [0, 1, 1]);
    assert!(records.iter().all(|(_, reason, _)| reason == "interrupted"), "{records:?}");
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}

#[test]
fn if_the_grace_ends_during_a_write_the_record_is_handed_back_and_no_partial_output_is_left() {
    for signals in [1, 2] {
        let server = with_photos();
        let grace_seconds = if signals == 1 { "1" } else { "3600" };
        let run = run(&server, &["a.jpg"]).env("GRACE_SECONDS", grace_seconds);
        let (running, gate) = interrupt(&server, run, faults::put("dest", "32x32/a.jpg"));
        running.wait_for_diagnostic("SIGTERM");
        if signals == 2 {
            running.signal(Signal::TERM);
        }
        running.finish().expect_code(0);
        assert_eq!(take_records(&server, "retry"), one("a.jpg", "interrupted", 1));
        gate.open();
        server.clear_faults();
        for key in server.keys("dest") {
            photos::decode_jpeg(&server.object("dest", &key).bytes);
        }
    }
}

#[test]
fn a_signal_while_handing_back_leaves_it_the_grace_and_a_second_one_ends_it() {
    for signals in [1, 2] {
        let server = with_photos();
        let (running, gate) = interrupt(&server, run(&server, &["a.jpg", TRUNCATED]), faults::queues());
        running.wait_for_diagnostic("left for handing back");
        if signals == 2 {
            running.signal(Signal::TERM);
            let finished = running.finish().expect_code(1);
            assert_eq!(finished.summary()["handed_back"], 0);
            assert!(finished.stderr.contains("handing back ends"), "{}", finished.stderr);
            gate.open();
        } else {
            gate.open();
            let finished: Finished = running.finish().expect_code(0);
            assert_eq!(finished.summary()["handed_back"], 1);
            assert_eq!(take_records(&server, "failed"), one(TRUNCATED, "truncated", 1));
        }
    }
}

/// Keys that are not there, in several requests' worth of messages.
fn absent_keys() -> Vec<String> {
    (0..60).map(|number| format!("absent-{number:02}.jpg")).collect()
}

#[test]
fn several_requests_hand_back_at_the_same_time() {
    let server = with_photos();
    let keys = absent_keys();
    let gate = Gate::closed();
    server.fault(faults::queues(), Times::Always, Fault::Hold(gate.clone()));
    let running = run(&server, &keys.iter().map(String::as_str).collect::<Vec<_>>()).start();
    // Each of the six holds ten messages, and none is answered before all have come.
    gate.wait_for(6);
    gate.open();
    let finished = running.finish().expect_code(0);
    assert_eq!(finished.summary()["handed_back"], 60);
    assert_eq!(take_records(&server, "failed").len(), 60);
}

#[test]
fn a_queue_that_does_not_answer_is_given_up_and_the_other_one_is_not() {
    let server = with_photos();
    lose_every_write(&server, "b.jpg");
    // Of both queues: the SDK's three attempts of each of the eight requests that are under way at a time.
    let keys: Vec<String> = (0..300).map(|number| format!("absent-{number}.jpg")).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.push("b.jpg");
    server.fault(faults::queues(), Times::Always, Fault::Stall);
    let finished = run(&server, &keys).run().expect_code(75);
    assert_eq!(finished.summary()["handed_back"], 0);
    assert!(finished.stderr.contains("the queue did not answer before"), "{}", finished.stderr);
    let requests = server.requests_of(&hyper::Method::POST, "", "").len();
    assert!(requests <= (8 + 1) * 3, "{requests} requests to two queues that do not answer");
}

#[test]
fn with_a_queue_that_does_not_answer_a_task_that_was_asked_to_end_does_so() {
    let server = with_photos();
    server.fault(faults::queues(), Times::Always, Fault::Stall);
    let run = run(&server, &PHOTOS).env("GRACE_SECONDS", "1");
    let (running, gate) = interrupt(&server, run, faults::under(Method::GET, "src", ""));
    let finished = running.finish().expect_code(75);
    gate.open();
    assert!(finished.stderr.contains("there was no time left"), "{}", finished.stderr);
}

#[test]
fn a_closed_standard_output_does_not_prevent_handing_back() {
    let server = with_photos();
    let closed = std::io::pipe().expect("a pipe can be made").1;
    run(&server, &["a.jpg", TRUNCATED]).stdout(closed).run().expect_code(0);
    assert_eq!(take_records(&server, "failed"), one(TRUNCATED, "truncated", 1));
    assert_eq!(server.keys("dest"), ["32x32/a.jpg"]);
}

// --- connections ---

#[test]
fn connections_are_reused_and_credentials_are_fetched_once() {
    let server = with_photos();
    let container = ContainerCredentials::serve();
    let keys = [PHOTOS.as_slice(), &[TRUNCATED]].concat();
    let finished = run(&server, &keys)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", ContainerCredentials::AUTHORIZATION)
        .env("CONCURRENCY", "1")
        .run()
        .expect_code(0);
    assert_eq!(finished.summary()["handed_back"], 1);
    assert_eq!(container.connections(), 1, "credentials are fetched once");
    let requests = server.requests();
    assert_eq!(
        requests.len(),
        4 * 2 + 3 * 2 + 1,
        "HEAD and GET for each record, PUT and a look for three, one message"
    );
    // The SDK reuses a connection only for requests with the same time limits. Reads, writes and queues have different
    // ones.
    assert_eq!(server.connections(), 3, "one for reads, one for writes, one for the queue");
    for request in requests {
        let agent = request.header("user-agent").to_owned() + request.header("x-amz-user-agent");
        let name = concat!("app/pixpipe-", env!("CARGO_PKG_VERSION"));
        assert!(agent.contains(name), "{} {}: {agent:?}", request.method, request.key);
    }
}
