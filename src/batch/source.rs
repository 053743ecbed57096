//! The source of a record: its download, the room for it, and the plan that its header leads to.

use std::time::{Duration, Instant};

use pixpipe_pixels::codec::Format;
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
/// The room that is taken for a file of which the event does not tell the size: a photo of some 4 megapixels.
const USUAL_BYTES: u64 = 1 << 20;

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
    let mut room = Room::Guess(match unless {
        // It probably has not changed, and then there is no body.
        Some(_) => 0,
        None => object.size_bytes.unwrap_or(USUAL_BYTES),
    });
    loop {
        let File { bytes, permit, version } = match download(context, object, unless, room, facts).await? {
            Fetched::Found(file) => file,
            Fetched::NotModified => return Ok(Fetched::NotModified),
            Fetched::FolderMarker => return Ok(Fetched::FolderMarker),
            Fetched::OwnOutput => return Ok(Fetched::OwnOutput),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let (bytes, plan) = plan(context, bytes, facts).await?;
        let permit = context.budget.permit_for_pixels(permit, length, plan.memory_bytes()).await;
        match permit.map_err(RecordError::too_many_pixels)? {
            PixelPermit::Granted(permit) => return Ok(Fetched::Found(Source { bytes, plan, permit, version })),
            PixelPermit::OnlyAlone => {
                drop(bytes);
                room = Room::Whole(context.budget.whole_budget().await);
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
    match look(context, object, &version.etag, facts).await {
        Ok(is_same) => Ok(!is_same),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the source has this `ETag` now.
pub(super) async fn has_etag<S: Store>(
    context: &Context<'_, S>,
    object: &SourceObject,
    etag: &str,
    facts: &mut Facts,
) -> Result<bool, RecordError> {
    Ok(look(context, object, etag, facts).await?)
}

async fn look<S: Store>(
    context: &Context<'_, S>,
    object: &SourceObject,
    etag: &str,
    facts: &mut Facts,
) -> Result<bool, StoreError> {
    let start = Instant::now();
    let fetched = context.store.get(&object.bucket, &object.key, Some(etag)).await;
    add(&mut facts.get, start.elapsed());
    Ok(matches!(fetched?, Fetched::NotModified))
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

/// The room of a download. It is taken before the request, so that no answer waits to be read.
enum Room {
    /// For a file of about so many bytes, still to be taken.
    Guess(u64),
    /// The whole budget.
    Whole(Permit),
}

/// The source's file. A download that breaks off is repeated. So is one whose guess was too little room.
async fn download<S: Store>(
    context: &Context<'_, S>,
    object: &SourceObject,
    unless: Option<&str>,
    mut room: Room,
    facts: &mut Facts,
) -> Result<Fetched<File>, RecordError> {
    let budget = context.budget;
    let mut attempt = 1;
    loop {
        let (permit, has_whole_budget) = match room {
            Room::Guess(bytes) => (budget.permit_for_file(bytes).await, false),
            Room::Whole(permit) => (permit, true),
        };
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
            Fetched::OwnOutput => return Ok(Fetched::OwnOutput),
        };
        let length = download.length_bytes();
        facts.source_bytes = length;
        if let Some(length) = length {
            check_bytes(context, length)?;
        }
        let permit = match length {
            _ if has_whole_budget => permit,
            Some(length) => {
                if let Some(permit) = budget.fit(permit, length).map_err(RecordError::too_many_bytes)? {
                    permit
                } else {
                    room = Room::Guess(length);
                    continue;
                }
            }
            None => {
                drop((download, permit));
                room = Room::Whole(budget.whole_budget().await);
                continue;
            }
        };
        let most_bytes = context.config.limits.source_bytes.min(budget.growing_bytes());
        let version = Version { etag: download.etag().to_owned(), id: download.version_id().map(str::to_owned) };
        let start = Instant::now();
        let bytes = download.bytes(length.unwrap_or(most_bytes)).await;
        add(&mut facts.get, start.elapsed());
        match bytes {
            Ok(bytes) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                facts.source_bytes = Some(length);
                let permit = if has_whole_budget { permit } else { permit.without_request(length) };
                return Ok(Fetched::Found(File { bytes, permit, version }));
            }
            Err(StoreError::BrokenDownload(why)) if attempt < MAX_DOWNLOADS => {
                tracing::info!("{object}: {why}; downloading again");
            }
            Err(error) => return Err(error.into()),
        }
        room = match length {
            Some(length) if !has_whole_budget => Room::Guess(length),
            _ => Room::Whole(permit),
        };
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
    // Of a refused file too: its line says what it was.
    facts.format = Format::of(&bytes);
    let plan = planned?;
    let header = plan.header();
    facts.source_width = Some(header.size.width());
    facts.source_height = Some(header.size.height());
    facts.orientation = Some(header.orientation.exif());
    facts.frames = Some(header.frames);
    Ok((bytes, plan))
}
