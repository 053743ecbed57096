//! The checks at the end of a batch.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pixpipe::event::{Entry, EntryKind};

use pixpipe_test_support::run::{Pixpipe, entries, text};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::SIZES;
use super::run::Batch;
use super::source::{Contents, Source, output_key};

/// One output in each size.
type Outputs = BTreeMap<&'static str, Bytes>;

impl Batch {
    /// Checks that every source has the outputs of its newest bytes or is in the failed queue with a true reason, and
    /// that there is nothing else.
    pub(super) fn assert_settled(&mut self) {
        let all = self.sources.iter().flat_map(|source| source.versions.lock().unwrap().clone()).collect();
        let references = references(all);
        let mut failed = self.take_failed();
        for source in &self.sources {
            self.assert_source_settled(source, &references, &failed.remove(&source.key).unwrap_or_default());
        }
        assert!(failed.is_empty(), "{}: of no source: {failed:?}", self.name);
        let is_of_a_source = |key: &String| {
            self.sources.iter().any(|source| SIZES.iter().any(|size| output_key(size, &source.key) == *key))
        };
        let others: Vec<_> = self.server.keys("dest").into_iter().filter(|key| !is_of_a_source(key)).collect();
        assert_eq!(others, Vec::<String>::new(), "{}", self.name);
    }

    /// `reasons` are those of this source in the failed queue.
    fn assert_source_settled(&self, source: &Source, references: &BTreeMap<Vec<u8>, Outputs>, reasons: &[String]) {
        let versions = source.versions.lock().unwrap().clone();
        let at = format!("{}, {:?}, in the failed queue: {reasons:?}", self.name, source.key);
        // A reason may belong to earlier contents.
        let mut possible: BTreeSet<&str> = versions.iter().filter_map(|contents| contents.reason).collect();
        possible.extend(source.is_denied.then_some("access-denied"));
        possible.extend(source.is_missing_at_first.then_some("not-found"));
        assert!(reasons.iter().all(|reason| possible.contains(reason.as_str())), "{at}: possible are {possible:?}");

        let expected = match versions.last() {
            _ if source.is_denied => Some("access-denied"),
            None => Some("not-found"),
            Some(contents) => contents.reason,
        };
        if let Some(expected) = expected {
            assert!(reasons.iter().any(|reason| reason == expected), "{at}: expected {expected}");
        }
        for size in SIZES {
            let key = output_key(size, &source.key);
            let valid: Vec<&Bytes> =
                versions.iter().filter_map(|contents| references.get(&contents.bytes)?.get(size)).collect();
            for version in self.server.versions("dest", &key) {
                assert!(valid.contains(&&version.bytes), "{at}: a version of {key:?} is not an output of its source");
            }
            if expected.is_none() {
                let output = self.server.object("dest", &key).bytes;
                assert!(Some(&&output) == valid.last(), "{at}: {size} is not of the newest bytes");
            }
        }
    }

    /// Empties the failed queue and returns the reasons by the key of their record.
    fn take_failed(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in self.server.take_messages("failed") {
            let entries = pixpipe::event::parse(&message.to_string(), None).expect("a message is a batch");
            let [Entry { kind: EntryKind::Work(object), .. }] = entries.as_slice() else { panic!("{message}") };
            let reason = text(&message["Records"][0]["pixpipe"], "reason").to_owned();
            reasons.entry(object.key.as_str().to_owned()).or_default().push(reason);
            self.counts.count("records in the failed queue");
        }
        reasons
    }
}

/// The outputs that the program makes of each contents in a run without faults.
fn references(contents: Vec<Contents>) -> BTreeMap<Vec<u8>, Outputs> {
    let server = S3Server::with_buckets();
    let contents: BTreeSet<Vec<u8>> =
        contents.into_iter().filter(|contents| contents.reason.is_none()).map(|contents| contents.bytes).collect();
    for (index, bytes) in contents.iter().enumerate() {
        server.put("src", &index.to_string(), Upload::of(bytes.as_slice()));
    }
    let keys: Vec<String> = (0..contents.len()).map(|index| index.to_string()).collect();
    let batch = entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>());
    Pixpipe::with_s3(server.endpoint()).env("SIZES", &SIZES.join(",")).batch(&batch).run().expect_code(0);
    let outputs = |key: &String| SIZES.map(|size| (size, server.object("dest", &output_key(size, key)).bytes)).into();
    contents.into_iter().zip(keys.iter().map(outputs)).collect()
}
