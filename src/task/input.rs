//! The batch of `--batch`: a file or standard input, in parts, so that a list may be as long as it likes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::event::{self, Entry};
use crate::object::BucketName;

/// The lines of one part, and their bytes: what is in memory at a time, twice.
const PART_LINES: usize = 10_000;
const PART_BYTES: usize = 1 << 20;

/// Where a batch is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The variable `SQS_BODY`.
    Variable,
    /// The same, in a child process: for one record, without a manifest.
    Parent,
    /// Standard input.
    Standard,
    /// A file.
    File(OsString),
}

impl Input {
    /// The input that an argument of `--batch` names.
    #[must_use]
    pub fn named(argument: &OsStr) -> Self {
        if argument == "-" { Self::Standard } else { Self::File(argument.to_owned()) }
    }
}

/// A part of a batch.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) entries: Vec<Entry>,
    /// Whether none follows.
    pub(super) is_last: bool,
}

/// A part, or what is wrong with the input.
pub(super) type PartResult = Result<Part, String>;

/// Reads the input in a thread of its own, one part ahead: a pipe that nobody opens, or that brings nothing, stops no
/// signal. `most_bytes` are those of a document, and of a line.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn open(
    input: &Input,
    source_bucket: Option<&BucketName>,
    most_bytes: u64,
    most_entries: usize,
) -> Result<Receiver<PartResult>, String> {
    let (sender, receiver) = channel(1);
    let bucket = source_bucket.cloned();
    let path = match input {
        Input::File(path) => Some(path.clone()),
        Input::Standard | Input::Variable | Input::Parent => None,
    };
    let read = move || {
        let limits = PartLimits { bucket: bucket.as_ref(), most_bytes, most_entries };
        let (name, read) = match &path {
            None => ("standard input".into(), read_parts(BufReader::new(io::stdin()), &limits, &sender)),
            Some(path) => {
                let file = File::open(path).map_err(|error| error.to_string());
                (path.to_string_lossy(), file.and_then(|file| read_parts(BufReader::new(file), &limits, &sender)))
            }
        };
        if let Err(why) = read {
            drop(sender.blocking_send(Err(format!("--batch {name}: {why}"))));
        }
    };
    thread::Builder::new().name("batch".to_owned()).spawn(read).map_err(|error| format!("--batch: {error}"))?;
    Ok(receiver)
}

/// What a part may be.
struct PartLimits<'a> {
    bucket: Option<&'a BucketName>,
    most_bytes: u64,
    most_entries: usize,
}

/// Sends all parts; the last one may be empty. A document that is longer than a line is read as a whole.
fn read_parts(mut input: impl BufRead, limits: &PartLimits<'_>, parts: &Sender<PartResult>) -> Result<(), String> {
    let mut first = 0;
    let mut has_begun = false;
    loop {
        let (mut text, mut lines, mut is_last) = (String::new(), 0, false);
        while lines < PART_LINES && text.len() < PART_BYTES {
            let Some(line) = line(&mut input, limits.most_bytes)? else {
                is_last = true;
                break;
            };
            text += &line;
            lines += 1;
            let words = event::without_mark(&line).trim_end_matches(['\r', '\n']);
            if !has_begun && !words.trim().is_empty() {
                has_begun = true;
                if !event::is_line(words, limits.bucket) {
                    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
                    text += &read_text(input.by_ref(), limits.most_bytes.saturating_sub(length), limits.most_bytes)?;
                    is_last = true;
                    break;
                }
            }
        }
        let most = limits.most_entries;
        let entries = if first == 0 && is_last {
            event::parse_at_most(&text, limits.bucket, most)
        } else {
            event::parse_lines(event::without_mark(&text).lines(), first, limits.bucket, most)
        };
        let entries = entries.map_err(|error| {
            if first == 0 { error.to_string() } else { format!("line {first} and what follows: {error}") }
        })?;
        // Nobody may be waiting: the task ends.
        if parts.blocking_send(Ok(Part { entries, is_last })).is_err() || is_last {
            return Ok(());
        }
        first += lines;
    }
}

/// The next line with its end; `None` at the end.
fn line(input: &mut impl BufRead, most_bytes: u64) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    input.take(most_bytes + 1).read_until(b'\n', &mut bytes).map_err(|error| error.to_string())?;
    if bytes.is_empty() { Ok(None) } else { text(bytes, most_bytes, most_bytes).map(Some) }
}

/// All that follows a first line that is no line of a batch, if it has at most `left_bytes`.
fn read_text(input: impl Read, left_bytes: u64, most_bytes: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    input.take(left_bytes + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    text(bytes, left_bytes, most_bytes)
}

fn text(bytes: Vec<u8>, left_bytes: u64, most_bytes: u64) -> Result<String, String> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > left_bytes) {
        return Err(format!("a JSON document, or a line, of more than {most_bytes} bytes: split it"));
    }
    String::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryKind;

    /// Pointers and keys of each part.
    fn parts(text: &str) -> Result<Vec<Vec<String>>, String> {
        let (sender, mut receiver) = channel(1000);
        let bucket = BucketName::parse("b").expect("a name");
        let limits = PartLimits { bucket: Some(&bucket), most_bytes: 1 << 20, most_entries: 100_000 };
        read_parts(text.as_bytes(), &limits, &sender)?;
        drop(sender);
        let mut parts = Vec::new();
        while let Some(part) = receiver.blocking_recv() {
            let part = part?;
            let shown = part.entries.into_iter().map(|Entry { pointer, kind, .. }| match kind {
                EntryKind::Work(object) => format!("{pointer} {object}"),
                other => format!("{pointer} {other:?}"),
            });
            parts.push(shown.collect());
        }
        Ok(parts)
    }

    #[test]
    fn a_file_is_a_document_or_lines() {
        let one = |entries: &[&str]| Ok(vec![entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()]);
        let cases = [
            (
                "keys",
                "a.jpg\nfolder/b c.jpg\r\n\n123\n",
                one(&["/0 s3://b/a.jpg", "/1 s3://b/folder/b c.jpg", "/3 s3://b/123"]),
            ),
            ("addresses", "s3://x/a\ns3://y/b", one(&["/0 s3://x/a", "/1 s3://y/b"])),
            ("a blank line first", "\n\n[\n\"s3://x/b\"\n]\n", one(&["/0 s3://x/b"])),
            ("the mark of a byte order", "\u{feff}a\nb\n", one(&["/0 s3://b/a", "/1 s3://b/b"])),
            ("JSON Lines", "{\"key\":\"a\"}\n[\"s3://x/b\"]\n", one(&["/0 s3://b/a", "/1/0 s3://x/b"])),
            ("a document in one line", "[\"s3://x/b\"]\n", one(&["/0 s3://x/b"])),
            (
                "a document in many",
                "[\n  {\n\"key\":\"a\"\n},\n\"s3://x/b\"\n]\n",
                one(&["/0 s3://b/a", "/1 s3://x/b"]),
            ),
        ];
        for (label, text, expected) in cases {
            assert_eq!(parts(text), expected, "{label}");
        }
        for refused in ["", "\n", "{\"a\":\n1", "[\n\"s3://x/a\"\n"] {
            assert!(parts(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_long_list_comes_in_parts_with_the_numbers_of_its_lines() {
        let list: String = (0..25_000).map(|number| format!("{number}.jpg\n")).collect();
        let parts = parts(&list).expect("keys");
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 10_000, 5_000]);
        assert_eq!(parts[2][4_999], "/24999 s3://b/24999.jpg");
        let exact: String = (0..10_000).map(|number| format!("{number}.jpg\n")).collect();
        let parts = self::parts(&exact).expect("keys");
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 0], "nothing waits for the next line");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let length = 1 << 20;
        for text in ["x".repeat(length + 1), format!("[\n{}]", " ".repeat(length - 2))] {
            let error = parts(&text).expect_err("too long");
            assert!(error.contains("1048576 bytes"), "{error}");
        }
        let whole = format!("[\n{}]", " ".repeat(length - 3));
        assert_eq!(parts(&whole).map(|parts| parts.len()), Ok(1), "as long as it may be");
    }
}
