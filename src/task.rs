//! One run, from the environment to the exit code: read, connect, process, hand back, sum up.

mod connection;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;
use pixpipe_pixels::render::Renderer;
use tokio::time::Instant;

use self::connection::{AnyStore, Connection, Queues};
use crate::batch::{self, Context, Ended};
use crate::budget::Budget;
use crate::child::ChildProgram;
use crate::config::Config;
use crate::event::{self, Entry};
use crate::log::{self, stderr_line};
use crate::machine::{Machine, raise_descriptor_limit};
use crate::outcome::{Exit, Message, Outcome, Queue, Summary};
use crate::pool::Pool;
use crate::signals::Signals;
use crate::store::Store;
use crate::store::bounded::Bounded;

/// The most CPU time that one image may take. Only an image that was built to be slow takes more.
pub const CPU_LIMIT: Duration = Duration::from_secs(30);
/// The part of it that is waited for: tests use less time.
const CPU_LIMIT_PART: u32 = if cfg!(feature = "fault-switch") { 6 } else { 1 };

/// The most time that handing back takes if nobody asks the task to end.
const LONGEST_HAND_BACK: Duration = Duration::from_mins(5);
/// The least that it has after a signal, if the work took the whole grace.
const LEAST_HAND_BACK: Duration = Duration::from_secs(5);

/// Runs the task: `vars` is the environment, `random_seed` spreads repetitions in time.
pub async fn run(vars: Vec<(OsString, OsString)>, signals: &mut Signals, random_seed: u64) -> Exit {
    let (config, entries) = match read(&vars) {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    log::start(config.log_format, config.log_filter.clone());
    let connection = match Connection::open(&config).await {
        Ok(connection) => connection,
        Err(error) => return refused(Exit::Config, &error.to_string()),
    };
    let start = Instant::now();
    let child_program = ChildProgram::new(vars);
    let processed = match &connection.store {
        #[cfg(feature = "aws")]
        AnyStore::S3(store) => process(store, &config, entries, signals, &child_program, random_seed).await,
        AnyStore::Dir(store) => process(store, &config, entries, signals, &child_program, random_seed).await,
    };
    let Processed { mut summary, unfinished, ended } = match processed {
        Ok(processed) => processed,
        Err(error) => return refused(Exit::Retry, &error),
    };
    if let Some(queues) = &connection.queues {
        hand_back(&config, queues, &unfinished, ended, signals, &mut summary).await;
    }
    sum_up(&config, &summary, start.elapsed());
    summary.exit()
}

/// The configuration and the entries of the batch; each fault of either is a line on standard error.
///
/// # Errors
/// [`Exit::Config`] and [`Exit::Batch`].
pub fn read(vars: &[(OsString, OsString)]) -> Result<(Config, Vec<Entry>), Exit> {
    let config = Config::from_vars(vars.iter().cloned()).map_err(|faults| {
        for fault in faults {
            stderr_line(&fault.to_string());
        }
        Exit::Config
    })?;
    match event::parse(&config.batch, config.source_bucket.as_ref()) {
        Ok(entries) => {
            let entries = event::select(entries, &config.destination);
            Ok((config, entries))
        }
        Err(error) => Err(refused(Exit::Batch, &error.to_string())),
    }
}

fn refused(exit: Exit, why: &str) -> Exit {
    stderr_line(why);
    exit
}

/// A failed record, and the queue message that hands it back.
struct Unfinished {
    queue: Queue,
    message: Message,
    outcome: Outcome,
}

/// A batch whose records all have an outcome.
struct Processed {
    summary: Summary,
    unfinished: Vec<Unfinished>,
    ended: Ended,
}

/// Processes all entries and writes a line for each. Gives the counts, and the records that go to a queue.
async fn process<S: Store>(
    store: &S,
    config: &Config,
    entries: Vec<Entry>,
    signals: &mut Signals,
    child_program: &ChildProgram,
    random_seed: u64,
) -> Result<Processed, String> {
    raise_descriptor_limit();
    if !Path::new("/proc/self").exists() {
        tracing::warn!(
            "there is no /proc: an image that takes too long is not given up, and a retried record has no process of \
             its own"
        );
    }
    let machine = Machine::within(&config.limits);
    let store = &Bounded::new(store, machine.requests);
    let pool = Pool::try_new(machine.threads, CPU_LIMIT / CPU_LIMIT_PART, Renderer::try_new)
        .map_err(|error| format!("the decoders cannot be set up: {error}; give the task more memory or threads"))?;
    let context = Context {
        store: &store,
        config,
        machine,
        spec: Arc::new(config.spec.clone()),
        pool: &pool,
        budget: &Budget::new(machine.memory_bytes),
        child_program: Some(child_program),
        random: &RefCell::new(fastrand::Rng::with_seed(random_seed)),
    };
    let mut summary = Summary::default();
    let mut unfinished = Vec::new();
    let ended = batch::run(&context, entries, signals, |outcome| {
        summary.add(&outcome);
        log::document(config.log_format, || outcome.to_json(), || outcome.to_text());
        if let Some((queue, message)) = outcome.hand_back(config.hand_back.max_attempts) {
            if queue == Queue::Failed {
                summary.fail_for_good();
            }
            unfinished.push(Unfinished { queue, message, outcome });
        }
    })
    .await;
    Ok(Processed { summary, unfinished, ended })
}

/// Sends each unfinished record to its queue, if that is configured. Records that cannot be sent are left to the exit
/// code. One deadline is for all of it; it comes earlier after a signal, and the next signal ends it.
async fn hand_back(
    config: &Config,
    queues: &Queues,
    unfinished: &[Unfinished],
    ended: Ended,
    signals: &mut Signals,
    summary: &mut Summary,
) {
    let urls = [(Queue::Retry, &config.hand_back.retry_url), (Queue::Failed, &config.hand_back.failed_url)];
    let url_of = |record: &Unfinished| urls.iter().find(|(queue, _)| *queue == record.queue)?.1.as_deref();
    let mut sending = SelectAll::new();
    for (queue, url) in urls {
        let numbered = unfinished.iter().enumerate().filter(|(_, record)| record.queue == queue);
        let messages = numbered.map(|(number, record)| (number, &record.message)).collect();
        sending.extend(url.as_ref().map(|url| queues.send(url, messages).boxed_local()));
    }
    let mut results = BTreeMap::new();
    let mut due = ended.due.map(|due| due.max(Instant::now() + LEAST_HAND_BACK));
    let deadline = tokio::time::sleep_until(due.unwrap_or_else(|| Instant::now() + LONGEST_HAND_BACK));
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            sent = sending.next() => match sent {
                Some(sent) => results.extend(sent),
                None => break,
            },
            signal = signals.next() => {
                if due.is_some() {
                    tracing::warn!("{signal} again: handing back ends");
                    break;
                }
                let grace = config.limits.grace.max(LEAST_HAND_BACK);
                tracing::warn!("{signal}: at most {} s are left for handing back", grace.as_secs());
                let end = Instant::now() + grace;
                due = Some(end);
                let end = end.min(deadline.deadline());
                deadline.as_mut().reset(end);
            }
            () = &mut deadline => {
                tracing::warn!("the time for handing back is over");
                break;
            }
        }
    }
    drop(sending);
    for (number, record) in unfinished.iter().enumerate() {
        let Some(url) = url_of(record) else { continue };
        let pointer = &record.outcome.pointer;
        match results.remove(&number) {
            Some(Ok(())) => summary.hand_back(&record.outcome),
            Some(Err(error)) => tracing::error!("entry {pointer} is not handed back to {url}: {error}"),
            None => tracing::error!("entry {pointer} is not handed back to {url}: there was no time left"),
        }
    }
}

/// Writes the last line.
fn sum_up(config: &Config, summary: &Summary, took: Duration) {
    let destination = &config.destination;
    log::document(
        config.log_format,
        || summary.to_json(destination, log::now_ms(), took),
        || summary.to_text(destination, took),
    );
}
