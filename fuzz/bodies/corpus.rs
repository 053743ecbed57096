//! A fuzz target's corpus and ten thousand mutations of it: always the same ones. Shared by the tests of the targets,
//! which need no fuzzer and run on the stable toolchain.

use std::any::Any;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// Number of mutations of a corpus.
pub(crate) const MUTATIONS: u64 = 10_000;
/// Largest length of a mutation, which may grow by splicing.
const MAX_BYTES: usize = 16 << 10;

/// The inputs of a target by name, in the order of their names.
pub(crate) fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = packages.map(|folder| folder.join("fuzz/corpus").join(target)).find(|folder| folder.is_dir());
    let folder = folder.unwrap_or_else(|| panic!("there is no fuzz/corpus/{target}"));
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry of the corpus").path())
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
        .map(|(name, path)| (name, fs::read(path).expect("a listed file can be read")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus in {}", folder.display());
    files
}

/// The seeds of all mutations, in two halves for two threads.
pub(crate) fn halves() -> [Range<u64>; 2] {
    [0..MUTATIONS / 2, MUTATIONS / 2..MUTATIONS]
}

/// Writes an input that failed to `target/fuzz-failures`. Returns its path.
pub(crate) fn keep(target: &str, name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's folder lies in target");
    let folder = folder.join("fuzz-failures");
    fs::create_dir_all(&folder).expect("the folder can be made");
    let path = folder.join(format!("{target}-{name}"));
    fs::write(&path, input).expect("a file can be written");
    path
}

/// The message of a panic.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}

#[track_caller]
pub(crate) fn expect_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} inputs failed:\n{}", failures.len(), failures.join("\n"));
}

/// The mutation with this seed: up to four changes of one input after its first `fixed` bytes, which become random.
pub(crate) fn mutated(seed: u64, corpus: &[(String, Vec<u8>)], fixed: usize) -> Vec<u8> {
    let mut random = Rng::with_seed(seed);
    let pick = |random: &mut Rng| corpus[random.usize(..corpus.len())].1.clone();
    let mut input = pick(&mut random);
    let mut body = input.split_off(fixed.min(input.len()));
    for byte in &mut input {
        *byte = random.u8(..);
    }
    for _ in 0..=random.u32(..4) {
        if body.is_empty() {
            break;
        }
        change(&mut body, &mut random, pick);
    }
    body.truncate(MAX_BYTES);
    if random.bool() {
        seal(&mut body);
    }
    [input, body].concat()
}

/// Repairs the checksums of a PNG, since a decoder stops at a wrong one.
fn seal(file: &mut [u8]) {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut at = SIGNATURE.len();
    while let (true, Some([a, b, c, d])) = (file.starts_with(SIGNATURE), file.get(at..at + 4)) {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some(chunk) = file.get_mut(at + 4..at + 12 + length) else { return };
        let (body, sum) = chunk.split_at_mut(4 + length);
        // CRC-32 of ISO 3309, bit by bit.
        let crc = !body.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        });
        sum.copy_from_slice(&crc.to_be_bytes());
        at += 12 + length;
    }
}

/// Changes `body`, which is not empty, once.
fn change(body: &mut Vec<u8>, random: &mut Rng, pick: impl Fn(&mut Rng) -> Vec<u8>) {
    /// Values that lengths, offsets and counts are compared with.
    const BOUNDARIES: [u64; 14] =
        [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX];
    // Headers come first and decide most: half of all changes go there.
    let reach = if random.bool() { body.len().min(96) } else { body.len() };
    let at = random.usize(..reach);
    let length = random.usize(1..=(body.len() - at).min(64));
    match random.u8(..8) {
        0 | 1 => body[at] ^= 1 << random.u8(..8),
        2 => body[at] = random.u8(..),
        3 => {
            let value = BOUNDARIES[random.usize(..BOUNDARIES.len())].wrapping_add_signed(random.i64(-1..=1));
            let width = [1, 2, 4, 8][random.usize(..4)];
            let bytes =
                if random.bool() { value.to_le_bytes() } else { value.wrapping_shl(64 - 8 * width).to_be_bytes() };
            for (place, byte) in body[at..].iter_mut().zip(&bytes[..width as usize]) {
                *place = *byte;
            }
        }
        4 => drop(body.drain(at..at + length)),
        5 => body.truncate(at),
        6 => {
            let part = body[at..at + length].to_vec();
            let target = random.usize(..=body.len());
            drop(body.splice(target..target, part));
        }
        _ => {
            let other = pick(random);
            let start = random.usize(..other.len());
            let end = random.usize(start..=other.len().min(start + 256));
            drop(body.splice(at..at + length, other[start..end].iter().copied()));
        }
    }
}
