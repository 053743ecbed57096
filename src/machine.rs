//! The machine that the process runs on: its CPUs, its memory and its file descriptors, unless the configuration says
//! otherwise.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;

/// The memory that is assumed if the machine does not tell it.
const UNKNOWN_MEMORY_BYTES: u64 = 512 << 20;
/// Records in flight for each CPU. A thumbnail waits some thirty times as long for S3 as it computes; large photos wait
/// for memory before.
const RECORDS_PER_CPU: usize = 32;
/// Memory of the process for each record in flight, and for each request: a few percent of it are what they take
/// besides files and pixels.
const BYTES_PER_RECORD: u64 = 1 << 20;
const BYTES_PER_REQUEST: u64 = 2 << 20;
/// Requests that one task has at the same time, whatever its memory; at least and at most.
const REQUESTS: (usize, usize) = (4, 512);
/// Descriptors that are not for requests: the standard streams, the runtime, signals, a child process, resolving names.
const OTHER_DESCRIPTORS: usize = 32;
/// Descriptors for each request. Reads, writes and queues have connections of their own, which are kept for the next
/// request.
const DESCRIPTORS_PER_REQUEST: usize = 3;

/// The resources that a batch may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Threads that compute: one for each CPU that the cgroup's quota allows.
    pub threads: usize,
    /// Records in flight.
    pub concurrency: usize,
    /// Requests to the store at the same time.
    pub requests: usize,
    /// Memory of the whole process, in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// This machine, within `limits`.
    #[must_use]
    pub fn within(limits: &Limits) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let memory_bytes = limits.memory_bytes.or_else(|| memory_limit(Path::new("/"))).unwrap_or(UNKNOWN_MEMORY_BYTES);
        let descriptors = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        Self {
            threads,
            concurrency: concurrency(limits.concurrency.unwrap_or(threads * RECORDS_PER_CPU), memory_bytes),
            requests: requests(memory_bytes, descriptors.unwrap_or(usize::MAX)),
            memory_bytes,
        }
    }
}

/// Raises the limit of open files as far as the process may: the usual 1,024 are a limit for programs that call
/// select(2).
pub fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it is refused, the limit stays as it is, and the number of requests follows it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The records in flight that the memory allows, of those that are wanted.
fn concurrency(wanted: usize, memory_bytes: u64) -> usize {
    wanted.min(usize::try_from(memory_bytes / BYTES_PER_RECORD).unwrap_or(usize::MAX)).max(1)
}

/// The requests at the same time that memory and descriptors allow.
fn requests(memory_bytes: u64, descriptors: usize) -> usize {
    let (least, most) = REQUESTS;
    let by_memory = usize::try_from(memory_bytes / BYTES_PER_REQUEST).unwrap_or(usize::MAX);
    let by_descriptors = descriptors.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_PER_REQUEST;
    by_memory.min(by_descriptors).clamp(least, most)
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
    fn what_is_in_flight_is_bounded_by_memory_and_descriptors() {
        const MIB: u64 = 1 << 20;
        assert_eq!([32, 1024].map(|wanted| concurrency(wanted, 64 * MIB)), [32, 64]);
        assert_eq!([32, 1024].map(|wanted| concurrency(wanted, 4096 * MIB)), [32, 1024]);
        let cases = [
            (64 * MIB, 1024, 32),
            (512 * MIB, 1024, 256),
            (512 * MIB, 64, 10),
            (512 * MIB, 20, 4),
            (u64::MAX, usize::MAX, 512),
        ];
        for (memory_bytes, descriptors, expected) in cases {
            assert_eq!(requests(memory_bytes, descriptors), expected, "{memory_bytes} bytes, {descriptors}");
        }
    }

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
