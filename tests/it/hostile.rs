//! Bytes that were cut, damaged, made odd, or made to exhaust the machine: refused for the right reason and without
//! harm to their neighbours, or rendered as if nothing were wrong where nothing is.

#![expect(
    clippy::indexing_slicing,
    reason = "files of this repository and those made here; a wrong index is a failure"
)]

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pixpipe::codec::CodecError;
use pixpipe::geometry::{Fit, Size};
use pixpipe::render::{Plan, RenderError, Renderer};
use pixpipe::spec::{Color, Decode, Encoding, Filter, Rgb, Spec};

use crate::support::run::{Finished, entries, outputs};

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

// --- truncation ---

/// How many bytes at the end of a file belong to nothing, so that it is whole without them.
fn idle_bytes(name: &str, file: &[u8]) -> usize {
    /// From the last `end` of the image on.
    fn behind(file: &[u8], end: &[u8]) -> usize {
        let at = file.windows(end.len()).rposition(|window| window == end).expect("an image has an end");
        file.len() - at - end.len()
    }
    match name {
        "png/trailing-garbage.png" => behind(file, b"IEND\xae\x42\x60\x82"),
        // Made with the trailer of the image before the text, and a JPEG behind the JPEG.
        "gif/trailing-garbage.gif" => 4,
        "jpeg/trailing-garbage.jpg" => 1024,
        "jpeg/trailing-jpeg.jpg" => 3061,
        _ => 0,
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_truncated() {
    let files = zoo();
    expect_none(&complaints(&files, |(name, file)| {
        let whole = file.len() - idle_bytes(name, file);
        let step = if file.len() <= 4096 { 1 } else { 5 };
        let dense = whole.saturating_sub(300);
        let cuts = (0..whole.min(700)).chain((700..dense).step_by(step)).chain(dense.max(700)..whole);
        let mut wrong: Vec<(usize, &str)> = cuts
            .map(|length| (length, reason_of(&file[..length])))
            .filter(|(_, reason)| *reason != "truncated")
            .collect();
        let count = wrong.len();
        wrong.truncate(3);
        if count == 0 { vec![] } else { vec![format!("{name} of {}: {count} cuts, such as {wrong:?}", file.len())] }
    }));
}

// --- what is not damage ---

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

#[test]
fn what_follows_an_image_changes_nothing() {
    let names = [
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
    ];
    let tails: [&[u8]; 6] = [
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\r\n<html>trailing</html>",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n",
    ];
    expect_none(&complaints(&names, |name| {
        let clean = image(name);
        let expected = pixels(&clean).expect("a file of the test data is rendered");
        let mut wrong = Vec::new();
        for tail in tails {
            match pixels(&[&clean[..], tail].concat()) {
                Ok(actual) if actual == expected => {}
                Ok(_) => wrong.push(format!("{name} with {tail:?}: other pixels")),
                Err(error) => wrong.push(format!("{name} with {tail:?}: {} ({error})", reason(&error))),
            }
        }
        wrong
    }));
}

#[test]
fn oddities_of_cameras_change_nothing() {
    let baseline = image("jpeg/baseline.jpg");
    let progressive = image("jpeg/progressive.jpg");
    let ycck = image("jpeg/ycck.jpg");
    let end = |file: &[u8]| file.len() - 2;
    let sos = segment(&baseline, 0xda);
    let jfif = segment(&baseline, 0xe0);
    let adobe = segment(&ycck, 0xee);
    let odd_segments = [&b"\xff\xe5\x00\x02"[..], b"\xff\xfe\x00\x07hello", b"\xff\xef\x00\x04\xff\xd9"].concat();
    let first = |file: &[u8]| segments(file)[1].start;
    let cases: Vec<(&str, &[u8], Vec<u8>)> = vec![
        ("fill bytes before every marker", &baseline, between_segments(&baseline, &[0xff; 5])),
        ("fill bytes before every marker, progressive", &progressive, between_segments(&progressive, &[0xff; 3])),
        ("fill bytes before EOI", &baseline, inserted(&baseline, end(&baseline), &[0xff; 7])),
        ("stray zeros between segments", &baseline, between_segments(&baseline, &[0; 3])),
        ("stray text after JFIF", &baseline, inserted(&baseline, jfif.end, b"Kodak")),
        ("a stray escape between segments", &baseline, inserted(&baseline, jfif.end, &[0xff, 0, 1])),
        ("segments that nobody knows", &baseline, inserted(&baseline, jfif.end, &odd_segments)),
        (
            "segments that nobody knows, progressive",
            &progressive,
            inserted(&progressive, first(&progressive), &odd_segments),
        ),
        ("a JFIF of version 2", &baseline, with(&baseline, jfif.start + 9, &[2])),
        ("a JFIF of version 0.0", &baseline, with(&baseline, jfif.start + 9, &[0, 0])),
        ("a JFIF of nonsense units and density", &baseline, with(&baseline, jfif.start + 11, &[9, 0, 0, 0, 0])),
        ("an unknown Adobe transform", &ycck, with(&ycck, adobe.start + 15, &[7])),
        ("spectral selection 0..0", &baseline, with(&baseline, sos.end - 3, &[0, 0, 0])),
        ("spectral selection 63..1, approximation 0x21", &baseline, with(&baseline, sos.end - 3, &[63, 1, 0x21])),
        ("padding before EOI", &baseline, inserted(&baseline, end(&baseline), &[0; 9])),
        ("one byte of padding before EOI", &baseline, inserted(&baseline, end(&baseline), &[0x55])),
        ("padding before EOI, progressive", &progressive, inserted(&progressive, end(&progressive), &[0; 9])),
        (
            "all of it",
            &baseline,
            between_segments(
                &inserted(
                    &with(&with(&baseline, jfif.start + 9, &[3]), sos.end - 3, &[0, 0, 0]),
                    end(&baseline),
                    &[0, 0, 0],
                ),
                &[0, 0xff, 0xff],
            ),
        ),
    ];
    expect_none(&complaints(&cases, |(name, clean, odd)| {
        let expected = pixels(clean).expect("a file of the test data is rendered");
        match pixels(odd) {
            Ok(actual) if actual == expected => vec![],
            Ok(_) => vec![format!("{name}: other pixels")],
            Err(error) => vec![format!("{name}: {} ({error})", reason(&error))],
        }
    }));
}

// --- damage inside ---

/// Coded data that end early are seen by the Huffman decoder, which warns. The arithmetic decoder does not: by ITU-T
/// T.81, D.2.6, zeros follow the data without end.
#[test]
fn coded_data_that_end_early_are_corrupt() {
    let names = [
        "jpeg/baseline.jpg",
        "jpeg/grey.jpg",
        "jpeg/cmyk.jpg",
        "jpeg/sampling-444.jpg",
        "jpeg/progressive.jpg",
        "jpeg/grey-progressive.jpg",
        "jpeg/restart-markers.jpg",
        "jpeg/restart-markers-progressive.jpg",
    ];
    expect_none(&complaints(&names, |name| {
        let clean = image(name);
        let mut wrong = Vec::new();
        for (number, (start, end)) in scans(&clean).into_iter().enumerate() {
            // Whatever is cut must be more than the bits that pad the last byte.
            let length = end - start;
            for keep in (0..length.saturating_sub(3)).step_by((length / 24).max(1)) {
                // Not inside an escape.
                let keep = if keep > 0 && clean[start + keep - 1] == 0xff { keep - 1 } else { keep };
                let outcome = reason_of(&removed(&clean, start + keep, end));
                if outcome != "corrupt" {
                    wrong.push(format!("{name}: {keep} of {length} bytes of scan {number}: {outcome}"));
                }
            }
        }
        wrong
    }));
}

/// One scan a component; without the last one, a component has no data at all.
#[test]
fn a_scan_that_is_missing_from_a_sequential_jpeg_is_corrupt() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode/scan-per-component.jpg");
    // Behind the settings of the fuzz target.
    let clean = fs::read(path).expect("a seed of the fuzz target").split_off(6);
    assert_eq!(scans(&clean).len(), 3);
    assert_eq!(reason_of(&clean), "rendered");
    let last = segments(&clean).into_iter().rfind(|segment| segment.code == 0xda).expect("a scan");
    assert_eq!(reason_of(&removed(&clean, last.start, clean.len() - 2)), "corrupt");
}

#[test]
fn padding_does_not_hide_later_damage() {
    let progressive = image("jpeg/progressive.jpg");
    let restarts = image("jpeg/restart-markers.jpg");
    let mut wrong = Vec::new();
    let all = scans(&progressive);
    let (start, end) = scans(&restarts)[0];
    let first = (start..end).find(|at| restarts[*at] == 0xff && restarts[at + 1] == 0xd0).expect("a restart marker");
    for padding in [vec![0; 4], vec![0; 64]] {
        // Padding at the end of the first scan; half of a later one is missing.
        for (number, (start, end)) in all.iter().copied().enumerate().skip(1) {
            let damaged = removed(&progressive, start + (end - start) / 2, end);
            if thumbnail(&inserted(&damaged, all[0].1, &padding)).is_ok() {
                wrong.push(format!(
                    "a progressive file whose scan {number} lacks its second half, {} bytes",
                    padding.len()
                ));
            }
        }
        // Padding before the first restart marker; the second half of the image is missing.
        let damaged = removed(&restarts, start + (end - start) / 2, end);
        if thumbnail(&inserted(&damaged, first, &padding)).is_ok() {
            wrong.push(format!("a file with restart markers that lacks its second half, {} bytes", padding.len()));
        }
    }
    expect_none(&wrong);
}

/// A stretch of the pixel data is overwritten. Formats with checksums notice; the others must not crash.
#[test]
fn overwritten_data_are_refused_where_there_is_a_checksum_and_never_crash() {
    let mut wrong = Vec::new();
    for (name, file) in zoo() {
        for part in 1..8 {
            let at = file.len() * part / 8;
            let damaged =
                with(&file, at, &file[at..(at + 24).min(file.len())].iter().map(|byte| !byte).collect::<Vec<_>>());
            let outcome = thumbnail(&damaged);
            // Behind the first frame of an animation nothing is decoded.
            let is_checked = name.starts_with("png/") && !name.contains("animated") && !name.contains("garbage");
            if is_checked && outcome.is_ok() && !is_in_ancillary_chunk(&file, at) {
                wrong.push(format!("{name}: 24 bytes at {at} of {} are wrong", file.len()));
            }
            if outcome.is_err_and(|error| reason(&error) == "internal") {
                wrong.push(format!("{name}: internal"));
            }
        }
    }
    expect_none(&wrong);
}

/// Whether what lies there does not matter to the pixels of a PNG: an ICC profile may be ignored where it is broken.
fn is_in_ancillary_chunk(file: &[u8], position: usize) -> bool {
    let mut at = 8;
    while let Some(head) = file.get(at..at + 8) {
        let length = usize::try_from(u32::from_be_bytes([head[0], head[1], head[2], head[3]])).expect("fits");
        if position < at + 12 + length {
            return head[4].is_ascii_lowercase();
        }
        at += 12 + length;
    }
    true
}

/// The decoder is kept from file to file; what one file left in it must not reach the next.
#[test]
fn a_refused_jpeg_leaves_the_next_one_alone() {
    let clean = image("jpeg/baseline.jpg");
    let expected = thumbnail(&clean).expect("a file of the test data is rendered");
    let all = segments(&clean);
    let mut wrong = Vec::new();
    for segment in &all {
        for at in segment.start + 1..segment.end {
            for value in [0, 0x7f, 0xf0, 0xff] {
                if thumbnail(&with(&clean, at, &[value])).is_ok() {
                    continue;
                }
                let next = thumbnail(&clean);
                if next.as_ref() != Ok(&expected) {
                    wrong.push(format!(
                        "after {value:#04x} at {at}, in a segment {:#04x}: {:?}",
                        segment.code,
                        next.err()
                    ));
                    RENDERER.set(Renderer::try_new().expect("there is memory for the codecs"));
                }
            }
        }
    }
    let count = wrong.len();
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{count} refused files spoiled the decoder, such as\n{}", wrong.join("\n"));
}

// --- bombs ---

fn be(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

/// The checksum of a PNG chunk: CRC-32 of ISO 3309, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&be(u32::try_from(data.len()).expect("short"))[..], &body, &be(crc(&body))].concat()
}

/// A PNG of zeros, with `chunks` in front of the pixels.
fn png(width: u32, height: u32, interlaced: bool, chunks: &[u8], pixels: &[u8]) -> Vec<u8> {
    let header = [&be(width)[..], &be(height), &[8, 2, 0, 0, u8::from(interlaced)]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], chunks, &chunk(b"IDAT", pixels), &chunk(b"IEND", b"")].concat()
}

/// A zlib stream of `258 · runs + 1` zeros, 13 bits for 258 of them: one block with fixed codes.
fn zeros(runs: u32) -> Vec<u8> {
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

/// A little-endian TIFF of one directory; `strip` follows it, and tag 273 points there.
fn tiff(tags: &[(u16, u32)], strip: &[u8]) -> Vec<u8> {
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

/// Grey, 8 bits.
fn grey_tiff(width: u32, height: u32, compression: u32, more: &[(u16, u32)], strip: &[u8]) -> Vec<u8> {
    let tags = [(256, width), (257, height), (258, 8), (259, compression), (262, 1), (277, 1)];
    tiff(&[&tags, more].concat(), strip)
}

/// A GIF with a screen and one frame of zeros, of which only the first is coded.
fn gif(screen: (u16, u16), frame: (u16, u16)) -> Vec<u8> {
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

fn bmp(width: i32, height: i32, bits: u16, compression: u32, pixels: &[u8]) -> Vec<u8> {
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

fn riff(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
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
fn vp8x(flags: u8, width: u32, height: u32) -> (&'static [u8; 4], Vec<u8>) {
    let side = |px: u32| (px - 1).to_le_bytes()[..3].to_vec();
    (b"VP8X", [vec![flags, 0, 0, 0], side(width), side(height)].concat())
}

/// The lossy picture of `webp/lossy.webp`, claiming to be of another size.
fn vp8(width: u16, height: u16) -> (&'static [u8; 4], Vec<u8>) {
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
fn jpeg_of_sides(file: &[u8], width: u16, height: u16) -> Vec<u8> {
    let frame = segments(file).into_iter().find(|segment| matches!(segment.code, 0xc0..=0xc2)).expect("a frame");
    with(file, frame.start + 5, &[height.to_be_bytes(), width.to_be_bytes()].concat())
}

/// A progressive file whose last scan comes `times` times.
fn many_scans(times: usize) -> Vec<u8> {
    let file = image("jpeg/progressive.jpg");
    let last = segments(&file).into_iter().rfind(|segment| segment.code == 0xda).expect("a scan");
    // DC of the first component, first bit plane: may come again and again for libjpeg, with a warning at most.
    let scan = file[last.start..file.len() - 2].repeat(times);
    inserted(&file, file.len() - 2, &scan)
}

/// A bomb, the reasons that may be given for its refusal, and how it is made.
struct Bomb {
    name: &'static str,
    reasons: &'static [&'static str],
    file: Vec<u8>,
}

const PIXELS: &[&str] = &["too-many-pixels"];
const ANY: &[&str] = &["too-many-pixels", "truncated", "corrupt", "unsupported-format"];
/// Where the file is a good one but for its weight.
const RENDERED: &[&str] = &["rendered"];

fn bombs() -> Vec<Bomb> {
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
    let bomb = |name, reasons, file| Bomb { name, reasons, file };
    vec![
        bomb("png-huge", PIXELS, png(2_000_000_000, 2_000_000_000, false, b"", &zeros(1))),
        bomb("png-wide", PIXELS, png(2_000_000_000, 1, false, b"", &zeros(1))),
        bomb("png-beyond-the-format", ANY, png(u32::MAX, u32::MAX, false, b"", &zeros(1))),
        bomb("png-within-pixels", PIXELS, png(16384, 16384, false, b"", &zeros(1))),
        bomb("png-interlaced-within-pixels", PIXELS, png(16384, 16384, true, b"", &zeros(1))),
        bomb("png-zeros-within-pixels", PIXELS, png(12000, 12000, false, b"", &zeros(1_674_500))),
        bomb("png-profile", RENDERED, small_png(&profile_bomb)),
        bomb("png-text", RENDERED, small_png(&text_bomb)),
        bomb("png-international-text", RENDERED, small_png(&international_bomb)),
        bomb("gif-huge", PIXELS, gif((65535, 65535), (65535, 65535))),
        bomb("gif-within-pixels", PIXELS, gif((16384, 16384), (1, 1))),
        bomb("gif-frame-beyond-its-screen", ANY, gif((2, 2), (20000, 20000))),
        bomb("gif-huge-frame-beyond-its-screen", ANY, gif((2, 2), (65535, 65535))),
        bomb("tiff-huge", PIXELS, grey_tiff(u32::MAX, u32::MAX, 1, &[(278, u32::MAX)], &[0; 64])),
        bomb("tiff-within-pixels", ANY, grey_tiff(16384, 16384, 1, &[(278, 16384)], &[0; 64])),
        bomb("tiff-huge-tile", ANY, grey_tiff(1, 1, 1, &[(322, 65536), (323, 65536)], &[0; 64])),
        bomb("tiff-large-tile", ANY, grey_tiff(1, 1, 5, &[(322, 32768), (323, 32768)], &[0x80, 0, 0x40, 0x40])),
        bomb("tiff-deflate", PIXELS, grey_tiff(16000, 16000, 8, &[(278, 16000)], &zeros(992_249))),
        bomb("tiff-small-of-large-deflate", RENDERED, grey_tiff(2, 2, 8, &[(278, 2)], &zeros(2_400_000))),
        bomb("tiff-small-of-large-jpeg", ANY, grey_tiff(8, 8, 7, &[(278, 8)], &huge_jpeg)),
        bomb(
            "tiff-many-samples",
            ANY,
            tiff(&[(256, 16000), (257, 16000), (258, 8), (259, 1), (262, 2), (277, 65535), (278, 16000)], &[0; 64]),
        ),
        bomb("webp-huge-canvas", PIXELS, riff(&[vp8x(0, 1 << 24, 128), vp8(16383, 16383)])),
        bomb("webp-lossy-within-pixels", PIXELS, riff(&[vp8(16383, 16383)])),
        bomb("webp-lossless-within-pixels", PIXELS, riff(&[vp8l(16383, 16383)])),
        bomb("webp-picture-beyond-its-canvas", ANY, riff(&[vp8x(0, 2, 2), vp8(16383, 16383)])),
        bomb("webp-lossless-beyond-its-canvas", ANY, riff(&[vp8x(0, 2, 2), vp8l(16384, 16384)])),
        bomb("bmp-huge", ANY, bmp(65535, 65535, 24, 0, &[0; 64])),
        bomb("bmp-within-pixels", ANY, bmp(16384, 16384, 24, 0, &[0; 64])),
        bomb("bmp-run-length", ANY, bmp(16384, 16384, 8, 1, &[255, 0, 0, 1])),
        bomb("bmp-deep", ANY, bmp(1, i32::MIN, 24, 0, &[0; 64])),
        bomb("bmp-wide", ANY, bmp(i32::MAX, 1, 24, 0, &[0; 64])),
        bomb("jpeg-huge", PIXELS, jpeg_of_sides(&baseline, 65500, 65500)),
        bomb("jpeg-within-pixels-progressive", PIXELS, jpeg_of_sides(&progressive, 16000, 16000)),
        bomb("jpeg-two-frames", ANY, two_frames),
        bomb("jpeg-many-scans", &["corrupt"], many_scans(3000)),
    ]
}

/// A store of folders with one source each; the batch names them in this order.
struct Scene {
    root: tempfile::TempDir,
    keys: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        for bucket in ["src", "dest"] {
            fs::create_dir(root.path().join(bucket)).expect("a folder in it");
        }
        Self { root, keys: Vec::new() }
    }

    fn put(&mut self, key: &str, file: &[u8]) {
        fs::write(self.root.path().join("src").join(key), file).expect("a file can be written");
        self.keys.push(key.to_owned());
    }

    /// Runs the program over all of them; its end, and the most memory that was seen to be resident, in bytes.
    fn run(&self, variables: &[(&str, &str)]) -> (Finished, u64) {
        let objects: Vec<(&str, &str)> = self.keys.iter().map(|key| ("src", key.as_str())).collect();
        let child = Command::new(env!("CARGO_BIN_EXE_pixpipe"))
            .env_clear()
            .env("STORE", format!("dir:{}", self.root.path().display()))
            .env("DEST_BUCKET", "dest")
            .env("SIZES", "32")
            .env("SQS_BODY", entries(&objects).to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program that cargo has built can be started");
        watch(child)
    }

    /// All files in `dest`, by their keys.
    fn written(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.path().join("dest")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of the store") {
                let path = entry.expect("an entry of it").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let key = path.strip_prefix(self.root.path().join("dest")).expect("below it");
                    found.push(key.to_str().expect("UTF-8").to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

/// How long one run of this module may take.
const TIME_LIMIT: Duration = Duration::from_mins(3);

/// Waits for a child, and asks the kernel again and again for the highest mark of its resident memory. Only what is
/// taken in the last millisecond can be missed.
fn watch(mut child: Child) -> (Finished, u64) {
    let started = Instant::now();
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let read = |stream: &mut dyn std::io::Read| {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("a pipe can be read");
        String::from_utf8_lossy(&text).into_owned()
    };
    let stdout = std::thread::spawn(move || read(&mut stdout));
    let stderr = std::thread::spawn(move || read(&mut stderr));
    let mut peak_bytes = 0;
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_bytes = peak_bytes.max(mark.unwrap_or(0_u64) * 1024);
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if started.elapsed() > TIME_LIMIT {
            child.kill().expect("a running child can be killed");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let [stdout, stderr] = [stdout, stderr].map(|thread| thread.join().expect("a pipe can be read"));
    (Finished { code: status.code(), stdout, stderr }, peak_bytes)
}

/// What is wrong with how the program treats one bomb beside a good neighbour.
fn explosion(bomb: &Bomb, limit_bytes: u64) -> Option<String> {
    let mut scene = Scene::new();
    scene.put("bomb", &bomb.file);
    // Large enough to be at work for some milliseconds when the bomb is over.
    scene.put("good.png", &fs::read(images().join("../photos/coffee.png")).expect("a photo"));
    let started = Instant::now();
    let (finished, peak_bytes) =
        scene.run(&[("MEMORY_LIMIT_BYTES", &limit_bytes.to_string()), ("CONCURRENCY", "1"), ("FORMAT", "png")]);
    let spent = started.elapsed();
    if finished.code.is_none() || finished.records().len() != 2 {
        return Some(format!("{}: {:?}, {}{}", bomb.name, finished.code, finished.stdout, finished.stderr));
    }
    let record = finished.record("bomb");
    let (status, reason) = finished.outcome("bomb");
    let told = if status == "written" { "rendered" } else { &reason };
    let mut story = String::new();
    if !bomb.reasons.contains(&told) {
        write!(story, " {told} instead of {:?} ({});", bomb.reasons, record["detail"])
            .expect("a String takes everything");
    }
    if finished.outcome("good.png").0 != "written" {
        write!(story, " the neighbour is not written;").expect("a String takes everything");
    }
    if peak_bytes > limit_bytes {
        write!(story, " {} MB resident ({told});", peak_bytes / 1_000_000).expect("a String takes everything");
    }
    if spent > Duration::from_secs(20) {
        write!(story, " {spent:?};").expect("a String takes everything");
    }
    (!story.is_empty()).then(|| format!("{}:{story}", bomb.name))
}

#[test]
fn bombs_are_refused_before_they_take_memory() {
    let found = complaints(&bombs(), |bomb| explosion(bomb, 100_000_000).into_iter().collect());
    expect_none(&found);
}

#[test]
fn bombs_within_the_memory_limit_are_refused_by_their_pixels() {
    let pixels = |file: &[u8]| Plan::read(file, &spec(Size::new(16, 16).expect("not zero")), 1 << 20);
    let mut wrong = Vec::new();
    for bomb in bombs().into_iter().filter(|bomb| bomb.reasons == PIXELS) {
        match pixels(&bomb.file) {
            Err(RenderError::TooManyPixels { limit, .. }) if limit == 1 << 20 => {}
            // More than any limit: the decoder itself refuses to count them.
            Err(RenderError::Codec(CodecError::TooLarge(_))) => {}
            Err(error) => wrong.push(format!("{}: {error}", bomb.name)),
            Ok(plan) => wrong.push(format!("{}: {} is accepted", bomb.name, plan.header().size)),
        }
    }
    expect_none(&wrong);
}

// --- kinds that are not read ---

/// What is no image, or one of a kind that is not read, with the reason.
fn strangers() -> Vec<(&'static str, &'static str, Vec<u8>)> {
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

// --- neighbours ---

#[test]
fn bad_files_leave_their_neighbours_alone_and_nothing_of_themselves() {
    let mut scene = Scene::new();
    let mut expected = Vec::new();
    let mut bad = |scene: &mut Scene, key: String, reason: &'static str, file: &[u8]| {
        scene.put(&key, file);
        expected.push((key, reason));
    };
    for (name, reason, file) in strangers() {
        bad(&mut scene, name.to_owned(), reason, &file);
    }
    for name in [
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
        "tiff/rgb-8-lzw.tif",
        "tiff/rgb-8-tiled.tif",
        "tiff/multipage.tif",
    ] {
        let file = image(name);
        let key = name.replace('/', "-");
        bad(&mut scene, format!("cut-{key}"), "truncated", &file[..file.len() / 2]);
        scene.put(&format!("good-{key}"), &file);
    }
    let baseline = image("jpeg/baseline.jpg");
    let (start, end) = scans(&baseline)[0];
    bad(&mut scene, "half-grey.jpg".to_owned(), "corrupt", &removed(&baseline, start + (end - start) / 2, end));

    let (finished, _) = scene.run(&[("SIZES", "32,16x8"), ("FORMAT", "png")]);
    let finished = finished.expect_code(1);
    assert_eq!(finished.records().len(), scene.keys.len(), "one line each");
    let mut wrong = Vec::new();
    for (key, reason) in &expected {
        let outcome = finished.outcome(key);
        if outcome != ("failed".to_owned(), (*reason).to_owned()) || !outputs(&finished.record(key)).is_empty() {
            wrong.push(format!("{key}: {outcome:?} instead of {reason}"));
        }
    }
    let mut outputs_of_good = Vec::new();
    for key in scene.keys.iter().filter(|key| key.starts_with("good-")) {
        if finished.outcome(key).0 != "written" {
            wrong.push(format!("{key}: {:?}", finished.outcome(key)));
        }
        let extension =
            if Path::new(key).extension().is_some_and(|extension| extension == "png") { "" } else { ".png" };
        outputs_of_good.extend(["32x32", "16x8"].map(|size| format!("{size}/{key}{extension}")));
    }
    expect_none(&wrong);
    outputs_of_good.sort();
    assert_eq!(scene.written(), outputs_of_good, "of the bad files nothing is left");
    for key in outputs_of_good {
        let output =
            image::open(scene.root.path().join("dest").join(&key)).unwrap_or_else(|error| panic!("{key}: {error}"));
        let expected = if key.starts_with("32x32") { (32, 32) } else { (16, 8) };
        assert_eq!((output.width(), output.height()), expected, "{key}");
    }
}
