//! S3 events in, exact-size training images out: the parts of the `pixpipe` program.
//!
//! Four layers, and an arrow only ever points down: values (`geometry`, `object`, `event`, `spec`, `config`), pixels
//! (`pixels`, `codec`, `scale`, `color`, `render`), world (`aws`, `child`, `store`, `handback`, `memory`, `pool`, `shutdown`, `telemetry`) and story
//! (`batch`, `outcome`, `report`, `cli`).

pub mod aws;
pub mod batch;
pub mod child;
pub mod cli;
pub mod codec;
pub mod color;
pub mod config;
pub mod event;
pub mod geometry;
pub mod handback;
pub mod memory;
pub mod object;
pub mod outcome;
pub mod pixels;
pub mod pool;
pub mod render;
pub mod report;
pub mod scale;
pub mod shutdown;
pub mod spec;
pub mod store;
pub mod telemetry;
