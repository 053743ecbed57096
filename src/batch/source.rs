//! The source of a record: its download, the room for it, and the plan that its header leads to.

use std::time::{Duration, Instant};

use pixpipe_pixels::render::Plan;

use super::Context;
use super::failure::RecordError;
use super::pause::pause;
use crate::budget::{Permit, PixelPermit};
use crate::object::SourceObject;
use crate::outcome::Facts;
use crate::reason::FailReason;
use crate::store::{Download, Fetched, Store, StoreError};

/// Attempts to download a source, if the download breaks off.
const MAX_DOWNLOADS: u32 = 3;

/// A source's file, and the room that it takes.
struct File {
    bytes: Vec<u8>,
    permit: Permit,
    version: Version,
}

/// The version of a source that outputs are made from.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// Its `ETag`, without quotes.
    pub(super) etag: String,
    /// Its version id, in a bucket that has them.
    pub(super) id: Option<String>,
}

/// A source in memory, planned, with room for its pixels.
pub(super) struct Source {
    pub(super) bytes: Vec<u8>,
    pub(super) plan: Plan,
    pub(super) permit: Permit,
    pub(super) version: Version,
}

/// Downloads the source and plans it; [`Fetched::NotModified`] if its `ETag` is `unless`.
pub(super) async fn fetch<S: Store>(
    context: &Context<'_, S>,
    object: &SourceObject,
    unless: Option<&str>,
    facts: &mut Facts,
) -> Result<Fetched<Source>, RecordError> {
    let mut whole_budget = None;
    loop {
        let File { bytes, permit, version } = match download(context, object, unless, whole_budget, facts).await? {
            Fetched::Found(file) => file,
            Fetched::NotModified => return Ok(Fetched::NotModified),
            Fetched::FolderMarker => return Ok(Fetched::FolderMarker),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let (bytes, plan) = plan(context, bytes, facts).await?;
        let permit = context.budget.permit_for_pixels(permit, length, plan.memory_bytes()).await;
        match permit.map_err(RecordError::too_many_pixels)? {
            PixelPermit::Granted(permit) => return Ok(Fetched::Found(Source { bytes, plan, permit, version })),
            PixelPermit::OnlyAlone => {
                drop(bytes);
                whole_budget = Some(context.budget.whole_budget().await);
            }
        }
    }
}

/// Whether the source is no longer the version that outputs were made from. A source that is gone leaves its outputs;
/// of a source without an `ETag` nobody can tell.
pub(super) async fn has_changed<S: Store>(
    context: &Context<'_, S>,
    object: &SourceObject,
    version: &Version,
    facts: &mut Facts,
) -> Result<bool, RecordError> {
    if version.etag.is_empty() {
        tracing::warn!("{object} has no ETag: a source that changes while it is read may leave the older output");
        return Ok(false);
    }
    let start = Instant::now();
    let fetched = context.store.get(&object.bucket, &object.key, Some(&version.etag)).await;
    add(&mut facts.get, start.elapsed());
    match fetched {
        Ok(Fetched::Found(_) | Fetched::FolderMarker) => Ok(true),
        Ok(Fetched::NotModified) | Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Fails if the source is larger than `MAX_SOURCE_BYTES`.
pub(super) fn check_bytes<S: Store>(context: &Context<'_, S>, bytes: u64) -> Result<(), RecordError> {
    let limit = context.config.limits.source_bytes;
    if bytes > limit {
        let why = format!("the object has {bytes} bytes, MAX_SOURCE_BYTES is {limit}");
        return Err(RecordError::new(FailReason::TooManyBytes, why));
    }
    Ok(())
}

/// Adds to a time that may not have begun.
pub(super) fn add(total: &mut Option<Duration>, spent: Duration) {
    *total = Some(total.unwrap_or_default() + spent);
}

/// The source's file. A download that breaks off is repeated. It waits for room, unless `given` is that room.
async fn download<S: Store>(
    context: &Context<'_, S>,
    object: &SourceObject,
    unless: Option<&str>,
    mut given: Option<Permit>,
    facts: &mut Facts,
) -> Result<Fetched<File>, RecordError> {
    let mut attempt = 1;
    loop {
        let start = Instant::now();
        let fetched = context.store.get(&object.bucket, &object.key, unless).await;
        add(&mut facts.get, start.elapsed());
        let download = match fetched? {
            Fetched::Found(download) => download,
            Fetched::NotModified => return Ok(Fetched::NotModified),
            Fetched::FolderMarker => {
                facts.source_bytes = Some(0);
                return Ok(Fetched::FolderMarker);
            }
        };
        let length = download.length_bytes();
        facts.source_bytes = Some(length);
        check_bytes(context, length)?;
        let version = Version { etag: download.etag().to_owned(), id: download.version_id().map(str::to_owned) };
        let permit = match given.take() {
            Some(permit) => permit,
            None => context.budget.permit_for_file(length).await.map_err(RecordError::too_many_bytes)?,
        };
        let start = Instant::now();
        let bytes = download.bytes().await;
        add(&mut facts.get, start.elapsed());
        match bytes {
            Ok(bytes) => return Ok(Fetched::Found(File { bytes, permit, version })),
            Err(StoreError::BrokenDownload(why)) if attempt < MAX_DOWNLOADS => {
                tracing::info!("{object}: {why}; downloading again");
            }
            Err(error) => return Err(error.into()),
        }
        drop(permit);
        pause(context.random, attempt).await;
        attempt += 1;
    }
}

async fn plan<S: Store>(
    context: &Context<'_, S>,
    bytes: Vec<u8>,
    facts: &mut Facts,
) -> Result<(Vec<u8>, Plan), RecordError> {
    let spec = context.spec.clone();
    let max_pixels = context.config.limits.source_pixels;
    let job = context.pool.run(move |_| {
        #[cfg(feature = "fault-switch")]
        super::fault::trip(&bytes);
        let planned = Plan::read(&bytes, spec, max_pixels);
        (bytes, planned)
    });
    let (bytes, planned) = job.await?;
    let plan = planned?;
    let header = plan.header();
    facts.format = Some(header.format);
    facts.source_width = Some(header.size.width());
    facts.source_height = Some(header.size.height());
    Ok((bytes, plan))
}
