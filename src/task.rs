//! One run, from the environment to the exit code: read, connect, process, hand back, sum up.

mod access;
mod connection;
mod input;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;
use pixpipe_pixels::render::Renderer;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Interval};

use self::connection::{AnyStore, Connection, Queues};
pub use self::input::Input;
use self::input::{Part, PartResult};
use crate::batch::reference::{ENTRY_BYTES, References, most_bytes, most_entries};
use crate::batch::{self, Context};
use crate::budget::Budget;
use crate::child::ChildProgram;
use crate::config::{Config, Fault, LogFormat, Misspelt};
use crate::event::{self, Entry};
use crate::log::{self, stderr_line};
use crate::machine::{Machine, raise_descriptor_limit};
use crate::object::{ObjectKey, SourceObject};
use crate::outcome::{Exit, Message, Outcome, Progress, Queue, Summary};
use crate::pool::Pool;
use crate::signals::Signals;
use crate::store::bounded::Bounded;
use crate::store::{Document, Store};

/// The most CPU time that one image may take. Only an image that was built to be slow takes more.
pub const CPU_LIMIT: Duration = Duration::from_secs(30);
/// The part of it that is waited for: tests use less time.
const CPU_LIMIT_PART: u32 = if cfg!(feature = "fault-switch") { 6 } else { 1 };

/// The most time that handing back takes if nobody asks the task to end.
const LONGEST_HAND_BACK: Duration = Duration::from_mins(5);
/// The least that it has after a signal, if the work took the whole grace.
const LEAST_HAND_BACK: Duration = Duration::from_secs(5);

/// The time that the report may take, if nobody asks the task to end.
const LONGEST_REPORT: Duration = Duration::from_mins(2);
/// The time between two lines about the progress, for people.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs the task: `vars` is the environment, `random_seed` spreads repetitions in time.
pub async fn run(vars: Vec<(OsString, OsString)>, input: &Input, signals: &mut Signals, random_seed: u64) -> Exit {
    let is_child = *input == Input::Parent;
    if !is_child {
        warn_of(&Misspelt::all(&vars));
    }
    let config = match read_config(&vars, input) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let start = Instant::now();
    let mut parts = match Parts::open(input, &config) {
        Ok(parts) => parts,
        Err(why) => return refused(Exit::Batch, &why),
    };
    let first = match parts.next(signals).await {
        Next::Part(part) => part,
        Next::Unreadable(why) => return refused(Exit::Batch, &why),
        Next::Asked(signal) => return refused(Exit::Retry, &format!("{signal}: nothing has begun")),
    };
    log::start(config.log_format, config.log_filter.clone());
    let connection = tokio::select! {
        connection = Connection::open(&config) => connection,
        signal = signals.next() => return refused(Exit::Retry, &format!("{signal}: nothing has begun")),
    };
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => return refused(error.exit(), &error.to_string()),
    };
    let child_program = ChildProgram::new(vars);
    let manifest_prefix = config.manifest_prefix.clone().filter(|_| !is_child);
    let queues = connection.queues.as_ref();
    let task = Task { config: &config, start, manifest_prefix, queues, child_program: &child_program, random_seed };
    let ended = match &connection.store {
        #[cfg(feature = "aws")]
        AnyStore::S3(store) => task.run(store, first, &mut parts, signals).await,
        AnyStore::Dir(store) => task.run(store, first, &mut parts, signals).await,
    };
    ended.unwrap_or_else(|error| refused(Exit::Retry, &error))
}

/// The configuration; each fault is a line on standard error.
///
/// # Errors
/// [`Exit::Config`], and [`Exit::Usage`] if there are two batches.
pub fn read_config(vars: &[(OsString, OsString)], input: &Input) -> Result<Config, Exit> {
    let vars = vars.iter().cloned();
    let config = match input {
        Input::Variable | Input::Parent => Config::from_vars(vars),
        Input::Standard | Input::File(_) => Config::without_batch(vars),
    };
    let config = config.map_err(|faults| refuse_config(&faults))?;
    let has_batch = config.batch.as_ref().is_some_and(|batch| !batch.is_empty());
    if matches!(input, Input::Standard | Input::File(_)) && has_batch {
        return Err(refused(
            Exit::Usage,
            "SQS_BODY is set and --batch is given: a task has one batch, remove one of them",
        ));
    }
    Ok(config)
}

/// Says each fault on standard error. Gives the exit code.
#[must_use]
pub fn refuse_config(faults: &[Fault]) -> Exit {
    for fault in faults {
        stderr_line(&fault.to_string());
    }
    let is_bare = faults.iter().all(|fault| fault.received.is_none());
    if is_bare {
        stderr_line("pixpipe --help lists all variables; docs/contract.md explains them");
    }
    Exit::Config
}

/// The entries of `SQS_BODY`.
///
/// # Errors
/// It is no batch: what to say.
pub fn read_variable(config: &Config) -> Result<Vec<Entry>, String> {
    let batch = config.batch.as_deref().unwrap_or_default();
    let entries = event::parse(batch, config.source_bucket.as_ref());
    entries.map_err(|error| format!("SQS_BODY cannot be read as a batch: {error}"))
}

/// Says on standard error which variables look like misspelt ones.
pub fn warn_of(misspelt: &[Misspelt]) {
    for other in misspelt {
        stderr_line(&format!("warning: {other}"));
    }
}

/// One request to each bucket and queue of the configuration. Gives a line for each, and whether the task could work.
pub async fn check_access(config: &Config, signals: &mut Signals) -> Exit {
    let check = async {
        let connection = match Connection::open(config).await {
            Ok(connection) => connection,
            Err(error) => return refused(error.exit(), &error.to_string()),
        };
        match &connection.store {
            #[cfg(feature = "aws")]
            AnyStore::S3(store) => access::check(store, connection.queues.as_ref(), config).await,
            AnyStore::Dir(store) => access::check(store, connection.queues.as_ref(), config).await,
        }
    };
    tokio::select! {
        exit = check => exit,
        signal = signals.next() => refused(Exit::Retry, &format!("{signal}: not all answers have come")),
    }
}

fn refused(exit: Exit, why: &str) -> Exit {
    stderr_line(why);
    exit
}

/// The parts of a batch.
enum Parts {
    /// All of it, or nothing any more.
    Whole(Option<Part>),
    Stream(Receiver<PartResult>),
}

/// What comes next.
enum Next {
    Part(Part),
    Unreadable(String),
    Asked(&'static str),
}

impl Parts {
    fn open(input: &Input, config: &Config) -> Result<Self, String> {
        Ok(match input {
            Input::Variable | Input::Parent => {
                Self::Whole(Some(Part { entries: read_variable(config)?, is_last: true }))
            }
            Input::Standard | Input::File(_) => {
                let memory_bytes = Machine::within(&config.limits).memory_bytes;
                let (bytes, entries) = (most_bytes(memory_bytes), most_entries(memory_bytes));
                Self::Stream(input::open(input, config.source_bucket.as_ref(), bytes, entries)?)
            }
        })
    }

    async fn next(&mut self, signals: &mut Signals) -> Next {
        let ended = || Next::Unreadable("the batch ends without an end".to_owned());
        match self {
            Self::Whole(part) => part.take().map_or_else(ended, Next::Part),
            Self::Stream(parts) => tokio::select! {
                part = parts.recv() => match part {
                    Some(Ok(mut part)) => {
                        // Who gave the file gives it again: unfinished records are not handed back one by one.
                        part.entries.iter_mut().for_each(|entry| entry.is_referenced = true);
                        Next::Part(part)
                    }
                    Some(Err(why)) => Next::Unreadable(why),
                    None => ended(),
                },
                signal = signals.next() => Next::Asked(signal),
            },
        }
    }

    /// The part that follows, unless the task has to end.
    async fn following(&mut self, is_stopped: bool, ends: Option<Instant>, signals: &mut Signals) -> Following {
        if is_stopped {
            return Following::Ended("the task has to end".to_owned());
        }
        let time_left = ends.map_or(Duration::MAX, |ends| ends.saturating_duration_since(Instant::now()));
        let next = tokio::select! {
            next = self.next(signals) => next,
            () = tokio::time::sleep(time_left), if ends.is_some() => Next::Asked("the end of TIME_LIMIT_SECONDS"),
        };
        match next {
            Next::Part(part) => Following::Part(part),
            Next::Unreadable(why) => Following::Unreadable(why),
            Next::Asked(asker) => Following::Ended(asker.to_owned()),
        }
    }
}

/// What comes after a part.
enum Following {
    Part(Part),
    /// The rest cannot be read.
    Unreadable(String),
    /// The task ends before the rest is read.
    Ended(String),
}

/// A failed record, and the queue message that hands it back.
struct Unfinished {
    queue: Queue,
    message: Message,
    pointer: String,
    is_worth_retrying: bool,
}

/// What a task needs to know, whatever its store is.
struct Task<'a> {
    config: &'a Config,
    /// When it began.
    start: Instant,
    /// The start of the manifest's key, if there is to be one.
    manifest_prefix: Option<String>,
    queues: Option<&'a Queues>,
    child_program: &'a ChildProgram,
    random_seed: u64,
}

impl Task<'_> {
    /// Processes all parts. A record's line is written as soon as it is done, and what is unfinished is handed back
    /// after each part.
    async fn run<S: Store>(
        &self,
        store: &S,
        first: Part,
        parts: &mut Parts,
        signals: &mut Signals,
    ) -> Result<Exit, String> {
        raise_descriptor_limit();
        if !Path::new("/proc/self").exists() {
            tracing::warn!(
                "there is no /proc: an image that takes too long is not given up, and a retried record has no process \
                 of its own"
            );
        }
        let config = self.config;
        let ends = config.limits.time.map(|time| self.start + time);
        let machine = Machine::within(&config.limits);
        let store = &Bounded::new(store, machine.requests);
        let random = &RefCell::new(fastrand::Rng::with_seed(self.random_seed));
        let pool = Pool::try_new(machine.threads, CPU_LIMIT / CPU_LIMIT_PART, Renderer::try_new)
            .map_err(|error| format!("the decoders cannot be set up: {error}; give the task more memory or threads"))?;
        let mut references = References::new(&store, config, random, machine.memory_bytes);
        let mut summary = Summary::default();
        let mut report = Vec::new();
        let mut part = first;
        let mut due;
        let done = Cell::new(0);
        let mut ticks = tokio::time::interval_at(Instant::now() + PROGRESS, PROGRESS);
        loop {
            let entries = references.resolve(part.entries, signals).await;
            let entries = event::select(entries, &config.destination);
            let entry_bytes = ENTRY_BYTES + self.manifest_line_bytes();
            let entries_bytes = u64::try_from(entries.len()).unwrap_or(u64::MAX).saturating_mul(entry_bytes);
            let context = Context {
                store: &store,
                config,
                machine,
                spec: Arc::new(config.spec.clone()),
                pool: &pool,
                budget: &Budget::new(machine.memory_bytes.saturating_sub(entries_bytes)),
                ends,
                child_program: Some(self.child_program),
                random,
            };
            let total = part.is_last.then(|| done.get() + entries.len());
            let mut unfinished = Vec::new();
            let mut manifest = Vec::new();
            let work = batch::run(&context, entries, signals, |outcome| {
                done.set(done.get() + 1);
                summary.add(&outcome);
                let line = outcome.to_json();
                if references.report.is_some() {
                    report.extend(line.to_string().into_bytes());
                    report.push(b'\n');
                }
                if self.manifest_prefix.is_some() {
                    manifest.extend(outcome.to_manifest().to_string().into_bytes());
                    manifest.push(b'\n');
                }
                log::document(config.log_format, || line, || outcome.to_text());
                unfinished.extend(self.unfinished(&outcome, &mut summary));
            });
            let ended = tokio::select! {
                ended = work => ended,
                never = self.tell_progress(&mut ticks, &done, total) => match never {},
            };
            due = ended.due;
            if let Some(queues) = self.queues {
                due = hand_back(config, queues, &unfinished, due, signals, &mut summary).await;
            }
            if let (Some(prefix), false) = (&self.manifest_prefix, manifest.is_empty()) {
                let name = format!("{prefix}{:013}-{:016x}.jsonl", log::now_ms(), random.borrow_mut().u64(..));
                due = self.write_manifest(&store, name, manifest, due, signals).await;
            }
            if part.is_last {
                break;
            }
            part = match parts.following(due.is_some() || ended.is_stopped, ends, signals).await {
                Following::Part(part) => part,
                Following::Unreadable(why) => {
                    tracing::error!("the rest of the batch cannot be read: {why}");
                    summary.leave_unreadable();
                    break;
                }
                Following::Ended(why) => {
                    tracing::error!(
                        "the batch is not read to its end: {why}. Give it again: what is done is skipped as unchanged"
                    );
                    summary.leave_rest();
                    break;
                }
            };
        }
        let took = self.start.elapsed();
        let line = summary.to_json(&config.destination, log::now_ms(), took);
        report.extend(line.to_string().into_bytes());
        report.push(b'\n');
        log::document(config.log_format, || line, || summary.to_text(&config.destination, took));
        if let Some(place) = references.report {
            let metadata = summary.counts().map(|(name, count)| (name, count.to_string())).into();
            self.write_document(&store, "report", place, report, metadata, due, signals).await;
        }
        Ok(summary.exit())
    }

    /// The memory of a record's line in the manifest.
    fn manifest_line_bytes(&self) -> u64 {
        let sizes = u64::try_from(self.config.spec.sizes.len()).unwrap_or(u64::MAX);
        if self.manifest_prefix.is_some() { sizes.saturating_mul(512).saturating_add(768) } else { 0 }
    }

    /// Writes a manifest among the outputs. Its metadata are those of an output, so that it is never a source.
    async fn write_manifest<S: Store>(
        &self,
        store: &S,
        name: String,
        lines: Vec<u8>,
        due: Option<Instant>,
        signals: &mut Signals,
    ) -> Option<Instant> {
        let metadata = vec![("spec", "manifest".to_owned()), ("source-etag", "manifest".to_owned())];
        match ObjectKey::parse(&name) {
            Ok(key) => {
                let place = SourceObject::new(self.config.destination.bucket.clone(), key);
                self.write_document(store, "manifest", place, lines, metadata, due, signals).await
            }
            Err(error) => {
                tracing::error!("the manifest {name} is not written: {error}");
                due
            }
        }
    }

    /// Writes a text about the task. If that fails, standard error says so. A signal leaves it the grace, a further one
    /// ends it. Gives the time at which the process has to be over, if it was asked to end.
    #[expect(clippy::too_many_arguments, reason = "what, where to, and how long")]
    async fn write_document<S: Store>(
        &self,
        store: &S,
        what: &str,
        place: SourceObject,
        lines: Vec<u8>,
        metadata: Vec<(&'static str, String)>,
        mut due: Option<Instant>,
        signals: &mut Signals,
    ) -> Option<Instant> {
        let end = due.map_or(Instant::now() + LONGEST_REPORT, |due| due.max(Instant::now() + LEAST_HAND_BACK));
        let deadline = tokio::time::sleep_until(end);
        let document = Document { bucket: place.bucket.clone(), key: place.key.clone(), lines, metadata };
        let writing = store.put_document(document);
        tokio::pin!(deadline, writing);
        loop {
            tokio::select! {
                written = &mut writing => {
                    if let Err(error) = written {
                        tracing::error!("the {what} {place} is not written: {error}");
                    }
                    break;
                }
                signal = signals.next() => {
                    if due.is_some() {
                        tracing::error!("{signal} again: the {what} {place} is not written");
                        break;
                    }
                    let end = Instant::now() + self.config.limits.grace.max(LEAST_HAND_BACK);
                    due = Some(end);
                    let end = end.min(deadline.deadline());
                    deadline.as_mut().reset(end);
                }
                () = &mut deadline => {
                    tracing::error!("the {what} {place} is not written: there was no time left");
                    break;
                }
            }
        }
        due
    }

    /// The message of a failed record, if it goes to a queue.
    fn unfinished(&self, outcome: &Outcome, summary: &mut Summary) -> Option<Unfinished> {
        let (queue, message) = outcome.hand_back(self.config.hand_back.max_attempts)?;
        if queue == Queue::Failed {
            summary.fail_for_good();
        }
        let is_worth_retrying = outcome.status.is_worth_retrying();
        Some(Unfinished { queue, message, pointer: outcome.pointer.clone(), is_worth_retrying })
    }

    /// Says every few seconds how far the work is, for people; never ends.
    async fn tell_progress(&self, ticks: &mut Interval, done: &Cell<usize>, total: Option<usize>) -> Infallible {
        if self.config.log_format == LogFormat::Json {
            return std::future::pending().await;
        }
        loop {
            ticks.tick().await;
            stderr_line(&Progress { done: done.get(), total, took: self.start.elapsed() }.to_string());
        }
    }
}

/// Sends each unfinished record to its queue, if that is configured. Records that cannot be sent are left to the exit
/// code. One deadline is for all of it; it comes earlier after a signal, and the next signal ends it. Gives the time at
/// which the process has to be over, if it was asked to end.
async fn hand_back(
    config: &Config,
    queues: &Queues,
    unfinished: &[Unfinished],
    due: Option<Instant>,
    signals: &mut Signals,
    summary: &mut Summary,
) -> Option<Instant> {
    let urls = [(Queue::Retry, &config.hand_back.retry_url), (Queue::Failed, &config.hand_back.failed_url)];
    let url_of = |record: &Unfinished| urls.iter().find(|(queue, _)| *queue == record.queue)?.1.as_deref();
    let mut sending = SelectAll::new();
    for (queue, url) in urls {
        let numbered = unfinished.iter().enumerate().filter(|(_, record)| record.queue == queue);
        let messages = numbered.map(|(number, record)| (number, &record.message)).collect();
        sending.extend(url.as_ref().map(|url| queues.send(url, messages).boxed_local()));
    }
    let mut results = BTreeMap::new();
    let mut due = due.map(|due| due.max(Instant::now() + LEAST_HAND_BACK));
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
        let pointer = &record.pointer;
        match results.remove(&number) {
            Some(Ok(())) => summary.hand_back(record.is_worth_retrying),
            Some(Err(error)) => tracing::error!("entry {pointer} is not handed back to {url}: {error}"),
            None => tracing::error!("entry {pointer} is not handed back to {url}: there was no time left"),
        }
    }
    due
}
