//! Tables: one row a shape.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// `work bucket key`, `skip reason` or `invalid`, each behind its pointer.
fn read(text: &str) -> Vec<String> {
    let bucket = BucketName::parse("fallback").expect("a name");
    let entries = parse(text, Some(&bucket)).expect("a batch");
    entries
        .into_iter()
        .map(|entry| match entry.kind {
            EntryKind::Work(object) => format!("{} work {} {}", entry.pointer, object.bucket, object.key),
            EntryKind::Skip { reason, .. } => format!("{} skip {}", entry.pointer, reason.as_str()),
            EntryKind::Invalid { .. } => format!("{} invalid", entry.pointer),
            EntryKind::Reference(reference) => {
                format!("{} batch {} {:?}", entry.pointer, reference.batch, reference.report.map(|at| at.address()))
            }
            EntryKind::Unread { .. } => panic!("nothing was read"),
        })
        .collect()
}

fn s3_record(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "photos", "arn": "arn:aws:s3:::photos"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "versionId": "v1",
                       "sequencer": "0055AED6DCD90281E5"}
        }
    })
}

fn bridge_event(detail_type: &str, key: &str) -> Value {
    json!({
        "version": "0", "source": "aws.s3", "detail-type": detail_type, "account": "123456789012",
        "detail": {"version": "0", "bucket": {"name": "photos"}, "reason": "PutObject",
                   "object": {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184",
                              "sequencer": "00617F08299329D189"}}
    })
}

#[test]
fn every_shape_is_read() {
    let notification = json!({"Records": [s3_record("a+b%2B.jpg")]});
    let bridge = bridge_event("Object Created", "a+b%2B.jpg");
    let sns = |message: &Value| json!({"Type": "Notification", "MessageId": "m", "Message": message.to_string()});
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        ("notification", notification.to_string(), vec!["/Records/0 work photos a b+.jpg"]),
        ("lone record", s3_record("a").to_string(), vec![" work photos a"]),
        ("no records", json!({"Records": []}).to_string(), vec![]),
        (
            "minimal",
            r#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k%20k"}}}]}"#.into(),
            vec!["/Records/0 work b k k"],
        ),
        ("eventbridge: the key is raw", bridge.to_string(), vec![" work photos a+b%2B.jpg"]),
        ("sns of a notification", sns(&notification).to_string(), vec!["/Message/Records/0 work photos a b+.jpg"]),
        ("sns of eventbridge", sns(&bridge).to_string(), vec!["/Message work photos a+b%2B.jpg"]),
        (
            "sqs, body as text",
            json!([{"messageId": "1", "body": notification.to_string()}]).to_string(),
            vec!["/0/body/Records/0 work photos a b+.jpg"],
        ),
        (
            "sqs, body as object",
            json!([{"messageId": "1", "body": bridge}]).to_string(),
            vec!["/0/body work photos a+b%2B.jpg"],
        ),
        (
            "sqs, sns inside",
            json!([{"messageId": "1", "body": sns(&notification).to_string()}]).to_string(),
            vec!["/0/body/Message/Records/0 work photos a b+.jpg"],
        ),
        (
            "sqs, ReceiveMessage",
            json!({"MessageId": "1", "Body": notification.to_string()}).to_string(),
            vec!["/Body/Records/0 work photos a b+.jpg"],
        ),
        (
            "lambda",
            json!({"Records": [{"eventSource": "aws:sqs", "body": notification.to_string()}]}).to_string(),
            vec!["/Records/0/body/Records/0 work photos a b+.jpg"],
        ),
        ("bucket and key: raw", json!({"bucket": "b", "key": "a+b%2B"}).to_string(), vec![" work b a+b%2B"]),
        ("s3 reader", json!([{"Key": "a+b", "Size": 7, "Etag": "\"e\""}]).to_string(), vec!["/0 work fallback a+b"]),
        (
            "batcher",
            json!({"Items": [{"Key": "k"}], "BatchInput": {"bucket": "given"}}).to_string(),
            vec!["/Items/0 work given k"],
        ),
        (
            "batcher without input",
            json!({"Items": [{"Key": "k"}, "s3://b/k"]}).to_string(),
            vec!["/Items/0 work fallback k", "/Items/1 work b k"],
        ),
        ("uri", json!("s3://b/a/b+c%20").to_string(), vec![" work b a/b+c%20"]),
        ("bare uri", "s3://b/a".into(), vec![" work b a"]),
        ("a whole batch as text", json!(notification.to_string()).to_string(), vec!["/Records/0 work photos a b+.jpg"]),
        (
            "arrays in arrays",
            json!([[notification, "s3://b/k"], [[bridge]]]).to_string(),
            vec!["/0/0/Records/0 work photos a b+.jpg", "/0/1 work b k", "/1/0/0 work photos a+b%2B.jpg"],
        ),
        (
            "minio",
            json!({"eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put",
                         "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}})
            .to_string(),
            vec![" work b k"],
        ),
    ];
    for (label, text, expected) in cases {
        assert_eq!(read(&text), expected, "{label}");
    }
}

#[test]
fn a_batch_is_named_by_reference() {
    let reference = json!({"batch": "s3://work/batches/1 +.json", "pixpipe": {"attempts": 2, "reason": "interrupted"}});
    let with_report = json!({"batch": "s3://work/1", "report": "s3://work/reports/1.jsonl"});
    let cases = [
        (reference.clone(), vec![" batch s3://work/batches/1 +.json None"]),
        (with_report.clone(), vec![" batch s3://work/1 Some(\"s3://work/reports/1.jsonl\")"]),
        (
            json!([{"messageId": "1", "body": reference.to_string()}, "s3://b/k"]),
            vec!["/0/body batch s3://work/batches/1 +.json None", "/1 work b k"],
        ),
        (json!({"Records": [with_report]}), vec!["/Records/0 batch s3://work/1 Some(\"s3://work/reports/1.jsonl\")"]),
        (json!({"batch": "work/1"}), vec![" invalid"]),
        (json!({"batch": "s3://work/"}), vec![" invalid"]),
        (json!({"batch": 1}), vec![" invalid"]),
        (json!({"batch": "s3://work/1", "report": "here"}), vec![" invalid"]),
        (json!({"batch": "s3://work/1", "pixpipe": {"attempts": "x"}}), vec![" invalid"]),
        (json!({"batch": "s3://work/1", "report": null}), vec![" batch s3://work/1 None"]),
    ];
    for (value, expected) in cases {
        assert_eq!(read(&value.to_string()), expected, "{value}");
    }
    let tried = json!({"Records": [reference], "pixpipe": {"attempts": 3}});
    let entries = parse(&tried.to_string(), None).expect("a batch");
    let [Entry { kind: EntryKind::Reference(reference), .. }] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(reference.attempts, 5);
}

#[test]
fn a_batch_may_be_one_entry_a_line() {
    let lines = "s3://b/a b.jpg\r\n\n  {\"key\":\"k\"}\nphotos/c.jpg\n[\"s3://b/d\"]\n{\"nothing\":1}\n\"photos/e\"\n{";
    let expected = [
        "/0 work b a b.jpg",
        "/2 work fallback k",
        "/3 work fallback photos/c.jpg",
        "/4/0 work b d",
        "/5 invalid",
        "/6 work fallback photos/e",
        "/7 invalid",
    ];
    assert_eq!(read(lines), expected);
    assert_eq!(read("photos/a.jpg"), [" work fallback photos/a.jpg"], "one line is the entry");
    assert_eq!(read("123"), [" work fallback 123"], "as in a list of several lines");
    assert_eq!(read("a \r\n\n b\n"), ["/0 work fallback a ", "/2 work fallback  b"], "keys are taken as they are");
    assert_eq!(read("\u{feff}a\n  s3://b/c "), ["/0 work fallback a", "/1 work b c "]);
    let error = parse("photos/a.jpg\nphotos/b.jpg", None).expect_err("no bucket").to_string();
    assert!(error.contains("set SOURCE_BUCKET"), "{error}");
}

#[test]
fn text_without_a_bucket_is_no_key() {
    let entries = parse(&json!(["hello", "s3://b/k"]).to_string(), None).expect("a batch");
    let [Entry { kind: EntryKind::Invalid { message, received }, .. }, _] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    assert!(message.contains("\"hello\"") && message.contains("SOURCE_BUCKET"), "{message}");
    assert_eq!(received, "\"hello\"");
}

#[test]
fn a_batch_has_a_bounded_number_of_entries() {
    let list = |entries: usize| format!("[{}]", vec!["\"s3://b/k\""; entries].join(","));
    assert_eq!(parse(&list(100_000), None).expect("as many as there may be").len(), 100_000);
    assert_eq!(parse(&list(100_001), None), Err(BatchError::TooManyEntries { most: 100_000 }));
    let nested = format!("[{},{}]", list(60_000), list(60_000));
    assert_eq!(parse(&nested, None), Err(BatchError::TooManyEntries { most: 100_000 }));
}

#[test]
fn what_is_deep_long_or_wide_is_refused_and_nothing_else_is() {
    let deep = |depth: usize| format!("{}\"s3://b/k\"{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read(&deep(31)), [format!("{} work b k", "/0".repeat(31))]);
    assert_eq!(read(&deep(33)), [format!("{} invalid", "/0".repeat(32))]);
    assert_eq!(read(&deep(1_000_000)).len(), 1, "no recursion without end");
    let long = json!([{"key": "k", "more": "x".repeat(70_000)}, "s3://b/k"]);
    assert_eq!(read(&long.to_string()), ["/0 invalid", "/1 work b k"]);
    let members: Vec<String> = (0..1001).map(|number| format!("\"{number}\":1")).collect();
    let wide = format!("[{{{}}},\"s3://b/k\"]", members.join(","));
    assert_eq!(read(&wide), ["/0 invalid", "/1 work b k"]);
    let twice = r#"{"key":"first","key":"last"}"#;
    assert_eq!(read(twice), [" work fallback last"], "as most readers of JSON take it");
}

#[test]
fn what_is_no_work_is_skipped_with_its_reason() {
    let mut removed = s3_record("a");
    removed["eventName"] = json!("ObjectRemoved:DeleteMarkerCreated");
    let mut folder = s3_record("folder/");
    folder["s3"]["object"]["size"] = json!(0);
    let mut full_folder = s3_record("folder/");
    full_folder["s3"]["object"]["size"] = json!(5);
    let cases = [
        ("test event", json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), " skip test-event"),
        ("removed", removed, " skip not-created"),
        ("deleted", bridge_event("Object Deleted", "a"), " skip not-created"),
        ("tagged", bridge_event("Object Tags Added", "a"), " skip not-created"),
        ("folder", folder, " skip folder-marker"),
        ("an object whose key ends in a slash", full_folder, " work photos folder/"),
    ];
    for (label, value, expected) in cases {
        assert_eq!(read(&value.to_string()), [expected], "{label}");
    }
    for family in [
        "ObjectTagging:Put",
        "ObjectAcl:Put",
        "ObjectRestore:Completed",
        "Replication:OperationFailedReplication",
        "LifecycleExpiration:Delete",
        "LifecycleTransition",
        "IntelligentTiering",
        "s3:ObjectRemoved:Delete",
    ] {
        let mut record = s3_record("a");
        record["eventName"] = json!(family);
        assert_eq!(read(&record.to_string()), [" skip not-created"], "{family}");
    }
}

#[test]
fn an_entry_that_is_nothing_is_named_and_the_others_stay() {
    let cases = [
        ("number", json!([1, "s3://b/k"]), vec!["/0 invalid", "/1 work b k"]),
        ("null", json!([null]), vec!["/0 invalid"]),
        ("empty object", json!([{}, {"key": "k"}]), vec!["/0 invalid", "/1 work fallback k"]),
        (
            "uri without key",
            json!(["s3://bucket", "s3://bucket/", "s3:///k"]),
            vec!["/0 invalid", "/1 invalid", "/2 invalid"],
        ),
        ("records is no array", json!({"Records": {}}), vec!["/Records invalid"]),
        (
            "other service",
            json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]}),
            vec!["/Records/0 invalid"],
        ),
        ("other source", json!({"source": "aws.ec2", "detail-type": "x", "detail": {}}), vec![" invalid"]),
        (
            "unknown event name",
            {
                let mut r = s3_record("a");
                r["eventName"] = json!("Surprise:One");
                r
            },
            vec![" invalid"],
        ),
        ("s3 record without s3", json!({"Records": [{"eventSource": "aws:s3"}]}), vec!["/Records/0 invalid"]),
        ("bad escape", s3_record("100%"), vec![" invalid"]),
        ("empty key", json!({"bucket": "b", "key": ""}), vec![" invalid"]),
        ("key is a number", json!({"bucket": "b", "key": 5}), vec![" invalid"]),
        ("bad size", json!({"bucket": "b", "key": "k", "size": -1}), vec![" invalid"]),
        ("bad batch input", json!({"Items": [], "BatchInput": {"bucket": 7}}), vec!["/BatchInput/bucket invalid"]),
        ("body is null", json!({"messageId": "1", "body": null}), vec!["/body invalid"]),
        (
            "bad attempts",
            {
                let mut r = s3_record("a");
                r["pixpipe"] = json!({"attempts": "x"});
                r
            },
            vec![" invalid"],
        ),
    ];
    for (label, value, expected) in cases {
        assert_eq!(read(&value.to_string()), expected, "{label}");
    }
}

#[test]
fn strings_are_unwrapped_four_times() {
    let mut text = r#"{"bucket":"b","key":"k"}"#.to_owned();
    for wraps in 0..=5 {
        let expected = if wraps <= 4 { " work b k" } else { " invalid" };
        assert_eq!(read(&text), [expected], "{wraps}");
        text = json!(text).to_string();
    }
}

#[test]
fn what_the_event_knew_is_kept() {
    let mut record = s3_record("k");
    record["pixpipe"] = json!({"attempts": 2, "reason": "interrupted"});
    let entries = parse(&record.to_string(), None).expect("a batch");
    let [Entry { kind: EntryKind::Work(object), .. }] = entries.as_slice() else { panic!("one record: {entries:?}") };
    assert_eq!(object.size_bytes, Some(1024));
    assert_eq!(object.etag.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
    assert_eq!(object.version_id.as_deref(), Some("v1"));
    assert_eq!(object.sequencer.as_deref(), Some("0055AED6DCD90281E5"));
    assert_eq!(object.attempts, 2);
}

#[test]
fn attempts_are_counts_in_any_spelling() {
    let attempts = |value: Value| {
        let mut record = s3_record("k");
        record["pixpipe"] = json!({"attempts": value});
        match parse(&record.to_string(), None).expect("a batch").remove(0).kind {
            EntryKind::Work(object) => Some(object.attempts),
            _ => None,
        }
    };
    for (value, expected) in [
        (json!(2), Some(2)),
        (json!("2"), Some(2)),
        (json!(2.0), Some(2)),
        (json!(null), Some(0)),
        (json!(-1), None),
        (json!(1.5), None),
        (json!("two"), None),
        (json!(4_294_967_296_u64), None),
    ] {
        assert_eq!(attempts(value.clone()), expected, "{value}");
    }
}

#[test]
fn a_batch_that_was_tried_before_has_that_behind_every_record() {
    let mut tried = s3_record("b");
    tried["pixpipe"] = json!({"attempts": 2});
    let with =
        |attempts: Value| json!({"Records": [s3_record("a"), tried, "s3://b/c"], "pixpipe": attempts}).to_string();
    let entries = parse(&with(json!({"attempts": 3})), None).expect("a batch");
    let attempts: Vec<u32> = entries
        .iter()
        .map(|entry| match &entry.kind {
            EntryKind::Work(object) => object.attempts,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(attempts, [3, 5, 3]);
    assert_eq!(read(&with(json!({"attempts": "x"}))), [" invalid"]);
}

#[test]
fn a_key_without_any_bucket_says_what_is_missing() {
    let entries = parse(r#"{"Key":"k"}"#, None).expect("a batch");
    let [Entry { kind: EntryKind::Invalid { message, .. }, .. }] = entries.as_slice() else { panic!("{entries:?}") };
    assert!(message.contains("SOURCE_BUCKET"), "{message}");
}

#[test]
fn text_that_is_no_json_is_no_batch() {
    assert_eq!(parse(" \n ", None), Err(BatchError::Empty));
    for removed in ["{Records: [{s3: {}}]}", "[{messageId: 1}]", "{ bucket: b }"] {
        let error = parse(removed, None).expect_err(removed);
        assert!(matches!(&error, BatchError::QuotesRemoved { .. }), "{error}");
        assert!(error.to_string().contains("quotes are missing"), "{error}");
    }
    for other in ["hello", "{\"a\":", "<xml/>", "{\"a\":1}}", "{'bucket': 'b'}", "\u{0}"] {
        let error = parse(other, None).expect_err(other);
        assert!(matches!(&error, BatchError::NotJson { .. }), "{error}");
    }
    let error = parse("hello world", None).expect_err("no JSON").to_string();
    assert!(error.contains("\"hello world\""), "{error}");
}

#[test]
fn of_two_entries_for_one_object_the_later_event_stays() {
    let object = |size: Option<u64>, sequencer: Option<&str>| SourceObject {
        size_bytes: size,
        sequencer: sequencer.map(str::to_owned),
        ..SourceObject::new(BucketName::parse("b").expect("a name"), ObjectKey::parse("k").expect("a key"))
    };
    let cases = [
        ("later second", object(Some(1), Some("01")), object(Some(2), Some("02")), Some(2)),
        ("later first", object(Some(1), Some("02")), object(Some(2), Some("01")), Some(1)),
        ("unknown order", object(Some(1), None), object(Some(2), Some("01")), None),
        ("same size", object(Some(1), None), object(Some(1), None), Some(1)),
    ];
    let elsewhere = Destination { bucket: BucketName::parse("out").expect("a name"), prefix: String::new() };
    for (label, first, second, kept_size) in cases {
        let entries = [first, second].map(|object| Entry {
            pointer: String::new(),
            is_referenced: false,
            kind: EntryKind::Work(object),
        });
        let selected = select(entries.into(), &elsewhere);
        let [Entry { kind: EntryKind::Work(kept), .. }, Entry { kind: EntryKind::Skip { reason, .. }, .. }] =
            selected.as_slice()
        else {
            panic!("{label}: {selected:?}")
        };
        assert_eq!((kept.size_bytes, *reason), (kept_size, SkipReason::Duplicate), "{label}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("Records".to_owned()),
        Just("s3".to_owned()),
        Just("bucket".to_owned()),
        Just("object".to_owned()),
        Just("key".to_owned()),
        Just("Items".to_owned()),
        Just("body".to_owned()),
        Just("detail".to_owned()),
        Just("source".to_owned()),
        Just("Message".to_owned()),
        Just("Type".to_owned()),
        "[a-zA-Z]{0,6}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("s3://b/k")),
        Just(json!("{\"key\":\"k\"}")),
        Just(json!("Notification")),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text, None);
    }

    #[test]
    fn any_json_is_read(value in any_json()) {
        prop_assert!(parse(&value.to_string(), None).is_ok());
    }

    #[test]
    fn any_mix_keeps_every_key(
        keys in prop::collection::vec("\\PC{1,40}", 0..8),
        shapes in prop::collection::vec(0_u8..6, 8),
    ) {
        let batch: Vec<Value> = keys.iter().zip(&shapes).map(|(key, shape)| {
            let encoded = ObjectKey::parse(key).expect("short").form_encoded();
            let notification = json!({"Records": [s3_record(&encoded)]});
            match shape {
                0 => notification,
                1 => bridge_event("Object Created", key),
                2 => json!({"Type": "Notification", "Message": notification.to_string()}),
                3 => json!({"messageId": "1", "body": notification.to_string()}),
                4 => json!({"bucket": "photos", "key": key}),
                _ => json!(json!([{"bucket": "photos", "key": key}]).to_string()),
            }
        }).collect();
        let entries = parse(&Value::from(batch).to_string(), None).expect("a batch");
        let read: Vec<String> = entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::Work(object) => Some(object.key.as_str().to_owned()),
            _ => None,
        }).collect();
        prop_assert_eq!(read, keys);
    }
}
