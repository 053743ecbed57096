//! The machine that the process runs on: its CPUs and its memory, unless the configuration says otherwise.

use std::fs;
use std::path::Path;

use crate::config::Limits;

/// The memory that is assumed if the machine does not tell it.
const UNKNOWN_MEMORY_BYTES: u64 = 512 << 20;
/// Records in flight for each CPU: a record waits for S3 some five times as long as it computes.
const RECORDS_PER_CPU: usize = 8;

/// The resources that a batch may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Threads that compute: one for each CPU that the cgroup's quota allows.
    pub threads: usize,
    /// Records in flight.
    pub concurrency: usize,
    /// Memory of the whole process, in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// This machine, within `limits`.
    #[must_use]
    pub fn within(limits: &Limits) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let memory_bytes = limits.memory_bytes.or_else(|| memory_limit(Path::new("/")));
        Self {
            threads,
            concurrency: limits.concurrency.unwrap_or(threads * RECORDS_PER_CPU),
            memory_bytes: memory_bytes.unwrap_or(UNKNOWN_MEMORY_BYTES),
        }
    }
}

/// The memory limit of the process's cgroup, else the machine's memory. `root` is `/` but in tests.
fn memory_limit(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let number = |text: String| text.trim().parse::<u64>().ok();
    let machine = read("proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    });
    // Version 2, then version 1 of cgroups, as a container sees its own. The text "max", or a number above the
    // machine's memory, means no limit.
    let cgroup = read("sys/fs/cgroup/memory.max")
        .and_then(number)
        .or_else(|| read("sys/fs/cgroup/memory/memory.limit_in_bytes").and_then(number));
    match (cgroup, machine) {
        (Some(cgroup), Some(machine)) => Some(cgroup.min(machine)),
        (limit, None) | (None, limit) => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_cgroups_or_the_machines() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
            fs::write(path, text).expect("writable");
        };
        assert_eq!(memory_limit(root.path()), None);
        write("proc/meminfo", "MemFree: 1 kB\nMemTotal:       2048 kB\n");
        assert_eq!(memory_limit(root.path()), Some(2 << 20));
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(memory_limit(root.path()), Some(2 << 20), "no limit in version 1");
        write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(memory_limit(root.path()), Some(2 << 20), "no limit in version 2");
        write("sys/fs/cgroup/memory.max", "1048576\n");
        assert_eq!(memory_limit(root.path()), Some(1 << 20));
    }
}
