//! Support for the tests that run the built program: [`server`] is a small S3 and SQS over real HTTP, [`faults`] make
//! it fail on purpose, and [`run`] starts the program with nothing but the given environment.
//!
//! For the tests of this repository only. A function panics if the test cannot go on.
#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

pub mod credentials;
pub mod emf;
pub mod faults;
pub mod photos;
mod queue;
pub mod run;
pub mod s3;
pub mod server;
