//! Records → outcomes: bounded, in any order, each on its own.

mod alone;
mod record;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::child::Program;
use crate::codec::CodecError;
use crate::config::Config;
use crate::event::{Entry, EntryKind, SkipReason};
use crate::memory::Budget;
use crate::object::SourceObject;
use crate::outcome::{Facts, FailReason, Outcome, Status};
use crate::pool::Pool;
use crate::render::Renderer;
use crate::shutdown::Signals;
use crate::store::Store;

/// The state of a CPU thread; what went wrong where it has none.
pub type Worker = Result<Renderer, CodecError>;

/// What records are worked on with.
#[derive(Debug)]
pub struct Workshop<'a, S> {
    /// Where buckets are.
    pub store: &'a S,
    /// Where pixels are made.
    pub pool: &'a Pool<Worker>,
    /// Room for files and pixels.
    pub budget: &'a Budget,
    /// What all of the process may use, in bytes.
    pub memory_bytes: u64,
    /// What works on a record that was tried before; without it the caller's own process does.
    pub again: Option<&'a Program>,
    /// What is to be made, and within which limits.
    pub config: &'a Config,
    /// Records in flight at most.
    pub concurrency: usize,
    /// Spreads repetitions in time.
    pub random: &'a RefCell<fastrand::Rng>,
}

/// Whether this configuration wrote the object itself: it lies where outputs go.
#[must_use]
pub fn is_own_output(object: &SourceObject, config: &Config) -> bool {
    let prefix = config.destination.prefix.as_str();
    !prefix.is_empty() && object.bucket == config.destination.bucket && object.key.as_str().starts_with(prefix)
}

/// Whether an output of the object could trigger the next event: nothing tells outputs from sources.
#[must_use]
pub fn would_loop(object: &SourceObject, config: &Config) -> bool {
    config.destination.prefix.is_empty() && object.bucket == config.destination.bucket
}

/// Works on all entries; hands each outcome to `tell` as soon as there is one.
///
/// Records that were tried before come last, one at a time, each in a process of its own: what ended a whole process
/// then ends only its own, and nothing is under way beside it.
///
/// After the first signal nothing new begins, and what is in flight has the grace of the configuration; after that, or
/// a second signal, it is interrupted.
pub async fn run<S: Store>(
    workshop: &Workshop<'_, S>,
    entries: Vec<Entry>,
    signals: &mut Signals,
    mut tell: impl FnMut(Outcome),
) {
    let grace = workshop.config.hand_back.grace_for_work(workshop.config.limits.grace);
    let mut waiting: VecDeque<(String, SourceObject)> = VecDeque::new();
    for Entry { pointer, kind } in entries {
        match kind {
            EntryKind::Work(object) => waiting.push_back((pointer, object)),
            EntryKind::Skip { object, reason } => tell(skipped(pointer, object, reason)),
            EntryKind::Invalid { message, received } => {
                let status = Status::failed(FailReason::InvalidEntry, message);
                let received = Some(received);
                tell(Outcome { pointer, object: None, received, attempts: 1, status, facts: Facts::default() });
            }
        }
    }
    // In the order of the batch otherwise.
    waiting.make_contiguous().sort_by_key(|(_, object)| was_tried(object));
    let mut in_flight = FuturesUnordered::new();
    let mut names: BTreeMap<usize, (String, SourceObject)> = BTreeMap::new();
    let mut number = 0;
    let deadline = tokio::time::sleep(Duration::MAX);
    tokio::pin!(deadline);
    let mut is_draining = false;
    loop {
        while !is_draining && in_flight.len() < workshop.concurrency {
            let starts = |(_, object): &mut (String, SourceObject)| in_flight.is_empty() || !was_tried(object);
            let Some((pointer, object)) = waiting.pop_front_if(starts) else { break };
            names.insert(number, (pointer, object.clone()));
            in_flight.push(async move {
                let made = match workshop.again {
                    Some(program) if was_tried(&object) => alone::work(workshop, program, &object).await,
                    _ => record::work(workshop, &object).await,
                };
                (number, made)
            });
            number += 1;
        }
        if in_flight.is_empty() {
            break;
        }
        tokio::select! {
            Some((number, (status, facts))) = in_flight.next() => {
                if let Some((pointer, object)) = names.remove(&number) {
                    tell(outcome(pointer, object, status, facts));
                }
            }
            signal = signals.next() => {
                if is_draining {
                    tracing::warn!("{signal} again: {} records are interrupted", in_flight.len());
                    break;
                }
                is_draining = true;
                tracing::warn!("{signal}: {} records have {grace:?} to finish, {} do not begin", in_flight.len(), waiting.len());
                deadline.as_mut().reset(tokio::time::Instant::now() + grace);
            }
            () = &mut deadline, if is_draining => {
                tracing::warn!("the grace is over: {} records are interrupted", in_flight.len());
                break;
            }
        }
    }
    drop(in_flight);
    let interrupted = || Status::failed(FailReason::Interrupted, "the task was asked to end");
    for (pointer, object) in names.into_values() {
        tell(outcome(pointer, object, interrupted(), Facts::default()));
    }
    for (pointer, object) in waiting {
        // What never began was not tried.
        let attempts = object.attempts;
        tell(Outcome { attempts, ..outcome(pointer, object, interrupted(), Facts::default()) });
    }
}

const fn was_tried(object: &SourceObject) -> bool {
    object.attempts > 0
}

fn outcome(pointer: String, object: SourceObject, status: Status, facts: Facts) -> Outcome {
    let attempts = object.attempts.saturating_add(1);
    Outcome { pointer, object: Some(object), received: None, attempts, status, facts }
}

fn skipped(pointer: String, object: Option<SourceObject>, reason: SkipReason) -> Outcome {
    let attempts = object.as_ref().map_or(0, |object| object.attempts);
    Outcome { pointer, object, received: None, attempts, status: Status::Skipped(reason), facts: Facts::default() }
}
