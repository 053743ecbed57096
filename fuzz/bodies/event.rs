//! The fuzz target `event`: properties of any text in the place of a batch. Shared with the tests.

use std::collections::HashSet;

use pixpipe::destination::Destination;
use pixpipe::event::{self, EntryKind};
use pixpipe::object::BucketName;
use pixpipe::reason::SkipReason;

/// Reads `input` as a batch, as the program does: without and with a bucket for entries that name only a key.
///
/// # Panics
/// If the program would panic, or if an entry has no pointer, names an impossible object, or is work that another entry
/// already is.
pub(crate) fn run(input: &[u8]) {
    // SQS_BODY is UTF-8 by the time it is parsed.
    let Ok(text) = std::str::from_utf8(input) else { return };
    let bucket = BucketName::parse("default-bucket").expect("a bucket name");
    let destination = Destination { bucket: bucket.clone(), prefix: "own/".to_owned() };
    for source_bucket in [None, Some(&bucket)] {
        let Ok(entries) = event::parse(text, source_bucket) else { continue };
        let count = entries.len();
        for entry in &entries {
            assert!(entry.pointer.is_empty() || entry.pointer.starts_with('/'), "no pointer: {entry:?}");
            if let EntryKind::Invalid { message, .. } = &entry.kind {
                assert!(!message.is_empty(), "no message: {entry:?}");
            }
        }
        let selected = event::select(entries, &destination);
        assert_eq!(selected.len(), count, "select keeps every entry");
        let mut work = HashSet::new();
        for entry in &selected {
            match &entry.kind {
                EntryKind::Work(object) => {
                    let key = object.key.as_str();
                    assert!(!key.is_empty() && key.len() <= 1024, "S3 has no such key: {entry:?}");
                    assert!(!destination.contains(object), "an output of its own is work: {entry:?}");
                    assert!(work.insert((object.bucket.clone(), object.key.clone())), "work twice: {entry:?}");
                }
                EntryKind::Skip { object, reason: SkipReason::Duplicate | SkipReason::OwnOutput } => {
                    assert!(object.is_some(), "a skipped object has no name: {entry:?}");
                }
                EntryKind::Unread { .. } => panic!("nothing was read: {entry:?}"),
                EntryKind::Skip { .. } | EntryKind::Invalid { .. } | EntryKind::Reference(_) => {}
            }
        }
    }
}
