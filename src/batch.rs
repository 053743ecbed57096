//! Records → outcomes: bounded, in any order, each on its own.

mod failure;
#[cfg(feature = "fault-switch")]
mod fault;
mod isolated;
mod pause;
mod record;
pub(crate) mod reference;
mod source;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use pixpipe_pixels::render::Renderer;
use pixpipe_pixels::spec::Spec;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::child::ChildProgram;
use crate::config::Config;
use crate::event::{Entry, EntryKind};
use crate::machine::Machine;
use crate::object::SourceObject;
use crate::outcome::{Facts, Outcome, Status, Subject};
use crate::pool::Pool;
use crate::reason::FailReason;
use crate::signals::Signals;
use crate::store::Store;

/// Everything that processing a record needs.
#[derive(Debug)]
pub struct Context<'a, S> {
    /// The buckets.
    pub store: &'a S,
    /// The settings and limits of the task.
    pub config: &'a Config,
    /// The resources of the task.
    pub machine: Machine,
    /// The settings of outputs, as CPU jobs share them.
    pub spec: Arc<Spec>,
    /// The threads that make pixels.
    pub pool: &'a Pool<Renderer>,
    /// Room for files and pixels.
    pub budget: &'a Budget,
    /// The end of the task's time, as after a signal; `None`: there is none.
    pub ends: Option<Instant>,
    /// Runs retried records in a child process; `None` runs them in this one (tests).
    pub child_program: Option<&'a ChildProgram>,
    /// Spreads repetitions in time.
    pub random: &'a RefCell<fastrand::Rng>,
}

/// A record that waits or is in flight, and its place in the batch.
#[derive(Clone)]
struct Pending {
    /// Its place among all.
    place: usize,
    pointer: String,
    is_referenced: bool,
    object: SourceObject,
    /// Begins when no other record is in flight.
    runs_alone: bool,
    /// It was tried before, so its outputs may be there: that is looked at first.
    looks_first: bool,
}

/// How the work on a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When the process has to be over, if it was asked to end.
    pub due: Option<Instant>,
    /// Whether records may not have begun: the task has to end.
    pub is_stopped: bool,
}

/// Why no further record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// A signal, or the end of `TIME_LIMIT_SECONDS`.
    Asked,
    /// A job was given up: what it holds comes back only when the process ends.
    GaveUp,
}

/// The time that records in flight have after a job was given up.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// Processes all entries; hands each outcome to `on_outcome` as soon as there is one.
///
/// Records that were tried before come last, one at a time, each in a child process: so a record that kills its process
/// takes no other record with it. Those whose outputs are up to date have ended before.
///
/// After the first signal no record begins, and those in flight have the grace of the configuration; after that, or a
/// second signal, they are interrupted. If a job had to be given up, the others have a few seconds, and what is then
/// unfinished counts as not tried.
pub async fn run<S: Store>(
    context: &Context<'_, S>,
    entries: Vec<Entry>,
    signals: &mut Signals,
    mut on_outcome: impl FnMut(Outcome),
) -> Ended {
    let limits = &context.config.limits;
    let grace = context.config.hand_back.grace_for_work(limits.grace);
    let mut waiting = queue_up(context, entries, &mut on_outcome);
    let mut in_flight = FuturesUnordered::new();
    let mut pending: BTreeMap<usize, Pending> = BTreeMap::new();
    let mut number = 0;
    let mut stop = None;
    let mut ended = Ended { due: None, is_stopped: false };
    let deadline = tokio::time::sleep(Duration::MAX);
    let time_left = context.ends.map_or(Duration::MAX, |ends| ends.saturating_duration_since(Instant::now()));
    let time_limit = tokio::time::sleep(time_left);
    tokio::pin!(deadline, time_limit);
    let mut asked = signals.pending().await;
    loop {
        if let Some(asker) = asked.take() {
            let (running, left) = (in_flight.len(), waiting.len());
            if ended.due.is_some() {
                tracing::warn!("{asker} again: {running} records are interrupted");
                break;
            }
            let seconds = grace.as_secs_f64();
            tracing::warn!("{asker}: {running} records have {seconds} s to finish, {left} do not begin");
            let now = Instant::now();
            ended.due = Some(now + limits.grace);
            let end = (now + grace).min(deadline.deadline());
            deadline.as_mut().reset(end);
            stop = stop.or(Some(Stop::Asked));
        }
        while stop.is_none() && in_flight.len() < context.machine.concurrency {
            let may_start = |next: &mut Pending| in_flight.is_empty() || !next.runs_alone;
            let Some(record) = waiting.pop_front_if(may_start) else { break };
            pending.insert(number, record.clone());
            let work = async move {
                let end = if record.looks_first {
                    record::if_unchanged(context, &record.object).await
                } else {
                    Some(process(context, &record.object).await)
                };
                (number, end)
            };
            // Boxed: the type of all that a record may wait for is too deep for the compiler's layout of the batch.
            in_flight.push(work.boxed_local());
            number += 1;
        }
        if in_flight.is_empty() {
            break;
        }
        tokio::select! {
            Some((number, end)) = in_flight.next() => {
                match (pending.remove(&number), end) {
                    (Some(record), Some((status, facts))) => on_outcome(record.ended(status, facts)),
                    (Some(record), None) => {
                        let order = |other: &Pending| (other.runs_alone, other.place);
                        let at = waiting.partition_point(|other| order(other) < (true, record.place));
                        waiting.insert(at, Pending { looks_first: false, runs_alone: true, ..record });
                    }
                    (None, _) => {}
                }
                if stop.is_none() && context.pool.has_abandoned_a_job() {
                    let (running, left, seconds) = (in_flight.len(), waiting.len(), WIND_DOWN.as_secs());
                    tracing::warn!(
                        "a file that takes too long cannot be stopped, so the task ends early: {running} records have \
                         {seconds} s to finish, {left} do not begin"
                    );
                    stop = Some(Stop::GaveUp);
                    deadline.as_mut().reset(Instant::now() + WIND_DOWN);
                }
            }
            signal = signals.next() => asked = Some(signal),
            () = &mut time_limit, if context.ends.is_some() && ended.due.is_none() => {
                asked = Some("the end of TIME_LIMIT_SECONDS");
            }
            () = &mut deadline, if stop.is_some() => {
                tracing::warn!("the time is over: {} records are interrupted", in_flight.len());
                break;
            }
        }
    }
    drop(in_flight);
    ended.is_stopped = stop.is_some();
    let why = match stop {
        Some(Stop::GaveUp) => "the task had to end early, because of another file that took too long",
        Some(Stop::Asked) | None => "the task was asked to end",
    };
    for record in pending.into_values() {
        on_outcome(match stop {
            Some(Stop::GaveUp) => record.never_begun(interrupted(why)),
            Some(Stop::Asked) | None if record.looks_first => record.never_begun(interrupted(why)),
            Some(Stop::Asked) | None => record.ended(interrupted(why), Facts::default()),
        });
    }
    for record in waiting {
        on_outcome(record.never_begun(interrupted(why)));
    }
    ended
}

/// The records of a batch in the order of their processing; entries that are no work have an outcome at once. Those
/// that have to run alone come last: records that were tried before, and those whose outputs have the keys of another
/// record's.
fn queue_up<S>(
    context: &Context<'_, S>,
    entries: Vec<Entry>,
    mut on_outcome: impl FnMut(Outcome),
) -> VecDeque<Pending> {
    let mut waiting = VecDeque::new();
    let mut output_keys = BTreeSet::new();
    for (place, Entry { pointer, is_referenced, kind }) in entries.into_iter().enumerate() {
        let (subject, attempts, status) = match kind {
            EntryKind::Work(object) => {
                let key = record::first_output_key(context, &object);
                let has_own_outputs = key.is_none_or(|key| output_keys.insert(key));
                let was_tried = object.attempts > 0;
                let (runs_alone, looks_first) = (!has_own_outputs, was_tried && has_own_outputs);
                waiting.push_back(Pending { place, pointer, is_referenced, object, runs_alone, looks_first });
                continue;
            }
            EntryKind::Skip { object, reason } => {
                let attempts = object.as_ref().map_or(0, |object| object.attempts);
                (object.map_or(Subject::Nothing, Subject::Object), attempts, Status::Skipped(reason))
            }
            EntryKind::Invalid { message, received } => {
                (Subject::Unknown(received), 1, Status::failed(FailReason::InvalidEntry, message))
            }
            EntryKind::Unread { reference, reason, detail } => {
                let was_tried = reason != FailReason::Interrupted;
                let attempts = reference.attempts.saturating_add(u32::from(was_tried));
                (Subject::Batch(reference), attempts, Status::Failed { reason, detail })
            }
            // Read before, by `reference`.
            EntryKind::Reference(reference) => {
                let attempts = reference.attempts;
                (Subject::Batch(reference), attempts, Status::failed(FailReason::Internal, "the batch was not read"))
            }
        };
        on_outcome(Outcome { pointer, subject, is_referenced, attempts, status, facts: Facts::default() });
    }
    waiting.make_contiguous().sort_by_key(|record| record.runs_alone);
    waiting
}

async fn process<S: Store>(context: &Context<'_, S>, object: &SourceObject) -> (Status, Facts) {
    match context.child_program {
        Some(program) if object.attempts > 0 => isolated::process(context, program, object).await,
        _ => record::process(context, object).await,
    }
}

fn interrupted(why: &str) -> Status {
    Status::failed(FailReason::Interrupted, why)
}

impl Pending {
    fn ended(self, status: Status, facts: Facts) -> Outcome {
        let attempts = self.object.attempts.saturating_add(1);
        let Self { pointer, is_referenced, object, .. } = self;
        Outcome { pointer, subject: Subject::Object(object), is_referenced, attempts, status, facts }
    }

    /// A record that never began was not tried.
    fn never_begun(self, status: Status) -> Outcome {
        let attempts = self.object.attempts;
        Outcome { attempts, ..self.ended(status, Facts::default()) }
    }
}
