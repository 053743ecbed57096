//! Formats that are not read, and one that is rarely met.

use pixpipe_pixels::codec::CodecError;
use pixpipe_pixels::render::RenderError;

use super::files::foreign_formats::foreign_formats;
use super::files::{expect_none, repository};
use super::{Outcome, is_truncated, pixels, text_of, thumbnail};

fn is_unsupported(outcome: &Outcome) -> bool {
    matches!(outcome, Err(RenderError::Codec(CodecError::Unsupported(text))) if !text.is_empty())
}

#[test]
fn a_file_that_is_no_image_is_unsupported() {
    let failures: Vec<String> = foreign_formats()
        .into_iter()
        .map(|(name, file)| (name, thumbnail(&file)))
        .filter(|(_, outcome)| !is_unsupported(outcome))
        .map(|(name, outcome)| format!("{name}: {}", text_of(&outcome)))
        .collect();
    expect_none(&failures);
    assert!(is_truncated(&thumbnail(b"")), "a file without bytes ends too early");
}

#[test]
fn a_lossless_jpeg_is_rendered_as_it_was() {
    let rgb = image::open(repository("testdata/images/png/rgb-8.png")).expect("a file of the test data").into_rgb8();
    let width = usize::try_from(rgb.width()).expect("small");
    let mut compressor = turbojpeg::Compressor::new().expect("memory for the compressor");
    compressor.set_lossless(true).expect("libjpeg-turbo 3 has it");
    let source = turbojpeg::Image {
        pixels: rgb.as_raw().as_slice(),
        width,
        pitch: width * 3,
        height: usize::try_from(rgb.height()).expect("small"),
        format: turbojpeg::PixelFormat::RGB,
    };
    let file = compressor.compress_to_vec(source).expect("a picture can be compressed");
    assert!(file.windows(2).any(|marker| marker == [0xff, 0xc3]), "a lossless frame");
    let actual = pixels(&file).expect("a lossless JPEG of 8 bits is rendered");
    assert!(actual.ends_with(rgb.as_raw()), "pixel by pixel");
    assert!(is_truncated(&thumbnail(&file[..file.len() / 2])));
}
