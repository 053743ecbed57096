//! Tests with folders as buckets.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{entries, outcome, text};

use super::{Folders, with_status, write};

#[test]
fn with_folders_as_buckets_the_outputs_are_files_in_the_destination_folder() {
    let folders = Folders::new();
    folders.put("deep/er/b.png", &photos::png(64, 48, 2));
    let before = folders.protected();
    folders
        .run()
        .env("DEST_PREFIX", "thumbs/")
        .batch(&entries(&[("src", "a.png"), ("src", "deep/er/b.png")]))
        .run()
        .expect_code(0);
    let dest = folders.root().join("dest/thumbs/32x32");
    for name in ["a.png.jpg", "deep/er/b.png.jpg"] {
        let bytes = fs::read(dest.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (width, height, _) = photos::decode_jpeg(&bytes);
        assert_eq!((width, height), (32, 32), "{name}");
    }
    assert_eq!(folders.protected(), before);
}

#[test]
fn cuts_and_plain_sizes_are_made_from_one_decode_as_each_alone() {
    let folders = Folders::new();
    folders.put("photo.jpg", &photos::jpeg(400, 300, 1));
    let batch = entries(&[("src", "photo.jpg")]);
    let run = |prefix: &str, sizes: &str, decode: &str| {
        let run = folders.run().env("DEST_PREFIX", prefix).env("SIZES", sizes).env("DECODE", decode);
        run.env("FORMAT", "npy").batch(&batch).run().expect_code(0);
    };
    let read = |prefix: &str, size: &str| {
        let path = folders.root().join(format!("dest/{prefix}{size}/photo.jpg.npy"));
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    run("both/", "32@40,64", "exact");
    run("cut/", "32@40", "exact");
    run("plain/", "64", "exact");
    assert!(read("both/", "32x32") == read("cut/", "32x32") && read("both/", "64x64") == read("plain/", "64x64"));
    // A short side of 150 px needs every pixel of 300 px; without the cut, half of them.
    run("fast/", "32@150,64", "fast");
    run("plain-fast/", "64", "fast");
    assert!(read("fast/", "64x64") == read("plain/", "64x64"), "the cut decides the decode for all");
    assert!(read("plain-fast/", "64x64") != read("plain/", "64x64"));
}

#[test]
fn a_short_side_keeps_the_aspect_ratio_and_refuses_a_source_that_is_too_flat_alone() {
    let folders = Folders::new();
    folders.put("wide.png", &photos::png(100, 30, 1));
    folders.put("tall.png", &photos::png(10, 160, 1));
    folders.put("flat.png", &photos::png(161, 10, 1));
    let keys = ["wide.png", "tall.png", "flat.png"];
    let run = || folders.run().env("FIT", "short").env("SIZES", "24,9");
    let finished = run().batch(&entries(&keys.map(|key| ("src", key)))).run().expect_code(1);
    assert_eq!(finished.outcome("flat.png"), outcome("failed", "unsupported-aspect"));
    let detail = text(&finished.record("flat.png"), "detail").to_owned();
    assert_eq!(detail, "the upright image is 161x10 px; FIT=short takes an aspect ratio of 1:16 at most");
    for (path, width, height) in [
        ("short24/wide.png.jpg", 80, 24),
        ("short9/wide.png.jpg", 30, 9),
        ("short24/tall.png.jpg", 24, 384),
        ("short9/tall.png.jpg", 9, 144),
    ] {
        let bytes = fs::read(folders.root().join("dest").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (actual_width, actual_height, _) = photos::decode_jpeg(&bytes);
        assert_eq!((actual_width, actual_height), (width, height), "{path}");
    }
    assert_eq!(folders.written().len(), 4);
    let again = run().batch(&entries(&[("src", "wide.png")])).run().expect_code(0);
    assert_eq!(again.outcome("wide.png"), outcome("skipped", "unchanged"));
}

#[test]
fn a_killed_program_leaves_no_partial_output_in_its_folders_and_the_next_run_completes_the_batch() {
    for killed_at in 0..6 {
        let folders = Folders::new();
        let keys: Vec<String> = (0..8).map(|number| format!("{number}.png")).collect();
        for (key, seed) in keys.iter().zip(1..) {
            folders.put(key, &photos::png(64, 48, seed));
        }
        let batch = entries(&keys.iter().map(|key| ("src", key.as_str())).collect::<Vec<_>>());
        let run = || folders.run().env("SIZES", "32,640").env("CONCURRENCY", "2").batch(&batch);
        let running = run().start();
        // Other records are in progress at this moment.
        running.wait_for_line(&format!("/{killed_at}.png"));
        running.signal(Signal::KILL);
        running.finish();
        let assert_whole = |path: &PathBuf| drop(photos::decode_jpeg(&fs::read(path).expect("a file can be read")));
        folders.written().iter().for_each(assert_whole);
        run().run().expect_code(0);
        let written = folders.written();
        assert_eq!(written.len(), 16, "killed at {killed_at}: {written:?}");
        written.iter().for_each(assert_whole);
    }
}

#[test]
fn a_key_or_bucket_that_leads_out_of_the_folders_fails_only_its_own_record() {
    let folders = Folders::new();
    let photo = photos::png(64, 48, 3);
    write(&folders.outside.path().join("secret.png"), &photo);
    write(&folders.root().join("secret.png"), &photo);
    let absolute = folders.outside.path().join("secret.png").display().to_string();
    folders.put("folder/b.png", &photo);
    let hostile = [
        ("src", "../secret.png"),
        ("src", "../../secret.png"),
        ("src", "x/../../../secret.png"),
        ("src", absolute.as_str()),
        ("src", "nul\0.png"),
        ("src", ""),
        ("src", "."),
        ("src", ".."),
        ("src", "folder"),
        (".pixpipe", "dest/32x32/a.png.jpg.json"),
        ("src", &"long/".repeat(300)),
        ("src", &"l".repeat(1000)),
        ("..", "secret.png"),
        ("../store/src", "a.png"),
        ("/", "secret.png"),
    ];
    let before = folders.protected();
    for (bucket, key) in hostile {
        let batch = entries(&[(bucket, key), ("src", "a.png")]);
        let finished = folders.run().env("SKIP_UNCHANGED", "false").batch(&batch).run().expect_code(1);
        assert_eq!(finished.outcome("a.png"), outcome("written", ""), "next to {bucket:?} {key:?}");
        let records = finished.records();
        let failed = with_status(&records, "failed");
        assert_eq!(failed.len(), 1, "{bucket:?} {key:?}: {}", finished.stdout);
        assert!(
            failed.iter().all(|record| ["invalid-entry", "not-found"].contains(&text(record, "reason"))),
            "{failed:?}"
        );
        assert_eq!(folders.written(), [folders.root().join("dest/32x32/a.png.jpg")], "{bucket:?} {key:?}");
        assert_eq!(folders.protected(), before, "{bucket:?} {key:?}");
    }
}

#[test]
fn a_key_that_is_a_pipe_is_refused_and_not_waited_for() {
    let folders = Folders::new();
    let pipe = folders.root().join("src/pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("Linux has mkfifo");
    assert!(made.success());
    let finished = folders.run().batch(&entries(&[("src", "pipe.png"), ("src", "a.png")])).run().expect_code(1);
    assert_eq!(finished.outcome("pipe.png"), outcome("failed", "invalid-entry"));
    assert_eq!(finished.outcome("a.png"), outcome("written", ""));
}

#[test]
fn no_key_is_in_the_way_of_the_metadata_of_another() {
    let folders = Folders::new();
    let keys = ["x.jpg", "x.jpg.json/y.jpg", "x.jpg.json.jpg"];
    for (key, seed) in keys.into_iter().zip(1..) {
        folders.put(key, &photos::jpeg(64, 48, seed));
    }
    let run = || folders.run().batch(&entries(&keys.map(|key| ("src", key)))).run().expect_code(0);
    assert_eq!(with_status(&run().records(), "written").len(), 3);
    assert_eq!(with_status(&run().records(), "skipped").len(), 3);
}
