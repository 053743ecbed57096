//! The program once more, as a process of its own: a signal that ends it ends nothing else.

use std::ffi::OsString;
use std::io;
use std::process::{Output, Stdio};

use tokio::process::Command;

/// What is running: works in an empty image, and where the file was replaced or removed meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// This program and the environment that it was started with.
#[derive(Debug)]
pub struct Program {
    vars: Vec<(OsString, OsString)>,
}

impl Program {
    /// Only these variables are given to a child.
    #[must_use]
    pub const fn new(vars: Vec<(OsString, OsString)>) -> Self {
        Self { vars }
    }

    /// Runs it to its end and gives its standard output; its diagnostics join those of the caller. `vars` replace those of
    /// the same name, `None` takes one away. Killed where the caller no longer waits.
    ///
    /// # Errors
    /// Where the system starts no process.
    pub async fn run(&self, vars: &[(&str, Option<String>)]) -> io::Result<Output> {
        let mut command = Command::new(THIS_PROGRAM);
        command.env_clear().envs(self.vars.iter().map(|(name, value)| (name, value)));
        for (name, value) in vars {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        command.spawn()?.wait_with_output().await
    }
}
