//! Bytes that were cut, damaged, made odd, or made to exhaust the machine: refused for the right reason and without
//! harm to their neighbours, or rendered as if nothing were wrong where nothing is.

#![expect(
    clippy::indexing_slicing,
    reason = "files of this repository and those made here; a wrong index is a failure"
)]

mod bombs;
mod damage;
mod neighbours;
mod oddities;
mod scene;
mod strangers;
mod truncation;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use pixpipe::codec::CodecError;
use pixpipe::geometry::{Fit, Size};
use pixpipe::render::{Plan, RenderError, Renderer};
use pixpipe::spec::{Color, Decode, Encoding, Filter, Rgb, Spec};

/// In `testdata/images`: every format, and every way of its own to store pixels.
const ONE_OF_EACH_KIND: [&str; 17] = [
    "jpeg/baseline.jpg",
    "jpeg/progressive.jpg",
    "jpeg/arithmetic.jpg",
    "jpeg/restart-markers.jpg",
    "png/rgb-8.png",
    "png/interlaced-rgb-8.png",
    "png/animated.png",
    "gif/plain.gif",
    "gif/animated.gif",
    "webp/lossy.webp",
    "webp/lossless.webp",
    "webp/animated.webp",
    "bmp/rgb-24.bmp",
    "bmp/rle8.bmp",
    "tiff/rgb-8-lzw.tif",
    "tiff/rgb-8-tiled.tif",
    "tiff/multipage.tif",
];

/// `MAX_SOURCE_PIXELS` where it is not set.
const MAX_PIXELS: u64 = 268_435_456;

// --- one file through the library ---

thread_local! {
    static RENDERER: RefCell<Renderer> = RefCell::new(Renderer::try_new().expect("there is memory for the codecs"));
}

/// Every pixel of a file, upright, in its own size: `height × width × 3` bytes behind an npy header.
fn pixels(file: &[u8]) -> Result<Vec<u8>, RenderError> {
    let probe = Plan::read(file, &spec(Size::new(1, 1).expect("not zero")), MAX_PIXELS)?;
    let (size, turned) = (probe.header().size, probe.header().orientation.swaps_axes());
    rendered(file, if turned { size.transposed() } else { size })
}

/// A small picture of a file, without what lies left and right: the decoder leaves that out.
fn thumbnail(file: &[u8]) -> Result<Vec<u8>, RenderError> {
    rendered(file, Size::new(16, 16).expect("not zero"))
}

fn rendered(file: &[u8], size: Size) -> Result<Vec<u8>, RenderError> {
    let spec = spec(size);
    let plan = Plan::read(file, &spec, MAX_PIXELS)?;
    let rendered = RENDERER.with_borrow_mut(|renderer| renderer.render(file, &plan, &spec, &spec.sizes))?;
    Ok(rendered.outputs.into_iter().flat_map(|(_, output)| output).collect())
}

fn spec(size: Size) -> Spec {
    Spec {
        sizes: vec![size],
        fit: Fit::Cover,
        filter: Filter::Box,
        decode: Decode::Exact,
        color: Color::Srgb,
        background: Rgb([0; 3]),
        encoding: Encoding::Npy,
    }
}

/// The stable reason that a refusal has in the log.
fn reason(error: &RenderError) -> &'static str {
    match error {
        RenderError::TooManyPixels { .. } => "too-many-pixels",
        RenderError::Codec(CodecError::Unsupported(_)) => "unsupported-format",
        RenderError::Codec(CodecError::Truncated(_)) => "truncated",
        RenderError::Codec(CodecError::Corrupt(_)) => "corrupt",
        _ => "internal",
    }
}

fn reason_of(file: &[u8]) -> &'static str {
    match thumbnail(file) {
        Ok(_) => "rendered",
        Err(error) => reason(&error),
    }
}

// --- test data ---

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/images")
}

fn image(name: &str) -> Vec<u8> {
    let path = images().join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All of `testdata/images`, by their path below it.
fn zoo() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for format in ["bmp", "gif", "jpeg", "orientation", "png", "tiff", "webp"] {
        for entry in fs::read_dir(images().join(format)).expect("a folder of testdata/images") {
            let path = entry.expect("an entry of it").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("an ASCII name").to_owned();
            files.push((format!("{format}/{name}"), fs::read(path).expect("a listed file can be read")));
        }
    }
    files.sort();
    files
}

/// Runs `check` over all `cases` on two threads; gives what it complains about.
fn complaints<T: Sync>(cases: &[T], check: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                found.extend(check(case));
            }
            found
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().expect("a check panicked, see above")).collect()
    })
}

#[track_caller]
fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

// --- JPEG, piece by piece ---

/// A marker segment: its code, and where it lies with its marker. The coded data after an SOS belong to none.
struct Segment {
    code: u8,
    start: usize,
    end: usize,
}

/// The segments of a JPEG of the test data, SOI and EOI left out.
fn segments(file: &[u8]) -> Vec<Segment> {
    let mut found = Vec::new();
    let mut at = 2;
    loop {
        assert_eq!(file[at], 0xff, "a marker at {at}");
        let code = file[at + 1];
        if code == 0xd9 {
            return found;
        }
        let end = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        found.push(Segment { code, start: at, end });
        at = end;
        if code == 0xda {
            while file[at] != 0xff || matches!(file[at + 1], 0 | 0xd0..=0xd7) {
                at += 1;
            }
        }
    }
}

fn segment(file: &[u8], code: u8) -> Segment {
    segments(file).into_iter().find(|segment| segment.code == code).expect("such a segment")
}

/// Where the coded data of each scan lie.
fn scans(file: &[u8]) -> Vec<(usize, usize)> {
    let all = segments(file);
    let end_of_image = file.len() - 2;
    let next = |index: usize| all.get(index + 1).map_or(end_of_image, |segment| segment.start);
    all.iter().enumerate().filter(|(_, segment)| segment.code == 0xda).map(|(i, scan)| (scan.end, next(i))).collect()
}

fn inserted(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&file[..at], bytes, &file[at..]].concat()
}

fn removed(file: &[u8], start: usize, end: usize) -> Vec<u8> {
    [&file[..start], &file[end..]].concat()
}

fn with(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut copy = file.to_vec();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    copy
}

/// `bytes` in front of every segment but the first.
fn between_segments(file: &[u8], bytes: &[u8]) -> Vec<u8> {
    segments(file).iter().skip(1).rev().fold(file.to_vec(), |file, segment| inserted(&file, segment.start, bytes))
}
