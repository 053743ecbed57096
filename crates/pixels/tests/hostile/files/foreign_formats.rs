//! Files of formats that are not read.

use super::bombs::tiff;
use super::jpeg::segment;
use super::{image, with};

/// Files that are no images, or of a kind that is not read. All are refused as unsupported.
pub(crate) fn foreign_formats() -> Vec<(&'static str, Vec<u8>)> {
    let baseline = image("jpeg/baseline.jpg");
    let frame = segment(&baseline, 0xc0);
    let deep = with(&baseline, frame.start, &[0xff, 0xc1, baseline[frame.start + 2], baseline[frame.start + 3], 12]);
    vec![
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat".to_vec()),
        ("avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08mdat".to_vec()),
        ("jxl", b"\0\0\0\x0cJXL \r\n\x87\n".to_vec()),
        ("jpeg-2000", b"\0\0\0\x0cjP  \r\n\x87\n".to_vec()),
        ("pdf", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF".to_vec()),
        ("svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>".to_vec()),
        ("html", b"<!DOCTYPE html><html><body>404</body></html>".to_vec()),
        ("text", b"not an image at all\n".to_vec()),
        ("one-letter", b"x".to_vec()),
        ("zeros", vec![0; 4096]),
        ("zip", b"PK\x03\x04\x14\0\0\0\0\0".to_vec()),
        ("wave", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec()),
        ("mp4", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42".to_vec()),
        ("psd", b"8BPS\0\x01\0\0\0\0\0\0\0\x03".to_vec()),
        ("jpeg-of-12-bits", deep),
        ("jpeg-lossless-that-is-not", with(&baseline, frame.start + 1, &[0xc3])),
        ("jpeg-hierarchical", with(&baseline, frame.start + 1, &[0xc5])),
        ("tiff-of-a-fax", grey_tiff_of_one_bit(4)),
    ]
}

fn grey_tiff_of_one_bit(compression: u32) -> Vec<u8> {
    tiff(&[(256, 8), (257, 8), (258, 1), (259, compression), (262, 1), (277, 1), (278, 8)], &[0; 8])
}
