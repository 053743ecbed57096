//! Names of objects: buckets, keys as S3 stores them, and keys as notifications encode them.

use std::fmt;

use md5::{Digest, Md5};

use crate::one_line::one_line;

/// S3's limit on a key, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;
/// Longer than any bucket name, access point alias or ARN that S3 hands out.
const MAX_BUCKET_BYTES: usize = 255;

/// Why a bucket name or a key was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The bucket name is empty, too long, or has a character that no bucket name or ARN has.
    #[error(
        "bucket name \"{received}\" is not accepted: 1 to {MAX_BUCKET_BYTES} characters of A-Z a-z 0-9 . _ - or an ARN"
    )]
    Bucket {
        /// The text that was received.
        received: String,
    },
    /// The key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// The key is longer than S3 allows.
    #[error("the key has {actual_bytes} bytes, S3 allows {MAX_KEY_BYTES}")]
    LongKey {
        /// Bytes of UTF-8 in the key.
        actual_bytes: usize,
    },
    /// A form-encoded key has a `%` that is not followed by two hexadecimal digits.
    #[error("the form-encoded key \"{received}\" has a \"%\" without two hexadecimal digits after it")]
    BrokenEscape {
        /// The text that was received.
        received: String,
    },
    /// A form-encoded key does not decode to UTF-8.
    #[error("the form-encoded key \"{received}\" does not decode to UTF-8")]
    NotUtf8 {
        /// The text that was received.
        received: String,
    },
}

/// The name of a bucket, an access point alias, or the ARN of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(String);

impl BucketName {
    /// The name, if it only has characters that S3 uses in bucket names and ARNs.
    ///
    /// # Errors
    /// [`NameError::Bucket`] for anything else; `.` and `..` are no bucket names either.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_arn = text.starts_with("arn:");
        let accepted =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') || (is_arn && matches!(c, ':' | '/'));
        let valid =
            (1..=MAX_BUCKET_BYTES).contains(&text.len()) && text.chars().all(accepted) && text != "." && text != "..";
        if valid { Ok(Self(text.to_owned())) } else { Err(NameError::Bucket { received: start_of(text) }) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key as S3 stores it: raw, never form-encoded. 1 to 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key, taken literally.
    ///
    /// # Errors
    /// [`NameError::EmptyKey`] and [`NameError::LongKey`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::EmptyKey);
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(NameError::LongKey { actual_bytes: text.len() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The key that an S3 notification form-encoded: `+` is a space, `%XX` a byte of UTF-8.
    ///
    /// # Errors
    /// Any [`NameError`] about keys.
    pub fn parse_form_encoded(text: &str) -> Result<Self, NameError> {
        let mut decoded = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            decoded.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let mut digit = || bytes.next().and_then(hex_digit);
                    match (digit(), digit()) {
                        (Some(high), Some(low)) => high * 16 + low,
                        _ => return Err(NameError::BrokenEscape { received: start_of(text) }),
                    }
                }
                other => other,
            });
        }
        let decoded = String::from_utf8(decoded).map_err(|_| NameError::NotUtf8 { received: start_of(text) })?;
        Self::parse(&decoded)
    }

    /// The key as S3 notifications write it; [`ObjectKey::parse_form_encoded`] gives this key back.
    #[must_use]
    pub fn form_encoded(&self) -> String {
        let mut encoded = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            match byte {
                b' ' => encoded.push('+'),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                    encoded.push(char::from(byte));
                }
                other => {
                    encoded.push('%');
                    for nibble in [other >> 4, other & 15] {
                        encoded.push(char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase()));
                    }
                }
            }
        }
        encoded
    }

    /// Whether an object of this size under this key is the marker that the S3 console makes for a folder: an empty
    /// object whose key ends in `/`.
    #[must_use]
    pub fn is_folder_marker(&self, size_bytes: Option<u64>) -> bool {
        self.0.ends_with('/') && size_bytes == Some(0)
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As much of a refused name as an error shows.
fn start_of(text: &str) -> String {
    text.chars().take(1024).collect()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// One object that an event asks for, with the facts that the event carries.
///
/// Only bucket and key decide which object is read: always the source as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceObject {
    /// Where the object lies.
    pub bucket: BucketName,
    /// Its key, raw.
    pub key: ObjectKey,
    /// Its size when the event was made.
    pub size_bytes: Option<u64>,
    /// Its `ETag` when the event was made, without quotes.
    pub etag: Option<String>,
    /// Its version when the event was made.
    pub version_id: Option<String>,
    /// S3's order of the events of one key: hexadecimal, comparable after padding with zeros on the right.
    pub sequencer: Option<String>,
    /// How often this record was tried before.
    pub attempts: u32,
}

/// `s3://bucket/key` on one line, whatever the key holds.
impl fmt::Display for SourceObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&uri(&self.bucket, &self.key))
    }
}

/// `s3://bucket/key` on one line, whatever the key holds: a line feed in a key must not forge a line of the log.
pub(crate) fn uri(bucket: &BucketName, key: &ObjectKey) -> String {
    format!("s3://{bucket}/{}", one_line(key.as_str()))
}

impl SourceObject {
    /// An object of which only the place is known.
    #[must_use]
    pub fn new(bucket: BucketName, key: ObjectKey) -> Self {
        Self { bucket, key, size_bytes: None, etag: None, version_id: None, sequencer: None, attempts: 0 }
    }

    /// `s3://bucket/key` with the key as it is.
    #[must_use]
    pub fn address(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// The last folder of the key; `None` if it lies in none.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        let (folders, _) = self.key.as_str().rsplit_once('/')?;
        folders.rsplit('/').next().filter(|folder| !folder.is_empty())
    }

    /// A hash of bucket and key, which tells the outputs of two sources apart: the MD5 of `s3://bucket/key`, in
    /// hexadecimal.
    #[must_use]
    pub fn name_hash(&self) -> String {
        Md5::digest(self.address().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this event is later than `other`; `None` unless both carry a sequencer.
    ///
    /// S3 documents sequencers as hexadecimal texts of different lengths, the shorter one to be padded with zeros on
    /// the right before they are compared as texts.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> Option<bool> {
        let (ours, theirs) = (self.sequencer.as_ref()?, other.sequencer.as_ref()?);
        let length = ours.len().max(theirs.len());
        let pad = |text: &str| format!("{text:0<length$}").to_ascii_uppercase();
        Some(pad(ours) > pad(theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn form_encoded_keys_decode_as_s3_encodes_them() {
        let cases = [
            ("plain", "photos/cat.jpg", Ok("photos/cat.jpg")),
            ("plus is a space", "a+b.jpg", Ok("a b.jpg")),
            ("escaped plus stays one", "a%2Bb.jpg", Ok("a+b.jpg")),
            ("lower-case digits", "a%2bb.jpg", Ok("a+b.jpg")),
            ("percent", "100%25.jpg", Ok("100%.jpg")),
            ("utf-8", "caf%C3%A9.jpg", Ok("café.jpg")),
            ("unescaped utf-8", "café.jpg", Ok("café.jpg")),
            ("slash escaped", "a%2Fb", Ok("a/b")),
            ("cut escape", "a%2", Err(NameError::BrokenEscape { received: "a%2".into() })),
            ("not hexadecimal", "a%zz", Err(NameError::BrokenEscape { received: "a%zz".into() })),
            ("signed digits are none", "a%+1", Err(NameError::BrokenEscape { received: "a%+1".into() })),
            ("latin-1", "caf%E9", Err(NameError::NotUtf8 { received: "caf%E9".into() })),
            ("empty", "", Err(NameError::EmptyKey)),
        ];
        for (label, received, expected) in cases {
            let actual = ObjectKey::parse_form_encoded(received);
            assert_eq!(actual.as_ref().map(ObjectKey::as_str), expected.as_ref().map(|k| *k), "{label}");
        }
    }

    #[test]
    fn keys_end_at_1024_bytes() {
        assert!(ObjectKey::parse(&"é".repeat(512)).is_ok());
        assert_eq!(ObjectKey::parse(&"x".repeat(1025)), Err(NameError::LongKey { actual_bytes: 1025 }));
    }

    #[test]
    fn bucket_names_are_names_or_arns() {
        for accepted in ["my-bucket", "a.b.c", "Legacy_Bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/photos"]
        {
            assert!(BucketName::parse(accepted).is_ok(), "{accepted}");
        }
        for refused in ["", "a b", "a/b", "..", ".", "ü", "a\0b", &"x".repeat(256)] {
            assert!(BucketName::parse(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn an_object_is_named_on_one_line() {
        let key = ObjectKey::parse("a\nERROR forged\u{1b}[31m ü.jpg").expect("a key");
        let object = SourceObject::new(BucketName::parse("b").expect("a name"), key);
        assert_eq!(object.to_string(), "s3://b/a\\nERROR forged\\u{1b}[31m ü.jpg");
    }

    #[test]
    fn sequencers_compare_after_padding_on_the_right() {
        let with = |sequencer: &str| SourceObject {
            sequencer: Some(sequencer.into()),
            ..SourceObject::new(BucketName::parse("b").expect("a name"), ObjectKey::parse("k").expect("a key"))
        };
        // "0055AED6DCD90281E5" is the sample of S3's documentation.
        assert_eq!(with("0055AED6DCD90281E6").is_newer_than(&with("0055AED6DCD90281E5")), Some(true));
        assert_eq!(with("0055").is_newer_than(&with("0055AE")), Some(false));
        assert_eq!(with("0056").is_newer_than(&with("0055AE")), Some(true));
        assert_eq!(with("00aa").is_newer_than(&with("00AA")), Some(false));
    }

    proptest! {
        #[test]
        fn any_key_survives_form_encoding(text in "\\PC{1,200}") {
            let key = ObjectKey::parse(&text).expect("short");
            prop_assert_eq!(ObjectKey::parse_form_encoded(&key.form_encoded()), Ok(key));
        }
    }
}
