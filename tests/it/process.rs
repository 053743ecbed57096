//! Tests of the program as a process: arguments, environment, exit codes, signals and output streams.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, entries, text};

mod arguments;
mod batch;
mod batch_file;
mod configuration;
mod folders;
mod log;
mod signals;

/// A store of folders with the buckets `src` and `dest`, and a photo at `src/a.png`.
struct Folders {
    /// The parent folder of the store. Files in it must never change.
    outside: TempDir,
}

impl Folders {
    fn new() -> Self {
        let outside = tempfile::tempdir().expect("a temporary folder can be created");
        let folders = Self { outside };
        for bucket in ["src", "dest"] {
            fs::create_dir_all(folders.root().join(bucket)).expect("a folder can be created");
        }
        folders.put("a.png", &photos::png(64, 48, 1));
        folders
    }

    fn root(&self) -> PathBuf {
        self.outside.path().join("store")
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        write(&self.root().join("src").join(key), bytes);
    }

    fn run(&self) -> Pixpipe {
        Pixpipe::with_folders(&self.root()).env("SIZES", "32").batch(&entries(&[("src", "a.png")]))
    }

    /// The files that the program must not change, with their contents: all in the temporary folder except those in the
    /// bucket `dest` and in the program's own folder `.pixpipe`.
    fn protected(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = files_under(self.outside.path());
        let writable = [self.root().join("dest"), self.root().join(".pixpipe")];
        files.retain(|path| !writable.iter().any(|folder| path.starts_with(folder)));
        files.into_iter().map(|path| (path.clone(), fs::read(&path).expect("a listed file can be read"))).collect()
    }

    fn written(&self) -> Vec<PathBuf> {
        files_under(&self.root().join("dest"))
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("a file has a parent folder");
    fs::create_dir_all(folder).expect("a folder can be created");
    fs::write(path, bytes).expect("a file can be written");
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a temporary folder can be listed") {
        let path = entry.expect("a temporary folder can be listed").path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn with_status<'a>(records: &'a [Value], status: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| text(record, "status") == status).collect()
}
