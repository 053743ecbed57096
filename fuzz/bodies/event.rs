//! What holds for any text in the place of a batch. Shared by the fuzz target and the tests.

use pixpipe::event::{self, EntryKind, SkipReason};
use pixpipe::object::BucketName;

/// Reads `input` as a batch, as the program does: without and with a bucket for entries that name only a key.
///
/// # Panics
/// Where the program would, or where an entry does not say where it stood, names an impossible object, or is work that
/// another entry already is.
pub(crate) fn run(input: &[u8]) {
    // SQS_BODY is UTF-8 by the time it is parsed.
    let Ok(text) = std::str::from_utf8(input) else { return };
    let bucket = BucketName::parse("default-bucket").expect("a bucket name");
    for source_bucket in [None, Some(&bucket)] {
        let Ok(entries) = event::parse(text, source_bucket) else { continue };
        let count = entries.len();
        for entry in &entries {
            assert!(entry.pointer.is_empty() || entry.pointer.starts_with('/'), "no pointer: {entry:?}");
            if let EntryKind::Invalid { message, .. } = &entry.kind {
                assert!(!message.is_empty(), "says nothing: {entry:?}");
            }
        }
        let selected = event::select(entries, |object| object.key.as_str().starts_with("own/"));
        assert_eq!(selected.len(), count, "selecting keeps every entry");
        let mut work = std::collections::HashSet::new();
        for entry in &selected {
            match &entry.kind {
                EntryKind::Work(object) => {
                    let key = object.key.as_str();
                    assert!(!key.is_empty() && key.len() <= 1024, "S3 has no such key: {entry:?}");
                    assert!(!key.starts_with("own/"), "an output of its own is work: {entry:?}");
                    assert!(work.insert((object.bucket.clone(), object.key.clone())), "work twice: {entry:?}");
                }
                EntryKind::Skip { object, reason: SkipReason::Duplicate | SkipReason::OwnOutput } => {
                    assert!(object.is_some(), "a skipped object has no name: {entry:?}");
                }
                EntryKind::Skip { .. } | EntryKind::Invalid { .. } => {}
            }
        }
    }
}
