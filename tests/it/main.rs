//! Behaviour of the built program, in one test binary.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, missing_docs, reason = "a test that panics has failed")]

mod faults;
mod fuzz_corpus;
mod goldens;
mod handback;
mod hostile;
mod layers;
mod memory;
mod process;
mod race;
mod s3;
#[expect(dead_code, reason = "shared with tests/chaos: each uses a part that the other does not")]
mod support;
