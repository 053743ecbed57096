//! The batch of `--batch`: a file or standard input, in parts, so that a list may be as long as it likes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::batch::reference::MAX_BATCH_BYTES;
use crate::event::{self, Entry};
use crate::object::BucketName;

/// The lines of one part, and their bytes: what is in memory at a time, twice.
const PART_LINES: usize = 10_000;
const PART_BYTES: usize = 4 << 20;

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

/// Reads the input in a thread of its own, one part ahead: a pipe that brings nothing stops no signal.
///
/// # Errors
/// There is no such file, or no thread.
pub(super) fn open(input: &Input, source_bucket: Option<&BucketName>) -> Result<Receiver<PartResult>, String> {
    let (name, file): (String, Box<dyn Read + Send>) = match input {
        Input::Variable | Input::Parent => return Err("SQS_BODY is no file".to_owned()),
        Input::Standard => ("standard input".to_owned(), Box::new(io::stdin())),
        Input::File(path) => {
            let name = path.to_string_lossy().into_owned();
            let file = File::open(path).map_err(|error| format!("--batch {name}: {error}"))?;
            (name, Box::new(file))
        }
    };
    let (sender, receiver) = channel(1);
    let source_bucket = source_bucket.cloned();
    let read = move || {
        if let Err(why) = read_parts(BufReader::new(file), source_bucket.as_ref(), &sender) {
            drop(sender.blocking_send(Err(format!("--batch {name}: {why}"))));
        }
    };
    thread::Builder::new().name("batch".to_owned()).spawn(read).map_err(|error| format!("--batch: {error}"))?;
    Ok(receiver)
}

/// Sends all parts. A document that is longer than a line is read as a whole.
fn read_parts(mut input: impl BufRead, bucket: Option<&BucketName>, parts: &Sender<PartResult>) -> Result<(), String> {
    let mut first = 0;
    loop {
        let (mut text, mut lines) = (String::new(), 0);
        while lines < PART_LINES && text.len() < PART_BYTES {
            match line(&mut input)? {
                None => break,
                Some(line) => text += &line,
            }
            lines += 1;
            if first == 0 && lines == 1 && !event::is_line(text.trim(), bucket) && !text.trim().is_empty() {
                text += &rest(&mut input)?;
            }
        }
        let is_last = is_at_end(&mut input)?;
        let entries = if first == 0 && is_last {
            event::parse(&text, bucket)
        } else {
            event::parse_lines(text.lines(), first, bucket)
        };
        let entries = entries.map_err(|error| error.to_string())?;
        // Nobody may be waiting: the task ends.
        if parts.blocking_send(Ok(Part { entries, is_last })).is_err() || is_last {
            return Ok(());
        }
        first += lines;
    }
}

fn is_at_end(input: &mut impl BufRead) -> Result<bool, String> {
    input.fill_buf().map(<[u8]>::is_empty).map_err(|error| error.to_string())
}

/// The next line with its end; `None` at the end.
fn line(input: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    input.take(MAX_BATCH_BYTES).read_until(b'\n', &mut bytes).map_err(|error| error.to_string())?;
    if bytes.is_empty() { Ok(None) } else { text(bytes).map(Some) }
}

/// All that follows a first line that is no line of a batch.
fn rest(input: &mut impl BufRead) -> Result<String, String> {
    let mut bytes = Vec::new();
    input.take(MAX_BATCH_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    text(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length == MAX_BATCH_BYTES) {
        return Err(format!("a JSON document, or a line, of more than {MAX_BATCH_BYTES} bytes: split it"));
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
        read_parts(text.as_bytes(), Some(&BucketName::parse("b").expect("a name")), &sender)?;
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
        assert_eq!(self::parts(&exact).expect("keys").len(), 1);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let length = usize::try_from(MAX_BATCH_BYTES).expect("a size");
        for text in ["x".repeat(length + 1), format!("[\n{}", " ".repeat(length + 1))] {
            let error = parts(&text).expect_err("too long");
            assert!(error.contains("16777216 bytes"), "{error}");
        }
    }
}
