//! One record: look at its outputs, make them anew, write them if nobody else did.

use std::time::Instant;

use futures_util::future::join_all;
use pixpipe_pixels::geometry::OutputSize;
use pixpipe_pixels::render::Rendered;
use sha2::{Digest as _, Sha256};

use super::Context;
use super::failure::RecordError;
use super::pause::pause;
use super::source::{self, Source, Version, add};
use crate::budget::Permit;
use crate::config::Existing;
use crate::object::{ObjectKey, SourceObject};
use crate::one_line::one_line;
use crate::outcome::{Facts, OutputFacts, Status};
use crate::reason::{FailReason, SkipReason};
use crate::store::{Condition, Fetched, Origin, Output, OutputHead, Store, StoreError, Written};

/// Rounds of a record whose outputs other tasks write meanwhile.
const MAX_ROUNDS: u32 = 5;
/// Rounds in which an output that the role may not see is in the way.
const MAX_UNSEEN: usize = 3;

/// Processes one record.
pub(super) async fn process<S: Store>(context: &Context<'_, S>, object: &SourceObject) -> (Status, Facts) {
    let (facts, raced_unseen, source_name) = (Facts::default(), Vec::new(), object.name_hash());
    let mut record = Record { context, object, source_name, facts, raced_unseen };
    let status = match record.finish().await {
        Ok(status) => status,
        Err(RecordError { reason, detail }) => Status::Failed { reason, detail },
    };
    (status, record.facts)
}

/// The end of a record whose outputs are those of the source as it is now; `None` if they are not, or that cannot be
/// told. Nothing is downloaded.
pub(super) async fn if_unchanged<S: Store>(context: &Context<'_, S>, object: &SourceObject) -> Option<(Status, Facts)> {
    if context.config.existing == Existing::Remake {
        return None;
    }
    let (facts, raced_unseen, source_name) = (Facts::default(), Vec::new(), object.name_hash());
    let mut record = Record { context, object, source_name, facts, raced_unseen };
    let names = record.output_names().ok()?;
    let targets = record.look(&names).await.ok()?;
    let etag = common_source(&targets)?;
    let is_same = source::has_etag(context, object, &etag, &mut record.facts).await.ok()?;
    is_same.then_some((Status::Skipped(SkipReason::Unchanged), record.facts))
}

/// The key of the first output of a record; `None` if it cannot have one. Two records with one first key have all keys
/// in common.
pub(super) fn first_output_key<S>(context: &Context<'_, S>, object: &SourceObject) -> Option<ObjectKey> {
    let spec = &context.spec;
    context.config.destination.output_key(*spec.sizes.first()?, &object.key, spec.encoding.extensions()).ok()
}

struct Record<'a, S> {
    context: &'a Context<'a, S>,
    object: &'a SourceObject,
    /// The hash of its name.
    source_name: String,
    facts: Facts,
    /// Keys of outputs that were in the way of a write, and whose heads had been denied: one for each round.
    raced_unseen: Vec<ObjectKey>,
}

/// The name of one output.
struct OutputName {
    size: OutputSize,
    key: ObjectKey,
    /// The hash of its settings.
    spec: String,
}

/// One output to be made, and the one that is in its place.
struct Target<'a> {
    name: &'a OutputName,
    head: Option<OutputHead>,
    /// Set if the store refused to say whether the output exists (403).
    denied: Option<StoreError>,
}

/// The outputs' files, in the order of their targets, and room for nothing but them.
struct Made {
    files: Vec<MadeFile>,
    version: Version,
    /// Given back when the files are written.
    _permit: Permit,
}

/// The file of one output.
struct MadeFile {
    bytes: Vec<u8>,
    /// Its SHA-256, if a manifest is asked for.
    sha256: Option<String>,
}

/// The SHA-256 of a source and of the files made from it, in hexadecimal.
struct Hashes {
    source: String,
    files: Vec<String>,
}

impl Hashes {
    fn of(source: &[u8], files: &[Vec<u8>]) -> Self {
        let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { source: hash(source), files: files.iter().map(|file| hash(file)).collect() }
    }
}

/// How one write ended.
struct PutEnd<'a> {
    name: &'a OutputName,
    bytes: u64,
    sha256: Option<String>,
    written: Written,
    /// Set if the store had refused to say whether the output exists.
    denied: Option<StoreError>,
}

/// How one round ended.
enum Round {
    Finished(Status),
    Raced,
}

impl<S: Store> Record<'_, S> {
    async fn finish(&mut self) -> Result<Status, RecordError> {
        if self.context.config.destination.feeds_itself(self.object) {
            let why = "the source is in DEST_BUCKET and DEST_PREFIX is empty, so each output would be the next source; \
                       set DEST_PREFIX";
            return Err(RecordError::new(FailReason::WouldLoop, why));
        }
        if let Some(bytes) = self.object.size_bytes {
            source::check_bytes(self.context, bytes)?;
        }
        let names = self.output_names()?;
        for round in 0..MAX_ROUNDS {
            pause(self.context.random, round).await;
            if let Round::Finished(status) = self.round(&names).await? {
                return Ok(status);
            }
        }
        let why = format!("other tasks wrote the same outputs {MAX_ROUNDS} times in a row");
        Err(RecordError::new(FailReason::Conflict, why))
    }

    fn output_names(&self) -> Result<Vec<OutputName>, RecordError> {
        let (destination, spec) = (&self.context.config.destination, &self.context.spec);
        let name = |size: &OutputSize| {
            let key = destination.output_key(*size, &self.object.key, spec.encoding.extensions())?;
            Ok(OutputName { size: *size, key, spec: spec.hash(*size) })
        };
        spec.sizes.iter().map(name).collect()
    }

    /// The heads of the outputs first, then the source as it is now, then writes on the condition that the heads still
    /// hold: an output that was written in between belongs to a source at least as new as the one that was read before.
    /// After a write, the source is looked at once more.
    async fn round(&mut self, names: &[OutputName]) -> Result<Round, RecordError> {
        let mut targets = self.look(names).await?;
        let unless = match self.context.config.existing {
            Existing::Skip => common_source(&targets),
            Existing::Remake => None,
        };
        if let Some(target) = targets.iter().find(|target| target.is_of_another_source(&self.source_name)) {
            return self.refuse_or_skip(target.name, unless.as_deref()).await;
        }
        let fetched = source::fetch(self.context, self.object, unless.as_deref(), &mut self.facts).await?;
        let source = match fetched {
            Fetched::Found(source) => source,
            Fetched::NotModified => return Ok(self.up_to_date()),
            Fetched::FolderMarker => return Ok(Round::Finished(Status::Skipped(SkipReason::FolderMarker))),
            Fetched::OwnOutput => return Ok(Round::Finished(Status::Skipped(SkipReason::OwnOutput))),
        };
        if self.context.config.existing == Existing::Skip {
            targets.retain(|target| !target.is_made_of(&source.version));
            if targets.is_empty() {
                return Ok(self.up_to_date());
            }
        }
        let made = self.make(source, &targets).await?;
        self.write(targets, made).await
    }

    /// All outputs are those of the source: an earlier round wrote some of them, or none.
    fn up_to_date(&self) -> Round {
        let is_written = !self.facts.outputs.is_empty();
        Round::Finished(if is_written { Status::Written } else { Status::Skipped(SkipReason::Unchanged) })
    }

    /// The end of a record whose output was made of another source. If both have the same contents (one bucket may have
    /// two names), the output is right.
    async fn refuse_or_skip(&mut self, name: &OutputName, unless: Option<&str>) -> Result<Round, RecordError> {
        if let Some(etag) = unless
            && source::has_etag(self.context, self.object, etag, &mut self.facts).await?
        {
            return Ok(self.up_to_date());
        }
        let why = format!(
            "the output \"{}\" was made of another source; use another DEST_PREFIX for one of the two, or delete the \
             output if that source is gone",
            one_line(name.key.as_str())
        );
        Err(RecordError::new(FailReason::InvalidEntry, why))
    }

    /// The heads of all outputs.
    async fn look<'n>(&mut self, names: &'n [OutputName]) -> Result<Vec<Target<'n>>, RecordError> {
        let start = Instant::now();
        let bucket = &self.context.config.destination.bucket;
        let heads = join_all(names.iter().map(|name| self.context.store.head(bucket, &name.key))).await;
        add(&mut self.facts.put, start.elapsed());
        let targets = names.iter().zip(heads).map(|(name, head)| match head {
            Ok(head) => Ok(Target { name, head, denied: None }),
            // Without the right to list, S3 answers 403 for an object that does not exist: the write will tell.
            Err(denied @ StoreError::AccessDenied(_)) => Ok(Target { name, head: None, denied: Some(denied) }),
            Err(error) => Err(error.into()),
        });
        targets.collect()
    }

    /// The file of each target.
    async fn make(&mut self, source: Source, targets: &[Target<'_>]) -> Result<Made, RecordError> {
        let Source { bytes, plan, permit, version } = source;
        let sizes: Vec<OutputSize> = targets.iter().map(|target| target.name.size).collect();
        let is_hashed = self.context.config.manifest_prefix.is_some();
        let job = self.context.pool.run(move |renderer| {
            let rendered = renderer.render(&bytes, &plan, &sizes);
            let hashes = match &rendered {
                Ok(rendered) if is_hashed => Some(Hashes::of(&bytes, &rendered.files)),
                _ => None,
            };
            // The job owns its permit: if it is given up, its memory is still taken.
            (rendered, hashes, permit)
        });
        let (rendered, hashes, permit) = job.await?;
        let Rendered { files, broken_profile, decode, resize, encode } = rendered?;
        add(&mut self.facts.decode, decode);
        add(&mut self.facts.resize, resize);
        add(&mut self.facts.encode, encode);
        self.facts.broken_profile = broken_profile;
        let output_bytes: usize = files.iter().map(Vec::len).sum();
        let permit = permit.shrunk(u64::try_from(output_bytes).unwrap_or(u64::MAX));
        let (source_sha256, sha256) =
            hashes.map_or((None, None), |Hashes { source, files }| (Some(source), Some(files)));
        self.facts.source_etag = Some(version.etag.clone()).filter(|etag| !etag.is_empty());
        self.facts.source_version_id.clone_from(&version.id);
        self.facts.source_sha256 = source_sha256;
        let mut sha256 = sha256.unwrap_or_default().into_iter();
        let files = files.into_iter().map(|bytes| MadeFile { bytes, sha256: sha256.next() }).collect();
        Ok(Made { files, version, _permit: permit })
    }

    /// Writes all files, each on the condition that its output is still the one that was looked at.
    async fn write(&mut self, targets: Vec<Target<'_>>, made: Made) -> Result<Round, RecordError> {
        let Made { files, version, _permit } = made;
        if files.len() != targets.len() {
            let why = format!("{} files were made for {} outputs", files.len(), targets.len());
            return Err(RecordError::new(FailReason::Internal, why));
        }
        let start = Instant::now();
        let writes = targets.into_iter().zip(files).map(|(target, file)| self.put(target, file, &version));
        let writes = join_all(writes.collect::<Vec<_>>()).await;
        add(&mut self.facts.put, start.elapsed());
        let mut has_raced = false;
        for written in writes {
            let PutEnd { name, bytes, sha256, written, denied } = written?;
            let key = &name.key;
            match (written, denied) {
                // Without the right to list, the head of an output that did not exist yet was denied. The next round
                // can read it, unless it was deleted again; if heads are denied time after time, the role may not
                // read outputs.
                (Written::Raced, Some(denied)) if self.is_unseen_again(key) => return Err(denied.into()),
                (Written::Raced, denied) => {
                    has_raced = true;
                    self.raced_unseen.extend(denied.map(|_| key.clone()));
                }
                (Written::Done(etag), _) => {
                    let (key, size, spec) = (key.as_str().to_owned(), name.size.folder(), name.spec.clone());
                    // A later round may write it again.
                    self.facts.outputs.retain(|output| output.key != key);
                    self.facts.outputs.push(OutputFacts { key, size, bytes, etag, sha256, spec });
                }
            }
        }
        // A condition that held does not prove that nobody wrote a newer output meanwhile. That output may have been
        // deleted. It may have been of other contents that were changed back: an ETag is a hash of them. Or the store
        // takes the header and ignores it. So the source itself has to tell.
        let has_raced = has_raced || source::has_changed(self.context, self.object, &version, &mut self.facts).await?;
        Ok(if has_raced { Round::Raced } else { Round::Finished(Status::Written) })
    }

    /// Whether this key was in the way in so many rounds, each time unseen, that the role may not see it.
    fn is_unseen_again(&self, key: &ObjectKey) -> bool {
        self.raced_unseen.iter().filter(|unseen| *unseen == key).count() + 1 >= MAX_UNSEEN
    }

    async fn put<'n>(&self, target: Target<'n>, file: MadeFile, version: &Version) -> Result<PutEnd<'n>, StoreError> {
        let Target { name, head, denied } = target;
        let MadeFile { bytes, sha256 } = file;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let condition = head.map_or(Condition::Absent, |head| Condition::Unchanged(head.etag));
        let output = Output {
            bucket: self.context.config.destination.bucket.clone(),
            key: name.key.clone(),
            bytes,
            content_type: self.context.spec.encoding.content_type(),
            origin: Origin {
                source_etag: version.etag.clone(),
                source_version_id: version.id.clone(),
                spec: name.spec.clone(),
                source: self.source_name.clone(),
            },
        };
        let written = self.context.store.put(output, &condition).await?;
        Ok(PutEnd { name, bytes: length, sha256, written, denied })
    }
}

impl Target<'_> {
    /// The `ETag` of the source of the output in this place, if it was made with the settings of now. An empty one, of
    /// a store that gives none, tells nothing.
    fn source_etag(&self) -> Option<&str> {
        let head = self.head.as_ref()?;
        head.source_etag.as_deref().filter(|etag| !etag.is_empty() && head.spec.as_deref() == Some(&self.name.spec))
    }

    /// Whether the output in this place is known to be of a source with another name.
    fn is_of_another_source(&self, source_name: &str) -> bool {
        self.head.as_ref().and_then(|head| head.source.as_deref()).is_some_and(|source| source != source_name)
    }

    fn is_made_of(&self, version: &Version) -> bool {
        self.source_etag() == Some(&version.etag)
    }
}

/// The `ETag` of the source that all outputs were made from, with the settings of now; `None` if one is missing or
/// differs.
fn common_source(targets: &[Target<'_>]) -> Option<String> {
    let mut etags = targets.iter().map(Target::source_etag);
    let first = etags.next()??;
    etags.all(|etag| etag == Some(first)).then(|| first.to_owned())
}
