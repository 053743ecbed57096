//! The fuzz target `decode` without a fuzzer: its corpus and ten thousand mutations of it.
#![allow(clippy::indexing_slicing, missing_docs, reason = "a test that panics has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use pixpipe_pixels::render::Renderer;

#[path = "../../../fuzz/bodies/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/bodies/counting.rs"]
mod counting;
#[path = "../../../fuzz/bodies/decode.rs"]
mod decode;

use corpus::{MUTATIONS, corpus, expect_none, halves, keep, mutated, text_of};
use decode::{SETTINGS_BYTES, Verdict};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The results of running the target on one input after another. Only a panic replaces the renderer.
struct Decoding {
    renderer: Renderer,
    rendered: usize,
    failures: Vec<String>,
}

impl Decoding {
    fn new() -> Self {
        Self { renderer: new_renderer(), rendered: 0, failures: Vec::new() }
    }

    fn run(&mut self, name: &str, input: &[u8]) {
        let outcome = catch_unwind(AssertUnwindSafe(|| decode::run(&mut self.renderer, input)));
        let fault = match outcome {
            Ok(Ok(verdict)) => {
                self.rendered += usize::from(verdict == Verdict::Rendered);
                return;
            }
            Ok(Err(fault)) => fault,
            Err(panic) => {
                self.renderer = new_renderer();
                format!("panicked: {}", text_of(panic.as_ref()))
            }
        };
        self.failures.push(format!("{name}: {fault}; the input is {}", keep("decode", name, input).display()));
    }
}

fn new_renderer() -> Renderer {
    Renderer::try_new().expect("memory for the codecs")
}

#[test]
fn the_image_corpus_is_rendered() {
    let mut decoding = Decoding::new();
    let corpus = corpus("decode");
    for (name, input) in &corpus {
        let before = decoding.rendered;
        decoding.run(name, input);
        // Inputs that a fuzzer found have a hash as name and may be anything.
        if name.contains('.') {
            assert!(decoding.rendered > before || !decoding.failures.is_empty(), "{name} is a good image");
        }
    }
    expect_none(&decoding.failures);
}

#[test]
fn mutated_images_are_rendered_in_their_size_or_refused() {
    let corpus = corpus("decode");
    let (failures, rendered) = std::thread::scope(|scope| {
        let threads = halves().map(|seeds| {
            let corpus = &corpus;
            scope.spawn(move || {
                let mut decoding = Decoding::new();
                for seed in seeds {
                    decoding.run(&format!("seed-{seed}"), &mutated(seed, corpus, SETTINGS_BYTES));
                }
                let rendered = decoding.rendered;
                // Afterwards the decoders still render every good image.
                for (name, input) in corpus.iter().filter(|(name, _)| name.contains('.')) {
                    let before = decoding.rendered;
                    decoding.run(&format!("{name}-after-all"), input);
                    if decoding.rendered == before {
                        decoding.failures.push(format!("{name} is no longer rendered after all mutations"));
                    }
                }
                (decoding.failures, rendered)
            })
        });
        let halves = threads.map(|thread| thread.join().expect("panics are caught"));
        let rendered: usize = halves.iter().map(|(_, rendered)| rendered).sum();
        (halves.into_iter().flat_map(|(failures, _)| failures).collect::<Vec<_>>(), rendered)
    });
    expect_none(&failures);
    // If all mutations were refused by their first bytes, nothing would be tested.
    assert!(rendered > 500, "{rendered} of {MUTATIONS} mutations were rendered");
}
