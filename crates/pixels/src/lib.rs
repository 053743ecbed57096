//! Bytes of an image in, bytes of exact-size training images out: the part of pixpipe that knows pixels.
//!
//! It is a library for the task in `src/`, the contact sheet, the benchmarks and the fuzzer, not a stable interface for
//! others. It has no threads, files, network or clock of its own (except to measure its stages), and expects hostile
//! bytes: a broken file is an error, never a panic.
//!
//! The way of one image:
//!
//! ```text
//! the file's bytes
//!    │
//!    ├─ Plan::read ──────── codec: find the format, check that the file is complete, read the header
//!    │                      geometry: place each output, choose the DCT scale, bound the memory
//!    │
//!    └─ Renderer::render ── codec: decode (DCT-scaled, only what is shown)
//!                           then for each output:
//!                             scale: two passes with Pillow's kernels
//!                             buffer: turn upright        color: ICC profile to sRGB
//!                             buffer: composite and pad   codec: encode
//!                               └──► one file for each size
//! ```
//!
//! - [`spec`]: the settings of a batch, and the hash by which outputs are recognised
//! - [`geometry`]: sizes, orientations, crop boxes, the choice of the DCT scale
//! - [`codec`]: formats, headers, decoding, encoding; the only module that names codec crates
//! - [`scale`]: convolution with Pillow's kernels
//! - [`buffer`]: pixels in memory
//! - `color`: conversion of embedded profiles to sRGB
//! - [`render`]: [`render::Plan`] and [`render::Renderer`], which join them all
//!
//! ```
//! use pixpipe_pixels::{render::{Plan, Renderer}, spec::Spec};
//!
//! let photo = std::fs::read("../../testdata/photos/rocket.jpg")?;
//! let spec = Spec { sizes: vec!["224".parse()?, "320x240".parse()?], ..Spec::default() };
//! let plan = Plan::read(&photo, spec.clone().into(), 100_000_000)?; // at most 100 megapixels
//! let files = Renderer::try_new()?.render(&photo, &plan, &spec.sizes)?.files; // two JPEGs
//! # assert_eq!(files.len(), 2);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
pub mod buffer;
pub mod codec;
pub(crate) mod color;
pub mod geometry;
pub mod render;
pub mod scale;
pub mod spec;
