//! Runs the program with nothing but the given environment, within a time limit, and reads what it said.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long one run may take before it is killed and its test fails: far more than any run needs on a slow machine.
pub(crate) const TIME_LIMIT: Duration = Duration::from_mins(3);

/// The key that the S3 of the tests knows.
pub(crate) const ACCESS_KEY_ID: &str = "AKIAPIXPIPETESTS0000";
/// Its secret.
pub(crate) const SECRET_ACCESS_KEY: &str = "sEcReT/kEy+oF0tHe1tEsTs2aNd3nOtHiNg4eLsE";
/// A session token; the S3 of the tests takes any.
pub(crate) const SESSION_TOKEN: &str = "ToKeN0oF1tHe2sEsSiOn3oF4tHe5tEsTs";

/// A run that is being prepared.
pub(crate) struct Pixpipe {
    command: Command,
}

impl Pixpipe {
    /// The program with an empty environment.
    pub(crate) fn bare() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pixpipe"));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// With credentials for the S3 at `endpoint`, writing to the bucket `dest`.
    pub(crate) fn with_s3(endpoint: &str) -> Self {
        Self::bare()
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL_S3", endpoint)
            .env("DEST_BUCKET", "dest")
    }

    /// With the queues `retry` and `failed` at the same endpoint.
    pub(crate) fn with_queues(self) -> Self {
        let endpoint = self.command.get_envs().find(|(name, _)| *name == "AWS_ENDPOINT_URL_S3");
        let endpoint = endpoint.and_then(|(_, value)| value?.to_str()).expect("with_s3 comes first").to_owned();
        self.env("AWS_ENDPOINT_URL_SQS", &endpoint)
            .env("RETRY_QUEUE_URL", &format!("{endpoint}/000000000000/retry"))
            .env("FAILED_QUEUE_URL", &format!("{endpoint}/000000000000/failed"))
    }

    /// With the folders in `root` as buckets, writing to the folder `dest`.
    pub(crate) fn with_folders(root: &Path) -> Self {
        Self::bare().env("STORE", &format!("dir:{}", root.display())).env("DEST_BUCKET", "dest")
    }

    /// Sets `SQS_BODY` to a batch.
    pub(crate) fn batch(self, batch: &Value) -> Self {
        self.env("SQS_BODY", &batch.to_string())
    }

    /// Sets one variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes one variable away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Connects standard output to something that the test does not read.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Gives this process and those that it starts so much address space each.
    pub(crate) fn limit_address_space(self, kibibytes: u32) -> Self {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -v {kibibytes} && exec \"$0\"")]).arg(self.command.get_program());
        limited.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command: limited }
    }

    /// Runs to the end.
    pub(crate) fn run(self) -> Finished {
        self.start().finish()
    }

    /// Starts it and returns at once.
    pub(crate) fn start(mut self) -> Running {
        let started = Instant::now();
        let mut child = self.command.spawn().expect("the program that cargo has built can be started");
        let stdout = child.stdout.take().map_or_else(Spoken::nothing, Spoken::collect);
        let stderr = child.stderr.take().map_or_else(Spoken::nothing, Spoken::collect);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        Running { pid, started, stdout, stderr, ended: wait_in_background(child), status: None }
    }
}

/// A run under way. Killed where the test ends before it does.
pub(crate) struct Running {
    pid: Pid,
    started: Instant,
    stdout: Arc<Spoken>,
    stderr: Arc<Spoken>,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
}

impl Running {
    /// The process.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a running child can be signalled");
    }

    /// Returns when one line of the diagnostics has `text` in it.
    pub(crate) fn wait_for_diagnostic(&self, text: &str) {
        assert!(self.stderr.wait_for(text), "no {text:?} in the diagnostics:\n{}", self.stderr.text());
    }

    /// Returns when one line of standard output has `text` in it.
    pub(crate) fn wait_for_line(&self, text: &str) {
        assert!(self.stdout.wait_for(text), "no {text:?} on standard output:\n{}", self.stdout.text());
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Finished {
        let left = TIME_LIMIT.saturating_sub(self.started.elapsed());
        let status = match self.ended.recv_timeout(left) {
            Ok(status) => status,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("not at its end after {TIME_LIMIT:?}; said\n{}\n{}", self.stdout.text(), self.stderr.text())
            }
        };
        self.status = Some(status);
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        Finished { code: status.code(), stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() && self.ended.try_recv().is_err() {
            let _ = kill_process(self.pid, Signal::KILL); // it may have ended in between
        }
    }
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// All of standard output.
    pub(crate) stdout: String,
    /// All of standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// Panics, with everything that was said, where the exit code is another.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; the run said\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Every line of standard output as JSON.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line:?}\n{}", self.stderr))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The lines about records.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("_aws").is_none()).collect()
    }

    /// The one line about the record with this key.
    #[track_caller]
    pub(crate) fn record(&self, key: &str) -> Value {
        let mut records = self.records();
        records.retain(|record| record.get("key").and_then(Value::as_str) == Some(key));
        assert_eq!(records.len(), 1, "lines about {key:?} in\n{}\n{}", self.stdout, self.stderr);
        records.remove(0)
    }

    /// Status and reason (empty where it has none) of the one record with this key.
    #[track_caller]
    pub(crate) fn outcome(&self, key: &str) -> (String, String) {
        let record = self.record(key);
        (text(&record, "status").to_owned(), text(&record, "reason").to_owned())
    }

    /// The one summary line.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let mut summaries = self.lines();
        summaries.retain(|line| line.get("_aws").is_some());
        assert_eq!(summaries.len(), 1, "summary lines in\n{}\n{}", self.stdout, self.stderr);
        summaries.remove(0)
    }
}

/// A text member of a log line, empty where it is absent or null.
pub(crate) fn text<'a>(line: &'a Value, member: &str) -> &'a str {
    line.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The `outputs` of a record's line.
pub(crate) fn outputs(record: &Value) -> Vec<String> {
    let outputs = record.get("outputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    outputs.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A batch of plain entries, bucket and raw key each.
pub(crate) fn entries(objects: &[(&str, &str)]) -> Value {
    objects.iter().map(|(bucket, key)| json!({ "bucket": bucket, "key": key })).collect()
}

/// An S3 notification of one created object; the key is form-encoded, as S3 writes it.
pub(crate) fn notification(bucket: &str, encoded_key: &str, size_bytes: usize) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-01-02T03:04:05.678Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": { "name": bucket, "arn": format!("arn:aws:s3:::{bucket}") },
            "object": { "key": encoded_key, "size": size_bytes, "eTag": "0", "sequencer": "00" },
        },
    }] })
}

/// One output stream of the program, read by a thread of its own so that the program never waits for the test.
#[derive(Default)]
struct Spoken {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    text: String,
    ended: bool,
}

impl Spoken {
    /// A stream that goes elsewhere.
    fn nothing() -> Arc<Self> {
        Arc::new(Self { heard: Mutex::new(Heard { text: String::new(), ended: true }), ..Self::default() })
    }

    fn collect(stream: impl Read + Send + 'static) -> Arc<Self> {
        let spoken = Arc::new(Self::default());
        let writer = Arc::clone(&spoken);
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read_bytes| read_bytes > 0) {
                writer.change(|heard| heard.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            writer.change(|heard| heard.ended = true);
        });
        spoken
    }

    fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn text(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    /// Whether `text` came before the end and the time limit.
    fn wait_for(&self, text: &str) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |heard: &mut Heard| !heard.ended && !heard.text.contains(text);
        let (heard, _) =
            self.changed.wait_timeout_while(heard, TIME_LIMIT, waiting).unwrap_or_else(PoisonError::into_inner);
        heard.text.contains(text)
    }

    fn wait_for_end(&self) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(heard, TIME_LIMIT, |heard| !heard.ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn wait_in_background(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = sender.send(status); // the test may have given up
        }
    });
    receiver
}
