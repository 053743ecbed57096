//! Batches that lie in the store: a reference becomes the entries of its batch, before any record begins.

use std::cell::RefCell;
use std::collections::HashSet;

use super::pause::pause;
use crate::config::Config;
use crate::destination::Destination;
use crate::event::{self, Entry, EntryKind, MAX_ENTRIES, Reference};
use crate::object::{BucketName, ObjectKey, SourceObject};
use crate::reason::{FailReason, SkipReason};
use crate::signals::Signals;
use crate::store::{Download, Fetched, Store, StoreError};

/// The most bytes of a batch.
const MAX_BATCH_BYTES: u64 = 16 << 20;
/// How deep references may lie in each other.
const MAX_DEPTH: usize = 4;
/// Attempts to download a batch, if the download breaks off.
const MAX_DOWNLOADS: u32 = 3;
/// The memory of an entry from its reading to its end: its names, its outcome, its message and its line in the report.
pub(crate) const ENTRY_BYTES: u64 = 1280;
/// The memory that is left for a batch being read: the process itself takes the rest of the least that is accepted.
const PROCESS_BYTES: u64 = 48 << 20;

/// The most entries of a task with this memory.
pub(crate) fn most_entries(memory_bytes: u64) -> usize {
    let by_memory = memory_bytes.saturating_sub(PROCESS_BYTES) / 2 / ENTRY_BYTES;
    usize::try_from(by_memory).unwrap_or(usize::MAX).min(MAX_ENTRIES)
}

/// The most bytes of a batch with this memory: the text, what is unwrapped of it, and its entries.
pub(crate) fn most_bytes(memory_bytes: u64) -> u64 {
    MAX_BATCH_BYTES.min(memory_bytes / 8)
}

/// Reads references.
pub(crate) struct References<'a, S> {
    store: &'a S,
    config: &'a Config,
    random: &'a RefCell<fastrand::Rng>,
    memory_bytes: u64,
    /// The batches that were read: each is read once.
    seen: HashSet<(BucketName, ObjectKey)>,
    /// The object that receives the outcomes, once it is named.
    pub(crate) report: Option<SourceObject>,
}

/// Why a batch could not be read.
struct Unread(FailReason, String);

impl<'a, S: Store> References<'a, S> {
    pub(crate) fn new(store: &'a S, config: &'a Config, random: &'a RefCell<fastrand::Rng>, memory_bytes: u64) -> Self {
        Self { store, config, random, memory_bytes, seen: HashSet::new(), report: None }
    }

    /// Puts the entries of each batch in the place of its reference. A reference that cannot be read stays, with the
    /// reason. After a signal no further batch is read; the signal is put back.
    pub(crate) async fn resolve(&mut self, entries: Vec<Entry>, signals: &mut Signals) -> Vec<Entry> {
        let mut count = entries.len();
        let mut resolved = Vec::with_capacity(count);
        // The entries that are left of each level, the innermost last.
        let mut levels = vec![entries.into_iter()];
        let mut asked = None;
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.next() else {
                levels.pop();
                continue;
            };
            let levels_deep = levels.len();
            let Entry { pointer, is_referenced, kind: EntryKind::Reference(reference) } = entry else {
                resolved.push(entry);
                continue;
            };
            let mut end = |kind| resolved.push(Entry { pointer: pointer.clone(), is_referenced, kind });
            // Also that of a batch which was read already.
            if let Err(why) = reference.report.as_ref().map_or(Ok(()), |report| self.accept(report, levels_deep)) {
                end(EntryKind::Unread { reference, reason: FailReason::InvalidEntry, detail: why });
                continue;
            }
            if !self.seen.insert((reference.batch.bucket.clone(), reference.batch.key.clone())) {
                end(EntryKind::Skip { object: Some(reference.batch), reason: SkipReason::Duplicate });
                continue;
            }
            let read = if asked.is_some() {
                Err(interrupted())
            } else {
                tokio::select! {
                    read = self.read(&reference, levels_deep, count) => read,
                    signal = signals.next() => {
                        asked = Some(signal);
                        Err(interrupted())
                    }
                }
            };
            match read {
                Err(Unread(reason, detail)) => end(EntryKind::Unread { reference, reason, detail }),
                Ok(mut inside) => {
                    count = count - 1 + inside.len();
                    for entry in &mut inside {
                        entry.pointer = format!("{pointer}/batch{}", entry.pointer);
                        entry.is_referenced = true;
                        entry.kind.add_attempts(reference.attempts);
                    }
                    levels.push(inside.into_iter());
                }
            }
        }
        if let Some(signal) = asked {
            signals.put_back(signal);
        }
        self.spare_inputs(&resolved);
        resolved
    }

    /// Gives the report up if it would replace a batch or a source of this task.
    fn spare_inputs(&mut self, entries: &[Entry]) {
        let is_input = |report: &SourceObject| {
            let is_source = |entry: &Entry| match &entry.kind {
                EntryKind::Work(object) => object.bucket == report.bucket && object.key == report.key,
                _ => false,
            };
            self.seen.contains(&(report.bucket.clone(), report.key.clone())) || entries.iter().any(is_source)
        };
        if let Some(report) = self.report.take_if(|report| is_input(report)) {
            tracing::error!("the report {report} is not written: it would replace a batch or a source of this task");
        }
    }

    /// The entries of one batch. `depth` is 1 for a reference in `SQS_BODY`; `count` entries are known by now.
    async fn read(&mut self, reference: &Reference, depth: usize, count: usize) -> Result<Vec<Entry>, Unread> {
        let invalid = |why: String| Unread(FailReason::InvalidEntry, why);
        if depth > MAX_DEPTH {
            return Err(invalid(format!("batches name each other more than {MAX_DEPTH} deep")));
        }
        let bytes = self.download(&reference.batch).await?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("the batch is not text in UTF-8".to_owned()))?;
        let text = text.as_str();
        // The reference is one of those that are known.
        let most = most_entries(self.memory_bytes).saturating_sub(count - 1);
        let entries = event::parse_at_most(text, self.config.source_bucket.as_ref(), most);
        entries.map_err(|error| invalid(format!("the batch cannot be read: {error}")))
    }

    /// Notes where the outcomes go.
    fn accept(&mut self, report: &SourceObject, depth: usize) -> Result<(), String> {
        let destination: &Destination = &self.config.destination;
        if depth > 1 {
            return Err(
                "\"report\" stands in a batch that is named by another one; it may stand in SQS_BODY".to_owned()
            );
        }
        if self.config.batch.is_none() {
            return Err("\"report\" is for SQS_BODY; with --batch, standard output has the same lines".to_owned());
        }
        if destination.contains(report) || destination.feeds_itself(report) {
            return Err(format!("\"report\" is {report}, where outputs go: name another place"));
        }
        match &self.report {
            Some(first) if first != report => Err(format!("a task writes one report, and {first} is named already")),
            _ => {
                self.report = Some(report.clone());
                Ok(())
            }
        }
    }

    async fn download(&self, object: &SourceObject) -> Result<Vec<u8>, Unread> {
        let limit = most_bytes(self.memory_bytes);
        let too_long = |bytes: u64| {
            let why = format!("the batch has {bytes} bytes; at most {limit} are read: split it");
            Unread(FailReason::TooManyBytes, why)
        };
        let mut attempt = 0;
        loop {
            pause(self.random, attempt).await;
            attempt += 1;
            let download = match self.store.get(&object.bucket, &object.key, None).await.map_err(unread)? {
                Fetched::Found(download) => download,
                Fetched::FolderMarker | Fetched::NotModified => return Ok(Vec::new()),
                Fetched::OwnOutput => {
                    let why = format!("{object} is an image that this program made, not a batch");
                    return Err(Unread(FailReason::InvalidEntry, why));
                }
            };
            if let Some(bytes) = download.length_bytes().filter(|bytes| *bytes > limit) {
                return Err(too_long(bytes));
            }
            match download.bytes(limit).await {
                Err(StoreError::BrokenDownload(why)) if attempt < MAX_DOWNLOADS => {
                    tracing::warn!("{object} is downloaded again: {why}");
                }
                Err(StoreError::TooLarge { limit_bytes }) => return Err(too_long(limit_bytes + 1)),
                bytes => return bytes.map_err(unread),
            }
        }
    }
}

fn unread(error: StoreError) -> Unread {
    let super::failure::RecordError { reason, detail } = error.into();
    Unread(reason, detail)
}

fn interrupted() -> Unread {
    Unread(FailReason::Interrupted, "the task was asked to end before the batch was read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_of_a_task_are_bounded_by_its_memory() {
        const MIB: u64 = 1 << 20;
        // (64 − 48) / 2 MiB for entries of 1.25 KiB each.
        assert_eq!(most_entries(64 * MIB), 6553);
        assert_eq!(most_entries(512 * MIB), 100_000);
        assert_eq!(most_entries(0), 0);
    }
}
