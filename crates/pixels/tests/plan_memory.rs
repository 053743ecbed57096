//! Rendering must never take more memory than `Plan::memory_bytes` promises, since admission counts on it. Every file
//! of `testdata/images` and of the fuzz corpus, the worst cases of each format, and larger pictures made here are
//! rendered under an allocator that counts.
//!
//! The allocator is global, so this is a test binary of its own. libjpeg-turbo has an allocator of its own: its memory
//! is read from the kernel, here for good files, and for the others in `tests/it/hostile`.
#![allow(clippy::indexing_slicing, clippy::print_stderr, reason = "a test that panics has failed, and says why")]

use std::fs;
use std::io::Cursor;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[path = "../../../fuzz/bodies/counting.rs"]
mod counting;
#[path = "../../../fuzz/bodies/corpus.rs"]
#[expect(dead_code, reason = "the mutations are for another test")]
mod fuzz;
#[path = "hostile/files/mod.rs"]
#[expect(dead_code, reason = "most of it is for other tests")]
mod hostile;

use counting::{Counting, peak_of};
use hostile::worst::worst_cases;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use pixpipe_pixels::geometry::{Fit, OutputSize, Size};
use pixpipe_pixels::render::{Plan, RenderError, Renderer};
use pixpipe_pixels::spec::{Decode, Encoding, Spec, Subsampling};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held during a measurement of resident memory, which belongs to the whole process.
static MEASURING: Mutex<()> = Mutex::new(());

/// Waits until no other measurement is under way. A test that has failed does not stop the others.
fn measuring() -> MutexGuard<'static, ()> {
    MEASURING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes in front of each input of the fuzz target `decode`.
const SETTINGS_BYTES: usize = 6;

fn size(width: u32, height: u32) -> OutputSize {
    Size::new(width, height).expect("not zero").into()
}

/// A square of `side_px` out of the source, scaled to a short side of `short_px`.
fn cut(side_px: u32, short_px: u32) -> OutputSize {
    format!("{side_px}@{short_px}").parse().expect("a size")
}

fn short(side_px: u32) -> OutputSize {
    OutputSize::Short(NonZeroU32::new(side_px).expect("not zero"))
}

/// Settings with small and large outputs, in every output format.
fn specs() -> Vec<Arc<Spec>> {
    let default = Spec::default;
    let specs = [
        default(),
        Spec { sizes: vec![size(1, 1)], encoding: Encoding::Npy, decode: Decode::Exact, ..default() },
        Spec { sizes: vec![size(1024, 700)], encoding: Encoding::Png, fit: Fit::Contain, ..default() },
        Spec { sizes: vec![size(640, 640)], encoding: Encoding::Webp, fit: Fit::Stretch, ..default() },
        Spec { sizes: vec![size(224, 224), size(2000, 300), size(299, 299)], encoding: Encoding::Npy, ..default() },
        Spec {
            sizes: vec![size(1800, 1800)],
            encoding: Encoding::Jpeg { quality: 100, subsampling: Subsampling::S444 },
            decode: Decode::Exact,
            fit: Fit::Stretch,
            ..default()
        },
        Spec { sizes: vec![cut(300, 2000), size(64, 64)], encoding: Encoding::Png, ..default() },
        Spec { sizes: vec![short(900), short(200)], encoding: Encoding::Webp, decode: Decode::Exact, ..default() },
    ];
    specs.map(Arc::new).into()
}

/// The plan of a file of any size.
fn read(file: &[u8], spec: &Arc<Spec>) -> Result<Plan, RenderError> {
    Plan::read(file, Arc::clone(spec), u64::MAX)
}

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/images")
}

fn all_images() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in fs::read_dir(images()).expect("testdata/images") {
        for entry in fs::read_dir(folder.expect("an entry").path()).expect("a folder of testdata/images") {
            let path = entry.expect("an entry").path();
            files.push((
                path.strip_prefix(images()).expect("below").display().to_string(),
                fs::read(&path).expect("a file"),
            ));
        }
    }
    files.sort();
    files
}

/// Renders every file with all settings. Returns the renderings that take more than their plan says.
fn excesses(files: &[(String, Vec<u8>)], specs: &[Arc<Spec>]) -> Vec<String> {
    let mut renderer = Renderer::try_new().expect("memory for the codecs");
    let mut found = Vec::new();
    let mut tightest = (0.0, String::new());
    for (name, file) in files {
        for spec in specs {
            let plan = read(file, spec).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (outcome, peak_bytes) = peak_of(|| renderer.render(file, &plan, &spec.sizes));
            outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
            let promised_bytes = plan.memory_bytes();
            let story =
                format!("{name} as {:?} {:?}: {peak_bytes} of {promised_bytes} bytes", spec.sizes, spec.encoding);
            if peak_bytes > promised_bytes {
                found.push(story.clone());
            }
            #[expect(clippy::cast_precision_loss, reason = "a rough share, for people")]
            let share = peak_bytes as f64 / promised_bytes as f64;
            if share > tightest.0 {
                tightest = (share, story);
            }
        }
    }
    eprintln!("tightest bound: {:.2}, {}", tightest.0, tightest.1);
    found
}

#[track_caller]
fn expect_none(found: &[String]) {
    assert!(found.is_empty(), "{} cases take more than was promised:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_kind_of_file_takes_no_more_than_its_plan_says() {
    let _measuring = measuring();
    expect_none(&excesses(&all_images(), &specs()[..4]));
}

#[test]
fn large_pictures_take_no_more_than_their_plans_say() {
    let _measuring = measuring();
    let specs = specs();
    // The memory for outputs does not depend on the kind of source: a few sources are enough for large outputs.
    let (few, others): (Vec<_>, Vec<_>) = large()
        .into_iter()
        .partition(|(name, _)| ["rgba.png", "cmyk.tif", "baseline-420.jpg"].contains(&name.as_str()));
    let mut found = excesses(&few, &specs);
    found.extend(excesses(&others, &specs[..2]));
    expect_none(&found);
}

/// The longest output that follows its source's aspect ratio: 16 times as long as short.
#[test]
fn a_flat_picture_takes_no_more_than_its_plan_says() {
    let _measuring = measuring();
    let sides = [(3200, 200), (200, 3200)];
    let files = sides
        .map(|(width, height)| (format!("{width}x{height}.png"), saved(&picture(width, height), ImageFormat::Png)));
    let with = |side_px, encoding| Arc::new(Spec { sizes: vec![short(side_px)], encoding, ..Spec::default() });
    expect_none(&excesses(&files, &[with(300, Encoding::Png), with(100, Encoding::Npy), with(400, Encoding::Webp)]));
    let beyond = saved(&picture(3201, 200), ImageFormat::Png);
    let refused = read(&beyond, &with(100, Encoding::Png)).expect_err("16.005 times as long");
    assert!(matches!(refused, RenderError::UnsupportedAspect(_)), "{refused}");
}

/// Headers are read before anything but the file itself is admitted, and a record that waits keeps its plan.
#[test]
fn a_header_takes_half_a_mebibyte_at_most_and_its_plan_a_few_kibibytes() {
    let _measuring = measuring();
    let spec = specs().remove(0);
    let mut found = Vec::new();
    let (mut all, mut largest) = (all_images(), 0);
    all.extend(large());
    all.extend(corpus());
    all.extend(worst_cases().into_iter().map(|bomb| (bomb.name.to_owned(), bomb.file)));
    for (name, file) in all {
        let (plan, peak_bytes) = peak_of(|| read(&file, &spec));
        largest = largest.max(peak_bytes);
        if peak_bytes > 512 << 10 {
            found.push(format!("{name}: {peak_bytes} bytes for the header of a file of {}", file.len()));
        }
        let plan = plan.ok();
        let (_copy, kept_bytes) = peak_of(|| plan.clone());
        if kept_bytes > 16 << 10 {
            found.push(format!("{name}: {kept_bytes} bytes for the plan of a file of {}", file.len()));
        }
    }
    eprintln!("the largest header takes {largest} bytes");
    expect_none(&found);
}

/// What cannot be decoded takes no more until it is refused.
#[test]
fn worst_cases_and_the_fuzz_corpus_take_no_more_than_their_plans_say() {
    /// As of admission: what needs more is refused by its plan.
    const MEMORY_BYTES: u64 = 1 << 30;
    let _measuring = measuring();
    let mut renderer = Renderer::try_new().expect("memory for the codecs");
    let (mut found, mut tightest) = (Vec::new(), (0.0, String::new()));
    let mut all = corpus();
    all.extend(worst_cases().into_iter().map(|bomb| (bomb.name.to_owned(), bomb.file)));
    for (name, file) in all {
        for spec in &specs()[..2] {
            let Ok(plan) = read(&file, spec) else { continue };
            let promised_bytes = plan.memory_bytes();
            if promised_bytes > MEMORY_BYTES {
                continue;
            }
            let (outcome, peak_bytes) = peak_of(|| renderer.render(&file, &plan, &spec.sizes));
            let end = outcome.map_or_else(|error| error.to_string(), |_| "rendered".to_owned());
            let story = format!("{name}: {peak_bytes} of {promised_bytes} bytes ({end})");
            if peak_bytes > promised_bytes {
                found.push(story.clone());
            }
            #[expect(clippy::cast_precision_loss, reason = "a rough share, for people")]
            let share = peak_bytes as f64 / promised_bytes as f64;
            if share > tightest.0 {
                tightest = (share, story);
            }
        }
    }
    eprintln!("tightest bound: {:.2}, {}", tightest.0, tightest.1);
    expect_none(&found);
}

/// The inputs of the fuzz target `decode`, without the settings in front of them.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let inputs = fuzz::corpus("decode").into_iter();
    inputs.filter_map(|(name, input)| Some((name, input.get(SETTINGS_BYTES..)?.to_vec()))).collect()
}

/// Rust's allocator does not see libjpeg-turbo's memory. The high-water mark of the resident set does, after a reset.
#[test]
fn large_jpegs_take_no_more_resident_memory_than_their_plans_say() {
    let _measuring = measuring();
    let status = |field: &str| -> u64 {
        let text = fs::read_to_string("/proc/self/status").expect("a process has a status");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("such a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
    };
    // "5" resets the peak (proc(5)); in some containers /proc is read-only.
    if fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("SKIPPED: the peak of the resident set cannot be reset here");
        return;
    }
    let mut renderer = Renderer::try_new().expect("memory for the codecs");
    let mut found = Vec::new();
    for (name, file) in large_jpegs(3000, 2400) {
        for spec in specs().into_iter().take(3) {
            let plan = read(&file, &spec).unwrap_or_else(|error| panic!("{name}: {error}"));
            fs::write("/proc/self/clear_refs", "5").expect("could be written before");
            let before = status("VmRSS:");
            renderer.render(&file, &plan, &spec.sizes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let peak_bytes = status("VmHWM:").saturating_sub(before);
            // 2 MiB more for code that runs for the first time and the allocator's slack.
            if peak_bytes > plan.memory_bytes() + (2 << 20) {
                found.push(format!("{name} as {:?}: {peak_bytes} of {} bytes", spec.sizes, plan.memory_bytes()));
            }
        }
    }
    expect_none(&found);
}

// --- pictures ---

const WIDTH: u32 = 1500;
const HEIGHT: u32 = 1200;

/// Gradients with some noise and an alpha channel that runs through all values.
fn picture(width: u32, height: u32) -> DynamicImage {
    let level = |value: u32| u8::try_from(value & 0xff).expect("masked to a byte");
    RgbaImage::from_fn(width, height, |x, y| {
        let noise = (x ^ y).wrapping_mul(2_654_435_761) >> 28;
        Rgba([level(x / 6 + noise), level(y / 5), level((x + y) / 9 + noise), level(x / 7)])
    })
    .into()
}

fn saved(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("an image can be encoded");
    bytes.into_inner()
}

fn large() -> Vec<(String, Vec<u8>)> {
    let rgba = picture(WIDTH, HEIGHT);
    let rgb = DynamicImage::from(rgba.to_rgb8());
    let grey = DynamicImage::from(rgba.to_luma8());
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("rgb.png", saved(&rgb, ImageFormat::Png)),
        ("rgba.png", saved(&rgba, ImageFormat::Png)),
        ("grey.png", saved(&grey, ImageFormat::Png)),
        ("grey-alpha.png", saved(&rgba.to_luma_alpha8().into(), ImageFormat::Png)),
        ("rgb-16.png", saved(&rgba.to_rgb16().into(), ImageFormat::Png)),
        ("rgba-16.png", saved(&rgba.to_rgba16().into(), ImageFormat::Png)),
        ("grey-16.png", saved(&rgba.to_luma16().into(), ImageFormat::Png)),
        ("grey-alpha-16.png", saved(&rgba.to_luma_alpha16().into(), ImageFormat::Png)),
        ("interlaced-rgb.png", interlaced(8, 2, 3)),
        ("interlaced-rgba-16.png", interlaced(16, 6, 8)),
        ("interlaced-grey.png", interlaced(8, 0, 1)),
        ("rgb.webp", saved(&rgb, ImageFormat::WebP)),
        ("rgba.webp", saved(&rgba, ImageFormat::WebP)),
        ("rgb.bmp", saved(&rgb, ImageFormat::Bmp)),
        ("rgba.bmp", saved(&rgba, ImageFormat::Bmp)),
        ("grey.bmp", saved(&grey, ImageFormat::Bmp)),
        ("whole.gif", gif(&[(0, 0, WIDTH, HEIGHT)])),
        ("animated.gif", gif(&[(0, 0, WIDTH, HEIGHT), (10, 10, 100, 100)])),
        ("first-frame-smaller.gif", gif(&[(1, 1, WIDTH - 2, HEIGHT - 2), (0, 0, WIDTH, HEIGHT)])),
        ("strips.tif", tiff_of_strips::<tiff::encoder::colortype::RGB8>(rgb.as_bytes(), Some(64))),
        ("one-strip.tif", tiff_of_strips::<tiff::encoder::colortype::RGB8>(rgb.as_bytes(), Some(HEIGHT))),
        ("grey.tif", tiff_of_strips::<tiff::encoder::colortype::Gray8>(grey.as_bytes(), None)),
        ("rgba.tif", tiff_of_strips::<tiff::encoder::colortype::RGBA8>(rgba.as_bytes(), None)),
        ("cmyk.tif", tiff_of_strips::<tiff::encoder::colortype::CMYK8>(rgba.as_bytes(), None)),
        ("rgb-16.tif", tiff_of_strips::<tiff::encoder::colortype::RGB16>(rgba.to_rgb16().as_raw(), None)),
        ("grey-16.tif", tiff_of_strips::<tiff::encoder::colortype::Gray16>(rgba.to_luma16().as_raw(), None)),
        ("tiled.tif", tiled(256)),
        ("tiled-in-one.tif", tiled(2048)),
        ("palette.tif", palette_tiff(grey.as_bytes())),
    ];
    files.extend(large_jpegs(WIDTH, HEIGHT));
    files.into_iter().map(|(name, file)| (name.to_owned(), file)).collect()
}

fn large_jpegs(width: u32, height: u32) -> Vec<(&'static str, Vec<u8>)> {
    let rgb = picture(width, height).into_rgb8();
    let jpeg = |progressive: bool, subsampling: turbojpeg::Subsamp, optimize: bool| {
        let mut compressor = turbojpeg::Compressor::new().expect("memory for the compressor");
        compressor.set_subsamp(subsampling).expect("a known subsampling");
        compressor.set_progressive(progressive).expect("a switch");
        compressor.set_optimize(optimize).expect("a switch");
        let image = turbojpeg::Image {
            pixels: rgb.as_raw().as_slice(),
            width: width as usize,
            pitch: width as usize * 3,
            height: height as usize,
            format: turbojpeg::PixelFormat::RGB,
        };
        compressor.compress_to_vec(image).expect("a picture can be compressed")
    };
    vec![
        ("baseline-420.jpg", jpeg(false, turbojpeg::Subsamp::Sub2x2, false)),
        ("baseline-444.jpg", jpeg(false, turbojpeg::Subsamp::None, true)),
        ("progressive-420.jpg", jpeg(true, turbojpeg::Subsamp::Sub2x2, true)),
        ("progressive-444.jpg", jpeg(true, turbojpeg::Subsamp::None, true)),
        ("progressive-grey.jpg", jpeg(true, turbojpeg::Subsamp::Gray, true)),
    ]
}

fn gif(frames: &[(u32, u32, u32, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new_with_speed(&mut bytes, 30);
    for (left, top, width, height) in frames {
        let frame = image::Frame::from_parts(
            picture(*width, *height).into_rgba8(),
            *left,
            *top,
            image::Delay::from_numer_denom_ms(100, 1),
        );
        encoder.encode_frame(frame).expect("a frame can be encoded");
    }
    drop(encoder);
    // The encoder makes the screen as large as the first frame.
    let side = |px: u32| u16::try_from(px).expect("small").to_le_bytes();
    bytes.splice(6..10, [side(WIDTH), side(HEIGHT)].concat());
    bytes
}

fn be(value: usize) -> [u8; 4] {
    u32::try_from(value).expect("small").to_be_bytes()
}

fn le(value: usize) -> [u8; 4] {
    u32::try_from(value).expect("small").to_le_bytes()
}

/// A PNG of zeros in the seven passes of Adam7, deflated as stored blocks.
fn interlaced(bits: u8, color: u8, pixel_bytes: u32) -> Vec<u8> {
    /// First column and row of each pass, and the distance to the next ones.
    const PASSES: [(u32, u32, u32, u32); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let count = |side: u32, first: u32, step: u32| (side - first).div_ceil(step);
    let length: u32 =
        PASSES.iter().map(|(x, y, dx, dy)| (count(WIDTH, *x, *dx) * pixel_bytes + 1) * count(HEIGHT, *y, *dy)).sum();
    let length = usize::try_from(length).expect("fits");
    let mut zlib = vec![0x78, 0x01];
    let mut left = length;
    while left > 0 {
        let part = left.min(0xffff);
        left -= part;
        let side = u16::try_from(part).expect("at most").to_le_bytes();
        zlib.extend([u8::from(left == 0), side[0], side[1], !side[0], !side[1]]);
        zlib.resize(zlib.len() + part, 0);
    }
    zlib.extend(be((length % 65521) << 16 | 1));
    let header = [&WIDTH.to_be_bytes()[..], &HEIGHT.to_be_bytes(), &[bits, color, 0, 0, 1]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", zlib), (b"IEND", Vec::new())] {
        let body = [&kind[..], &data].concat();
        file.extend(be(data.len()));
        file.extend(&body);
        file.extend(crc(&body).to_be_bytes());
    }
    file
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn tiff_of_strips<C: tiff::encoder::colortype::ColorType>(samples: &[C::Inner], rows: Option<u32>) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes)
        .expect("a header can be written")
        .with_compression(tiff::encoder::Compression::Lzw);
    let mut image = encoder.new_image::<C>(WIDTH, HEIGHT).expect("an image of this size");
    if let Some(rows) = rows {
        image.rows_per_strip(rows).expect("before the first strip");
    }
    image.write_data(samples).expect("as many samples as pixels");
    bytes.into_inner()
}

/// A little-endian TIFF of one directory. Each value is one LONG, or several that follow the directory.
fn tiff_of(tags: &[(u16, Vec<usize>)], data: &[u8]) -> Vec<u8> {
    let directory = 8 + 2 + 12 * tags.len() + 4;
    let mut outside = Vec::new();
    let outside_length: usize =
        tags.iter().filter(|(_, values)| values.len() > 1).map(|(_, values)| 4 * values.len()).sum();
    let data_at = directory + outside_length;
    let mut file = [&b"II*\0"[..], &le(8), &u16::try_from(tags.len()).expect("few").to_le_bytes()].concat();
    for (tag, values) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(4_u16.to_le_bytes());
        file.extend(le(values.len()));
        // Offsets of strips and tiles are given from the start of the data.
        let base = if matches!(tag, 273 | 324) { data_at } else { 0 };
        let text: Vec<u8> = values.iter().flat_map(|value| le(base + value)).collect();
        if values.len() > 1 {
            file.extend(le(directory + outside.len()));
            outside.extend(text);
        } else {
            file.extend(text);
        }
    }
    file.extend(le(0));
    file.extend(outside);
    file.extend(data);
    file
}

/// Uncompressed grey tiles.
fn tiled(side: usize) -> Vec<u8> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let count = width.div_ceil(side) * height.div_ceil(side);
    let length = side * side;
    let tags = [
        (256, vec![width]),
        (257, vec![height]),
        (258, vec![8]),
        (259, vec![1]),
        (262, vec![1]),
        (277, vec![1]),
        (322, vec![side]),
        (323, vec![side]),
        (324, (0..count).map(|tile| tile * length).collect()),
        (325, vec![length; count]),
    ];
    tiff_of(&tags, &vec![77; count * length])
}

fn palette_tiff(indices: &[u8]) -> Vec<u8> {
    let tags = [
        (256, vec![WIDTH as usize]),
        (257, vec![HEIGHT as usize]),
        (258, vec![8]),
        (259, vec![1]),
        (262, vec![3]),
        (273, vec![0]),
        (277, vec![1]),
        (278, vec![HEIGHT as usize]),
        (279, vec![indices.len()]),
        (320, (0..768).map(|place| place * 257 % 65536).collect()),
    ];
    tiff_of(&tags, indices)
}
