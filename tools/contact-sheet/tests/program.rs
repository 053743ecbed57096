//! The built program on files of this repository.
#![allow(missing_docs, reason = "a test that panics has failed")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn run(args: &[&str], lines: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contact-sheet"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program that cargo has built can be started");
    // The program may end without reading its input.
    let _ = child.stdin.take().expect("piped").write_all(lines.as_bytes());
    child.wait_with_output().expect("a child can be waited for")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_is_drawn_with_its_failures_in_red() {
    let lines = r#"
{"status":"written","bucket":"testdata","key":"photos/retina.jpg","outputs":["images/png/rgb-8.png","x"]}
{"status":"failed","bucket":"testdata","key":"../README.md","reason":"unsupported-format","detail":"no image"}
"#;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folder/sheet.png");
    let path = path.to_str().expect("UTF-8");
    let output = run(&[ROOT, "testdata", path], lines.trim_start());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{path}\n"));
    let sheet = image::open(path).expect("a PNG").into_rgb8();
    let red = image::Rgb([176, 42, 48]);
    assert!(sheet.width() > 600 && sheet.height() > 600, "{:?}", sheet.dimensions());
    assert!(sheet.pixels().any(|pixel| *pixel == red), "neither the failure nor the missing output is red");
}

#[test]
fn wrong_arguments_end_with_2_and_the_usage() {
    for args in [&[][..], &["a"], &["a", "b"], &["a", "b", "c", "d"]] {
        let output = run(args, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("usage: contact-sheet ROOT DEST_BUCKET OUTPUT.png"), "{}", stderr(&output));
    }
}

#[test]
fn lines_that_are_not_of_a_run_end_with_1_and_the_way_out() {
    let output = run(&[ROOT, "testdata", "unused.png"], "written s3://a/b");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 1 of standard input"), "{}", stderr(&output));
    assert!(stderr(&output).contains("LOG_FORMAT=json"), "{}", stderr(&output));
}
