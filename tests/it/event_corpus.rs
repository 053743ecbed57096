//! The fuzz target `event` without a fuzzer: its corpus and ten thousand mutations of it.

use std::panic::catch_unwind;

#[path = "../../fuzz/bodies/corpus.rs"]
mod corpus;
#[path = "../../fuzz/bodies/event.rs"]
mod event;

use corpus::{corpus, expect_none, halves, keep, mutated, text_of};

/// The failure of one input, if it fails.
fn run(name: &str, input: &[u8]) -> Option<String> {
    let panic = catch_unwind(|| event::run(input)).err()?;
    let path = keep("event", name, input);
    Some(format!("{name}: panicked: {}; the input is {}", text_of(panic.as_ref()), path.display()))
}

#[test]
fn the_event_corpus_is_read() {
    let failures: Vec<String> = corpus("event").iter().filter_map(|(name, input)| run(name, input)).collect();
    expect_none(&failures);
}

#[test]
fn mutated_events_are_read_or_refused() {
    let corpus = corpus("event");
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads = halves().map(|seeds| {
            let corpus = &corpus;
            scope.spawn(move || {
                seeds.filter_map(|seed| run(&format!("seed-{seed}"), &mutated(seed, corpus, 0))).collect::<Vec<_>>()
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().expect("panics are caught")).collect()
    });
    expect_none(&failures);
}
