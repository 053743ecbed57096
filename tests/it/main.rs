//! Tests of the built program's behaviour, in one test binary.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, missing_docs, reason = "a test that panics has failed")]

mod documents;
mod event_corpus;
mod faults;
mod goldens;
mod hand_back;
mod hostile;
mod layers;
mod memory;
mod process;
mod race;
mod references;
mod s3;
