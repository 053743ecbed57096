//! The process: its arguments, its environment, the batch, the exit code.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::aws::{self, ConnectError};
use crate::batch::{self, Workshop, is_own_output, would_loop};
use crate::child::Program;
use crate::config::{Config, HandBack, StoreKind, VARIABLES};
use crate::event::{self, Entry, EntryKind};
use crate::handback::{Message, Queues};
use crate::memory::{Budget, limit_of_machine};
use crate::object::SourceObject;
use crate::outcome::{FailReason, Outcome, Queue};
use crate::pool::Pool;
use crate::render::Renderer;
use crate::report::{Exit, Report};
use crate::shutdown::Signals;
use crate::store::Store;
use crate::store::dir::DirStore;
use crate::store::s3::S3Store;
use crate::telemetry::{self, complain, line};

/// No image takes longer, in CPU time, unless it was made to.
const CPU_LIMIT: Duration = Duration::from_secs(30);
/// What is assumed where the machine does not say how much memory it has.
const UNKNOWN_MEMORY_BYTES: u64 = 512 << 20;

/// Runs the program: `args` without its name, `vars` the environment, `random_seed` for spreading repetitions in time.
pub async fn run(args: &[OsString], vars: Vec<(OsString, OsString)>, signals: &mut Signals, random_seed: u64) -> Exit {
    let check_only = match args {
        [] => false,
        [argument] if argument == "--check-config" => true,
        [argument] if argument == "--help" => return say(&help()),
        [argument] if argument == "--version" => return say(concat!("pixpipe ", env!("CARGO_PKG_VERSION"))),
        other => {
            let received: Vec<_> = other.iter().map(|argument| argument.to_string_lossy()).collect();
            complain(&format!("{received:?} is not accepted: nothing, or one of --help, --version, --check-config"));
            return Exit::Usage;
        }
    };
    let config = match Config::from_vars(vars.clone()) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                complain(&fault.to_string());
            }
            return Exit::Config;
        }
    };
    let entries = match event::parse(&config.batch, config.source_bucket.as_ref()) {
        Ok(entries) => event::select(entries, |object| is_own_output(object, &config)),
        Err(error) => {
            complain(&error.to_string());
            return Exit::Batch;
        }
    };
    let machine = Machine::of(&config);
    if check_only {
        return say(&preview(&config, &entries, &machine));
    }
    telemetry::start(config.log_format, config.log_filter.clone());
    let world = match World::connect(&config).await {
        Ok(world) => world,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Config;
        }
    };
    let again = Program::new(vars);
    let job = Job { config: &config, machine: &machine, queues: world.queues.as_ref(), again: &again, random_seed };
    match &world.store {
        AnyStore::S3(store) => work(store, entries, signals, &job).await,
        AnyStore::Dir(store) => work(store, entries, signals, &job).await,
    }
}

/// What the program talks to.
struct World {
    store: AnyStore,
    queues: Option<Queues>,
}

enum AnyStore {
    S3(S3Store),
    Dir(DirStore),
}

impl World {
    /// One configuration for store and queues, so that credentials are fetched once; none where neither is AWS's.
    async fn connect(config: &Config) -> Result<Self, ConnectError> {
        let HandBack { retry_url, failed_url, .. } = &config.hand_back;
        let has_queue = retry_url.is_some() || failed_url.is_some();
        match &config.store {
            StoreKind::S3 => {
                let aws = aws::sdk_config().await?;
                let queues = has_queue.then(|| Queues::new(&aws));
                Ok(Self { store: AnyStore::S3(S3Store::new(&aws)), queues })
            }
            StoreKind::Dir(path) => {
                let queues = if has_queue { Some(Queues::new(&aws::sdk_config().await?)) } else { None };
                Ok(Self { store: AnyStore::Dir(DirStore::new(path.clone())), queues })
            }
        }
    }
}

/// What a batch is worked on with, whatever the store.
struct Job<'a> {
    config: &'a Config,
    machine: &'a Machine,
    queues: Option<&'a Queues>,
    again: &'a Program,
    random_seed: u64,
}

/// What the machine offers, where the configuration leaves it open.
struct Machine {
    threads: usize,
    concurrency: usize,
    memory_bytes: u64,
}

impl Machine {
    fn of(config: &Config) -> Self {
        // Counts what the cgroup's quota allows.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let memory_bytes = config.limits.memory_bytes.or_else(|| limit_of_machine(Path::new("/")));
        Self {
            threads,
            // A record waits for S3 some five times as long as it computes.
            concurrency: config.limits.concurrency.unwrap_or(threads * 8),
            memory_bytes: memory_bytes.unwrap_or(UNKNOWN_MEMORY_BYTES),
        }
    }
}

async fn work<S: Store>(store: &S, entries: Vec<Entry>, signals: &mut Signals, job: &Job<'_>) -> Exit {
    let Job { config, machine, queues, again, random_seed } = *job;
    let start = Instant::now();
    let mut report = Report::default();
    let mut unfinished = Vec::new();
    let workshop = Workshop {
        store,
        pool: &Pool::new(machine.threads, CPU_LIMIT, Renderer::try_new),
        budget: &Budget::new(machine.memory_bytes),
        memory_bytes: machine.memory_bytes,
        again: Some(again),
        config,
        concurrency: machine.concurrency,
        random: &RefCell::new(fastrand::Rng::with_seed(random_seed)),
    };
    batch::run(&workshop, entries, signals, |outcome| {
        report.add(&outcome);
        telemetry::report(config.log_format, || outcome.to_json(), || outcome.to_text());
        if let Some((queue, message)) = outcome.hand_back(config.hand_back.max_attempts) {
            unfinished.push(Unfinished { queue, message, outcome });
        }
    })
    .await;
    if let Some(queues) = queues {
        hand_back(config, queues, &unfinished, &mut report).await;
    }
    let (destination, took) = (&config.destination, start.elapsed());
    telemetry::report(
        config.log_format,
        || report.to_json(destination, telemetry::now_ms(), took),
        || report.to_text(destination, took),
    );
    report.exit()
}

/// A record that has not come to its end here.
struct Unfinished {
    queue: Queue,
    message: Message,
    outcome: Outcome,
}

/// Sends what is unfinished to its queue, where it has one. What cannot be sent is left to the exit code.
async fn hand_back(config: &Config, queues: &Queues, unfinished: &[Unfinished], report: &mut Report) {
    let HandBack { retry_url, failed_url, .. } = &config.hand_back;
    for (queue, url) in [(Queue::Retry, retry_url), (Queue::Failed, failed_url)] {
        let Some(url) = url else { continue };
        let theirs = || unfinished.iter().filter(|record| record.queue == queue);
        let messages: Vec<&Message> = theirs().map(|record| &record.message).collect();
        for (Unfinished { outcome, .. }, sent) in theirs().zip(queues.send(url, &messages).await) {
            match sent {
                Ok(()) => report.hand_back(outcome),
                Err(error) => tracing::error!("entry {} is not handed back to {url}: {error}", outcome.pointer),
            }
        }
    }
}

fn say(text: &str) -> Exit {
    line(text);
    Exit::Done
}

/// What would be done with this environment and this batch.
fn preview(config: &Config, entries: &[Entry], machine: &Machine) -> String {
    let spec = &config.spec;
    let sizes: Vec<String> = spec.sizes.iter().map(ToString::to_string).collect();
    let rows = [
        ("destination", config.destination.to_string()),
        ("store", format!("{:?}", config.store)),
        ("sizes", sizes.join(", ")),
        (
            "pixels",
            format!(
                "{:?}, {:?}, {:?}, {:?}, background {}",
                spec.fit, spec.filter, spec.decode, spec.color, spec.background
            ),
        ),
        ("encoding", format!("{:?}", spec.encoding)),
        ("spec", spec.hash()),
        ("unchanged outputs", format!("{:?}", config.unchanged)),
        ("source limits", format!("{} bytes, {} pixels", config.limits.source_bytes, config.limits.source_pixels)),
        ("memory", format!("{} bytes", machine.memory_bytes)),
        ("threads", machine.threads.to_string()),
        ("in flight", machine.concurrency.to_string()),
        ("grace", format!("{:?}", config.limits.grace)),
        ("hand back", format!("{:?}", config.hand_back)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        text += &format!("{name:<20}{value}\n");
    }
    for Entry { pointer, kind } in entries {
        let what = match kind {
            EntryKind::Work(object) if would_loop(object, config) => {
                format!("fail    {}: {}", named(object), FailReason::WouldLoop.as_str())
            }
            EntryKind::Work(object) => format!("make    {}", named(object)),
            EntryKind::Skip { object: Some(object), reason } => {
                format!("skip    {}: {}", named(object), reason.as_str())
            }
            EntryKind::Skip { object: None, reason } => format!("skip    {}", reason.as_str()),
            EntryKind::Invalid { message, .. } => {
                format!("fail    {}: {}", FailReason::InvalidEntry.as_str(), message.escape_debug())
            }
        };
        text += &format!("entry {pointer:<14}{what}\n");
    }
    text + &format!("{} entries; nothing was read or written", entries.len())
}

/// On one line, whatever the key holds.
fn named(object: &SourceObject) -> String {
    format!("s3://{}/{}", object.bucket, object.key.as_str().escape_debug())
}

fn help() -> String {
    let mut text = String::from(
        "pixpipe makes fixed-size training images of the S3 objects in SQS_BODY, writes them to DEST_BUCKET, and exits.\n\n\
         Arguments: none, or one of\n  \
         --check-config      say what would be done with this environment and batch; touch nothing\n  \
         --help, --version\n\nEnvironment:\n",
    );
    for variable in VARIABLES {
        text += &format!("  {:<20}{} (default: {})\n", variable.name, variable.meaning, variable.default);
        text += &format!("  {:<20}  accepts {}\n", "", variable.accepts);
    }
    text += "  AWS_*               region, credentials and endpoints, as in every AWS SDK\n\n\
             SQS_BODY, alone or in arrays of any mix, or any of them again as a JSON string:\n  \
             S3 notification     {\"Records\":[{\"eventSource\":\"aws:s3\",...}]}, or a lone record of it\n  \
             EventBridge event   {\"source\":\"aws.s3\",\"detail-type\":\"Object Created\",...}\n  \
             SNS envelope        {\"Type\":\"Notification\",\"Message\":\"...\"}\n  \
             SQS message         {\"messageId\":...,\"body\":...}, {\"Records\":[{\"eventSource\":\"aws:sqs\",\"body\":...}]}\n  \
             object              {\"bucket\":...,\"key\":...}, {\"Key\":...} with SOURCE_BUCKET, \"s3://bucket/key\"\n  \
             batcher             {\"Items\":[...],\"BatchInput\":{\"bucket\":...}}\n\n\
             Outputs: DEST_PREFIX<W>x<H>/<source key>, with .jpg, .png, .webp or .npy appended unless it ends so\n\n\
             Exit codes:\n  \
             0                   every record written, skipped or handed back\n  \
             1                   at least one record failed for good, not handed back\n  \
             64                  arguments that are not understood\n  \
             65                  SQS_BODY cannot be read as a batch\n  \
             75                  unfinished work that is worth retrying, not handed back\n  \
             78                  configuration\n\n\
             Reasons of failed records:\n  ";
    let reasons: Vec<&str> = FailReason::ALL.iter().map(|reason| reason.as_str()).collect();
    text += &reasons.join(", ");
    text
}
