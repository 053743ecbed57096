//! Batches with random faults: duplicate and shuffled events, overwritten sources, a store and queues that fail, racing
//! tasks, and signals at any request. Handed-back records and batches of killed tasks are launched again until no work
//! is left. Then the outputs and the failed queue are checked.
//!
//! `CHAOS_BATCHES` sets the number of batches (default 30); `CHAOS_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

mod checks;
mod plan;
mod run;
mod source;

use run::Batch;

const OBJECTS: usize = 20;
const SIZES: [&str; 2] = ["32x32", "17x9"];
/// Launches with faults. Later ones have none, so every batch ends.
const LAUNCHES_WITH_FAULTS: usize = 5;
/// Limit of launches per batch: no batch that makes progress needs more.
const MAX_LAUNCHES: usize = 12;
/// Number of batches that run at the same time. They wait more than they compute.
const THREADS: usize = 8;

#[test]
fn after_every_batch_each_source_has_the_outputs_of_its_newest_bytes_or_a_true_reason() {
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
                    let counted = Batch::new(seed, batch).run();
                    counts.lock().expect("no thread panics while it counts").add(&counted);
                }
            });
        }
    });
    println!("{}", counts.lock().unwrap());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Numbers of events of each kind, printed at the end.
#[derive(Default)]
struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    fn add_if(&mut self, condition: bool, kind: &'static str) {
        if condition {
            self.count(kind);
        }
    }

    fn add(&mut self, other: &Self) {
        for (kind, times) in &other.0 {
            *self.0.entry(kind).or_default() += times;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(kind, times)| format!("{times} {kind}")).collect();
        f.write_str(&counts.join(", "))
    }
}
