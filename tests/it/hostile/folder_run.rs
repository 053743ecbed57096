//! The program with a store of folders, and its resident memory.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pixpipe_test_support::run::{Finished, TIME_LIMIT, entries, peak_bytes};

/// A store of folders, and the keys of its sources in the order of the batch.
pub(super) struct FolderRun {
    pub(super) root: tempfile::TempDir,
    pub(super) keys: Vec<String>,
}

impl FolderRun {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        for bucket in ["src", "dest"] {
            fs::create_dir(root.path().join(bucket)).expect("a folder in it");
        }
        Self { root, keys: Vec::new() }
    }

    pub(super) fn put(&mut self, key: &str, file: &[u8]) {
        fs::write(self.root.path().join("src").join(key), file).expect("a file can be written");
        self.keys.push(key.to_owned());
    }

    /// Runs the program on all sources.
    pub(super) fn run(&self, variables: &[(&str, &str)]) -> Finished {
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
    pub(super) fn written(&self) -> Vec<String> {
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

/// Waits for a child, and polls the kernel for the high-water mark of its resident memory. Only memory that is taken in
/// the last millisecond can be missed.
fn watch(mut child: Child) -> Finished {
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
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_bytes(child.id()));
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if started.elapsed() > TIME_LIMIT {
            child.kill().expect("a running child can be killed");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let [stdout, stderr] = [stdout, stderr].map(|thread| thread.join().expect("a pipe can be read"));
    Finished { code: status.code(), stdout, stderr, peak_bytes: peak }
}
