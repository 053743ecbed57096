//! What the tests of the binary stand on: a small S3 that keeps its objects in memory and is served over real HTTP, faults
//! in front of it, and a harness that runs the program with nothing but the given environment.

pub(crate) mod credentials;
pub(crate) mod emf;
pub(crate) mod faults;
pub(crate) mod photos;
pub(crate) mod queue;
pub(crate) mod run;
pub(crate) mod s3;
pub(crate) mod server;
