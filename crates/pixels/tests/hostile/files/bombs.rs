//! Small files that claim to be, or become, large ones.

use super::jpeg::{segment, segments};
use super::worst::avif_of_junk;
use super::{image, inserted, with};

pub(super) fn be(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

/// The checksum of a PNG chunk: CRC-32 of ISO 3309, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

pub(super) fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&be(u32::try_from(data.len()).expect("short"))[..], &body, &be(crc(&body))].concat()
}

/// A PNG of zeros, with `chunks` before the pixels.
pub(super) fn png(width: u32, height: u32, interlaced: bool, chunks: &[u8], pixels: &[u8]) -> Vec<u8> {
    let header = [&be(width)[..], &be(height), &[8, 2, 0, 0, u8::from(interlaced)]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], chunks, &chunk(b"IDAT", pixels), &chunk(b"IEND", b"")].concat()
}

/// A zlib stream of `258 · runs + 1` zeros, 13 bits for 258 of them: one block with fixed codes.
pub(super) fn zeros(runs: u32) -> Vec<u8> {
    let mut bytes = vec![0x78, 0x01];
    let (mut pending, mut count) = (0_u64, 0_u32);
    let mut put = |bits: u64, length: u32| {
        pending |= bits << count;
        count += length;
        while count >= 8 {
            bytes.push(pending.to_le_bytes()[0]);
            pending >>= 8;
            count -= 8;
        }
    };
    put(0b011, 3); // the last block, fixed codes
    put(0b0000_1100, 8); // literal 0, code 00110000 from its top bit
    for _ in 0..runs {
        put(0b1010_0011, 8); // length 258, code 11000101 from its top bit
        put(0, 5); // distance 1
    }
    put(0, 7); // end of block
    put(0, 7); // to a whole byte
    let length = u64::from(runs) * 258 + 1;
    let adler = u32::try_from(length % 65521).expect("less") << 16 | 1;
    bytes.extend(be(adler));
    bytes
}

/// A little-endian TIFF of one directory. `strip` follows it, and tag 273 (or 324 of a tile) points there.
pub(crate) fn tiff(tags: &[(u16, u32)], strip: &[u8]) -> Vec<u8> {
    let mut tags = tags.to_vec();
    let strip_at = 8 + 2 + 12 * (u32::try_from(tags.len()).expect("few") + 2) + 4;
    let is_tiled = tags.iter().any(|(tag, _)| *tag == 322);
    tags.push((if is_tiled { 324 } else { 273 }, strip_at));
    tags.push((if is_tiled { 325 } else { 279 }, u32::try_from(strip.len()).expect("short")));
    tags.sort_unstable();
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(u16::try_from(tags.len()).expect("few").to_le_bytes());
    for (tag, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(4_u16.to_le_bytes()); // LONG
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend(strip);
    file
}

/// A TIFF of 8-bit grey.
fn grey_tiff(width: u32, height: u32, compression: u32, more: &[(u16, u32)], strip: &[u8]) -> Vec<u8> {
    let tags = [(256, width), (257, height), (258, 8), (259, compression), (262, 1), (277, 1)];
    tiff(&[&tags, more].concat(), strip)
}

/// A GIF with a screen and one frame, of which only the first pixel is coded.
pub(super) fn gif(screen: (u16, u16), frame: (u16, u16)) -> Vec<u8> {
    let side = u16::to_le_bytes;
    [
        &b"GIF89a"[..],
        &side(screen.0),
        &side(screen.1),
        &[0x80, 0, 0, 0, 0, 0, 255, 255, 255],
        b",\0\0\0\0",
        &side(frame.0),
        &side(frame.1),
        &[0, 2, 2, 0x44, 0x01, 0, b';'],
    ]
    .concat()
}

pub(super) fn bmp(width: i32, height: i32, bits: u16, compression: u32, pixels: &[u8]) -> Vec<u8> {
    let palette = if bits <= 8 { 4 << bits } else { 0 };
    let length = u32::try_from(54 + palette + pixels.len()).expect("short");
    let mut file = b"BM".to_vec();
    file.extend(length.to_le_bytes());
    file.extend([0; 4]);
    file.extend((length - u32::try_from(pixels.len()).expect("short")).to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(compression.to_le_bytes());
    file.extend([0; 20]);
    file.extend(vec![0; palette]);
    file.extend(pixels);
    file
}

pub(super) fn riff(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, data) in chunks {
        body.extend(*kind);
        body.extend(u32::try_from(data.len()).expect("short").to_le_bytes());
        body.extend(data);
        body.extend(vec![0; data.len() % 2]);
    }
    [&b"RIFF"[..], &u32::try_from(body.len()).expect("short").to_le_bytes(), &body].concat()
}

/// The header chunk of an extended WebP.
pub(super) fn vp8x(flags: u8, width: u32, height: u32) -> (&'static [u8; 4], Vec<u8>) {
    let side = |px: u32| (px - 1).to_le_bytes()[..3].to_vec();
    (b"VP8X", [vec![flags, 0, 0, 0], side(width), side(height)].concat())
}

/// The lossy picture of `webp/lossy.webp` with another size in its header.
pub(super) fn vp8(width: u16, height: u16) -> (&'static [u8; 4], Vec<u8>) {
    let file = image("webp/lossy.webp");
    let at = file.windows(4).position(|window| window == b"VP8 ").expect("a lossy picture") + 8;
    let length = usize::try_from(u32::from_le_bytes(file[at - 4..at].try_into().expect("four"))).expect("fits");
    let data = with(&file[at..at + length], 6, &[width.to_le_bytes(), height.to_le_bytes()].concat());
    (b"VP8 ", data)
}

/// A lossless picture that ends after its size.
fn vp8l(width: u32, height: u32) -> (&'static [u8; 4], Vec<u8>) {
    let header = (width - 1) | (height - 1) << 14;
    (b"VP8L", [&[0x2f][..], &header.to_le_bytes(), &[0; 64]].concat())
}

/// `file` with the sides of its frame header set.
pub(super) fn jpeg_of_sides(file: &[u8], width: u16, height: u16) -> Vec<u8> {
    let frame = segments(file).into_iter().find(|segment| matches!(segment.code, 0xc0..=0xc2)).expect("a frame");
    with(file, frame.start + 5, &[height.to_be_bytes(), width.to_be_bytes()].concat())
}

/// A progressive file whose last scan is repeated `times` times.
fn many_scans(times: usize) -> Vec<u8> {
    let file = image("jpeg/progressive.jpg");
    let last = segments(&file).into_iter().rfind(|segment| segment.code == 0xda).expect("a scan");
    // DC of the first component, first bit plane: libjpeg accepts it any number of times, with a warning at most.
    let scan = file[last.start..file.len() - 2].repeat(times);
    inserted(&file, file.len() - 2, &scan)
}

/// The end that a bomb must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Refused because of its pixels.
    TooManyPixels,
    /// Refused as a damaged file.
    Corrupt,
    /// Refused for its pixels or as a broken file: decoders notice one or the other first.
    AnyRefusal,
    /// Refused as a variant that is not read.
    Unsupported,
    /// Rendered, since only its ballast is large.
    Rendered,
    /// Rendered or refused, by the memory that there is.
    Any,
}

/// A file that must not take much memory or time.
pub(crate) struct Bomb {
    pub(crate) name: &'static str,
    pub(crate) end: End,
    pub(crate) file: Vec<u8>,
}

impl Bomb {
    pub(super) const fn new(name: &'static str, end: End, file: Vec<u8>) -> Self {
        Self { name, end, file }
    }
}

/// Every bomb.
pub(crate) fn bombs() -> Vec<Bomb> {
    let small_png = |chunks: &[u8]| png(2, 2, false, chunks, &zeros(1));
    let profile_bomb = chunk(b"iCCP", &[&b"x\0\0"[..], &zeros(2_400_000)].concat());
    let text_bomb = chunk(b"zTXt", &[&b"x\0\0"[..], &zeros(2_400_000)].concat());
    let international_bomb = chunk(b"iTXt", &[&b"XML:com.adobe.xmp\0\x01\0\0\0"[..], &zeros(2_400_000)].concat());
    let baseline = image("jpeg/baseline.jpg");
    let progressive = image("jpeg/progressive.jpg");
    let huge_jpeg = jpeg_of_sides(&image("jpeg/grey.jpg"), 16000, 16000);
    let two_frames = {
        let frame = segment(&progressive, 0xc2);
        let big = jpeg_of_sides(&progressive, 9000, 9000);
        inserted(&big, segments(&big)[3].start, &progressive[frame.start..frame.end])
    };
    let bomb = Bomb::new;
    vec![
        bomb("png-huge", End::TooManyPixels, png(2_000_000_000, 2_000_000_000, false, b"", &zeros(1))),
        bomb("png-wide", End::TooManyPixels, png(2_000_000_000, 1, false, b"", &zeros(1))),
        bomb("png-beyond-the-format", End::AnyRefusal, png(u32::MAX, u32::MAX, false, b"", &zeros(1))),
        bomb("png-within-pixels", End::TooManyPixels, png(16384, 16384, false, b"", &zeros(1))),
        bomb("png-interlaced-within-pixels", End::TooManyPixels, png(16384, 16384, true, b"", &zeros(1))),
        bomb("png-zeros-within-pixels", End::TooManyPixels, png(12000, 12000, false, b"", &zeros(1_674_500))),
        bomb("png-profile", End::Rendered, small_png(&profile_bomb)),
        bomb("png-text", End::Rendered, small_png(&text_bomb)),
        bomb("png-international-text", End::Rendered, small_png(&international_bomb)),
        bomb("gif-huge", End::TooManyPixels, gif((65535, 65535), (65535, 65535))),
        bomb("gif-within-pixels", End::TooManyPixels, gif((16384, 16384), (1, 1))),
        bomb("gif-frame-beyond-its-screen", End::AnyRefusal, gif((2, 2), (20000, 20000))),
        bomb("gif-huge-frame-beyond-its-screen", End::AnyRefusal, gif((2, 2), (65535, 65535))),
        bomb("tiff-huge", End::TooManyPixels, grey_tiff(u32::MAX, u32::MAX, 1, &[(278, u32::MAX)], &[0; 64])),
        bomb("tiff-within-pixels", End::AnyRefusal, grey_tiff(16384, 16384, 1, &[(278, 16384)], &[0; 64])),
        bomb("tiff-huge-tile", End::AnyRefusal, grey_tiff(1, 1, 1, &[(322, 65536), (323, 65536)], &[0; 64])),
        bomb(
            "tiff-large-tile",
            End::AnyRefusal,
            grey_tiff(1, 1, 5, &[(322, 32768), (323, 32768)], &[0x80, 0, 0x40, 0x40]),
        ),
        bomb("tiff-deflate", End::TooManyPixels, grey_tiff(16000, 16000, 8, &[(278, 16000)], &zeros(992_249))),
        bomb("tiff-small-of-large-deflate", End::Rendered, grey_tiff(2, 2, 8, &[(278, 2)], &zeros(2_400_000))),
        bomb("tiff-small-of-large-jpeg", End::AnyRefusal, grey_tiff(8, 8, 7, &[(278, 8)], &huge_jpeg)),
        bomb(
            "tiff-many-samples",
            End::AnyRefusal,
            tiff(&[(256, 16000), (257, 16000), (258, 8), (259, 1), (262, 2), (277, 65535), (278, 16000)], &[0; 64]),
        ),
        bomb("avif-huge", End::TooManyPixels, avif_of_junk((65536, 65536))),
        bomb("avif-within-pixels", End::TooManyPixels, avif_of_junk((16384, 16384))),
        bomb("webp-huge-canvas", End::TooManyPixels, riff(&[vp8x(0, 1 << 24, 128), vp8(16383, 16383)])),
        bomb("webp-lossy-within-pixels", End::TooManyPixels, riff(&[vp8(16383, 16383)])),
        bomb("webp-lossless-within-pixels", End::TooManyPixels, riff(&[vp8l(16383, 16383)])),
        bomb("webp-picture-beyond-its-canvas", End::AnyRefusal, riff(&[vp8x(0, 2, 2), vp8(16383, 16383)])),
        bomb("webp-lossless-beyond-its-canvas", End::AnyRefusal, riff(&[vp8x(0, 2, 2), vp8l(16384, 16384)])),
        bomb("bmp-huge", End::AnyRefusal, bmp(65535, 65535, 24, 0, &[0; 64])),
        bomb("bmp-within-pixels", End::AnyRefusal, bmp(16384, 16384, 24, 0, &[0; 64])),
        bomb("bmp-run-length", End::AnyRefusal, bmp(16384, 16384, 8, 1, &[255, 0, 0, 1])),
        bomb("bmp-deep", End::AnyRefusal, bmp(1, i32::MIN, 24, 0, &[0; 64])),
        bomb("bmp-wide", End::AnyRefusal, bmp(i32::MAX, 1, 24, 0, &[0; 64])),
        bomb("jpeg-huge", End::TooManyPixels, jpeg_of_sides(&baseline, 65500, 65500)),
        bomb("jpeg-within-pixels-progressive", End::TooManyPixels, jpeg_of_sides(&progressive, 16000, 16000)),
        bomb("jpeg-two-frames", End::AnyRefusal, two_frames),
        bomb("jpeg-many-scans", End::Corrupt, many_scans(3000)),
    ]
}
