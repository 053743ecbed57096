//! Records → outcomes: bounded, in any order, each on its own.

mod failure;
#[cfg(feature = "fault-switch")]
mod fault;
mod isolated;
mod pause;
mod record;
mod source;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pixpipe_pixels::render::Renderer;
use pixpipe_pixels::spec::Spec;

use crate::budget::Budget;
use crate::child::ChildProgram;
use crate::config::Config;
use crate::event::{Entry, EntryKind};
use crate::machine::Machine;
use crate::object::SourceObject;
use crate::outcome::{Facts, Outcome, Status};
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
    /// Runs retried records in a child process; `None` runs them in this one (tests).
    pub child_program: Option<&'a ChildProgram>,
    /// Spreads repetitions in time.
    pub random: &'a RefCell<fastrand::Rng>,
}

/// A record that waits or is in flight, and its place in the batch.
#[derive(Clone)]
struct Pending {
    pointer: String,
    object: SourceObject,
}

/// Processes all entries; hands each outcome to `on_outcome` as soon as there is one.
///
/// Records that were tried before come last, one at a time, each in a child process: so a record that kills its process
/// takes no other record with it.
///
/// After the first signal no record begins, and those in flight have the grace of the configuration; after that, or a
/// second signal, they are interrupted.
pub async fn run<S: Store>(
    context: &Context<'_, S>,
    entries: Vec<Entry>,
    signals: &mut Signals,
    mut on_outcome: impl FnMut(Outcome),
) {
    let grace = context.config.hand_back.grace_for_work(context.config.limits.grace);
    let mut waiting = queue_up(entries, &mut on_outcome);
    let mut in_flight = FuturesUnordered::new();
    let mut pending: BTreeMap<usize, Pending> = BTreeMap::new();
    let mut number = 0;
    let deadline = tokio::time::sleep(Duration::MAX);
    tokio::pin!(deadline);
    let mut is_draining = false;
    loop {
        while !is_draining && in_flight.len() < context.machine.concurrency {
            let may_start = |next: &mut Pending| in_flight.is_empty() || !next.was_tried();
            let Some(record) = waiting.pop_front_if(may_start) else { break };
            pending.insert(number, record.clone());
            in_flight.push(async move { (number, process(context, &record.object).await) });
            number += 1;
        }
        if in_flight.is_empty() {
            break;
        }
        tokio::select! {
            Some((number, (status, facts))) = in_flight.next() => {
                if let Some(record) = pending.remove(&number) {
                    on_outcome(record.ended(status, facts));
                }
            }
            signal = signals.next() => {
                if is_draining {
                    tracing::warn!("{signal} again: {} records are interrupted", in_flight.len());
                    break;
                }
                is_draining = true;
                let (running, waiting, seconds) = (in_flight.len(), waiting.len(), grace.as_secs_f64());
                tracing::warn!("{signal}: {running} records have {seconds} s to finish, {waiting} do not begin");
                deadline.as_mut().reset(tokio::time::Instant::now() + grace);
            }
            () = &mut deadline, if is_draining => {
                tracing::warn!("the grace is over: {} records are interrupted", in_flight.len());
                break;
            }
        }
    }
    drop(in_flight);
    for record in pending.into_values() {
        on_outcome(record.ended(interrupted(), Facts::default()));
    }
    for record in waiting {
        on_outcome(record.never_begun(interrupted()));
    }
}

/// The records of a batch in the order of their processing; entries that are no work have an outcome at once.
fn queue_up(entries: Vec<Entry>, mut on_outcome: impl FnMut(Outcome)) -> VecDeque<Pending> {
    let mut waiting = VecDeque::new();
    for Entry { pointer, kind } in entries {
        match kind {
            EntryKind::Work(object) => waiting.push_back(Pending { pointer, object }),
            EntryKind::Skip { object, reason } => {
                let attempts = object.as_ref().map_or(0, |object| object.attempts);
                let status = Status::Skipped(reason);
                on_outcome(Outcome { pointer, object, received: None, attempts, status, facts: Facts::default() });
            }
            EntryKind::Invalid { message, received } => {
                let status = Status::failed(FailReason::InvalidEntry, message);
                let received = Some(received);
                on_outcome(Outcome { pointer, object: None, received, attempts: 1, status, facts: Facts::default() });
            }
        }
    }
    waiting.make_contiguous().sort_by_key(Pending::was_tried);
    waiting
}

async fn process<S: Store>(context: &Context<'_, S>, object: &SourceObject) -> (Status, Facts) {
    match context.child_program {
        Some(program) if object.attempts > 0 => isolated::process(context, program, object).await,
        _ => record::process(context, object).await,
    }
}

fn interrupted() -> Status {
    Status::failed(FailReason::Interrupted, "the task was asked to end")
}

impl Pending {
    const fn was_tried(&self) -> bool {
        self.object.attempts > 0
    }

    fn ended(self, status: Status, facts: Facts) -> Outcome {
        let attempts = self.object.attempts.saturating_add(1);
        Outcome { pointer: self.pointer, object: Some(self.object), received: None, attempts, status, facts }
    }

    /// A record that never began was not tried.
    fn never_begun(self, status: Status) -> Outcome {
        let attempts = self.object.attempts;
        Outcome { attempts, ..self.ended(status, Facts::default()) }
    }
}
