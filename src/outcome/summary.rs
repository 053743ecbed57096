//! The summary of a batch, and the exit code that follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Outcome, Status};
use crate::destination::Destination;
use crate::one_line::one_line;
use crate::reason::FailReason;

/// The value of the metrics' dimension. CloudWatch accepts printable ASCII, at most 1,024 characters: other bytes are
/// percent-encoded.
fn dimension(destination: &Destination) -> String {
    let printable = |byte: u8| {
        if (b' '..=b'~').contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    let text: String = destination.to_string().bytes().map(printable).collect();
    text.chars().take(1024).collect()
}

/// The number of records by how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    written: u64,
    skipped: u64,
    failed: u64,
    handed_back: u64,
    source_bytes: u64,
    broken_profiles: u64,
    failed_for_good: u64,
    reasons: BTreeMap<FailReason, u64>,
    formats: BTreeMap<&'static str, u64>,
    /// A part of the batch was not read.
    has_rest: bool,
    /// A part of the batch cannot be read.
    has_unreadable_rest: bool,
    /// Failures that no queue took: those that are worth retrying, and the others.
    left_to_retry: u64,
    left_failed: u64,
}

/// The exit codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Every record was written or skipped, or handed back.
    Done,
    /// At least one record failed for good, and was not handed back.
    Failed,
    /// The command line is not understood.
    Usage,
    /// `SQS_BODY` cannot be read as a batch.
    Batch,
    /// Unfinished work is worth retrying, and was not handed back.
    Retry,
    /// The configuration is at fault.
    Config,
}

impl Exit {
    /// The code: that of `sysexits.h` if it has one.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Batch => 65,
            Self::Retry => 75,
            Self::Config => 78,
        }
    }
}

impl Summary {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        self.source_bytes += outcome.facts.source_bytes.unwrap_or(0);
        self.broken_profiles += u64::from(outcome.facts.broken_profile.is_some());
        if let Some(format) = outcome.facts.format {
            *self.formats.entry(format.as_str()).or_default() += 1;
        }
        match &outcome.status {
            Status::Written => self.written += 1,
            Status::Skipped(_) => self.skipped += 1,
            Status::Failed { reason, .. } => {
                self.failed += 1;
                *self.reasons.entry(*reason).or_default() += 1;
                if reason.is_worth_retrying() {
                    self.left_to_retry += 1;
                } else {
                    self.left_failed += 1;
                }
            }
        }
    }

    /// Counts an outcome that was added before as failed for good: it is not worth retrying, or was tried often enough.
    pub const fn fail_for_good(&mut self) {
        self.failed_for_good += 1;
    }

    /// Marks an outcome that was added before as handed back, so that the exit code ignores it.
    pub const fn hand_back(&mut self, is_worth_retrying: bool) {
        self.handed_back += 1;
        let count = if is_worth_retrying { &mut self.left_to_retry } else { &mut self.left_failed };
        *count = count.saturating_sub(1);
    }

    /// Notes that a part of the batch was not read: it is worth retrying.
    pub const fn leave_rest(&mut self) {
        self.has_rest = true;
    }

    /// Notes that a part of the batch cannot be read: it has to be mended.
    pub const fn leave_unreadable(&mut self) {
        self.has_unreadable_rest = true;
    }

    /// The counts that a report has as its metadata.
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("written", self.written),
            ("skipped", self.skipped),
            ("failed", self.failed),
            ("handed-back", self.handed_back),
        ]
    }

    /// The exit code: work that is worth retrying counts more than records that failed for good.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        if self.left_to_retry > 0 || self.has_rest {
            Exit::Retry
        } else if self.has_unreadable_rest {
            Exit::Batch
        } else if self.left_failed > 0 {
            Exit::Failed
        } else {
            Exit::Done
        }
    }

    /// The summary line, which CloudWatch reads as metrics (embedded metric format). `now_ms`: milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self, destination: &Destination, now_ms: u64, took: Duration) -> Value {
        let metric = |name: &str, unit: &str| json!({"Name": name, "Unit": unit});
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        json!({
            "_aws": {
                "Timestamp": now_ms,
                "CloudWatchMetrics": [{
                    "Namespace": "pixpipe",
                    "Dimensions": [["destination"]],
                    "Metrics": [
                        metric("written", "Count"),
                        metric("skipped", "Count"),
                        metric("failed", "Count"),
                        metric("failed_for_good", "Count"),
                        metric("handed_back", "Count"),
                        metric("broken_profiles", "Count"),
                        metric("source_bytes", "Bytes"),
                        metric("duration_ms", "Milliseconds"),
                    ],
                }],
            },
            "destination": dimension(destination),
            "written": self.written,
            "skipped": self.skipped,
            "failed": self.failed,
            "failed_for_good": self.failed_for_good,
            "handed_back": self.handed_back,
            "broken_profiles": self.broken_profiles,
            "source_bytes": self.source_bytes,
            "duration_ms": duration_ms,
            "reasons": self.reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect::<BTreeMap<_, _>>(),
            "formats": self.formats,
            "exit_code": self.exit().code(),
        })
    }

    /// The summary for people.
    #[must_use]
    pub fn to_text(&self, destination: &Destination, took: Duration) -> String {
        let mut text = format!("{} written, {} skipped, {} failed", self.written, self.skipped, self.failed);
        if !self.reasons.is_empty() {
            let reasons = self.reasons.iter().map(|(reason, count)| format!("{count} {}", reason.as_str()));
            text += &format!(" ({})", reasons.collect::<Vec<_>>().join(", "));
        }
        let destination = one_line(&destination.to_string());
        text += &format!(" to {destination} in {:.2} s", took.as_secs_f64());
        if self.handed_back > 0 {
            text += &format!(", {} handed back", self.handed_back);
        }
        if self.broken_profiles > 0 {
            text += &format!(", {} broken colour profiles ignored", self.broken_profiles);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::{FailReason, SkipReason};
    use pixpipe_pixels::codec::Format;

    #[test]
    fn the_worst_decides_the_exit_code() {
        let failed = |reason| Status::failed(reason, "");
        let cases = [
            (vec![], 0),
            (vec![Status::Written, Status::Skipped(SkipReason::Unchanged)], 0),
            (vec![Status::Written, failed(FailReason::Corrupt)], 1),
            (vec![failed(FailReason::Corrupt), failed(FailReason::Interrupted)], 75),
            (vec![failed(FailReason::StoreUnavailable), Status::Written], 75),
            (vec![failed(FailReason::Conflict)], 75),
            (vec![failed(FailReason::NotFound)], 1),
            (vec![failed(FailReason::Internal)], 1),
        ];
        for (statuses, code) in cases {
            let mut summary = Summary::default();
            for status in &statuses {
                summary.add(&Outcome::of(status.clone()));
            }
            assert_eq!(summary.exit().code(), code, "{statuses:?}");
        }
    }

    #[test]
    fn failures_are_counted_by_their_reason() {
        let mut summary = Summary::default();
        for reason in [FailReason::Corrupt, FailReason::NotFound, FailReason::Corrupt] {
            summary.add(&Outcome::of(Status::failed(reason, "")));
        }
        let destination =
            Destination { bucket: crate::object::BucketName::parse("out").expect("a name"), prefix: String::new() };
        let json = summary.to_json(&destination, 0, Duration::ZERO);
        assert_eq!(json["reasons"], json!({"corrupt": 2, "not-found": 1}));
        let text = summary.to_text(&destination, Duration::ZERO);
        assert_eq!(text, "0 written, 0 skipped, 3 failed (1 not-found, 2 corrupt) to s3://out/ in 0.00 s");
    }

    #[test]
    fn records_are_counted_by_their_format() {
        let mut summary = Summary::default();
        let heic = Status::failed(FailReason::UnsupportedFormat, "");
        for (status, format) in [
            (Status::Written, Some(Format::Jpeg)),
            (heic.clone(), Some(Format::Heic)),
            (heic, Some(Format::Heic)),
            (Status::Skipped(SkipReason::Unchanged), None),
        ] {
            let mut outcome = Outcome::of(status);
            outcome.facts.format = format;
            summary.add(&outcome);
        }
        let destination =
            Destination { bucket: crate::object::BucketName::parse("out").expect("a name"), prefix: String::new() };
        let json = summary.to_json(&destination, 0, Duration::ZERO);
        assert_eq!(json["formats"], json!({"heic": 2, "jpeg": 1}));
    }

    #[test]
    fn what_was_handed_back_no_longer_counts() {
        let mut summary = Summary::default();
        let corrupt = Outcome::of(Status::failed(FailReason::Corrupt, ""));
        let interrupted = Outcome::of(Status::failed(FailReason::Interrupted, ""));
        summary.add(&corrupt);
        summary.add(&interrupted);
        assert_eq!(summary.exit(), Exit::Retry);
        summary.hand_back(true);
        assert_eq!(summary.exit(), Exit::Failed);
        summary.hand_back(false);
        assert_eq!((summary.exit(), summary.failed, summary.handed_back), (Exit::Done, 2, 2));
    }
}
