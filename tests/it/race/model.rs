//! A small store in which every call is a step of its own, and the tasks that race over it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use pixpipe::batch::{self, Context};
use pixpipe::budget::Budget;
use pixpipe::config::Config;
use pixpipe::event;
use pixpipe::machine::Machine;
use pixpipe::object::{BucketName, ObjectKey};
use pixpipe::outcome::{Outcome, Status};
use pixpipe::pool::Pool;
use pixpipe::reason::FailReason;
use pixpipe::signals::Signals;
use pixpipe::store::{Condition, Document, Download, Fetched, Output, OutputHead, Store, StoreError, Written};
use pixpipe_pixels::render::Renderer;
use tokio::sync::{Notify, oneshot};

use super::schedule::{Every, Schedule};

/// Contents of the source: a grey level. Equal contents have equal `ETag`s, as in S3.
type Contents = u8;

/// The bucket of the other source of a scenario with two, and what it holds.
const OTHER_BUCKET: &str = "other";
const OTHER_CONTENTS: Contents = 200;

/// A fault in the store of a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Writes whatever the condition says, and answers as if it had held: stores without conditional writes do.
    IgnoresConditions,
    /// The same, and tells a task that has written that the source is what it was, whatever it is.
    HidesChangesAfterWrites,
    /// Answers 403 to the head of an output that does not exist, as S3 does without the right to list.
    DeniesAbsence,
    /// Gives the source no `ETag`.
    HasNoEtags,
}

/// One race.
pub(super) struct Scenario {
    pub(super) sizes: &'static str,
    /// The contents of the source, one upload after the other. The first is there at the beginning.
    pub(super) uploads: &'static [Contents],
    /// The upload that the outputs are made from at the beginning.
    pub(super) made_of: Option<Contents>,
    /// The tasks that the event of the first upload starts, late or twice; each later upload starts one.
    pub(super) late_events: usize,
    /// How often somebody deletes all outputs.
    pub(super) deletions: usize,
    /// Whether every second task has another source, whose outputs have the same keys.
    pub(super) collide: bool,
    pub(super) flaw: Flaw,
}

/// The state that all tasks share, and the calls that wait for their turn.
struct World {
    source: Cell<Contents>,
    outputs: RefCell<BTreeMap<String, Output>>,
    flaw: Flaw,
    waiting: RefCell<Vec<(usize, oneshot::Sender<()>)>>,
    /// A call was given its turn and has not yet used it.
    is_acting: Cell<bool>,
    has_changed: Notify,
}

impl World {
    /// Gives the turn to one of the calls that wait, in the order of their tasks: that of their arrival has no meaning.
    fn give_turn(&self, choice: usize) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.sort_by_key(|(task, _)| *task);
        self.is_acting.set(true);
        waiting.remove(choice).1.send(()).expect("the call waits");
    }

    fn etag(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One task's view of the world.
struct Seen {
    task: usize,
    world: Rc<World>,
    has_written: Cell<bool>,
}

impl Seen {
    /// Returns when the schedule says so; everything that the caller does before its next await is one step.
    async fn turn(&self) {
        let (go, gone) = oneshot::channel();
        self.world.waiting.borrow_mut().push((self.task, go));
        self.world.has_changed.notify_one();
        gone.await.expect("the schedule outlives the tasks");
        self.world.is_acting.set(false);
        self.world.has_changed.notify_one();
    }
}

struct Bytes(Contents, String);

impl Download for Bytes {
    fn etag(&self) -> &str {
        &self.1
    }
    fn version_id(&self) -> Option<&str> {
        None
    }
    fn length_bytes(&self) -> Option<u64> {
        Some(bmp(self.0).len() as u64)
    }
    fn is_output(&self) -> bool {
        false
    }
    async fn bytes(self, _limit_bytes: u64) -> Result<Vec<u8>, StoreError> {
        Ok(bmp(self.0))
    }
}

impl Store for Seen {
    type Download = Bytes;

    async fn head(&self, _: &BucketName, key: &ObjectKey) -> Result<Option<OutputHead>, StoreError> {
        self.turn().await;
        let outputs = self.world.outputs.borrow();
        let Some(output) = outputs.get(key.as_str()) else {
            let is_denied = self.world.flaw == Flaw::DeniesAbsence;
            return if is_denied { Err(StoreError::AccessDenied("status 403".to_owned())) } else { Ok(None) };
        };
        Ok(Some(OutputHead {
            etag: World::etag(&output.bytes),
            source_etag: Some(output.origin.source_etag.clone()),
            spec: Some(output.origin.spec.clone()),
            source: Some(output.origin.source.clone()),
        }))
    }

    async fn get(
        &self,
        bucket: &BucketName,
        _: &ObjectKey,
        unless: Option<&str>,
    ) -> Result<Fetched<Bytes>, StoreError> {
        self.turn().await;
        let contents = if bucket.as_str() == OTHER_BUCKET { OTHER_CONTENTS } else { self.world.source.get() };
        let flaw = self.world.flaw;
        let etag = if flaw == Flaw::HasNoEtags { String::new() } else { World::etag(&[contents]) };
        let is_hidden = flaw == Flaw::HidesChangesAfterWrites && self.has_written.get();
        Ok(if unless.is_some_and(|unless| is_hidden || unless == etag) {
            Fetched::NotModified
        } else {
            Fetched::Found(Bytes(contents, etag))
        })
    }

    async fn put(&self, output: Output, condition: &Condition) -> Result<Written, StoreError> {
        self.turn().await;
        let mut outputs = self.world.outputs.borrow_mut();
        let there = outputs.get(output.key.as_str()).map(|output| World::etag(&output.bytes));
        let holds = match condition {
            Condition::Absent => there.is_none(),
            Condition::Unchanged(etag) => there.as_ref() == Some(etag),
        };
        if !holds && !matches!(self.world.flaw, Flaw::IgnoresConditions | Flaw::HidesChangesAfterWrites) {
            return Ok(Written::Raced);
        }
        outputs.insert(output.key.as_str().to_owned(), output);
        self.has_written.set(true);
        Ok(Written::Done(String::new()))
    }

    async fn put_document(&self, _: Document) -> Result<(), StoreError> {
        panic!("no batch of the model asks for a report")
    }
}

/// A BMP of one grey pixel: a file header, a BITMAPINFOHEADER, and a row of 24-bit pixels padded to four bytes.
fn bmp(grey: u8) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    for word in [58_u32, 0, 54, 40, 1, 1, 1 | 24 << 16, 0, 4, 0, 0, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([grey, grey, grey, 0]);
    file
}

/// The tools of a task; the same for all runs of a scenario.
pub(super) struct Tools {
    config: Config,
    pool: Pool<Renderer>,
    budget: Budget,
}

impl Tools {
    pub(super) fn new(sizes: &str) -> Self {
        let vars = [("SQS_BODY", "[]"), ("DEST_BUCKET", "dest"), ("SIZES", sizes), ("FORMAT", "npy")];
        let vars = vars.map(|(name, value)| (name.into(), value.into()));
        Self {
            config: Config::from_vars(vars).expect("a configuration"),
            pool: Pool::try_new(1, Duration::from_secs(30), Renderer::try_new).expect("memory for the decoders"),
            budget: Budget::new(1 << 30),
        }
    }

    /// One task with one record.
    async fn task(&self, world: Rc<World>, number: usize, bucket: &str) -> Outcome {
        let random = RefCell::new(fastrand::Rng::with_seed(0));
        let context = Context {
            store: &Seen { task: number, world, has_written: Cell::new(false) },
            config: &self.config,
            machine: Machine { threads: 1, concurrency: 1, requests: 8, memory_bytes: 1 << 30 },
            spec: Arc::new(self.config.spec.clone()),
            pool: &self.pool,
            budget: &self.budget,
            ends: None,
            child_program: None,
            random: &random,
        };
        let entries = event::parse(&format!("\"s3://{bucket}/photo\""), None).expect("a batch");
        let mut signals = Signals::install().expect("handlers can be installed");
        let mut outcomes = Vec::new();
        batch::run(&context, entries, &mut signals, |outcome| outcomes.push(outcome)).await;
        outcomes.pop().expect("one record has one outcome")
    }
}

impl Scenario {
    /// One run. Gives the fault at its end, if there is one: an output that is not of the newest source.
    pub(super) fn play(&self, tools: &Tools, schedule: &mut impl Schedule) -> Option<String> {
        // Time stands still while a task works: pauses between rounds cost nothing.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(self.race(tools, schedule))
    }

    async fn race(&self, tools: &Tools, schedule: &mut impl Schedule) -> Option<String> {
        let world = Rc::new(World {
            source: Cell::new(self.uploads[0]),
            outputs: RefCell::default(),
            flaw: self.flaw,
            waiting: RefCell::default(),
            is_acting: Cell::new(false),
            has_changed: Notify::new(),
        });
        if let Some(contents) = self.made_of {
            let now = world.source.replace(contents);
            self.run_alone(tools, &world).await;
            world.source.set(now);
        }
        let mut uploads = self.uploads[1..].iter();
        let mut tasks = FuturesUnordered::new();
        let mut started = 0;
        let mut start = |tasks: &mut FuturesUnordered<_>| {
            let (number, world) = (started, Rc::clone(&world));
            let bucket = if self.collide && number % 2 == 1 { OTHER_BUCKET } else { "src" };
            started += 1;
            tasks.push(async move { tools.task(world, number, bucket).await });
        };
        for _ in 0..self.late_events {
            start(&mut tasks);
        }
        let (mut deletions, mut is_deleted_last) = (self.deletions, false);
        let mut ends = Ends::default();
        loop {
            until_all_wait(&mut tasks, &world, &mut ends).await;
            let calls = world.waiting.borrow().len();
            let uploads_left = usize::from(uploads.len() > 0);
            // Nobody deletes when nothing else can happen any more.
            let deletions_left = usize::from(deletions > 0 && calls + uploads_left > 0);
            let options = calls + uploads_left + deletions_left;
            if options == 0 {
                break;
            }
            let choice = schedule.choose(options);
            if choice < calls {
                world.give_turn(choice);
            } else if choice < calls + uploads_left
                && let Some(contents) = uploads.next()
            {
                world.source.set(*contents);
                start(&mut tasks);
            } else {
                deletions -= 1;
                is_deleted_last = true;
                world.outputs.borrow_mut().clear();
            }
        }
        drop(tasks);
        for _ in 0..ends.conflicts {
            self.run_alone(tools, &world).await; // handed back, and tried again
        }
        let newest = *self.uploads.last().expect("there is one");
        let outputs = world.outputs.borrow();
        let made = outputs.len();
        assert!(made == self.sizes.split(',').count() || is_deleted_last, "{made} outputs");
        if self.collide || ends.refused > 0 {
            let refused = ends.refused;
            return (!self.collide || refused != 1).then(|| format!("{refused} tasks were refused"));
        }
        let old = outputs.iter().find(|(_, output)| output.bytes.last() != Some(&newest));
        old.map(|(key, output)| format!("{key} is of {:?}, the source holds {newest}", output.bytes.last()))
    }

    /// A task that nobody races with.
    async fn run_alone(&self, tools: &Tools, world: &Rc<World>) {
        let mut task = FuturesUnordered::from_iter([tools.task(Rc::clone(world), 0, "src")]);
        while !task.is_empty() {
            until_all_wait(&mut task, world, &mut Ends::default()).await;
            if !task.is_empty() {
                world.give_turn(0);
            }
        }
    }

    /// Every order; gives their number, and the fault of the first that has one.
    pub(super) fn explore(&self) -> (usize, Option<String>) {
        let tools = Tools::new(self.sizes);
        let mut every = Every::default();
        for runs in 1.. {
            let wrong = self.play(&tools, &mut every);
            if wrong.is_some() || !every.advance() {
                return (runs, wrong);
            }
        }
        unreachable!("a scenario has an end")
    }
}

/// The ends of tasks that wrote no output.
#[derive(Default)]
struct Ends {
    conflicts: usize,
    /// Their outputs are those of another source.
    refused: usize,
}

/// Lets the tasks run until each of them waits for its turn or is done; counts how they end.
async fn until_all_wait(tasks: &mut FuturesUnordered<impl Future<Output = Outcome>>, world: &World, ends: &mut Ends) {
    loop {
        let mut waiting: Vec<usize> = world.waiting.borrow().iter().map(|(task, _)| *task).collect();
        waiting.sort_unstable();
        waiting.dedup();
        if waiting.len() == tasks.len() && !world.is_acting.get() {
            return;
        }
        tokio::select! {
            biased;
            Some(outcome) = tasks.next() => match outcome.status {
                Status::Failed { reason: FailReason::Conflict, .. } => ends.conflicts += 1,
                Status::Failed { reason: FailReason::InvalidEntry, .. } => ends.refused += 1,
                Status::Failed { reason, detail } => panic!("{reason:?}: {detail}"),
                Status::Written | Status::Skipped(_) => {}
            },
            () = world.has_changed.notified() => {}
        }
    }
}
