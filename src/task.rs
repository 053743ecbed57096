//! One run, from the environment to the exit code: read, connect, process, hand back, sum up.

mod connection;

use std::cell::RefCell;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pixpipe_pixels::render::Renderer;

use self::connection::{AnyStore, Connection, Queues};
use crate::batch::{self, Context};
use crate::budget::Budget;
use crate::child::ChildProgram;
use crate::config::{Config, HandBack};
use crate::event::{self, Entry};
use crate::log::{self, stderr_line};
use crate::machine::Machine;
use crate::outcome::{Exit, Message, Outcome, Queue, Summary};
use crate::pool::Pool;
use crate::signals::Signals;
use crate::store::Store;

/// The most CPU time that one image may take. Only an image that was built to be slow takes more.
pub const CPU_LIMIT: Duration = Duration::from_secs(30);
/// The part of it that is waited for: tests use less time.
const CPU_LIMIT_PART: u32 = if cfg!(feature = "fault-switch") { 6 } else { 1 };

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
    let ended = match &connection.store {
        #[cfg(feature = "aws")]
        AnyStore::S3(store) => process(store, &config, entries, signals, &child_program, random_seed).await,
        AnyStore::Dir(store) => process(store, &config, entries, signals, &child_program, random_seed).await,
    };
    let (mut summary, unfinished) = match ended {
        Ok(ended) => ended,
        Err(error) => return refused(Exit::Retry, &error),
    };
    if let Some(queues) = &connection.queues {
        hand_back(&config.hand_back, queues, &unfinished, &mut summary).await;
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

/// Processes all entries and writes a line for each. Returns the counts, and the records that go to a queue.
async fn process<S: Store>(
    store: &S,
    config: &Config,
    entries: Vec<Entry>,
    signals: &mut Signals,
    child_program: &ChildProgram,
    random_seed: u64,
) -> Result<(Summary, Vec<Unfinished>), String> {
    let machine = Machine::within(&config.limits);
    let pool = Pool::try_new(machine.threads, CPU_LIMIT / CPU_LIMIT_PART, Renderer::try_new)
        .map_err(|error| format!("the decoders cannot be set up: {error}; give the task more memory"))?;
    let context = Context {
        store,
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
    batch::run(&context, entries, signals, |outcome| {
        summary.add(&outcome);
        log::document(config.log_format, || outcome.to_json(), || outcome.to_text());
        if let Some((queue, message)) = outcome.hand_back(config.hand_back.max_attempts) {
            unfinished.push(Unfinished { queue, message, outcome });
        }
    })
    .await;
    Ok((summary, unfinished))
}

/// Sends each unfinished record to its queue, if that is configured. Records that cannot be sent are left to the exit
/// code.
async fn hand_back(config: &HandBack, queues: &Queues, unfinished: &[Unfinished], summary: &mut Summary) {
    for (queue, url) in [(Queue::Retry, &config.retry_url), (Queue::Failed, &config.failed_url)] {
        let Some(url) = url else { continue };
        let theirs = || unfinished.iter().filter(|record| record.queue == queue);
        let messages: Vec<&Message> = theirs().map(|record| &record.message).collect();
        for (Unfinished { outcome, .. }, sent) in theirs().zip(queues.send(url, &messages).await) {
            match sent {
                Ok(()) => summary.hand_back(outcome),
                Err(error) => tracing::error!("entry {} is not handed back to {url}: {error}", outcome.pointer),
            }
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
