//! The program against an S3 that fails: what passes is tried again, what stays is one failed record with its reason, the
//! neighbour is always written, and wrong bytes never become an output.

use std::time::Duration;

use hyper::Method;

use crate::support::faults::{self, Fault, Target, Times};
use crate::support::photos;
use crate::support::run::{Finished, Pixpipe, entries, text};
use crate::support::s3::{Checksums, Upload};
use crate::support::server::S3Server;

/// The object that things happen to, and its output.
const VICTIM: (&str, &str) = ("victim.jpg", "32x32/victim.jpg");
/// The other object in the same batch, and its output.
const NEIGHBOUR: (&str, &str) = ("neighbour.jpg", "32x32/neighbour.jpg");

/// A bucket with a victim and a neighbour, and what becomes of the victim when nothing goes wrong.
struct Scene {
    server: S3Server,
    intact: bytes::Bytes,
}

impl Scene {
    fn new(checksums: Checksums) -> Self {
        let server = S3Server::with_buckets();
        server.put("src", VICTIM.0, Upload { checksums, ..Upload::of(photos::jpeg(640, 480, 1)) });
        server.put("src", NEIGHBOUR.0, Upload::of(photos::jpeg(640, 480, 2)));
        server.create_bucket("intact");
        run(&server).env("DEST_BUCKET", "intact").run().expect_code(0);
        server.forget_requests();
        let intact = server.object("intact", VICTIM.1).bytes;
        Self { server, intact }
    }

    /// Runs the batch of both and checks what holds whatever the fault: the neighbour is written, and whatever was
    /// written is what it should be.
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

    fn expect_written(&self) {
        let finished = self.run().expect_code(0);
        assert_eq!(finished.outcome(VICTIM.0), outcome("written", ""));
        assert_eq!(self.server.object("dest", VICTIM.1).bytes, self.intact);
    }

    fn expect_failed(&self, reason: &str, code: i32) -> Finished {
        let finished = self.run().expect_code(code);
        assert_eq!(finished.outcome(VICTIM.0), outcome("failed", reason));
        assert_eq!(self.server.keys("dest"), [NEIGHBOUR.1], "a failed record leaves no output");
        finished
    }

    fn requests_to_source(&self) -> usize {
        self.server.requests_of(&Method::GET, "src", VICTIM.0).len()
    }
}

fn run(server: &S3Server) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", VICTIM.0), ("src", NEIGHBOUR.0)]))
}

fn outcome(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn source() -> Target {
    faults::get("src", VICTIM.0)
}

/// Runs all cases at once, each against a server of its own: they mostly wait.
fn each<T: Sync>(cases: &[(&str, T)], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|(name, case)| (name, scope.spawn(|| check(case)))).collect();
        let failed: Vec<_> =
            threads.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect();
        assert!(failed.is_empty(), "failed, see above: {failed:?}");
    });
}

const SLOW_DOWN: Fault = Fault::Answer(503, "SlowDown");
const INTERNAL_ERROR: Fault = Fault::Answer(500, "InternalError");

#[test]
fn a_source_that_fails_twice_is_read_on_the_third_attempt() {
    let cases = [
        ("503", SLOW_DOWN),
        ("500", INTERNAL_ERROR),
        ("reset before the headers", Fault::Reset),
        ("cut body", Fault::CutBody),
        ("truncated body", Fault::TruncateBody),
        ("flipped bit", Fault::FlipBit),
    ];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(source(), Times::First(2), fault.clone());
        scene.expect_written();
        assert_eq!(scene.requests_to_source(), 3);
    });
}

#[test]
fn a_source_that_always_fails_is_unavailable() {
    let cases = [
        ("503", SLOW_DOWN),
        ("500", INTERNAL_ERROR),
        ("reset before the headers", Fault::Reset),
        ("cut body", Fault::CutBody),
        ("truncated body", Fault::TruncateBody),
        ("flipped bit", Fault::FlipBit),
    ];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(source(), Times::Always, fault.clone());
        let finished = scene.expect_failed("store-unavailable", 75);
        assert!(!text(&finished.record(VICTIM.0), "detail").is_empty(), "a person is told more than the reason");
        let requests = scene.requests_to_source();
        assert!((2..=20).contains(&requests), "{requests} requests: tried again, but not for ever");
    });
}

#[test]
fn wrong_bytes_are_noticed_by_the_etag_where_the_object_has_no_checksum() {
    let cases = [("truncated body", Fault::TruncateBody), ("flipped bit", Fault::FlipBit)];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::None);
        scene.server.fault(source(), Times::Always, fault.clone());
        scene.expect_failed("store-unavailable", 75);

        let scene = Scene::new(Checksums::None);
        scene.server.fault(source(), Times::First(1), fault.clone());
        scene.expect_written();
    });
}

#[test]
fn wrong_bytes_are_noticed_by_each_kind_of_checksum() {
    let cases = [("CRC64NVME", Checksums::Crc64Nvme), ("CRC32", Checksums::Crc32)];
    each(&cases, |checksums| {
        let server = S3Server::with_buckets();
        let upload = Upload::of(photos::jpeg(640, 480, 1));
        let etag = Some("0123456789abcdef0123456789abcdef-2");
        server.put("src", VICTIM.0, Upload { checksums: *checksums, etag, ..upload });
        server.fault(source(), Times::Always, Fault::FlipBit);
        let finished = run(&server).batch(&entries(&[("src", VICTIM.0)])).run().expect_code(75);
        assert_eq!(finished.outcome(VICTIM.0), outcome("failed", "store-unavailable"));
        assert_eq!(server.keys("dest"), Vec::<String>::new());
    });
}

#[test]
fn a_source_that_once_stalls_or_trickles_is_read_again() {
    let cases = [("stall before the headers", Fault::Stall), ("trickling body", Fault::TrickleBody)];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(source(), Times::First(1), fault.clone());
        scene.expect_written();
        assert_eq!(scene.requests_to_source(), 2);
    });
}

#[test]
fn a_source_that_always_stalls_or_trickles_is_unavailable() {
    let cases = [("stall before the headers", Fault::Stall), ("trickling body", Fault::TrickleBody)];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(source(), Times::Always, fault.clone());
        scene.expect_failed("store-unavailable", 75);
    });
}

#[test]
fn a_write_that_fails_at_first_is_made_again() {
    let cases = [
        ("503 twice", (2, SLOW_DOWN)),
        ("500 twice", (2, INTERNAL_ERROR)),
        ("reset before the headers twice", (2, Fault::Reset)),
        ("stall before the headers", (1, Fault::Stall)),
    ];
    each(&cases, |(times, fault)| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(faults::put("dest", VICTIM.1), Times::First(*times), fault.clone());
        scene.expect_written();
        assert_eq!(scene.server.requests_of(&Method::PUT, "dest", VICTIM.1).len(), times + 1);
    });
}

#[test]
fn a_write_whose_answer_was_lost_is_not_mistaken_for_a_conflict() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(faults::put("dest", VICTIM.1), Times::First(1), Fault::LoseAnswer);
    let finished = scene.run().expect_code(0);
    let (status, reason) = finished.outcome(VICTIM.0);
    assert!(
        status == "written" || (status == "skipped" && reason == "unchanged"),
        "the output is there, whoever it thinks wrote it: {status} {reason}"
    );
    assert_eq!(scene.server.object("dest", VICTIM.1).bytes, scene.intact);
}

#[test]
fn a_write_that_always_fails_is_unavailable() {
    let cases = [("503", SLOW_DOWN), ("500", INTERNAL_ERROR), ("reset before the headers", Fault::Reset)];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(faults::put("dest", VICTIM.1), Times::Always, fault.clone());
        scene.expect_failed("store-unavailable", 75);
    });
}

#[test]
fn a_head_of_an_output_that_fails_twice_is_asked_again() {
    let cases = [("503", SLOW_DOWN), ("500", INTERNAL_ERROR), ("reset before the headers", Fault::Reset)];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(faults::head("dest", VICTIM.1), Times::First(2), fault.clone());
        scene.expect_written();
    });
}

#[test]
fn a_head_of_an_output_that_always_fails_is_unavailable() {
    let cases = [("503", SLOW_DOWN), ("500", INTERNAL_ERROR), ("reset before the headers", Fault::Reset)];
    each(&cases, |fault| {
        let scene = Scene::new(Checksums::Crc64Nvme);
        scene.server.fault(faults::head("dest", VICTIM.1), Times::Always, fault.clone());
        scene.expect_failed("store-unavailable", 75);
        assert_eq!(scene.server.requests_of(&Method::PUT, "dest", VICTIM.1).len(), 0);
    });
}

#[test]
fn a_source_that_may_not_be_read_is_access_denied_and_not_asked_again() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(source(), Times::Always, Fault::Answer(403, "AccessDenied"));
    scene.expect_failed("access-denied", 1);
    assert_eq!(scene.requests_to_source(), 1);
}

#[test]
fn a_destination_that_may_not_be_written_is_access_denied() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(faults::put("dest", VICTIM.1), Times::Always, Fault::Answer(403, "AccessDenied"));
    scene.expect_failed("access-denied", 1);
}

#[test]
fn outputs_whose_heads_may_not_be_read_are_still_written_where_they_are_absent() {
    // Without s3:ListBucket, S3 answers a HEAD of an absent key with 403 instead of 404.
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(faults::under(Method::HEAD, "dest", ""), Times::Always, Fault::Answer(403, "AccessDenied"));
    scene.expect_written();
    let puts = scene.server.requests_of(&Method::PUT, "dest", VICTIM.1);
    assert_eq!(puts.iter().map(|put| put.header("if-none-match")).collect::<Vec<_>>(), ["*"]);
}

#[test]
fn a_prefix_that_is_denied_fails_its_records_alone() {
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
fn an_absent_key_is_not_found_and_not_asked_for_again() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.delete("src", VICTIM.0);
    scene.expect_failed("not-found", 1);
    assert_eq!(scene.requests_to_source(), 1);
}

#[test]
fn an_absent_source_bucket_is_not_found() {
    let server = S3Server::with_buckets();
    server.put("src", NEIGHBOUR.0, Upload::of(photos::jpeg(64, 64, 1)));
    let batch = entries(&[("nowhere", VICTIM.0), ("src", NEIGHBOUR.0)]);
    let finished = run(&server).batch(&batch).run().expect_code(1);
    assert_eq!(finished.outcome(VICTIM.0), outcome("failed", "not-found"));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""));
    assert_eq!(server.keys("dest"), [NEIGHBOUR.1]);
}

#[test]
fn an_absent_destination_bucket_is_not_found() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    let finished = run(&scene.server).env("DEST_BUCKET", "nowhere").run().expect_code(1);
    for key in [VICTIM.0, NEIGHBOUR.0] {
        assert_eq!(finished.outcome(key), outcome("failed", "not-found"));
    }
}

#[test]
fn a_store_without_conditional_writes_is_written_to_without_them_and_says_so() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    let conditional = faults::under(Method::PUT, "dest", "").conditional();
    scene.server.fault(conditional, Times::Always, Fault::Answer(501, "NotImplemented"));
    scene.expect_written();
    let finished = run(&scene.server).env("SKIP_UNCHANGED", "false").run().expect_code(0);
    assert!(finished.stderr.contains("conditional"), "{}", finished.stderr);
}

#[test]
fn an_upload_that_goes_on_slowly_is_not_given_up() {
    let server = S3Server::with_buckets();
    server.put("src", VICTIM.0, Upload::of(photos::jpeg(640, 480, 1)));
    let key = "2048x2048/victim.jpg.npy"; // 12 MiB: more than the sockets between can hold
    server.fault(faults::put("dest", key), Times::Always, Fault::SlowUpload(Duration::from_secs(8)));
    let finished = run(&server)
        .env("SIZES", "2048")
        .env("FORMAT", "npy")
        .batch(&entries(&[("src", VICTIM.0)]))
        .run()
        .expect_code(0);
    assert_eq!(finished.outcome(VICTIM.0), outcome("written", ""));
    assert_eq!(server.requests_of(&Method::PUT, "dest", key).len(), 1);
}

#[test]
fn one_size_that_cannot_be_written_fails_its_record_and_leaves_only_whole_outputs() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(faults::put("dest", "16x16/victim.jpg"), Times::Always, Fault::Answer(403, "AccessDenied"));
    let finished = run(&scene.server).env("SIZES", "16,32").run().expect_code(1);
    assert_eq!(finished.outcome(VICTIM.0), outcome("failed", "access-denied"));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""));
    for key in scene.server.keys("dest") {
        photos::decode_jpeg(&scene.server.object("dest", &key).bytes);
    }
}

#[test]
fn work_worth_retrying_outweighs_work_that_failed_for_good() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(source(), Times::Always, SLOW_DOWN);
    let batch = entries(&[("src", "absent.jpg"), ("src", VICTIM.0), ("src", NEIGHBOUR.0)]);
    let finished = run(&scene.server).batch(&batch).run().expect_code(75);
    assert_eq!(finished.outcome("absent.jpg"), outcome("failed", "not-found"));
    assert_eq!(finished.outcome(VICTIM.0), outcome("failed", "store-unavailable"));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("written", ""));
}

#[test]
fn after_the_store_has_recovered_the_same_batch_finishes_the_work() {
    let scene = Scene::new(Checksums::Crc64Nvme);
    scene.server.fault(source(), Times::Always, SLOW_DOWN);
    scene.expect_failed("store-unavailable", 75);
    scene.server.clear_faults();
    let finished = run(&scene.server).run().expect_code(0);
    assert_eq!(finished.outcome(VICTIM.0), outcome("written", ""));
    assert_eq!(finished.outcome(NEIGHBOUR.0), outcome("skipped", "unchanged"));
}

#[test]
fn an_endpoint_where_nobody_listens_makes_every_record_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let nobody = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    drop(listener);
    let batch = entries(&[("src", VICTIM.0), ("src", NEIGHBOUR.0)]);
    let finished = Pixpipe::with_s3(&nobody).batch(&batch).run().expect_code(75);
    for key in [VICTIM.0, NEIGHBOUR.0] {
        assert_eq!(finished.outcome(key), outcome("failed", "store-unavailable"));
    }
}
