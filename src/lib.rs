//! The parts of the program `pixpipe`: a batch of S3 events in, exact-size training images out, then the end.
//!
//! This library is for the program's own tests, benchmarks and fuzz targets; it is not a stable interface. The contract
//! that users rely on is docs/contract.md.
//!
//! # The way of a record
//!
//! ```text
//! SQS_BODY ── event ──► entries ── batch ──► records, a bounded number at a time
//!
//!     record   look    heads of the outputs                                    store
//!              make    source as it is now ──► room in memory ──► pixels       store, budget, pool, pixpipe_pixels
//!              write   each output, if nobody else wrote it meanwhile          store
//!
//!          ──► outcome ──► log line ──► summary ──► hand-back to a queue ──► exit code
//! ```
//!
//! # Modules
//!
//! An arrow only ever points down; a test (`tests/it/layers.rs`) reads the sources and holds it.
//!
//! - Story: [`cli`] (arguments), [`task`] (one run), [`batch`] (records → outcomes). May touch everything below.
//! - World: [`store`], [`budget`], [`pool`], [`child`], [`machine`], [`signals`], [`log`]; with the feature `aws` also
//!   `queue` and `aws`. Files, network and clock; no pixels.
//! - Values: [`config`], [`event`], [`object`], [`destination`], [`reason`], [`outcome`]. Pure.
//! - Pixels: the crate [`pixpipe_pixels`]. Bytes in, bytes out; its dependencies know no I/O.

#[cfg(feature = "aws")]
pub(crate) mod aws;
pub mod batch;
pub mod budget;
pub mod child;
pub mod cli;
pub mod config;
pub mod destination;
pub mod event;
pub mod log;
pub mod machine;
pub mod object;
pub(crate) mod one_line;
pub mod outcome;
pub mod pool;
#[cfg(feature = "aws")]
pub(crate) mod queue;
pub mod reason;
pub mod signals;
pub mod store;
pub mod task;
