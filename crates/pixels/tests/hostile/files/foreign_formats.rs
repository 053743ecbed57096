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
        ("heic-by-a-compatible-brand", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic\0\0\0\x08mdat".to_vec()),
        ("cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom\0\0\0\x08moov".to_vec()),
        ("cr2", with(&tiff_of_a_preview(&[]), 8, b"CR\x02\0")),
        ("dng", tiff_of_a_preview(&[(254, 1), (50706, 0x0104)])),
        ("dng-without-a-preview", tiff_of_a_preview(&[(50706, 0x0104)])),
        ("arw", tiff_of_a_preview(&[(254, 1), (330, 8)])),
        ("avif-of-pq", avif_of_code_points(16, 6)),
        ("avif-of-hlg", avif_of_code_points(18, 6)),
        ("avif-of-ictcp", avif_of_code_points(13, 14)),
        ("avif-of-hevc", renamed(b"infe\x02\0\0\0\0\x01\0\0av01", b"hvc1")),
        ("avif-of-an-unknown-essential-property", renamed(b"irot", b"abcd")),
        ("avif-of-a-later-operating-point", renamed(b"irot", b"a1op")),
        ("avif-encrypted", renamed(b"infe\x02\0\0\0\0\x01\0\0", b"\0\x01\0\x01")),
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

/// A grey TIFF of 8x8 pixels with more tags, as in a camera's file.
fn tiff_of_a_preview(more: &[(u16, u32)]) -> Vec<u8> {
    let tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (278, 8)];
    let file = tiff(&[&tags, more].concat(), &[0; 64]);
    // The directory begins at 16, so that there is room for a mark behind the header.
    let mut moved = [&file[..4], &[16, 0, 0, 0], &[0; 8], &file[8..]].concat();
    let entries = 16 + 2;
    for entry in (entries..).step_by(12).take(tags.len() + more.len() + 2) {
        if moved[entry..entry + 2] == 273_u16.to_le_bytes() {
            moved[entry + 8] += 8;
        }
    }
    moved
}

/// An AVIF whose container names this transfer and this matrix.
fn avif_of_code_points(transfer: u8, matrix: u8) -> Vec<u8> {
    let file = image("avif/code-points-p3.avif");
    let at = file.windows(4).position(|kind| kind == b"nclx").expect("the file has code points") + 4;
    with(&file, at, &[0, 12, 0, transfer, 0, matrix])
}

/// A turned AVIF with other bytes at the end of `found`.
fn renamed(found: &[u8], bytes: &[u8]) -> Vec<u8> {
    let file = image("orientation/avif-6.avif");
    let at = file.windows(found.len()).position(|window| window == found).expect("the file has them") + found.len();
    with(&file, at - bytes.len(), bytes)
}
