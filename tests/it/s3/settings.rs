//! Tests of what the program says if the settings of AWS are at fault.

use hyper::Method;

use pixpipe_test_support::faults::{self, Fault, Times};
use pixpipe_test_support::run::{Pixpipe, text};

use super::{small_run, with_one_photo};

#[test]
fn without_credentials_the_configuration_is_at_fault_and_no_request_is_sent() {
    let server = with_one_photo();
    let run = small_run(&server).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    let finished = run.env("HOME", "/nowhere").run().expect_code(78);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{}", finished.stderr);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "ECS task", "aws configure"] {
        assert!(lines[0].contains(name), "no {name} in {}", lines[0]);
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn credentials_that_cannot_be_fetched_now_are_worth_another_try() {
    let server = with_one_photo();
    let run = small_run(&server).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    // Nobody listens at the discard port.
    let run = run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/role").env("HOME", "/nowhere");
    let finished = run.run().expect_code(75);
    let said = finished.stderr.lines().last().unwrap_or_default();
    assert!(said.contains("the AWS credentials cannot be had") && said.contains("Connection refused"), "{said}");
    assert!(!said.contains('{'), "no Debug: {said}");
}

#[test]
fn a_refusal_names_the_setting_that_it_points_at() {
    let cases = [
        (301, "PermanentRedirect", "set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "set AWS_REGION"),
        (403, "InvalidAccessKeyId", "look at AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "look at AWS_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", "section 9"),
    ];
    for (status, code, words) in cases {
        let server = with_one_photo();
        server.fault(faults::get("src", "a.jpg"), Times::Always, Fault::Answer(status, code));
        let record = small_run(&server).run().expect_code(1).record("a.jpg");
        assert_eq!(text(&record, "reason"), "access-denied", "{code}");
        assert!(text(&record, "detail").contains(words), "{code}: {record}");
    }
}

#[test]
fn nobody_at_the_endpoint_is_said_in_one_sentence() {
    let finished = Pixpipe::with_s3("http://127.0.0.1:9").env("SQS_BODY", "s3://src/a.jpg").run().expect_code(75);
    let detail = finished.record("a.jpg");
    let detail = text(&detail, "detail");
    assert!(detail.contains("Connection refused") && !detail.contains('{'), "{detail}");
}

#[test]
fn access_is_checked_by_one_request_to_each_bucket_and_queue() {
    let server = with_one_photo();
    let run = || {
        let run = small_run(&server).without("SQS_BODY").with_queues().env("SOURCE_BUCKET", "src");
        run.arg("--check-access")
    };
    let finished = run().run().expect_code(0);
    let lines: Vec<_> = finished.stdout.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    let expected =
        ["ok      DEST_BUCKET", "ok      SOURCE_BUCKET", "ok      RETRY_QUEUE_URL", "ok      FAILED_QUEUE_URL"];
    assert_eq!(lines[..4], expected, "{}", finished.stdout);
    assert_eq!(server.requests().len(), 4);
    assert!(server.requests().iter().all(|request| request.method != Method::PUT), "nothing is written");
    assert_eq!((server.take_messages("retry").len(), server.take_messages("failed").len()), (0, 0));

    server.fault(faults::queues(), Times::Always, Fault::Answer(403, "AccessDenied"));
    let finished = run().run().expect_code(78);
    assert_eq!(finished.stdout.matches("fault ").count(), 2, "{}", finished.stdout);
    server.clear_faults();
    let finished = run().env("DEST_BUCKET", "nowhere").run().expect_code(78);
    assert!(finished.stdout.contains("fault   DEST_BUCKET: s3://nowhere"), "{}", finished.stdout);
    server.fault(faults::queues(), Times::Always, Fault::Answer(503, "ServiceUnavailable"));
    run().run().expect_code(75);
}
