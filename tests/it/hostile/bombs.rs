//! Files that claim to be, or become, large ones: the resident memory of the whole program, C libraries included.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use super::files::bombs::{Bomb, End, bombs};
use super::files::worst::worst_cases;
use super::files::{expect_none, failures, repository};
use super::folder_run::FolderRun;

/// The words that the log may have for this end: the reason of a refusal, or `written`.
fn accepted(end: End) -> &'static [&'static str] {
    match end {
        End::TooManyPixels => &["too-many-pixels"],
        End::Corrupt => &["corrupt"],
        End::AnyRefusal => &["too-many-pixels", "truncated", "corrupt", "unsupported-format"],
        End::Unsupported => &["unsupported-format"],
        End::Rendered => &["written"],
        End::Any => &["written", "too-many-pixels", "truncated", "corrupt", "unsupported-format"],
    }
}

/// The faults in how the program treats one bomb beside a good neighbour, if there are any.
fn faults(bomb: &Bomb, limit_bytes: u64) -> Option<String> {
    let mut folders = FolderRun::new();
    folders.put("bomb", &bomb.file);
    let limit_text = limit_bytes.to_string();
    // Large enough to be at work for some milliseconds when the bomb is over.
    folders.put("good.png", &fs::read(repository("testdata/photos/coffee.png")).expect("a photo"));
    let started = Instant::now();
    let finished = folders.run(&[("MEMORY_LIMIT_BYTES", &limit_text), ("CONCURRENCY", "1"), ("FORMAT", "png")]);
    let spent = started.elapsed();
    if finished.code.is_none() || finished.records().len() != 2 {
        return Some(format!("{}: {:?}, {}{}", bomb.name, finished.code, finished.stdout, finished.stderr));
    }
    let record = finished.record("bomb");
    let (status, reason) = finished.outcome("bomb");
    let end = if status == "written" { &status } else { &reason };
    let mut story = String::new();
    // With little memory, what would be rendered may need more than all of it.
    let is_refused_for_room = bomb.end == End::Rendered && matches!(end.as_str(), "too-many-pixels" | "too-many-bytes");
    if !accepted(bomb.end).contains(&end.as_str()) && !is_refused_for_room {
        write!(story, " {end} instead of {:?} ({});", bomb.end, record["detail"]).expect("a String takes everything");
    }
    if finished.outcome("good.png").0 != "written" {
        write!(story, " the neighbour is not written;").expect("a String takes everything");
    }
    if finished.peak_bytes > limit_bytes {
        write!(story, " {} MB resident ({end});", finished.peak_bytes / 1_000_000).expect("a String takes everything");
    }
    if spent > Duration::from_secs(20) {
        write!(story, " {spent:?};").expect("a String takes everything");
    }
    (!story.is_empty()).then(|| format!("{}:{story}", bomb.name))
}

#[test]
fn bombs_are_refused_before_they_take_memory() {
    expect_none(&failures(&bombs(), |bomb| faults(bomb, 100_000_000).into_iter().collect()));
}

#[test]
fn worst_cases_stay_within_128_mebibytes_beside_their_neighbour() {
    expect_none(&failures(&worst_cases(), |bomb| faults(bomb, 128 << 20).into_iter().collect()));
}

#[test]
fn worst_cases_stay_within_512_mebibytes_beside_their_neighbour() {
    expect_none(&failures(&worst_cases(), |bomb| faults(bomb, 512 << 20).into_iter().collect()));
}
