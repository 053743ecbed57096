//! Tests against an S3 that fails. Temporary faults are retried; a permanent one ends in one failed record with its
//! reason. The other record of the batch is always written, and wrong bytes never become an output.

use std::time::Duration;

use hyper::Method;

use pixpipe_test_support::faults::{self, Fault, Target, Times};
use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Finished, Pixpipe, entries, outcome, text};
use pixpipe_test_support::s3::{Checksums, Upload};
use pixpipe_test_support::server::S3Server;

/// The source that meets the faults, and its output.
const TARGET: (&str, &str) = ("target.jpg", "32x32/target.jpg");
/// The other source in the same batch, and its output.
const NEIGHBOUR: (&str, &str) = ("neighbour.jpg", "32x32/neighbour.jpg");

/// A server with both sources, and the outputs of a run without faults in its bucket `intact`.
struct Fixture {
    server: S3Server,
    /// The output of the target in a run without faults.
    intact: bytes::Bytes,
}

impl Fixture {
    fn new(checksums: Checksums) -> Self {
        let server = S3Server::with_buckets();
        server.put("src", TARGET.0, Upload { checksums, ..Upload::of(photos::jpeg(640, 480, 1)) });
        server.put("src", NEIGHBOUR.0, Upload::of(photos::jpeg(640, 480, 2)));
        server.create_bucket("intact");
        run(&server).env("DEST_BUCKET", "intact").run().expect_code(0);
        server.forget_requests();
        let intact = server.object("intact", TARGET.1).bytes;
        Self { server, intact }
    }

    /// Runs the batch of both. Checks that the neighbour is written, and that all outputs equal those of a run without
    /// faults.
    fn run(&self) -> Finished {
        let finished = run(&self.server).run();
        assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""), "the neighbour");
        assert_eq!(
            self.server.object("dest", NEIGHBOUR.1).bytes,
            self.server.object("intact", NEIGHBOUR.1).bytes,
            "the neighbour"
        );
        for key in self.server.keys("dest") {
            assert_eq!(self.server.object("dest", &key).bytes, self.server.object("intact", &key).bytes, "{key}");
        }
        finished
    }

    fn assert_written(&self) {
        let finished = self.run().expect_code(0);
        assert_eq!(finished.outcome(TARGET.0), outcome("written", ""));
        assert_eq!(self.server.object("dest", TARGET.1).bytes, self.intact);
    }

    fn assert_failed(&self, reason: &str, code: i32) -> Finished {
        let finished = self.run().expect_code(code);
        assert_eq!(finished.outcome(TARGET.0), outcome("failed", reason));
        assert_eq!(self.server.keys("dest"), [NEIGHBOUR.1], "a failed record leaves no output");
        finished
    }

    fn downloads(&self) -> usize {
        self.server.downloads_of("src", TARGET.0)
    }
}

fn run(server: &S3Server) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", TARGET.0), ("src", NEIGHBOUR.0)]))
}

fn source() -> Target {
    faults::get("src", TARGET.0)
}

/// Checks all cases at the same time. Each has its own server, and they wait more than they compute.
fn each<T: Sync>(cases: &[(&str, T)], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|(name, case)| (name, scope.spawn(|| check(case)))).collect();
        let failed: Vec<_> =
            threads.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect();
        assert!(failed.is_empty(), "failed (see above): {failed:?}");
    });
}

const SLOW_DOWN: Fault = Fault::Answer(503, "SlowDown");
const INTERNAL_ERROR: Fault = Fault::Answer(500, "InternalError");

/// Faults of any request.
const FAILED_REQUESTS: [(&str, Fault); 3] =
    [("503", SLOW_DOWN), ("500", INTERNAL_ERROR), ("reset before the headers", Fault::Reset)];
/// Faults of a download that end it at once.
const FAILED_DOWNLOADS: [(&str, Fault); 6] = [
    ("503", SLOW_DOWN),
    ("500", INTERNAL_ERROR),
    ("reset before the headers", Fault::Reset),
    ("cut body", Fault::CutBody),
    ("truncated body", Fault::TruncateBody),
    ("flipped bit", Fault::FlipBit),
];
/// Faults of a download that only a time limit ends.
const SLOW_DOWNLOADS: [(&str, Fault); 2] =
    [("stall before the headers", Fault::Stall), ("trickling body", Fault::TrickleBody)];

#[test]
fn a_source_that_fails_twice_is_read_on_the_third_attempt() {
    each(&FAILED_DOWNLOADS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(source(), Times::First(2), fault.clone());
        fixture.assert_written();
        assert_eq!(fixture.downloads(), 3);
    });
}

#[test]
fn a_source_that_always_fails_is_unavailable() {
    each(&FAILED_DOWNLOADS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(source(), Times::Always, fault.clone());
        let finished = fixture.assert_failed("store-unavailable", 75);
        assert!(!text(&finished.record(TARGET.0), "detail").is_empty(), "the detail is empty");
        let requests = fixture.downloads();
        assert!((2..=20).contains(&requests), "{requests} requests: not retried, or without a limit");
    });
}

#[test]
fn wrong_bytes_are_detected_by_the_etag_if_the_object_has_no_checksum() {
    let cases = [("truncated body", Fault::TruncateBody), ("flipped bit", Fault::FlipBit)];
    each(&cases, |fault| {
        let fixture = Fixture::new(Checksums::None);
        fixture.server.fault(source(), Times::Always, fault.clone());
        fixture.assert_failed("store-unavailable", 75);

        let fixture = Fixture::new(Checksums::None);
        fixture.server.fault(source(), Times::First(1), fault.clone());
        fixture.assert_written();
    });
}

#[test]
fn wrong_bytes_are_detected_by_each_kind_of_checksum() {
    let cases = [("CRC64NVME", Checksums::Crc64Nvme), ("CRC32", Checksums::Crc32)];
    each(&cases, |checksums| {
        let server = S3Server::with_buckets();
        let upload = Upload::of(photos::jpeg(640, 480, 1));
        let etag = Some("0123456789abcdef0123456789abcdef-2");
        server.put("src", TARGET.0, Upload { checksums: *checksums, etag, ..upload });
        server.fault(source(), Times::Always, Fault::FlipBit);
        let finished = run(&server).batch(&entries(&[("src", TARGET.0)])).run().expect_code(75);
        assert_eq!(finished.outcome(TARGET.0), outcome("failed", "store-unavailable"));
        assert_eq!(server.keys("dest"), Vec::<String>::new());
    });
}

#[test]
fn a_source_whose_length_is_not_told_is_read_to_its_end() {
    let fixture = Fixture::new(Checksums::None);
    fixture.server.fault(source(), Times::Always, Fault::Chunked);
    fixture.assert_written();

    let fixture = Fixture::new(Checksums::None);
    fixture.server.fault(source(), Times::Always, Fault::Chunked);
    let limit = fixture.server.object("src", TARGET.0).bytes.len() - 1;
    let batch = entries(&[("src", TARGET.0)]);
    let run = run(&fixture.server).env("MAX_SOURCE_BYTES", &limit.to_string()).batch(&batch);
    let finished = run.run().expect_code(1);
    assert_eq!(finished.outcome(TARGET.0), outcome("failed", "too-many-bytes"));
    assert!(text(&finished.record(TARGET.0), "detail").contains(&limit.to_string()), "{}", finished.stdout);
}

#[test]
fn a_source_that_once_stalls_or_trickles_is_read_again() {
    each(&SLOW_DOWNLOADS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(source(), Times::First(1), fault.clone());
        fixture.assert_written();
        assert_eq!(fixture.downloads(), 2);
    });
}

#[test]
fn a_source_that_always_stalls_or_trickles_is_unavailable() {
    each(&SLOW_DOWNLOADS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(source(), Times::Always, fault.clone());
        fixture.assert_failed("store-unavailable", 75);
    });
}

#[test]
fn a_write_that_fails_at_first_is_retried() {
    let cases = [
        ("503 twice", (2, SLOW_DOWN)),
        ("500 twice", (2, INTERNAL_ERROR)),
        ("reset before the headers twice", (2, Fault::Reset)),
        ("stall before the headers", (1, Fault::Stall)),
    ];
    each(&cases, |(times, fault)| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(faults::put("dest", TARGET.1), Times::First(*times), fault.clone());
        fixture.assert_written();
        assert_eq!(fixture.server.requests_of(&Method::PUT, "dest", TARGET.1).len(), times + 1);
    });
}

#[test]
fn a_write_whose_answer_was_lost_is_not_mistaken_for_a_conflict() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(faults::put("dest", TARGET.1), Times::First(1), Fault::LoseAnswer);
    let finished = fixture.run().expect_code(0);
    let (status, reason) = finished.outcome(TARGET.0);
    assert!(
        status == "written" || (status == "skipped" && reason == "unchanged"),
        "the output exists, so the record is either: {status} {reason}"
    );
    assert_eq!(fixture.server.object("dest", TARGET.1).bytes, fixture.intact);
}

#[test]
fn a_write_that_always_fails_is_unavailable() {
    each(&FAILED_REQUESTS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(faults::put("dest", TARGET.1), Times::Always, fault.clone());
        fixture.assert_failed("store-unavailable", 75);
    });
}

#[test]
fn a_head_of_an_output_that_fails_twice_is_retried() {
    each(&FAILED_REQUESTS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(faults::head("dest", TARGET.1), Times::First(2), fault.clone());
        fixture.assert_written();
    });
}

#[test]
fn a_head_of_an_output_that_always_fails_is_unavailable() {
    each(&FAILED_REQUESTS, |fault| {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(faults::head("dest", TARGET.1), Times::Always, fault.clone());
        fixture.assert_failed("store-unavailable", 75);
        assert_eq!(fixture.server.requests_of(&Method::PUT, "dest", TARGET.1).len(), 0);
    });
}

#[test]
fn a_source_that_may_not_be_read_is_access_denied_and_not_retried() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(source(), Times::Always, Fault::Answer(403, "AccessDenied"));
    fixture.assert_failed("access-denied", 1);
    assert_eq!(fixture.downloads(), 1);
}

#[test]
fn an_answer_tells_whether_another_attempt_can_succeed() {
    let cases = [
        ("expired credentials: another task has others", 400, "ExpiredToken", "store-unavailable", 75),
        ("a wrong clock: another task has another", 403, "RequestTimeTooSkewed", "store-unavailable", 75),
        ("too slow", 400, "RequestTimeout", "store-unavailable", 75),
        ("damaged on the way", 400, "BadDigest", "store-unavailable", 75),
        ("too many requests", 429, "TooManyRequests", "store-unavailable", 75),
        ("a bucket of another region", 301, "PermanentRedirect", "access-denied", 1),
        ("a key of the caller is missing", 400, "InvalidRequest", "access-denied", 1),
        ("a KMS key that is disabled", 400, "KMS.DisabledException", "access-denied", 1),
        ("an archived object", 403, "InvalidObjectState", "access-denied", 1),
        ("a method that is not allowed", 405, "MethodNotAllowed", "access-denied", 1),
    ];
    for (label, status, code, reason, exit_code) in cases {
        let fixture = Fixture::new(Checksums::Crc64Nvme);
        fixture.server.fault(source(), Times::Always, Fault::Answer(status, code));
        let finished = fixture.run();
        assert_eq!(finished.outcome(TARGET.0), outcome("failed", reason), "{label}");
        assert!(text(&finished.record(TARGET.0), "detail").contains(code), "{label}: no code in the detail");
        finished.expect_code(exit_code);
    }
}

#[test]
fn a_destination_that_may_not_be_written_is_access_denied() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(faults::put("dest", TARGET.1), Times::Always, Fault::Answer(403, "AccessDenied"));
    fixture.assert_failed("access-denied", 1);
}

#[test]
fn absent_outputs_are_written_even_if_their_heads_are_denied() {
    // Without s3:ListBucket, S3 answers a HEAD of an absent key with 403 instead of 404.
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(faults::under(Method::HEAD, "dest", ""), Times::Always, Fault::Answer(403, "AccessDenied"));
    fixture.assert_written();
    let puts = fixture.server.requests_of(&Method::PUT, "dest", TARGET.1);
    assert_eq!(puts.iter().map(|put| put.header("if-none-match")).collect::<Vec<_>>(), ["*"]);
}

#[test]
fn a_denied_prefix_fails_only_its_own_records() {
    let server = S3Server::with_buckets();
    for key in ["private/a.jpg", "private/b.jpg", "public/c.jpg"] {
        server.put("src", key, Upload::of(photos::jpeg(64, 64, 1)));
    }
    server.fault(faults::under(Method::GET, "src", "private/"), Times::Always, Fault::Answer(403, "AccessDenied"));
    let batch = entries(&[("src", "private/a.jpg"), ("src", "public/c.jpg"), ("src", "private/b.jpg")]);
    let finished = run(&server).batch(&batch).run().expect_code(1);
    assert_eq!(finished.outcome("private/a.jpg"), outcome("failed", "access-denied"));
    assert_eq!(finished.outcome("private/b.jpg"), outcome("failed", "access-denied"));
    assert_eq!(finished.outcome("public/c.jpg"), outcome("written", ""));
    assert_eq!(server.keys("dest"), ["32x32/public/c.jpg"]);
}

#[test]
fn an_absent_key_is_not_found_and_not_retried() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.delete("src", TARGET.0);
    fixture.assert_failed("not-found", 1);
    assert_eq!(fixture.downloads(), 1);
}

#[test]
fn an_absent_source_bucket_is_not_found() {
    let server = S3Server::with_buckets();
    server.put("src", NEIGHBOUR.0, Upload::of(photos::jpeg(64, 64, 1)));
    let batch = entries(&[("nowhere", TARGET.0), ("src", NEIGHBOUR.0)]);
    let finished = run(&server).batch(&batch).run().expect_code(1);
    assert_eq!(finished.outcome(TARGET.0), outcome("failed", "not-found"));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""));
    assert_eq!(server.keys("dest"), [NEIGHBOUR.1]);
}

#[test]
fn an_absent_destination_bucket_is_not_found() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    let finished = run(&fixture.server).env("DEST_BUCKET", "nowhere").run().expect_code(1);
    for key in [TARGET.0, NEIGHBOUR.0] {
        assert_eq!(finished.outcome(key), outcome("failed", "not-found"));
    }
}

#[test]
fn a_store_without_conditional_writes_is_written_to_without_them_and_this_is_logged() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    let conditional = faults::under(Method::PUT, "dest", "").conditional();
    fixture.server.fault(conditional, Times::Always, Fault::Answer(501, "NotImplemented"));
    fixture.assert_written();
    let finished = run(&fixture.server).env("SKIP_UNCHANGED", "false").run().expect_code(0);
    assert!(finished.stderr.contains("conditional"), "{}", finished.stderr);
}

#[test]
fn a_slow_upload_that_makes_progress_is_not_abandoned() {
    let server = S3Server::with_buckets();
    server.put("src", TARGET.0, Upload::of(photos::jpeg(640, 480, 1)));
    let key = "2048x2048/target.jpg.npy"; // 12 MiB: more than the socket buffers hold
    server.fault(faults::put("dest", key), Times::Always, Fault::SlowUpload(Duration::from_secs(8)));
    let finished = run(&server)
        .env("SIZES", "2048")
        .env("FORMAT", "npy")
        .batch(&entries(&[("src", TARGET.0)]))
        .run()
        .expect_code(0);
    assert_eq!(finished.outcome(TARGET.0), outcome("written", ""));
    assert_eq!(server.requests_of(&Method::PUT, "dest", key).len(), 1);
}

#[test]
fn one_size_that_cannot_be_written_fails_its_record_and_leaves_no_partial_output() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(faults::put("dest", "16x16/target.jpg"), Times::Always, Fault::Answer(403, "AccessDenied"));
    let finished = run(&fixture.server).env("SIZES", "16,32").run().expect_code(1);
    assert_eq!(finished.outcome(TARGET.0), outcome("failed", "access-denied"));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""));
    for key in fixture.server.keys("dest") {
        photos::decode_jpeg(&fixture.server.object("dest", &key).bytes);
    }
}

#[test]
fn a_temporary_failure_takes_precedence_over_a_permanent_one_in_the_exit_code() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(source(), Times::Always, SLOW_DOWN);
    let batch = entries(&[("src", "absent.jpg"), ("src", TARGET.0), ("src", NEIGHBOUR.0)]);
    let finished = run(&fixture.server).batch(&batch).run().expect_code(75);
    assert_eq!(finished.outcome("absent.jpg"), outcome("failed", "not-found"));
    assert_eq!(finished.outcome(TARGET.0), outcome("failed", "store-unavailable"));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""));
}

#[test]
fn after_the_store_has_recovered_the_same_batch_completes() {
    let fixture = Fixture::new(Checksums::Crc64Nvme);
    fixture.server.fault(source(), Times::Always, SLOW_DOWN);
    fixture.assert_failed("store-unavailable", 75);
    fixture.server.clear_faults();
    let finished = run(&fixture.server).run().expect_code(0);
    assert_eq!(finished.outcome(TARGET.0), outcome("written", ""));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("skipped", "unchanged"));
}

#[test]
fn without_a_listener_at_the_endpoint_every_record_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    drop(listener);
    let batch = entries(&[("src", TARGET.0), ("src", NEIGHBOUR.0)]);
    let finished = Pixpipe::with_s3(&endpoint).batch(&batch).run().expect_code(75);
    for key in [TARGET.0, NEIGHBOUR.0] {
        assert_eq!(finished.outcome(key), outcome("failed", "store-unavailable"));
    }
}
