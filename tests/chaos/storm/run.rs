//! The run of one batch: launch after launch, until no work is left.

use std::io::{PipeReader, PipeWriter, Write as _};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use fastrand::Rng;
use serde_json::Value;

use pixpipe_test_support::faults::{self, Fault, Times};
use pixpipe_test_support::run::Pixpipe;
use pixpipe_test_support::server::S3Server;

use super::plan::DeferredAction;
use super::source::{Source, event, with_one_more_attempt};
use super::{Counts, LAUNCHES_WITH_FAULTS, MAX_LAUNCHES, OBJECTS, SIZES};

/// One batch with its own server.
pub(super) struct Batch {
    pub(super) name: String,
    pub(super) rng: Rng,
    pub(super) server: Arc<S3Server>,
    pub(super) sources: Vec<Source>,
    /// Events of sources that were overwritten since the last launch. They belong to the next one.
    pub(super) new_events: Arc<Mutex<Vec<Value>>>,
    /// Tasks that run at the same time as the launch, each started by an overwritten source.
    pub(super) side_tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    pub(super) counts: Counts,
}

impl Batch {
    pub(super) fn new(seed: u64, batch: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(batch));
        let server = S3Server::start();
        server.create_bucket("src");
        server.create_versioned_bucket("dest");
        let sources: Vec<Source> = (0..OBJECTS).map(|index| Source::random(index, &mut rng)).collect();
        let name = format!("CHAOS_SEED={seed}, batch {batch}");
        Self {
            name,
            rng,
            server: Arc::new(server),
            sources,
            new_events: Arc::default(),
            side_tasks: Arc::default(),
            counts: Counts::default(),
        }
    }

    /// Runs the batch to its end and checks it. Returns the counts.
    pub(super) fn run(mut self) -> Counts {
        let mut work = self.begin();
        let mut launches = 0;
        while !work.is_empty() {
            launches += 1;
            assert!(launches <= MAX_LAUNCHES, "{}: still left: {work:?}", self.name);
            let has_failed = self.launch(&work, launches <= LAUNCHES_WITH_FAULTS);
            // Like the pipe's rule on stopped tasks: the same batch with one more attempt.
            work = if has_failed { work.into_iter().map(with_one_more_attempt).collect() } else { vec![] };
            let messages = self.server.take_messages("retry");
            work.extend(messages.iter().map(|message| message["Records"][0].clone()));
            work.append(&mut self.new_events.lock().unwrap());
            self.rng.shuffle(&mut work);
        }
        self.assert_settled();
        self.counts.count("batches");
        self.counts
    }

    /// Uploads the sources and returns their events: one to three of each, in random order and shape.
    fn begin(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        for source in &self.sources {
            if !source.is_missing_at_first {
                source.overwrite(&self.server, &mut self.rng)();
            }
            for _ in 0..self.rng.usize(1..=3) {
                events.push(event(&source.key, &mut self.rng));
                self.counts.count("events");
            }
        }
        self.rng.shuffle(&mut events);
        events
    }

    /// Lets the store refuse to read the denied sources, in every launch.
    fn deny(&self) {
        for source in self.sources.iter().filter(|source| source.is_denied) {
            self.server.fault(faults::get("src", &source.key), Times::Always, Fault::Answer(403, "AccessDenied"));
        }
    }

    /// Runs one task. Returns whether the batch must be launched again.
    fn launch(&mut self, work: &[Value], with_faults: bool) -> bool {
        self.counts.count("launches");
        let process = Arc::new(OnceLock::new());
        let mut uploads = Vec::new();
        self.server.clear_faults();
        self.deny();
        if with_faults {
            self.plan_faults();
            uploads = self.plan_uploads();
            uploads.extend(self.plan_deletions());
            self.plan_signals(&process);
        }
        let may_not_list = with_faults && self.rng.u8(..4) == 0;
        self.server.hide_absence(may_not_list);
        self.counts.add_if(may_not_list, "launches without the right to list");
        let run = task(self.server.endpoint())
            .env("GRACE_SECONDS", ["0", "1", "60"][self.rng.usize(..3)])
            .env("CONCURRENCY", ["1", "3", "16"][self.rng.usize(..3)])
            .batch(&Value::from(work));
        let is_unread = with_faults && self.rng.u8(..20) == 0;
        self.counts.add_if(is_unread, "launches whose log nobody reads");
        let unread = is_unread.then(full_pipe);
        let running = match &unread {
            Some((_, pipe)) => run.stdout(pipe.try_clone().expect("a pipe can be cloned")).start(),
            None => run.start(),
        };
        process.set(running.pid()).expect("the process id is set once");
        let finished = running.finish();
        // Signals that are still planned have no receiver any more; uploads that are still planned happen now.
        self.server.clear_hooks();
        uploads.iter().for_each(DeferredAction::run);
        let side_tasks: Vec<_> = self.side_tasks.lock().unwrap().drain(..).collect();
        for task in side_tasks {
            task.join().expect("every side task ends");
        }
        match finished.code {
            Some(0) => {}
            Some(1 | 75) => self.counts.count("exits with work left"),
            None => self.counts.count("ends by a signal"),
            Some(code) => panic!("{}: exit code {code}\n{}", self.name, finished.both_streams()),
        }
        finished.code != Some(0)
    }
}

/// A pipe that nobody reads, and that holds as much as it can: 64 KiB (pipe(7)).
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
    writer.write_all(&vec![b'\n'; 64 << 10]).expect("a pipe holds 64 KiB");
    (reader, writer)
}

/// A task with both queues, still without a batch.
pub(super) fn task(endpoint: &str) -> Pixpipe {
    let run = Pixpipe::with_s3(endpoint).with_queues().env("SIZES", &SIZES.join(","));
    run.env("MAX_ATTEMPTS", "100").env("RUST_LOG", "error")
}
