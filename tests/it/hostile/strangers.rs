//! Kinds of files that are not read.

use super::bombs::tiff;
use super::{expect_none, image, images, pixels, reason, reason_of, segment, thumbnail, with};

/// What is no image, or one of a kind that is not read, with the reason.
pub(super) fn strangers() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let baseline = image("jpeg/baseline.jpg");
    let frame = segment(&baseline, 0xc0);
    let deep = with(&baseline, frame.start, &[0xff, 0xc1, baseline[frame.start + 2], baseline[frame.start + 3], 12]);
    let unsupported = "unsupported-format";
    vec![
        ("empty", "truncated", vec![]),
        ("heic", unsupported, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat".to_vec()),
        ("avif", unsupported, b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08mdat".to_vec()),
        ("jxl", unsupported, b"\0\0\0\x0cJXL \r\n\x87\n".to_vec()),
        ("jpeg-2000", unsupported, b"\0\0\0\x0cjP  \r\n\x87\n".to_vec()),
        ("pdf", unsupported, b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF".to_vec()),
        ("svg", unsupported, b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>".to_vec()),
        ("html", unsupported, b"<!DOCTYPE html><html><body>404</body></html>".to_vec()),
        ("text", unsupported, b"not an image at all\n".to_vec()),
        ("one-letter", unsupported, b"x".to_vec()),
        ("zeros", unsupported, vec![0; 4096]),
        ("zip", unsupported, b"PK\x03\x04\x14\0\0\0\0\0".to_vec()),
        ("wave", unsupported, b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec()),
        ("mp4", unsupported, b"\0\0\0\x18ftypmp42\0\0\0\0isommp42".to_vec()),
        ("psd", unsupported, b"8BPS\0\x01\0\0\0\0\0\0\0\x03".to_vec()),
        ("jpeg-of-12-bits", unsupported, deep),
        ("jpeg-lossless-that-is-not", unsupported, with(&baseline, frame.start + 1, &[0xc3])),
        ("jpeg-hierarchical", unsupported, with(&baseline, frame.start + 1, &[0xc5])),
        ("tiff-of-a-fax", unsupported, grey_tiff_of_one_bit(4)),
    ]
}

fn grey_tiff_of_one_bit(compression: u32) -> Vec<u8> {
    tiff(&[(256, 8), (257, 8), (258, 1), (259, compression), (262, 1), (277, 1), (278, 8)], &[0; 8])
}

#[test]
fn what_is_no_image_is_told_so() {
    let found: Vec<String> = strangers()
        .into_iter()
        .filter_map(|(name, expected, file)| {
            let actual = match thumbnail(&file) {
                Ok(_) => "rendered".to_owned(),
                Err(error) => format!("{} ({error})", reason(&error)),
            };
            (!actual.starts_with(expected)).then(|| format!("{name}: {actual} instead of {expected}"))
        })
        .collect();
    expect_none(&found);
}

#[test]
fn a_lossless_jpeg_is_rendered_as_it_was() {
    let rgb = image::open(images().join("png/rgb-8.png")).expect("a file of the test data").into_rgb8();
    let width = usize::try_from(rgb.width()).expect("small");
    let mut compressor = turbojpeg::Compressor::new().expect("there is memory for it");
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
    assert_eq!(reason_of(&file[..file.len() / 2]), "truncated");
}
