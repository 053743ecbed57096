//! Runs this program again as a child process, so that a crash stays there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::process::{Output, Stdio};

use tokio::process::Command;

/// The running program: this path works in an empty image, and if the file was replaced or removed meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The argument of a child: it does the record, and what concerns the whole task is its parent's.
pub(crate) const CHILD_ARGUMENT: &str = "--child";

/// This program and the environment that it was started with.
#[derive(Debug)]
pub struct ChildProgram {
    vars: Vec<(OsString, OsString)>,
}

/// A process may have two variables of one name. Its configuration reads the first, as getenv(3) does; a child that was
/// given both would read the last.
fn first_of_each_name(vars: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let mut seen = BTreeSet::new();
    vars.into_iter().filter(|(name, _)| seen.insert(name.clone())).collect()
}

impl ChildProgram {
    /// A program whose children get these variables and no others.
    #[must_use]
    pub fn new(vars: Vec<(OsString, OsString)>) -> Self {
        Self { vars: first_of_each_name(vars) }
    }

    /// Runs it to its end and gives its standard output; its diagnostics join those of the caller. `vars` replace the
    /// variables of the same name; `None` removes one. The child is killed if the caller no longer waits.
    ///
    /// # Errors
    /// The system starts no process.
    pub async fn run(&self, vars: &[(&str, Option<String>)]) -> io::Result<Output> {
        let mut command = Command::new(THIS_PROGRAM);
        // Its own group: a signal of the terminal is for the parent, which ends it.
        command.arg(CHILD_ARGUMENT).process_group(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_variables_of_one_name_a_child_gets_the_first() {
        let vars =
            [("SIZES", "10"), ("FIT", "cover"), ("SIZES", "20")].map(|(name, value)| (name.into(), value.into()));
        let kept: Vec<_> = ChildProgram::new(vars.into()).vars;
        assert_eq!(kept, [("SIZES", "10"), ("FIT", "cover")].map(|(name, value)| (name.into(), value.into())));
    }
}
