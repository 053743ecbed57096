//! Comparison of the program's outputs with goldens made by Pillow from the same sources, for each row of
//! `testdata/golden/LEDGER.tsv`.
//!
//! `testdata/make_goldens.py` makes the goldens and checks their hashes (`--check`). This program never makes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::RgbImage;

/// The columns of the ledger that are environment variables of the program.
const SETTINGS: [&str; 8] = ["FIT", "SIZES", "FILTER", "DECODE", "COLOR", "BACKGROUND", "CROP_ROUND", "PRESET"];

/// One row of the ledger.
struct Row {
    case: String,
    /// The path below `testdata/images`, which is also the key of the source.
    source: String,
    /// The values of [`SETTINGS`], in the same order.
    settings: Vec<String>,
    golden: PathBuf,
    /// Largest allowed difference of a value, in levels.
    max_levels: u8,
    /// Largest allowed share of values that differ.
    max_share: f64,
}

/// The difference of an output from its golden of the same size.
struct Difference {
    max_levels: u8,
    mean_levels: f64,
    /// Share of the values that differ.
    share: f64,
    /// The absolute differences times 16, which makes one level visible.
    image: RgbImage,
}

#[test]
fn every_output_matches_its_golden_made_by_pillow() {
    let root = tempfile::tempdir().expect("a temporary folder can be created");
    copy_folder(&testdata().join("images"), &root.path().join("images"));
    let diff_folder = golden_diff_folder();

    let rows = read_ledger();
    assert!(!rows.is_empty(), "the ledger has no rows");
    let mut runs: BTreeMap<&[String], Vec<&Row>> = BTreeMap::new();
    for row in &rows {
        runs.entry(&row.settings).or_default().push(row);
    }

    let mut mismatches = String::new();
    let mut failed = 0;
    for (number, (settings, rows)) in runs.iter().enumerate() {
        let dest_bucket = format!("out-{number}");
        let log = run(root.path(), &dest_bucket, settings, rows);
        for row in rows {
            if let Err(mismatch) = compare(row, &root.path().join(&dest_bucket), &diff_folder, &log) {
                failed += 1;
                writeln!(mismatches, "{}: {mismatch}", row.case).expect("writing to a String cannot fail");
            }
        }
    }
    assert!(failed == 0, "{failed} of {} cases differ from their golden:\n{mismatches}", rows.len());
}

/// Runs the program once on the sources of `rows`. Returns its output.
fn run(root: &Path, dest_bucket: &str, settings: &[String], rows: &[&Row]) -> String {
    let batch: Vec<_> = rows.iter().map(|row| serde_json::json!({ "bucket": "images", "key": row.source })).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_pixpipe"))
        .env_clear()
        .env("STORE", format!("dir:{}", root.display()))
        .env("SQS_BODY", serde_json::Value::from(batch).to_string())
        .env("DEST_BUCKET", dest_bucket)
        .env("FORMAT", "npy")
        .envs(SETTINGS.iter().zip(settings))
        .output()
        .expect("the program starts");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Compares the output of `row` in the folder `out` with its golden.
///
/// # Errors
/// The differences, and the paths below `diff_folder` of the actual image and the difference image.
fn compare(row: &Row, out: &Path, diff_folder: &Path, log: &str) -> Result<(), String> {
    let golden = image::open(&row.golden).map_err(|error| format!("{}: {error}", row.golden.display()))?.into_rgb8();
    let (width, height) = golden.dimensions();
    let folder = match &row.settings[..2] {
        [fit, size] if fit == "short" => format!("short{size}"),
        _ => format!("{width}x{height}"),
    };
    let path = out.join(format!("{folder}/{}.npy", row.source));
    let Ok(bytes) = fs::read(&path) else {
        let line = log.lines().find(|line| line.contains(&row.source)).unwrap_or(log);
        return Err(format!("no output in {folder}; the program's line: {line}"));
    };
    let actual = read_npy(&bytes)?;
    let name = row.case.replace([' ', '/'], "_");
    let actual_path = diff_folder.join(format!("{name}-actual.png"));
    if actual.dimensions() != golden.dimensions() {
        save(&actual, &actual_path);
        return Err(format!("{:?} instead of {:?}: {}", actual.dimensions(), (width, height), actual_path.display()));
    }

    let difference = difference(&actual, &golden);
    if difference.max_levels <= row.max_levels && difference.share <= row.max_share {
        return Ok(());
    }
    let difference_path = diff_folder.join(format!("{name}-difference.png"));
    save(&actual, &actual_path);
    save(&difference.image, &difference_path);
    Err(format!(
        "max {} levels (allowed {}), mean {:.4}, {:.3} % of values (allowed {:.3} %)\n    \
         golden     {}\n    actual     {}\n    difference {}",
        difference.max_levels,
        row.max_levels,
        difference.mean_levels,
        difference.share * 100.0,
        row.max_share * 100.0,
        row.golden.display(),
        actual_path.display(),
        difference_path.display(),
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts of values of one small image")]
fn difference(actual: &RgbImage, golden: &RgbImage) -> Difference {
    let mut image = golden.clone();
    let (mut max_levels, mut sum, mut differing) = (0, 0_u64, 0_usize);
    for (value, actual) in image.iter_mut().zip(actual.iter()) {
        let levels = value.abs_diff(*actual);
        *value = levels.saturating_mul(16);
        max_levels = max_levels.max(levels);
        sum += u64::from(levels);
        differing += usize::from(levels != 0);
    }
    let values = image.len() as f64;
    Difference { max_levels, mean_levels: sum as f64 / values, share: differing as f64 / values, image }
}

/// Reads an npy file of version 1.0, uint8, shape (H, W, 3), C order.
fn read_npy(bytes: &[u8]) -> Result<RgbImage, String> {
    let body = bytes.strip_prefix(b"\x93NUMPY\x01\x00").ok_or("not an npy file of version 1.0")?;
    let (length, body) = body.split_first_chunk().ok_or("the npy header is cut")?;
    let (header, pixels) = body.split_at_checked(u16::from_le_bytes(*length).into()).ok_or("the npy header is cut")?;
    let header = String::from_utf8_lossy(header);
    if !header.contains("'descr': '|u1'") || !header.contains("'fortran_order': False") {
        return Err(format!("not uint8 in C order: {header}"));
    }
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| format!("no shape: {header}"))?;
    let shape: Vec<u32> = shape.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    let [height, width, 3] = shape[..] else {
        return Err(format!("the shape is not (H, W, 3): {header}"));
    };
    if pixels.len() as u64 != u64::from(width) * u64::from(height) * 3 {
        return Err(format!("{} bytes of pixels after {header}", pixels.len()));
    }
    RgbImage::from_raw(width, height, pixels.to_vec()).ok_or_else(|| format!("not an image: {header}"))
}

fn read_ledger() -> Vec<Row> {
    let path = testdata().join("golden/LEDGER.tsv");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().expect("the ledger has a header line").split('\t').collect();
    lines
        .map(|line| {
            let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(line.split('\t')).collect();
            let cell =
                |column: &str| (*cells.get(column).unwrap_or_else(|| panic!("no {column} in {line:?}"))).to_owned();
            assert_eq!(cell("cpu"), "all", "rows for certain CPUs are not supported yet");
            Row {
                case: cell("case"),
                source: cell("source"),
                settings: SETTINGS.iter().map(|column| cell(column)).collect(),
                golden: testdata().join("golden").join(cell("golden")),
                max_levels: cell("max_levels").parse().expect("max_levels is a number of levels"),
                max_share: cell("max_share").parse().expect("max_share is a share"),
            }
        })
        .collect()
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Empties the folder `target/golden-diff` and returns its path.
fn golden_diff_folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's temporary folder is in target");
    let folder = target.join("golden-diff");
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the folder of the last run can be removed");
    }
    fs::create_dir_all(&folder).expect("the folder can be created");
    folder
}

fn save(image: &RgbImage, path: &Path) {
    image.save(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be created");
    for entry in fs::read_dir(from).expect("a folder of testdata can be listed") {
        let entry = entry.expect("a folder of testdata can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("an entry has a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
