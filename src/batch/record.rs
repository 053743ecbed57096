//! One record, from the heads of its outputs to the last write.

use std::fmt::Display;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Workshop, would_loop};
use crate::codec::CodecError;
use crate::config::Unchanged;
use crate::event::SkipReason;
use crate::geometry::Size;
use crate::memory::{NeverFits, Room};
use crate::object::{NameError, ObjectKey, SourceObject, output_key};
use crate::outcome::{Facts, FailReason, Status};
use crate::pool::JobError;
use crate::render::{Plan, RenderError, Rendered};
use crate::store::{Condition, Download, Fetch, Origin, Output, OutputHead, Store, StoreError, Written};

/// How often a record starts again from the heads of its outputs when others write them meanwhile.
const MAX_ROUNDS: u32 = 5;
/// How often a download that breaks off is asked for.
const MAX_DOWNLOADS: u32 = 3;
/// The longest pause before the first repetition; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why a record failed: the stable reason, and the story.
struct Failure {
    reason: FailReason,
    detail: String,
}

impl Failure {
    fn new(reason: FailReason, detail: impl Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let reason = match &error {
            StoreError::NotFound(_) => FailReason::NotFound,
            StoreError::AccessDenied(_) => FailReason::AccessDenied,
            StoreError::InvalidKey(_) => FailReason::InvalidEntry,
            StoreError::Unavailable(_) | StoreError::BrokenDownload(_) => FailReason::StoreUnavailable,
        };
        Self::new(reason, error)
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::new(FailReason::InvalidEntry, format!("the output's key: {error}"))
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        let reason = match &error {
            CodecError::Unsupported(_) => FailReason::UnsupportedFormat,
            CodecError::Truncated(_) => FailReason::Truncated,
            CodecError::TooLarge(_) => FailReason::TooManyPixels,
            CodecError::Corrupt(_) => FailReason::Corrupt,
            CodecError::Encode(_) => FailReason::Internal,
        };
        Self::new(reason, error)
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Codec(error) => error.into(),
            RenderError::TooManyPixels { .. } => Self::new(FailReason::TooManyPixels, error),
            RenderError::Scale(_) | RenderError::Color(_) => Self::new(FailReason::Internal, error),
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let reason = match error {
            JobError::Panicked(_) => FailReason::Internal,
            JobError::GivenUp(_) => FailReason::Corrupt,
        };
        Self::new(reason, error)
    }
}

/// Works on one record.
pub(super) async fn work<S: Store>(workshop: &Workshop<'_, S>, object: &SourceObject) -> (Status, Facts) {
    let mut record = Record { workshop, object, facts: Facts::default() };
    let status = match record.make().await {
        Ok(status) => status,
        Err(Failure { reason, detail }) => Status::Failed { reason, detail },
    };
    (status, record.facts)
}

struct Record<'a, S> {
    workshop: &'a Workshop<'a, S>,
    object: &'a SourceObject,
    facts: Facts,
}

/// One output to be made, and what is there in its place.
struct Target {
    size: Size,
    key: ObjectKey,
    head: Option<OutputHead>,
    /// What the store said where it does not tell whether there is such an output.
    denied: Option<StoreError>,
}

/// A source in memory, planned, with room for what comes.
struct Source {
    bytes: Vec<u8>,
    plan: Plan,
    room: Room,
    origin: Origin,
}

/// A source's file, and the room that it takes.
struct File {
    bytes: Vec<u8>,
    room: Room,
    origin: Origin,
}

/// What came of asking for a file.
enum Downloaded {
    NotModified,
    FolderMarker,
    File(File),
}

/// What came of asking for the source.
enum Got {
    NotModified,
    FolderMarker,
    Source(Box<Source>),
}

/// How one round ended.
enum Round {
    Finished(Status),
    Raced,
}

impl<S: Store> Record<'_, S> {
    async fn make(&mut self) -> Result<Status, Failure> {
        if would_loop(self.object, self.workshop.config) {
            let why = "the source is in DEST_BUCKET and DEST_PREFIX is empty: each output would be the next source";
            return Err(Failure::new(FailReason::WouldLoop, why));
        }
        if let Some(bytes) = self.object.size_bytes {
            self.check_bytes(bytes)?;
        }
        let config = self.workshop.config;
        let mut keys = Vec::new();
        for size in &config.spec.sizes {
            let extensions = config.spec.encoding.extensions();
            keys.push((*size, output_key(&config.destination.prefix, *size, &self.object.key, extensions)?));
        }
        for round in 0..MAX_ROUNDS {
            self.pause(round).await;
            if let Round::Finished(status) = self.round(&keys).await? {
                return Ok(status);
            }
        }
        let why = format!("other tasks wrote the same outputs {MAX_ROUNDS} times in a row");
        Err(Failure::new(FailReason::Conflict, why))
    }

    /// Full jitter: anything up to a bound that doubles.
    async fn pause(&self, repetition: u32) {
        if let Some(doublings) = repetition.checked_sub(1) {
            let longest = FIRST_PAUSE * 2_u32.saturating_pow(doublings);
            let fraction = self.workshop.random.borrow_mut().f64();
            tokio::time::sleep(longest.mul_f64(fraction)).await;
        }
    }

    /// Heads of the outputs, then the source as it is now, then writes on the condition that the heads still hold: an
    /// output that was written between belongs to a source at least as new as what was read before.
    async fn round(&mut self, keys: &[(Size, ObjectKey)]) -> Result<Round, Failure> {
        let workshop = self.workshop;
        let spec = workshop.config.spec.hash();
        let start = Instant::now();
        let heads = join_all(keys.iter().map(|(_, key)| workshop.store.head(&workshop.config.destination.bucket, key)));
        let mut targets = Vec::new();
        for ((size, key), head) in keys.iter().zip(heads.await) {
            // Without the right to list, S3 answers 403 for what is not there. Whether it is, the write will tell.
            let (head, denied) = match head {
                Ok(head) => (head, None),
                Err(denied @ StoreError::AccessDenied(_)) => (None, Some(denied)),
                Err(error) => return Err(error.into()),
            };
            targets.push(Target { size: *size, key: key.clone(), head, denied });
        }
        add(&mut self.facts.put, start.elapsed());
        let unless = match workshop.config.unchanged {
            Unchanged::Skip => common_source(&targets, &spec),
            Unchanged::Remake => None,
        };
        let source = match self.source(unless.as_deref(), &spec).await? {
            // Another round wrote some outputs, and another task the others.
            Got::NotModified if !self.facts.outputs.is_empty() => return Ok(Round::Finished(Status::Written)),
            Got::NotModified => return Ok(Round::Finished(Status::Skipped(SkipReason::Unchanged))),
            Got::FolderMarker => return Ok(Round::Finished(Status::Skipped(SkipReason::FolderMarker))),
            Got::Source(source) => *source,
        };
        if workshop.config.unchanged == Unchanged::Skip {
            targets.retain(|target| !is_made_of(target, &source.origin));
        }
        let (mut outputs, origin, _room) = self.render(source, &targets).await?;
        let start = Instant::now();
        let writes = targets.into_iter().filter_map(|target| {
            let index = outputs.iter().position(|(size, _)| *size == target.size)?;
            Some((target, outputs.swap_remove(index).1))
        });
        let writes =
            join_all(writes.map(|(target, bytes)| self.write(target, bytes, &origin)).collect::<Vec<_>>()).await;
        add(&mut self.facts.put, start.elapsed());
        let mut has_raced = false;
        let mut has_replaced = false;
        for written in writes {
            let (key, written) = written?;
            match written {
                Written::Raced => has_raced = true,
                Written::Created | Written::Replaced => {
                    has_replaced |= written == Written::Replaced;
                    if !self.facts.outputs.iter().any(|written| written == key.as_str()) {
                        self.facts.outputs.push(key.as_str().to_owned());
                    }
                }
            }
        }
        // An ETag is a hash of the contents. Where a source was changed and changed back meanwhile, the output that was
        // replaced looked as it had before, but was of a newer source than this one.
        if has_raced || (has_replaced && self.source_has_changed(&origin).await?) {
            return Ok(Round::Raced);
        }
        Ok(Round::Finished(Status::Written))
    }

    async fn write(&self, target: Target, bytes: Vec<u8>, origin: &Origin) -> Result<(ObjectKey, Written), StoreError> {
        let condition = match target.head {
            None => Condition::Absent,
            Some(head) => Condition::Unchanged(head.etag),
        };
        let output = Output {
            bucket: self.workshop.config.destination.bucket.clone(),
            key: target.key.clone(),
            bytes,
            content_type: self.workshop.config.spec.encoding.content_type(),
            origin: origin.clone(),
        };
        match (self.workshop.store.put(output, &condition).await?, target.denied) {
            // It is there, and it may not be read: another round would end the same way.
            (Written::Raced, Some(denied)) => Err(denied),
            (written, _) => Ok((target.key, written)),
        }
    }

    /// The source, planned, unless it still has the `ETag` that is named.
    async fn source(&mut self, unless: Option<&str>, spec: &str) -> Result<Got, Failure> {
        let budget = self.workshop.budget;
        let mut alone = None;
        loop {
            let File { bytes, room, origin } = match self.download(unless, spec, alone).await? {
                Downloaded::NotModified => return Ok(Got::NotModified),
                Downloaded::FolderMarker => return Ok(Got::FolderMarker),
                Downloaded::File(file) => file,
            };
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let (bytes, plan) = self.plan(bytes).await?;
            let room = budget.room_for_pixels(room, length, plan.memory_bytes()).await.map_err(too_many_pixels)?;
            if let Some(room) = room {
                return Ok(Got::Source(Box::new(Source { bytes, plan, room, origin })));
            }
            // It fits only when nothing else is there: not even this copy of its file.
            drop(bytes);
            alone = Some(budget.everything().await);
        }
    }

    /// The source's file, asked for again where it broke off on the way. It waits for room, unless it is given some.
    async fn download(
        &mut self,
        unless: Option<&str>,
        spec: &str,
        mut given: Option<Room>,
    ) -> Result<Downloaded, Failure> {
        let mut attempt = 1;
        loop {
            let start = Instant::now();
            let fetched = self.workshop.store.get(&self.object.bucket, &self.object.key, unless).await;
            add(&mut self.facts.get, start.elapsed());
            let Fetch::Found(download) = fetched? else { return Ok(Downloaded::NotModified) };
            let length = download.length_bytes();
            self.facts.source_bytes = Some(length);
            if self.object.is_folder_marker(Some(length)) {
                return Ok(Downloaded::FolderMarker);
            }
            self.check_bytes(length)?;
            let origin = Origin {
                source_etag: download.etag().to_owned(),
                source_version_id: download.version_id().map(str::to_owned),
                spec: spec.to_owned(),
            };
            let room = match given.take() {
                Some(room) => room,
                None => self.workshop.budget.room_for_file(length).await.map_err(too_many_bytes)?,
            };
            let start = Instant::now();
            let bytes = download.bytes().await;
            add(&mut self.facts.get, start.elapsed());
            match bytes {
                Ok(bytes) => return Ok(Downloaded::File(File { bytes, room, origin })),
                Err(StoreError::BrokenDownload(why)) if attempt < MAX_DOWNLOADS => {
                    tracing::info!("s3://{}/{}: {why}; asking again", self.object.bucket, self.object.key);
                }
                Err(error) => return Err(error.into()),
            }
            drop(room);
            self.pause(attempt).await;
            attempt += 1;
        }
    }

    /// Whether the source is no longer what an output was made of. A source that is gone leaves its output as it is.
    async fn source_has_changed(&mut self, origin: &Origin) -> Result<bool, Failure> {
        let start = Instant::now();
        let object = self.object;
        let fetched = self.workshop.store.get(&object.bucket, &object.key, Some(&origin.source_etag)).await;
        add(&mut self.facts.get, start.elapsed());
        match fetched {
            Ok(Fetch::Found(_)) => Ok(true),
            Ok(Fetch::NotModified) | Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn plan(&mut self, bytes: Vec<u8>) -> Result<(Vec<u8>, Plan), Failure> {
        let spec = self.workshop.config.spec.clone();
        let max_pixels = self.workshop.config.limits.source_pixels;
        let job = self.workshop.pool.run(move |_| {
            let planned = Plan::read(&bytes, &spec, max_pixels);
            (bytes, planned)
        });
        let (bytes, planned) = job.await?;
        let plan = planned?;
        let header = plan.header();
        self.facts.format = Some(header.format);
        self.facts.source_width = Some(header.size.width());
        self.facts.source_height = Some(header.size.height());
        Ok((bytes, plan))
    }

    /// The outputs' files, and room for nothing but them.
    async fn render(
        &mut self,
        source: Source,
        targets: &[Target],
    ) -> Result<(Vec<(Size, Vec<u8>)>, Origin, Room), Failure> {
        let Source { bytes, plan, room, origin } = source;
        let spec = self.workshop.config.spec.clone();
        let sizes: Vec<Size> = targets.iter().map(|target| target.size).collect();
        let job = self.workshop.pool.run(move |worker| {
            let rendered = match worker {
                Ok(renderer) => renderer.render(&bytes, &plan, &spec, &sizes),
                Err(error) => Err(error.clone().into()),
            };
            // The job owns its room: where it is given up, its memory is still taken.
            (rendered, room)
        });
        let (rendered, room) = job.await?;
        let Rendered { outputs, broken_profile, decode, resize, encode } = rendered?;
        add(&mut self.facts.decode, decode);
        add(&mut self.facts.resize, resize);
        add(&mut self.facts.encode, encode);
        self.facts.broken_profile = broken_profile;
        let output_bytes: usize = outputs.iter().map(|(_, file)| file.len()).sum();
        let room = room.shrunk(u64::try_from(output_bytes).unwrap_or(u64::MAX));
        Ok((outputs, origin, room))
    }

    fn check_bytes(&self, bytes: u64) -> Result<(), Failure> {
        let limit = self.workshop.config.limits.source_bytes;
        if bytes > limit {
            return Err(Failure::new(FailReason::TooManyBytes, format!("{bytes} bytes, MAX_SOURCE_BYTES is {limit}")));
        }
        Ok(())
    }
}

fn too_many_bytes(error: NeverFits) -> Failure {
    Failure::new(FailReason::TooManyBytes, error)
}

fn too_many_pixels(error: NeverFits) -> Failure {
    Failure::new(FailReason::TooManyPixels, error)
}

/// The `ETag` of the source that all outputs were made of, with these settings; nothing where one is missing or differs.
fn common_source(targets: &[Target], spec: &str) -> Option<String> {
    let mut etags = targets.iter().map(|target| {
        let head = target.head.as_ref()?;
        head.source_etag.as_deref().filter(|_| head.spec.as_deref() == Some(spec))
    });
    let first = etags.next()??;
    etags.all(|etag| etag == Some(first)).then(|| first.to_owned())
}

fn is_made_of(target: &Target, origin: &Origin) -> bool {
    target.head.as_ref().is_some_and(|head| {
        head.source_etag.as_deref() == Some(origin.source_etag.as_str()) && head.spec.as_deref() == Some(&origin.spec)
    })
}

fn add(total: &mut Option<Duration>, spent: Duration) {
    *total = Some(total.unwrap_or_default() + spent);
}
