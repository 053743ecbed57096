//! The log: one line a record and a summary on standard output, diagnostics on standard error. `outcome::line` and
//! `outcome::summary` make the lines.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::config::LogFormat;

/// Starts the diagnostics, panics included.
pub fn start(format: LogFormat, filter: Targets) {
    let registry = tracing_subscriber::registry();
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(filter)).init(),
        LogFormat::Text => registry.with(layer.with_ansi(false).with_filter(filter)).init(),
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
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

/// A line on standard output. Nobody may be reading it: that changes neither the work nor its exit code.
pub fn stdout_line(text: &str) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// A line on standard error, for messages before diagnostics are configured.
pub fn stderr_line(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
