//! Tests of the memory limit, which holds for the whole process and for every batch.

use std::fs;
use std::process::Command;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, entries};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;
use serde_json::json;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

/// A JPEG of 6000 × 4000 pixels of a realistic file size: waves with some noise.
fn photo(is_progressive: bool, subsampling: Subsamp) -> Vec<u8> {
    let (width, height) = (6000_usize, 4000_usize);
    let mut pixels = Vec::with_capacity(width * height * 3);
    let mut state = 1_u32;
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 28) as usize;
            // Only the lowest byte is used, so the waves wrap around.
            pixels.extend([x / 8, y / 16, (x + y) / 32].map(|wave| (wave + noise).to_le_bytes()[0]));
        }
    }
    let mut compressor = Compressor::new().unwrap();
    compressor.set_progressive(is_progressive).unwrap();
    compressor.set_quality(85).unwrap();
    compressor.set_subsamp(subsampling).unwrap();
    let image = Image { pixels: pixels.as_slice(), width, pitch: width * 3, height, format: PixelFormat::RGB };
    compressor.compress_to_vec(image).unwrap()
}

#[test]
fn fifty_photos_of_24_megapixels_fit_into_400_mebibytes() {
    const LIMIT_BYTES: u64 = 400 << 20;
    let root = tempfile::tempdir().unwrap();
    let photos = root.path().join("photos");
    fs::create_dir(&photos).unwrap();
    // Baseline 4:2:0, progressive 4:2:0 (72 MB of coefficients), progressive 4:4:4 (144 MB of coefficients).
    let kinds = [photo(false, Subsamp::Sub2x2), photo(true, Subsamp::Sub2x2), photo(true, Subsamp::None)];
    let keys: Vec<String> = (0..50).map(|number| format!("{number}.jpg")).collect();
    for (number, key) in keys.iter().enumerate() {
        let path = photos.join(key);
        match number {
            0..3 => fs::write(path, &kinds[number]).unwrap(),
            _ => fs::hard_link(photos.join(format!("{}.jpg", number % 3)), path).unwrap(),
        }
    }
    drop(kinds);
    let finished = Pixpipe::with_folders(root.path())
        .env("SIZES", "224,299")
        .env("MEMORY_LIMIT_BYTES", &LIMIT_BYTES.to_string())
        .batch(&entries(&keys.iter().map(|key| ("photos", key.as_str())).collect::<Vec<_>>()))
        .run()
        .expect_code(0);
    assert_eq!(finished.summary()["written"], 50);
    let peak_bytes = finished.peak_bytes;
    assert!(peak_bytes > 100 << 20, "the peak of {peak_bytes} bytes was not measured");
    assert!(peak_bytes <= LIMIT_BYTES, "{peak_bytes} bytes were resident, the limit is {LIMIT_BYTES}");
}

#[test]
fn an_image_that_can_never_fit_is_refused_and_its_neighbour_written() {
    let root = tempfile::tempdir().unwrap();
    let photos = root.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("large.jpg"), photo(true, Subsamp::None)).unwrap();
    let small = image::RgbImage::from_pixel(300, 200, image::Rgb([10, 200, 30]));
    small.save(photos.join("small.png")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pixpipe"))
        .env_clear()
        .env("STORE", format!("dir:{}", root.path().display()))
        .env("DEST_BUCKET", "out")
        .env("MEMORY_LIMIT_BYTES", (96 << 20).to_string())
        .env("SQS_BODY", r#"["s3://photos/large.jpg", "s3://photos/small.png"]"#)
        .output()
        .unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    let refused = log.lines().find(|line| line.contains("large.jpg")).unwrap();
    assert!(refused.contains("\"reason\":\"too-many-pixels\""), "{refused}");
    assert!(root.path().join("out/224x224/small.png.jpg").exists());
}

/// A photo that a first attempt makes is made by every later one, in its child process, with the same limit.
#[test]
fn a_retried_record_has_the_memory_that_it_had() {
    let root = tempfile::tempdir().unwrap();
    let photos = root.path().join("photos");
    fs::create_dir(&photos).unwrap();
    image::RgbImage::from_pixel(5000, 4000, image::Rgb([10, 200, 30])).save(photos.join("a.png")).unwrap();
    let is_written = |limit_mib: u64, attempts: u32| {
        let batch = format!(r#"{{"bucket":"photos","key":"a.png","pixpipe":{{"attempts":{attempts}}}}}"#);
        let output = Command::new(env!("CARGO_BIN_EXE_pixpipe"))
            .env_clear()
            .env("STORE", format!("dir:{}", root.path().display()))
            .env("DEST_BUCKET", "out")
            .env("SKIP_UNCHANGED", "false")
            .env("MEMORY_LIMIT_BYTES", (limit_mib << 20).to_string())
            .env("SQS_BODY", batch)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().contains("\"status\":\"written\"")
    };
    // The least limit, in MiB, with which a first attempt succeeds.
    let (mut too_small, mut enough) = (64, 512);
    assert!(!is_written(too_small, 0) && is_written(enough, 0));
    while enough - too_small > 1 {
        let middle = u64::midpoint(too_small, enough);
        if is_written(middle, 0) {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    assert!(is_written(enough, 1), "{enough} MiB were enough for the first attempt");
}

/// The limit holds for what is on its way as well: requests that are open, and bytes that nobody has read yet.
#[test]
fn a_thousand_objects_in_flight_fit_into_128_mebibytes() {
    const LIMIT_BYTES: u64 = 128 << 20;
    let server = S3Server::with_buckets();
    // A photo with bytes behind it, as some cameras write them: large, and quickly decoded.
    let mut photo = photos::jpeg(640, 480, 1);
    photo.resize(3_000_000, 0);
    let keys: Vec<String> = (0..500).map(|number| format!("{number}.jpg")).collect();
    for key in &keys {
        server.put("src", key, Upload::of(photo.as_slice()));
    }
    let finished = Pixpipe::with_s3(server.endpoint())
        .env("CONCURRENCY", "1024")
        .env("MEMORY_LIMIT_BYTES", &LIMIT_BYTES.to_string())
        .batch(&entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>()))
        .run()
        .expect_code(0);
    assert_eq!(finished.summary()["written"], 500);
    let peak_bytes = finished.peak_bytes;
    assert!(peak_bytes > 16 << 20, "the peak of {peak_bytes} bytes was not measured");
    assert!(peak_bytes <= LIMIT_BYTES, "{peak_bytes} bytes were resident, the limit is {LIMIT_BYTES}");
}

/// As many entries as a task may have, each with the longest things that a notification says, each ending as a failure
/// with a message and a line in the report.
#[test]
fn a_hundred_thousand_entries_fit_into_512_mebibytes() {
    const LIMIT_BYTES: u64 = 512 << 20;
    let server = S3Server::with_buckets();
    server.create_bucket("work");
    let lines: String = (0..100_000)
        .map(|number| {
            format!(
                "{{\"bucket\":\"src\",\"key\":\"{number:060}.jpg\",\"size\":99999999999,\
                 \"etag\":\"d41d8cd98f00b204e9800998ecf8427e\"}}\n"
            )
        })
        .collect();
    server.put("work", "batch", Upload::of(lines));
    // Each is refused for its size, without a request.
    let finished = Pixpipe::with_s3(server.endpoint())
        .env("MEMORY_LIMIT_BYTES", &LIMIT_BYTES.to_string())
        .batch(&json!({"batch": "s3://work/batch", "report": "s3://work/report"}))
        .run()
        .expect_code(1);
    assert_eq!(finished.summary()["reasons"], json!({"too-many-bytes": 100_000}));
    let report = server.object("work", "report");
    assert_eq!(report.bytes.split(|byte| *byte == b'\n').count(), 100_002);
    let entries_bytes = 100_000 * 1280 + (48 << 20);
    assert!(finished.peak_bytes > 16 << 20, "the peak of {} bytes was not measured", finished.peak_bytes);
    assert!(finished.peak_bytes <= entries_bytes, "{} bytes for the entries", finished.peak_bytes);
}
