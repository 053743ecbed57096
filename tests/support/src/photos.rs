//! Photos for the tests: real ones from `testdata/photos`, and small synthetic ones.

use std::io::Cursor;
use std::path::PathBuf;

use image::{ImageFormat, Rgb, RgbImage};

/// The photos in `testdata/photos` as pairs of name and bytes, sorted by name.
pub fn real() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/photos");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("no folder {}: {error}", folder.display()));
    let mut photos: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("the folder can be listed"))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            [".jpg", ".jpeg", ".png"].iter().any(|extension| name.ends_with(extension))
        })
        .map(|(name, path)| (name, std::fs::read(&path).expect("a listed file can be read")))
        .collect();
    photos.sort();
    photos
}

/// A synthetic JPEG, 20 to 100 kB at 640 × 480. Another `seed` gives another picture.
pub fn jpeg(width_px: u32, height_px: u32, seed: u32) -> Vec<u8> {
    let pixels = pattern(width_px, height_px, seed);
    let width = usize::try_from(width_px).expect("a width fits");
    let image = turbojpeg::Image {
        pixels: pixels.as_raw().as_slice(),
        width,
        pitch: width * 3,
        height: usize::try_from(height_px).expect("a height fits"),
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, 90, turbojpeg::Subsamp::Sub2x2).expect("a pattern can be compressed").to_vec()
}

/// A PNG of the same pattern as [`jpeg`].
pub fn png(width_px: u32, height_px: u32, seed: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pattern(width_px, height_px, seed).write_to(&mut bytes, ImageFormat::Png).expect("a pattern can be encoded");
    bytes.into_inner()
}

/// Width, height and pixels of a JPEG: row-major, height × width × 3 bytes, no padding. Panics if the file is cut.
pub fn decode_jpeg(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
    assert!(bytes.ends_with(&[0xff, 0xd9]), "the JPEG of {} bytes does not end in EOI", bytes.len());
    let image = turbojpeg::decompress(bytes, turbojpeg::PixelFormat::RGB)
        .unwrap_or_else(|error| panic!("not a complete JPEG ({} bytes): {error}", bytes.len()));
    (image.width, image.height, image.pixels)
}

/// Gradients with coarse noise: neither flat nor so noisy that the files grow large.
fn pattern(width_px: u32, height_px: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width_px, height_px, |x, y| {
        let block = (x / 4).wrapping_mul(73_856_093) ^ (y / 4).wrapping_mul(19_349_663) ^ seed.wrapping_mul(83_492_791);
        let noise = block.wrapping_mul(2_654_435_761) >> 27;
        let level = |value: u32| u8::try_from(value & 0xff).expect("masked to a byte");
        Rgb([level(x / 3 + noise), level(y / 3 + 2 * noise), level((x + y) / 5 + seed * 40 + noise)])
    })
}
