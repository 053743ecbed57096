//! The sources of a batch, their contents, and the events about them.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use serde_json::{Value, json};

use pixpipe_test_support::photos;
use pixpipe_test_support::run::notification;
use pixpipe_test_support::s3::{Checksums, Condition, Upload};
use pixpipe_test_support::server::S3Server;

/// The contents of a source, and the expected outcome.
#[derive(Clone)]
pub(super) struct Contents {
    pub(super) bytes: Vec<u8>,
    /// The reason of the failure; `None` if outputs are made.
    pub(super) reason: Option<&'static str>,
}

impl Contents {
    fn photo(rng: &mut Rng) -> Self {
        let (width, height, seed) = (rng.u32(8..80), rng.u32(8..80), rng.u32(..1000));
        let bytes = if rng.bool() { photos::jpeg(width, height, seed) } else { photos::png(width, height, seed) };
        Self { bytes, reason: None }
    }

    fn random(rng: &mut Rng) -> Self {
        let photo = Self::photo(rng);
        match rng.u8(..100) {
            0..80 => photo,
            80..86 => Self { bytes: photo.bytes[..photo.bytes.len() / 2].to_vec(), reason: Some("truncated") },
            86..90 => Self { bytes: b"no image at all".to_vec(), reason: Some("unsupported-format") },
            90..93 => Self { bytes: b"pixpipe-fault:panic".to_vec(), reason: Some("internal") },
            93..95 => Self { bytes: b"pixpipe-fault:crash".to_vec(), reason: Some("internal") },
            _ => Self { bytes: b"GIF89a\x01".to_vec(), reason: Some("truncated") },
        }
    }
}

/// A source with its history.
pub(super) struct Source {
    pub(super) key: String,
    /// All contents so far, oldest first; empty if the source was never written.
    pub(super) versions: Arc<Mutex<Vec<Contents>>>,
    pub(super) is_missing_at_first: bool,
    /// Whether the store always refuses to read it.
    pub(super) is_denied: bool,
}

impl Source {
    pub(super) fn random(index: usize, rng: &mut Rng) -> Self {
        let names = ["", " +%", "ü/写真", "\u{1f4f7} \"'", "a/b/../c&d=e"];
        Self {
            key: format!("{index}-{}", names[rng.usize(..names.len())]),
            versions: Arc::default(),
            is_missing_at_first: rng.u8(..100) < 3,
            is_denied: rng.u8(..100) < 3,
        }
    }

    /// A function that writes other contents to this source, sometimes those from before the last write.
    pub(super) fn overwrite(&self, server: &S3Server, rng: &mut Rng) -> impl FnOnce() + Send + use<> {
        let (memory, key, versions, mut rng) =
            (server.memory(), self.key.clone(), Arc::clone(&self.versions), rng.fork());
        move || {
            let mut versions = versions.lock().unwrap();
            let before_last = versions.len().checked_sub(2).and_then(|index| versions.get(index)).cloned();
            let contents = before_last.filter(|_| rng.bool()).unwrap_or_else(|| Contents::random(&mut rng));
            let checksums = [Checksums::None, Checksums::Crc32, Checksums::Crc64Nvme][rng.usize(..3)];
            let upload = Upload { checksums, ..Upload::of(contents.bytes.as_slice()) };
            memory.put("src", &key, upload.into_object(), &Condition::Always).expect("the bucket exists");
            versions.push(contents);
        }
    }
}

/// An event about the source, in one of the shapes that the program accepts.
pub(super) fn event(key: &str, rng: &mut Rng) -> Value {
    let encoded: String = key
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' => char::from(byte).to_string(),
            b' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    match rng.u8(..3) {
        0 => notification("src", &encoded, 1)["Records"][0].clone(),
        1 => json!({
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "src"}, "object": {"key": key, "size": 1}},
        }),
        _ => json!({"bucket": "src", "key": key}),
    }
}

pub(super) fn with_one_more_attempt(mut event: Value) -> Value {
    let attempts = event["pixpipe"]["attempts"].as_u64().unwrap_or(0);
    event["pixpipe"] = json!({"attempts": attempts + 1});
    event
}

pub(super) fn output_key(size: &str, key: &str) -> String {
    format!("{size}/{key}.jpg")
}
