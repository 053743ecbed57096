//! Tests with files that crash the codec (feature `fault-switch`): poison records, and many batches with random faults.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, missing_docs, reason = "a test that panics has failed")]

mod poison;
mod storm;
