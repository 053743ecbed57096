//! Bad files beside good ones.

use std::path::Path;

use pixpipe_test_support::run::outputs;

use super::files::foreign_formats::foreign_formats;
use super::files::jpeg::scans;
use super::files::{ONE_OF_EACH_KIND, expect_none, image, removed};
use super::folder_run::FolderRun;

#[test]
fn bad_files_leave_their_neighbours_alone_and_nothing_of_themselves() {
    let mut folders = FolderRun::new();
    let mut expected = Vec::new();
    let mut put_bad = |folders: &mut FolderRun, key: String, reason: &'static str, file: &[u8]| {
        folders.put(&key, file);
        expected.push((key, reason));
    };
    put_bad(&mut folders, "empty".to_owned(), "truncated", b"");
    for (name, file) in foreign_formats() {
        put_bad(&mut folders, name.to_owned(), "unsupported-format", &file);
    }
    for name in ONE_OF_EACH_KIND {
        let file = image(name);
        let key = name.replace('/', "-");
        put_bad(&mut folders, format!("cut-{key}"), "truncated", &file[..file.len() / 2]);
        folders.put(&format!("good-{key}"), &file);
    }
    let baseline = image("jpeg/baseline.jpg");
    let (start, end) = scans(&baseline)[0];
    put_bad(&mut folders, "half-grey.jpg".to_owned(), "corrupt", &removed(&baseline, start + (end - start) / 2, end));

    let finished = folders.run(&[("SIZES", "32,16x8"), ("FORMAT", "png")]).expect_code(1);
    assert_eq!(finished.records().len(), folders.keys.len(), "one line each");
    let mut wrong = Vec::new();
    for (key, reason) in &expected {
        let outcome = finished.outcome(key);
        if outcome != ("failed".to_owned(), (*reason).to_owned()) || !outputs(&finished.record(key)).is_empty() {
            wrong.push(format!("{key}: {outcome:?} instead of {reason}"));
        }
    }
    // What is not read is counted by its format all the same.
    for (key, format) in
        [("heic", "heic"), ("heic-by-a-compatible-brand", "heic"), ("dng", "tiff"), ("cut-avif-420-8.avif", "avif")]
    {
        let line = finished.record(key);
        if line["format"] != format {
            wrong.push(format!("{key}: the format is {} instead of {format}", line["format"]));
        }
    }
    let detail = finished.record("heic")["detail"].to_string();
    if !detail.contains("HEIC, as iPhones write it") || !detail.contains("Most Compatible") {
        wrong.push(format!("heic: {detail}"));
    }
    let mut outputs_of_good = Vec::new();
    for key in folders.keys.iter().filter(|key| key.starts_with("good-")) {
        if finished.outcome(key).0 != "written" {
            wrong.push(format!("{key}: {:?}", finished.outcome(key)));
        }
        let extension =
            if Path::new(key).extension().is_some_and(|extension| extension == "png") { "" } else { ".png" };
        outputs_of_good.extend(["32x32", "16x8"].map(|size| format!("{size}/{key}{extension}")));
    }
    expect_none(&wrong);
    outputs_of_good.sort();
    assert_eq!(folders.written(), outputs_of_good, "nothing is written of the bad files");
    for key in outputs_of_good {
        let output =
            image::open(folders.root.path().join("dest").join(&key)).unwrap_or_else(|error| panic!("{key}: {error}"));
        let expected = if key.starts_with("32x32") { (32, 32) } else { (16, 8) };
        assert_eq!((output.width(), output.height()), expected, "{key}");
    }
}
