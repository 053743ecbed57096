//! Runs the program with nothing but the given environment and within a time limit, and reads its output.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Time limit of one run, after which it is killed and its test fails. No run needs nearly as long, even on a slow
/// machine.
pub const TIME_LIMIT: Duration = Duration::from_mins(3);

/// The access key of the S3 of the tests.
pub const ACCESS_KEY_ID: &str = "AKIAPIXPIPETESTS0000";
/// The secret key that belongs to [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "sEcReT/kEy+oF0tHe1tEsTs2aNd3nOtHiNg4eLsE";
/// A session token. The S3 of the tests accepts any.
pub const SESSION_TOKEN: &str = "ToKeN0oF1tHe2sEsSiOn3oF4tHe5tEsTs";

/// The path of the program under test, which cargo builds next to the folder of the running test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("a test is in target/<profile>/deps");
    folder.join("pixpipe")
}

/// A run in preparation.
pub struct Pixpipe {
    command: Command,
}

impl Pixpipe {
    /// The program with an empty environment.
    pub fn bare() -> Self {
        let mut command = Command::new(program());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// The program with credentials for the S3 at `endpoint`. Its outputs go to the bucket `dest`.
    pub fn with_s3(endpoint: &str) -> Self {
        Self::bare()
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL_S3", endpoint)
            .env("DEST_BUCKET", "dest")
    }

    /// Adds the queues `retry` and `failed` at the endpoint of the S3.
    pub fn with_queues(self) -> Self {
        let endpoint = self.command.get_envs().find(|(name, _)| *name == "AWS_ENDPOINT_URL_S3");
        let endpoint = endpoint.and_then(|(_, value)| value?.to_str()).expect("with_s3 comes first").to_owned();
        self.env("AWS_ENDPOINT_URL_SQS", &endpoint)
            .env("RETRY_QUEUE_URL", &format!("{endpoint}/000000000000/retry"))
            .env("FAILED_QUEUE_URL", &format!("{endpoint}/000000000000/failed"))
    }

    /// The program with the folders in `root` as buckets. Its outputs go to the folder `dest`.
    pub fn with_folders(root: &Path) -> Self {
        Self::bare().env("STORE", &format!("dir:{}", root.display())).env("DEST_BUCKET", "dest")
    }

    /// Sets `SQS_BODY` to a batch.
    pub fn batch(self, batch: &Value) -> Self {
        self.env("SQS_BODY", &batch.to_string())
    }

    /// Sets one variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes one variable.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Redirects standard input, which is empty otherwise.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Redirects standard output. The test then does not read it.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Redirects standard error. The test then does not read it.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Limits the address space of this process and of each of its child processes.
    pub fn limit_address_space(self, kibibytes: u32) -> Self {
        self.under("sh", &["-c", &format!("ulimit -v {kibibytes} && exec \"$0\"")])
    }

    /// Limits the open files of this process and of each of its child processes.
    pub fn limit_files(self, files: u32) -> Self {
        self.under("sh", &["-c", &format!("ulimit -n {files} && exec \"$0\"")])
    }

    /// Limits the processes and threads of the user. Root has no limit, so it becomes a user who has no others.
    pub fn limit_threads(self, threads: usize) -> Self {
        let script = format!(
            "if [ \"$(id -u)\" = 0 ]; then
               folder=$(mktemp -d) && chmod 755 \"$folder\" && cp \"$0\" \"$folder/pixpipe\"
               ulimit -u {threads} && exec setpriv --reuid=54321 --regid=54321 --clear-groups \"$folder/pixpipe\"
             else
               ulimit -u {threads} && exec \"$0\"
             fi"
        );
        self.under("bash", &["-c", &script])
    }

    /// The same run as an argument of another program.
    fn under(self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program());
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// Runs the program and waits until it ends.
    pub fn run(self) -> Finished {
        self.start().finish()
    }

    /// Starts the program and returns at once.
    pub fn start(mut self) -> Running {
        let started = Instant::now();
        let mut child = self.command.spawn().expect("the program that cargo has built can be started");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        let id = child.id();
        let stdout = child.stdout.take().map_or_else(OutputStream::redirected, |pipe| OutputStream::collect(pipe, id));
        let stderr = child.stderr.take().map_or_else(OutputStream::redirected, |pipe| OutputStream::collect(pipe, id));
        Running { pid, started, stdout, stderr, ended: wait_in_background(child), status: None }
    }
}

/// A run that was started. It is killed if the test ends first.
pub struct Running {
    pid: Pid,
    started: Instant,
    stdout: Arc<OutputStream>,
    stderr: Arc<OutputStream>,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
}

impl Running {
    /// The process id.
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a running child can be signalled");
    }

    /// Returns when a line of standard error contains `text`.
    pub fn wait_for_diagnostic(&self, text: &str) {
        assert!(self.stderr.wait_for(text), "no {text:?} on standard error:\n{}", self.stderr.text());
    }

    /// Returns when a line of standard output contains `text`.
    pub fn wait_for_line(&self, text: &str) {
        assert!(self.stdout.wait_for(text), "no {text:?} on standard output:\n{}", self.stdout.text());
    }

    /// Waits until the program ends.
    pub fn finish(mut self) -> Finished {
        let left = TIME_LIMIT.saturating_sub(self.started.elapsed());
        let status = match self.ended.recv_timeout(left) {
            Ok(status) => status,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!(
                    "still running after {TIME_LIMIT:?}; its output:\n{}\n{}",
                    self.stdout.text(),
                    self.stderr.text()
                )
            }
        };
        self.status = Some(status);
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        Finished { code: status.code(), stdout, stderr, peak_bytes: self.stdout.peak_bytes() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() && self.ended.try_recv().is_err() {
            let _ = kill_process(self.pid, Signal::KILL); // it may have ended in between
        }
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` if a signal ended the program.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
    /// The most memory that was resident by the last line of standard output; 0 if that was redirected.
    pub peak_bytes: u64,
}

impl Finished {
    /// Panics with both streams if the exit code is not `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; output:\n{}", self.both_streams());
        self
    }

    /// Standard output and standard error, one after the other.
    pub fn both_streams(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// All lines of standard output, parsed as JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line:?}\n{}", self.stderr))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The lines of records: all but the summary.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("_aws").is_none()).collect()
    }

    /// The line of the record with this key. Panics unless there is exactly one.
    #[track_caller]
    pub fn record(&self, key: &str) -> Value {
        let mut records = self.records();
        records.retain(|record| record.get("key").and_then(Value::as_str) == Some(key));
        assert_eq!(records.len(), 1, "lines of {key:?} in\n{}", self.both_streams());
        records.remove(0)
    }

    /// Status and reason of the record with this key, to compare with [`outcome`].
    #[track_caller]
    pub fn outcome(&self, key: &str) -> (String, String) {
        let record = self.record(key);
        (text(&record, "status").to_owned(), text(&record, "reason").to_owned())
    }

    /// The summary line. Panics unless there is exactly one.
    #[track_caller]
    pub fn summary(&self) -> Value {
        let mut summaries = self.lines();
        summaries.retain(|line| line.get("_aws").is_some());
        assert_eq!(summaries.len(), 1, "summary lines in\n{}", self.both_streams());
        summaries.remove(0)
    }
}

/// The expected result of [`Finished::outcome`]. The reason is empty if the record has none.
pub fn outcome(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// A string member of a log line; empty if it is absent or null.
pub fn text<'a>(line: &'a Value, member: &str) -> &'a str {
    line.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The member `outputs` of a record's line: the keys in their order there.
pub fn outputs(record: &Value) -> Vec<String> {
    let outputs = record.get("outputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    outputs.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A batch of plain entries, each with bucket and raw key.
pub fn entries(objects: &[(&str, &str)]) -> Value {
    objects.iter().map(|(bucket, key)| json!({ "bucket": bucket, "key": key })).collect()
}

/// An S3 notification for one created object. The key must be form-encoded, as in those of S3.
pub fn notification(bucket: &str, encoded_key: &str, size_bytes: usize) -> Value {
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

/// One output stream of the program. A separate thread reads it, so the program never waits for the test.
#[derive(Default)]
struct OutputStream {
    received: Mutex<Received>,
    changed: Condvar,
}

#[derive(Default)]
struct Received {
    text: String,
    ended: bool,
    peak_bytes: u64,
}

impl OutputStream {
    /// A stream that was redirected: empty and ended.
    fn redirected() -> Arc<Self> {
        Arc::new(Self { received: Mutex::new(Received { ended: true, ..Received::default() }), ..Self::default() })
    }

    fn collect(pipe: impl Read + Send + 'static, pid: u32) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let writer = Arc::clone(&stream);
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read_bytes| read_bytes > 0) {
                let peak_bytes = peak_bytes(pid);
                writer.change(|received| {
                    received.text.push_str(&String::from_utf8_lossy(&line));
                    received.peak_bytes = received.peak_bytes.max(peak_bytes);
                });
                line.clear();
            }
            writer.change(|received| received.ended = true);
        });
        stream
    }

    fn change(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn text(&self) -> String {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    fn peak_bytes(&self) -> u64 {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).peak_bytes
    }

    /// Whether `text` was received before the stream ended and before the time limit.
    fn wait_for(&self, text: &str) -> bool {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |received: &mut Received| !received.ended && !received.text.contains(text);
        let (received, _) =
            self.changed.wait_timeout_while(received, TIME_LIMIT, waiting).unwrap_or_else(PoisonError::into_inner);
        received.text.contains(text)
    }

    fn wait_for_end(&self) {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(received, TIME_LIMIT, |received| !received.ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The high-water mark of a process's resident memory; 0 if it has ended.
pub fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let mark = mark.and_then(|mark| mark.split_whitespace().next()?.parse::<u64>().ok());
    mark.unwrap_or(0) * 1024
}

fn wait_in_background(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = sender.send(status); // the test may have stopped waiting
        }
    });
    receiver
}
