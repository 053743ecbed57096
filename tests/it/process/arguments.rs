//! Tests of the command line.

use std::path::PathBuf;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, entries};
use pixpipe_test_support::s3::Upload;
use pixpipe_test_support::server::S3Server;

use super::Folders;

#[test]
fn help_names_every_variable_and_every_exit_code() {
    let finished = Pixpipe::bare().arg("--help").run().expect_code(0);
    for name in pixpipe::config::VARIABLES.iter().map(|variable| variable.name) {
        assert!(finished.stdout.contains(name), "no {name} in\n{}", finished.stdout);
    }
    for code in ["0", "1", "64", "65", "75", "78"] {
        let named = finished.stdout.lines().any(|line| line.split_whitespace().next() == Some(code));
        assert!(named, "no line begins with the exit code {code} in\n{}", finished.stdout);
    }
    assert_eq!(finished.stderr, "");
}

#[test]
fn version_is_the_name_and_the_version_of_the_package() {
    let finished = Pixpipe::bare().arg("--version").run().expect_code(0);
    assert_eq!(finished.stdout.trim_end(), concat!("pixpipe ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_argument_is_refused_and_touches_nothing() {
    let folders = Folders::new();
    for argument in ["--frobnicate", "a.png", "-x", ""] {
        let finished = folders.run().arg(argument).run().expect_code(64);
        assert!(finished.stderr.contains("--help"), "{argument:?}: {}", finished.stderr);
    }
    assert_eq!(folders.written(), Vec::<PathBuf>::new());
}

#[test]
fn checking_the_configuration_touches_nothing() {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(64, 64, 1)));
    let check = || Pixpipe::with_s3(server.endpoint()).batch(&entries(&[("src", "a.jpg")])).arg("--check-config");
    check().run().expect_code(0);
    let finished = check().env("FIT", "crop").run().expect_code(78);
    assert!(finished.both_streams().contains("FIT"), "{finished:?}");
    assert_eq!(server.requests().len(), 0);
    assert_eq!(server.keys("dest"), Vec::<String>::new());
}
