//! Hostile files, and the tools that make them. Shared: the tests of this crate read them in-process,
//! `tests/it/hostile.rs` gives them to the program.

pub(crate) mod bombs;
pub(crate) mod foreign_formats;
pub(crate) mod jpeg;
pub(crate) mod worst;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files in `testdata/images`: every format, and every way of its own to store pixels.
pub(crate) const ONE_OF_EACH_KIND: [&str; 20] = [
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
    "avif/420-8.avif",
    "avif/grid-rgba.avif",
    "avif/animated.avif",
];

/// A file or folder of this repository, whichever of its packages is tested.
pub(crate) fn repository(path: &str) -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    packages.map(|folder| folder.join(path)).find(|path| path.exists()).unwrap_or_else(|| panic!("there is no {path}"))
}

/// A file of `testdata/images`.
pub(crate) fn image(name: &str) -> Vec<u8> {
    let path = repository("testdata/images").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `file` with `bytes` inserted at `at`.
pub(crate) fn inserted(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&file[..at], bytes, &file[at..]].concat()
}

/// `file` without the bytes `[start, end)`.
pub(crate) fn removed(file: &[u8], start: usize, end: usize) -> Vec<u8> {
    [&file[..start], &file[end..]].concat()
}

/// `file` with `bytes` in the place of its own at `at`.
pub(crate) fn with(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut copy = file.to_vec();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    copy
}

/// Runs `check` over all `cases` on two threads. Returns the failures that it finds.
pub(crate) fn failures<T: Sync>(cases: &[T], check: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(check(case));
            }
            found
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().expect("a check panicked, see above")).collect()
    })
}

#[track_caller]
pub(crate) fn expect_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
