//! Batches through every fault at once: duplicate and shuffled events, overwritten sources, a store and queues that fail,
//! tasks that race, signals at any request. What is handed back, and what a killed task held, runs again until nothing is left.
//!
//! `CHAOS_BATCHES` says how many (30 where it is not set), `CHAOS_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use fastrand::Rng;
use hyper::Method;
use pixpipe::event::{Entry, EntryKind};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::faults::{self, Fault, Times};
use crate::support::photos;
use crate::support::run::{Pixpipe, entries, notification, text};
use crate::support::s3::{Checksums, Condition, Upload};
use crate::support::server::S3Server;

const OBJECTS: usize = 20;
const SIZES: [&str; 2] = ["32x32", "17x9"];
/// From here on nothing fails any more, so that a batch has an end.
const STORMY_LAUNCHES: usize = 5;
/// A batch that needs more has lost its way.
const MAX_LAUNCHES: usize = 12;
/// Batches at once: they wait more than they compute.
const THREADS: usize = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn after_every_storm_each_source_has_the_outputs_of_its_newest_bytes_or_a_true_reason() {
    let (batches, seed) = (number("CHAOS_BATCHES", 30), number("CHAOS_SEED", 1));
    println!("CHAOS_SEED={seed} CHAOS_BATCHES={batches}");
    let next = AtomicU64::new(0);
    let counts = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= batches {
                        return;
                    }
                    let counted = Storm::new(seed, batch).rage();
                    counts.lock().expect("no storm panics while it counts").add(&counted);
                }
            });
        }
    });
    println!("{}", counts.lock().unwrap());
}

/// What happened, for the reader.
#[derive(Default)]
struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// Contents of a source, and what becomes of them.
#[derive(Clone)]
struct Contents {
    bytes: Vec<u8>,
    /// Nothing where outputs are made of them.
    reason: Option<&'static str>,
}

impl Contents {
    fn photo(rng: &mut Rng) -> Self {
        let (width, height, seed) = (rng.u32(8..80), rng.u32(8..80), rng.u32(..1000));
        let bytes = if rng.bool() { photos::jpeg(width, height, seed) } else { photos::png(width, height, seed) };
        Self { bytes, reason: None }
    }

    fn any(rng: &mut Rng) -> Self {
        let photo = Self::photo(rng);
        match rng.u8(..100) {
            0..80 => photo,
            80..86 => Self { bytes: photo.bytes[..photo.bytes.len() / 2].to_vec(), reason: Some("truncated") },
            86..90 => Self { bytes: b"no image at all".to_vec(), reason: Some("unsupported-format") },
            90..93 => Self { bytes: b"pixpipe-fault:panic".to_vec(), reason: Some("internal") },
            93..95 => Self { bytes: b"pixpipe-fault:crash".to_vec(), reason: Some("internal") },
            _ => Self { bytes: b"GIF89a\x01".to_vec(), reason: Some("truncated") },
        }
    }
}

/// A source and all that it ever held.
struct Source {
    key: String,
    /// The oldest first; nothing for a source that is not there yet.
    versions: Arc<Mutex<Vec<Contents>>>,
    is_missing_at_first: bool,
    /// The store refuses to read it.
    is_denied: bool,
}

impl Source {
    fn any(index: usize, rng: &mut Rng) -> Self {
        let names = ["", " +%", "ü/写真", "\u{1f4f7} \"'", "a/b/../c&d=e"];
        Self {
            key: format!("{index}-{}", names[rng.usize(..names.len())]),
            versions: Arc::default(),
            is_missing_at_first: rng.u8(..100) < 3,
            is_denied: rng.u8(..100) < 3,
        }
    }

    /// What will put other contents there when it is called, now and then those that were there before the last.
    fn overwrite(&self, server: &S3Server, rng: &mut Rng) -> impl FnOnce() + Send + use<> {
        let (memory, key, versions, mut rng) =
            (server.memory(), self.key.clone(), Arc::clone(&self.versions), rng.fork());
        move || {
            let mut versions = versions.lock().unwrap();
            let before_last = versions.len().checked_sub(2).and_then(|index| versions.get(index)).cloned();
            let contents = before_last.filter(|_| rng.bool()).unwrap_or_else(|| Contents::any(&mut rng));
            let checksums = [Checksums::None, Checksums::Crc32, Checksums::Crc64Nvme][rng.usize(..3)];
            let upload = Upload { checksums, ..Upload::of(contents.bytes.as_slice()) };
            memory.put("src", &key, upload.into_object(), &Condition::Always).expect("the bucket is there");
            versions.push(contents);
        }
    }
}

/// An event of the source in one of the shapes in which they come.
fn event(key: &str, rng: &mut Rng) -> Value {
    let encoded: String = key
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' => char::from(byte).to_string(),
            b' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    match rng.u8(..3) {
        0 => notification("src", &encoded, 1)["Records"][0].clone(),
        1 => json!({
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "src"}, "object": {"key": key, "size": 1}},
        }),
        _ => json!({"bucket": "src", "key": key}),
    }
}

fn with_one_more_attempt(mut event: Value) -> Value {
    let attempts = event["pixpipe"]["attempts"].as_u64().unwrap_or(0);
    event["pixpipe"] = json!({"attempts": attempts + 1});
    event
}

fn output_key(size: &str, key: &str) -> String {
    format!("{size}/{key}.jpg")
}

/// A task with both queues, before it has its batch.
fn task(endpoint: &str) -> Pixpipe {
    let run = Pixpipe::with_s3(endpoint).with_queues().env("SIZES", &SIZES.join(","));
    run.env("MAX_ATTEMPTS", "100").env("RUST_LOG", "error")
}

type Outputs = BTreeMap<&'static str, Bytes>;

/// What the program makes of contents where nothing goes wrong.
fn references(contents: Vec<Contents>) -> BTreeMap<Vec<u8>, Outputs> {
    let server = S3Server::with_buckets();
    let contents: BTreeSet<Vec<u8>> =
        contents.into_iter().filter(|it| it.reason.is_none()).map(|it| it.bytes).collect();
    for (index, bytes) in contents.iter().enumerate() {
        server.put("src", &index.to_string(), Upload::of(bytes.as_slice()));
    }
    let keys: Vec<String> = (0..contents.len()).map(|index| index.to_string()).collect();
    let batch = entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>());
    Pixpipe::with_s3(server.endpoint()).env("SIZES", &SIZES.join(",")).batch(&batch).run().expect_code(0);
    let outputs = |key: &String| SIZES.map(|size| (size, server.object("dest", &output_key(size, key)).bytes)).into();
    contents.into_iter().zip(keys.iter().map(outputs)).collect()
}

/// One batch.
struct Storm {
    name: String,
    rng: Rng,
    server: Arc<S3Server>,
    sources: Vec<Source>,
    /// Events of sources that were overwritten since the last launch, and are still to be worked on.
    new_events: Arc<Mutex<Vec<Value>>>,
    /// Tasks that overwritten sources started beside the batch's own.
    beside: Arc<Mutex<Vec<JoinHandle<()>>>>,
    counts: Counts,
}

impl Storm {
    fn new(seed: u64, batch: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(batch));
        let server = S3Server::start();
        server.create_bucket("src");
        server.create_versioned_bucket("dest");
        let sources: Vec<Source> = (0..OBJECTS).map(|index| Source::any(index, &mut rng)).collect();
        let name = format!("CHAOS_SEED={seed}, batch {batch}");
        Self {
            name,
            rng,
            server: Arc::new(server),
            sources,
            new_events: Arc::default(),
            beside: Arc::default(),
            counts: Counts::default(),
        }
    }

    fn rage(mut self) -> Counts {
        let mut work = self.begin();
        let mut launches = 0;
        while !work.is_empty() {
            launches += 1;
            assert!(launches <= MAX_LAUNCHES, "{}: still left: {work:?}", self.name);
            let killed = self.launch(&work, launches <= STORMY_LAUNCHES);
            // What a pipe's rule on stopped tasks does: the batch again, with one more attempt.
            work = if killed { work.into_iter().map(with_one_more_attempt).collect() } else { vec![] };
            let messages = self.server.take_messages("retry");
            work.extend(messages.iter().map(|message| message["Records"][0].clone()));
            work.append(&mut self.new_events.lock().unwrap());
            self.rng.shuffle(&mut work);
        }
        self.expect_calm();
        self.counts.count("batches");
        self.counts
    }

    /// Uploads, and the events of them: up to three times each, in any order and shape.
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

    /// Sources that the store refuses to read, whatever the weather.
    fn deny(&self) {
        for source in self.sources.iter().filter(|source| source.is_denied) {
            self.server.fault(faults::get("src", &source.key), Times::Always, Fault::Answer(403, "AccessDenied"));
        }
    }

    /// One task. Says whether its launcher has to bring the batch back.
    fn launch(&mut self, work: &[Value], is_stormy: bool) -> bool {
        self.counts.count("launches");
        let process = Arc::new(OnceLock::new());
        let mut uploads = Vec::new();
        self.server.clear_faults();
        self.deny();
        if is_stormy {
            self.plan_faults();
            uploads = self.plan_uploads();
            self.plan_signals(&process);
        }
        let running = task(self.server.endpoint())
            .env("GRACE_SECONDS", ["0", "1", "60"][self.rng.usize(..3)])
            .env("CONCURRENCY", ["1", "3", "16"][self.rng.usize(..3)])
            .batch(&Value::from(work))
            .start();
        process.set(running.pid()).expect("it is set once");
        let finished = running.finish();
        // The rest of the requests never came: signals are for nobody, uploads happen now.
        self.server.clear_hooks();
        uploads.iter().for_each(Upcoming::happen);
        let beside: Vec<_> = self.beside.lock().unwrap().drain(..).collect();
        for task in beside {
            task.join().expect("a task beside the others comes to its end");
        }
        match finished.code {
            Some(0) => {}
            Some(1 | 75) => self.counts.count("exits with work left"),
            None => self.counts.count("ends by a signal"),
            Some(code) => panic!("{}: exit code {code}\n{}\n{}", self.name, finished.stdout, finished.stderr),
        }
        finished.code != Some(0)
    }

    fn plan_faults(&mut self) {
        for _ in 0..self.rng.usize(..12) {
            let key = self.sources[self.rng.usize(..OBJECTS)].key.clone();
            let output = format!("{}/{key}.jpg", SIZES[self.rng.usize(..SIZES.len())]);
            let target = match self.rng.u8(..4) {
                0 => faults::head("dest", &output),
                1 => faults::put("dest", &output),
                2 => faults::under(Method::PUT, "dest", ""),
                _ => faults::get("src", &key),
            };
            let fault = match self.rng.u8(..60) {
                0..10 => Fault::Answer(503, "SlowDown"),
                10..15 => Fault::Answer(500, "InternalError"),
                15..22 => Fault::Reset,
                22..32 => Fault::LoseAnswer,
                32..39 => Fault::CutBody,
                39..45 => Fault::TruncateBody,
                45..51 => Fault::FlipBit,
                51 => Fault::TrickleBody,
                52 => Fault::Stall,
                _ => Fault::Answer(412, "PreconditionFailed"),
            };
            // A body only matters on its way here; an answer of 412 only to a write.
            let target = match fault {
                Fault::CutBody | Fault::TruncateBody | Fault::FlipBit | Fault::TrickleBody => faults::get("src", &key),
                Fault::Answer(412, _) => faults::put("dest", &output),
                _ => target,
            };
            self.server.fault(target, Times::First(self.rng.usize(1..5)), fault);
            self.counts.count("faults of the store");
        }
        if self.rng.u8(..3) == 0 {
            let fault = match self.rng.u8(..4) {
                0 => Fault::Answer(503, "ServiceUnavailable"),
                1 => Fault::Reset,
                2 => Fault::LoseAnswer,
                _ => Fault::RefuseHalf,
            };
            self.server.fault(faults::queues(), Times::First(self.rng.usize(1..6)), fault);
            self.counts.count("faults of the queues");
        }
    }

    /// Overwrites sources. The event of that waits for the next launch, or starts a task beside this one.
    fn plan_uploads(&mut self) -> Vec<Upcoming> {
        (0..self.rng.usize(..4)).map(|_| if self.rng.bool() { self.plan_upload() } else { self.plan_race() }).collect()
    }

    /// At any request.
    fn plan_upload(&mut self) -> Upcoming {
        let source = &self.sources[self.rng.usize(..OBJECTS)];
        let overwrite = source.overwrite(&self.server, &mut self.rng);
        let (event, events) = (event(&source.key, &mut self.rng), Arc::clone(&self.new_events));
        let upload = Upcoming::new(move || {
            overwrite();
            events.lock().unwrap().push(event);
        });
        let hook = upload.clone();
        self.server.after_requests(self.rng.usize(1..100), move || hook.happen());
        self.counts.count("sources overwritten");
        upload
    }

    /// When the output of what the source held before is about to be written; that write is held up.
    fn plan_race(&mut self) -> Upcoming {
        let source = &self.sources[self.rng.usize(..OBJECTS)];
        let overwrite = source.overwrite(&self.server, &mut self.rng);
        let (event, events) = (event(&source.key, &mut self.rng), Arc::clone(&self.new_events));
        let (endpoint, beside) = (self.server.endpoint().to_owned(), Arc::clone(&self.beside));
        let upload = Upcoming::new(move || {
            overwrite();
            beside.lock().unwrap().push(std::thread::spawn(move || {
                let finished = task(&endpoint).batch(&event).run();
                if finished.code != Some(0) {
                    events.lock().unwrap().push(with_one_more_attempt(event));
                }
            }));
        });
        let hook = upload.clone();
        let output = || faults::put("dest", &output_key(SIZES[0], &source.key));
        self.server.at_request(output(), move || hook.happen());
        self.server.fault(output(), Times::First(1), Fault::Answer(503, "SlowDown"));
        self.counts.count("sources overwritten during a write");
        upload
    }

    fn plan_signals(&mut self, process: &Arc<OnceLock<rustix::process::Pid>>) {
        let signals: &[Signal] = match self.rng.u8(..8) {
            0 | 1 => &[Signal::TERM],
            2 => &[Signal::TERM, Signal::TERM],
            3 | 4 => &[Signal::KILL],
            _ => &[],
        };
        for signal in signals {
            let (signal, process) = (*signal, Arc::clone(process));
            self.server.after_requests(self.rng.usize(1..100), move || {
                if let Some(pid) = process.get() {
                    let _ = kill_process(*pid, signal); // it may have ended by now
                }
            });
            self.counts.count(if signal == Signal::KILL { "SIGKILLs planned" } else { "SIGTERMs planned" });
        }
    }

    /// Every source has the outputs of its newest bytes, or is in the failed queue with a reason that is true.
    fn expect_calm(&mut self) {
        let all = self.sources.iter().flat_map(|source| source.versions.lock().unwrap().clone()).collect();
        let references = references(all);
        let mut failed = self.failed();
        for source in &self.sources {
            let versions = source.versions.lock().unwrap().clone();
            let told = failed.remove(&source.key).unwrap_or_default();
            let at = format!("{}, {:?}, in the failed queue: {told:?}", self.name, source.key);
            // Each was true at its time.
            let mut true_once: BTreeSet<&str> = versions.iter().filter_map(|contents| contents.reason).collect();
            true_once.extend(source.is_denied.then_some("access-denied"));
            true_once.extend(source.is_missing_at_first.then_some("not-found"));
            assert!(told.iter().all(|reason| true_once.contains(reason.as_str())), "{at}: true were {true_once:?}");

            let expected = match versions.last() {
                _ if source.is_denied => Some("access-denied"),
                None => Some("not-found"),
                Some(contents) => contents.reason,
            };
            if let Some(reason) = expected {
                assert!(told.iter().any(|told| told == reason), "{at}: expected {reason}");
            }
            for size in SIZES {
                let key = output_key(size, &source.key);
                let made: Vec<&Bytes> =
                    versions.iter().filter_map(|contents| references.get(&contents.bytes)?.get(size)).collect();
                for version in self.server.versions("dest", &key) {
                    let is_whole = made.contains(&&version.bytes);
                    assert!(is_whole, "{at}: {key:?} once was no output of its source");
                }
                if expected.is_none() {
                    let output = self.server.object("dest", &key).bytes;
                    assert!(Some(&&output) == made.last(), "{at}: {size} is not of the newest bytes");
                }
            }
        }
        assert!(failed.is_empty(), "{}: of no source: {failed:?}", self.name);
        let known =
            |key: &String| self.sources.iter().any(|it| SIZES.iter().any(|size| output_key(size, &it.key) == *key));
        let others: Vec<_> = self.server.keys("dest").into_iter().filter(|key| !known(key)).collect();
        assert_eq!(others, Vec::<String>::new(), "{}", self.name);
    }

    /// The reasons in the failed queue, by the key of their record.
    fn failed(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in self.server.take_messages("failed") {
            let entries = pixpipe::event::parse(&message.to_string(), None).expect("a batch");
            let [Entry { kind: EntryKind::Work(object), .. }] = entries.as_slice() else { panic!("{message}") };
            let reason = text(&message["Records"][0]["pixpipe"], "reason").to_owned();
            reasons.entry(object.key.as_str().to_owned()).or_default().push(reason);
            self.counts.count("records in the failed queue");
        }
        reasons
    }
}

/// Something that happens once, at a request or at the latest when the task has ended.
#[derive(Clone)]
struct Upcoming(Arc<Mutex<Option<Event>>>);

type Event = Box<dyn FnOnce() + Send>;

impl Upcoming {
    fn new(happen: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(happen)))))
    }

    fn happen(&self) {
        if let Some(happen) = self.0.lock().unwrap().take() {
            happen();
        }
    }
}
