//! The log: one line a record and a summary on standard output, diagnostics on standard error. `outcome::line` and
//! `outcome::summary` make the lines.
//!
//! Each stream has a thread that writes, and a bounded queue in front of it. So a reader that does not read stops
//! nothing: its pipe fills up, then the queue, and then lines are left out.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::config::LogFormat;

/// The bytes of standard output that wait for their reader: some 10,000 lines of records. They are a part of
/// `budget::BASE_BYTES`.
const STDOUT_BYTES: usize = 3 << 20;
/// The bytes of standard error that wait for their reader.
const STDERR_BYTES: usize = 1 << 20;
/// At the end, a reader that takes no line for this long is not waited for.
const STALL: Duration = Duration::from_secs(5);
/// At the end, no reader is waited for longer than this.
const LONGEST_FLUSH: Duration = Duration::from_secs(30);

static STDOUT: Stream = Stream::new(STDOUT_BYTES);
static STDERR: Stream = Stream::new(STDERR_BYTES);

/// An output stream: lines that wait, and the thread that writes them.
struct Stream {
    state: Mutex<State>,
    has_changed: Condvar,
    most_bytes: usize,
}

struct State {
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// A line is being written: it has left the queue.
    is_writing: bool,
    has_thread: bool,
    /// Lines that were written, or that the reader's end refused.
    written: u64,
    left_out: u64,
}

impl Stream {
    const fn new(most_bytes: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_writing: false,
            has_thread: false,
            written: 0,
            left_out: 0,
        };
        Self { state: Mutex::new(state), has_changed: Condvar::new(), most_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread that writes. Without one (the system has none left), each line is written by its sender.
    fn start(&'static self, mut output: impl Write + Send + 'static) {
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            let mut state = self.state();
            loop {
                if let Some(line) = state.waiting.pop_front() {
                    state.waiting_bytes -= line.len();
                    state.is_writing = true;
                    drop(state);
                    // Nobody may be reading: that changes neither the work nor its exit code.
                    drop(output.write_all(&line).and_then(|()| output.flush()));
                    state = self.state();
                    state.is_writing = false;
                    state.written += 1;
                    self.has_changed.notify_all();
                } else {
                    state = self.has_changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        });
        self.state().has_thread = thread.is_ok();
    }

    /// Adds a line with its end to those that wait, or leaves it out if they are too many. False if the stream has no
    /// thread.
    fn push(&self, line: &[u8]) -> bool {
        let mut state = self.state();
        if !state.has_thread {
            return false;
        }
        // A line that is longer than the bound waits alone.
        if state.waiting_bytes > 0 && state.waiting_bytes + line.len() > self.most_bytes {
            state.left_out += 1;
        } else {
            state.waiting_bytes += line.len();
            state.waiting.push_back(line.to_vec());
            self.has_changed.notify_all();
        }
        true
    }

    /// Waits until all lines are written, or the reader has taken none for `stall`, or it is `end`. Gives the number of
    /// lines that are not written.
    fn flush(&self, stall: Duration, end: Instant) -> u64 {
        let mut state = self.state();
        let (mut written, mut since) = (state.written, Instant::now());
        while state.is_writing || !state.waiting.is_empty() {
            if state.written != written {
                (written, since) = (state.written, Instant::now());
            }
            let left = (since + stall).min(end).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.has_changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let waiting = state.waiting.len() + usize::from(state.is_writing);
        state.left_out + u64::try_from(waiting).unwrap_or(u64::MAX)
    }
}

/// Starts the threads that write. Before, and if there is no thread to be had, a line is written by its sender.
pub fn open() {
    STDOUT.start(io::stdout());
    STDERR.start(io::stderr());
}

/// Starts the diagnostics, panics included.
pub fn start(format: LogFormat, filter: Targets) {
    // What it says of credentials is said again in our own words, without Rust's.
    let filter = if filter.to_string().contains("aws_config") {
        filter
    } else {
        filter.with_target("aws_config", LevelFilter::OFF)
    };
    let registry = tracing_subscriber::registry();
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Diagnostics);
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(filter)).init(),
        LogFormat::Text => registry.with(layer.with_ansi(false).with_filter(filter)).init(),
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Waits for the readers of both streams, as long as they read. Says if lines were left out.
pub fn close() {
    let end = Instant::now() + LONGEST_FLUSH;
    let left_out = STDOUT.flush(STALL, end);
    if left_out > 0 {
        stderr_line(&format!("{left_out} lines of the log are missing: nobody reads standard output fast enough"));
    }
    STDERR.flush(STALL, end);
}

/// The writer of diagnostics: an event is one call.
struct Diagnostics;

impl Write for Diagnostics {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if STDERR.push(line) { Ok(line.len()) } else { io::stderr().write(line) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line on standard output: a document for machines, or its text for people.
pub fn document(format: LogFormat, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
    match format {
        LogFormat::Json => stdout_line(&json().to_string()),
        LogFormat::Text => stdout_line(&text()),
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A line on standard output.
pub fn stdout_line(text: &str) {
    let line = format!("{text}\n");
    if !STDOUT.push(line.as_bytes()) {
        drop(io::stdout().lock().write_all(line.as_bytes()));
    }
}

/// A line on standard error, for messages that are no diagnostics.
pub fn stderr_line(text: &str) {
    let line = format!("{text}\n");
    if !STDERR.push(line.as_bytes()) {
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// Takes a line each time that it is told to.
    struct Slow {
        go: Receiver<()>,
        lines: std::sync::mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            self.lines.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_beyond_the_bound_are_left_out_and_counted() {
        let stream: &'static Stream = Box::leak(Box::new(Stream::new(10)));
        assert!(!stream.push(b"before\n"), "there is no thread yet");
        let ((go, gone), (lines, taken)) = (channel(), channel());
        stream.start(Slow { go: gone, lines });
        assert!(stream.push(b"first\n"));
        // Until the thread has taken it, it counts.
        while !stream.state().is_writing {
            std::thread::yield_now();
        }
        for line in [b"12345\n", b"12345\n"] {
            assert!(stream.push(line));
        }
        let now = Instant::now();
        assert_eq!(stream.flush(Duration::ZERO, now), 3, "one is being written, one waits, one is left out");
        assert_eq!(stream.flush(LONGEST_FLUSH, now), 3);
        for _ in 0..2 {
            go.send(()).expect("the thread waits");
        }
        assert_eq!(stream.flush(LONGEST_FLUSH, now + LONGEST_FLUSH), 1);
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), [b"first\n".to_vec(), b"12345\n".to_vec()]);
    }
}
