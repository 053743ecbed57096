//! What needs files that crash the codec (feature `fault-switch`): poison records, and many batches through every fault.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, missing_docs, reason = "a test that panics has failed")]

mod poison;
mod storm;
#[expect(dead_code, reason = "shared with tests/it: each uses a part that the other does not")]
#[path = "../it/support/mod.rs"]
mod support;
