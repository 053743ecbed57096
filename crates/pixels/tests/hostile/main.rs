//! Hostile files, in-process. Broken ones are refused with the right error and leave nothing behind in the decoders;
//! odd but valid ones are rendered as usual. How the whole program treats them is tested in `tests/it/hostile`.
#![allow(
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test that panics has failed; the files are of this repository or made here"
)]

mod damage;
mod files;
mod limits;
mod oddities;
mod truncation;
mod unsupported;

use std::cell::RefCell;
use std::fs;

use files::repository;
use pixpipe_pixels::codec::CodecError;
use pixpipe_pixels::geometry::Size;
use pixpipe_pixels::render::{Plan, RenderError, Renderer};
use pixpipe_pixels::spec::{Decode, Encoding, Filter, Spec};

/// The program's default of `MAX_SOURCE_PIXELS`.
const MAX_PIXELS: u64 = 268_435_456;

/// A rendered file, `height × width × 3` bytes after an npy header, or its refusal.
type Outcome = Result<Vec<u8>, RenderError>;

thread_local! {
    static RENDERER: RefCell<Renderer> = RefCell::new(Renderer::try_new().expect("memory for the codecs"));
}

/// Every pixel of a file, upright, in its own size.
fn pixels(file: &[u8]) -> Outcome {
    let probe = Plan::read(file, spec(Size::new(1, 1).expect("not zero")).into(), MAX_PIXELS)?;
    let (size, is_turned) = (probe.header().size, probe.header().orientation.swaps_axes());
    rendered(file, if is_turned { size.transposed() } else { size })
}

/// A small picture of a file, without its left and right margins: the decoder leaves those out.
fn thumbnail(file: &[u8]) -> Outcome {
    rendered(file, Size::new(16, 16).expect("not zero"))
}

fn rendered(file: &[u8], size: Size) -> Outcome {
    let plan = Plan::read(file, spec(size).into(), MAX_PIXELS)?;
    let rendered = RENDERER.with_borrow_mut(|renderer| renderer.render(file, &plan, &[size.into()]))?;
    Ok(rendered.files.concat())
}

fn spec(size: Size) -> Spec {
    let (filter, decode, encoding) = (Filter::Box, Decode::Exact, Encoding::Npy);
    Spec { sizes: vec![size.into()], filter, decode, encoding, ..Spec::default() }
}

fn is_truncated(outcome: &Outcome) -> bool {
    matches!(outcome, Err(RenderError::Codec(CodecError::Truncated(text))) if !text.is_empty())
}

/// The outcome in the message of a failed test.
fn text_of(outcome: &Outcome) -> String {
    match outcome {
        Ok(_) => "rendered".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// All of `testdata/images`, by their paths below it.
fn all_images() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for format in ["avif", "bmp", "gif", "jpeg", "orientation", "png", "tiff", "webp"] {
        for entry in fs::read_dir(repository("testdata/images").join(format)).expect("a folder of testdata/images") {
            let path = entry.expect("an entry of it").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("an ASCII name").to_owned();
            files.push((format!("{format}/{name}"), fs::read(path).expect("a listed file can be read")));
        }
    }
    files.sort();
    files
}
