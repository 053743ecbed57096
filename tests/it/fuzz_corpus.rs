//! The fuzz targets' corpora and ten thousand mutations of each, on the stable toolchain: always the same ones.

use std::any::Any;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use pixpipe::render::Renderer;

#[path = "../../fuzz/bodies/decode.rs"]
mod decode;
#[path = "../../fuzz/bodies/event.rs"]
mod event;

use decode::{SETTINGS_BYTES, Verdict};

/// How many mutations of each corpus.
const MUTATIONS: u64 = 10_000;
/// A mutation may grow by splicing, but not without end.
const MAX_BYTES: usize = 16 << 10;

/// Files by name, in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
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

/// Keeps an input that failed; where it is.
fn keep(target: &str, name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's folder lies in target");
    let folder = folder.join("fuzz-failures");
    fs::create_dir_all(&folder).expect("the folder can be made");
    let path = folder.join(format!("{target}-{name}"));
    fs::write(&path, input).expect("a file can be written");
    path
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}

/// What came of one input after another, with one renderer for all that do not panic.
struct Decoding {
    renderer: Renderer,
    rendered: usize,
    failures: Vec<String>,
}

impl Decoding {
    fn new() -> Self {
        Self { renderer: new_renderer(), rendered: 0, failures: Vec::new() }
    }

    fn run(&mut self, name: &str, input: &[u8]) {
        let outcome = catch_unwind(AssertUnwindSafe(|| decode::run(&mut self.renderer, input)));
        let fault = match outcome {
            Ok(Ok(verdict)) => {
                self.rendered += usize::from(verdict == Verdict::Rendered);
                return;
            }
            Ok(Err(fault)) => fault,
            Err(panic) => {
                self.renderer = new_renderer();
                format!("panicked: {}", text_of(panic.as_ref()))
            }
        };
        self.failures.push(format!("{name}: {fault}; the input is {}", keep("decode", name, input).display()));
    }
}

fn new_renderer() -> Renderer {
    Renderer::try_new().expect("there is memory for the codecs")
}

fn run_event(name: &str, input: &[u8]) -> Option<String> {
    let panic = catch_unwind(|| event::run(input)).err()?;
    let path = keep("event", name, input);
    Some(format!("{name}: panicked: {}; the input is {}", text_of(panic.as_ref()), path.display()))
}

#[track_caller]
fn expect_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} inputs failed:\n{}", failures.len(), failures.join("\n"));
}

/// The seeds of all mutations, in two halves for two threads.
fn halves() -> [Range<u64>; 2] {
    [0..MUTATIONS / 2, MUTATIONS / 2..MUTATIONS]
}

#[test]
fn the_event_corpus_is_read() {
    let failures: Vec<String> = corpus("event").iter().filter_map(|(name, input)| run_event(name, input)).collect();
    expect_none(&failures);
}

#[test]
fn the_image_corpus_is_rendered() {
    let mut decoding = Decoding::new();
    let corpus = corpus("decode");
    for (name, input) in &corpus {
        let before = decoding.rendered;
        decoding.run(name, input);
        // What a fuzzer found has a hash for a name and may be anything.
        if name.contains('.') {
            assert!(decoding.rendered > before || !decoding.failures.is_empty(), "{name} is a good image");
        }
    }
    expect_none(&decoding.failures);
}

#[test]
fn mutated_events_are_read_or_refused() {
    let corpus = corpus("event");
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads = halves().map(|seeds| {
            let corpus = &corpus;
            scope.spawn(move || {
                seeds
                    .filter_map(|seed| run_event(&format!("seed-{seed}"), &mutated(seed, corpus, 0)))
                    .collect::<Vec<_>>()
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().expect("panics are caught")).collect()
    });
    expect_none(&failures);
}

#[test]
fn mutated_images_are_rendered_in_their_size_or_refused() {
    let corpus = corpus("decode");
    let (failures, rendered) = std::thread::scope(|scope| {
        let threads = halves().map(|seeds| {
            let corpus = &corpus;
            scope.spawn(move || {
                let mut decoding = Decoding::new();
                for seed in seeds {
                    decoding.run(&format!("seed-{seed}"), &mutated(seed, corpus, SETTINGS_BYTES));
                }
                let rendered = decoding.rendered;
                // The decoders are as good as new afterwards.
                for (name, input) in corpus.iter().filter(|(name, _)| name.contains('.')) {
                    let before = decoding.rendered;
                    decoding.run(&format!("{name}-after-all"), input);
                    if decoding.rendered == before {
                        decoding.failures.push(format!("{name} is no longer rendered after all mutations"));
                    }
                }
                (decoding.failures, rendered)
            })
        });
        let halves = threads.map(|thread| thread.join().expect("panics are caught"));
        let rendered: usize = halves.iter().map(|(_, rendered)| rendered).sum();
        (halves.into_iter().flat_map(|(failures, _)| failures).collect::<Vec<_>>(), rendered)
    });
    expect_none(&failures);
    // Mutations that are all refused at the door would test nothing.
    assert!(rendered > 500, "{rendered} of {MUTATIONS} mutations were rendered");
}

/// The mutation with this seed: up to four changes of one input behind its first `fixed` bytes, and those at random.
fn mutated(seed: u64, corpus: &[(String, Vec<u8>)], fixed: usize) -> Vec<u8> {
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

/// Puts the checksums of a PNG right: a decoder looks no further where they are wrong.
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

/// One change; `body` is not empty.
fn change(body: &mut Vec<u8>, random: &mut Rng, pick: impl Fn(&mut Rng) -> Vec<u8>) {
    /// What lengths, offsets and counts are compared with.
    const BOUNDARIES: [u64; 14] =
        [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX];
    // Headers come first and decide most: half of all changes are there.
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
