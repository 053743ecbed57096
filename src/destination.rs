//! Where outputs go, and which objects lie there already.

use std::fmt;

use pixpipe_pixels::geometry::OutputSize;

use crate::object::{BucketName, NameError, ObjectKey, SourceObject};

/// The place of all outputs: the start of every output's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The bucket.
    pub bucket: BucketName,
    /// The start of every key, taken literally; may be empty.
    pub prefix: String,
}

/// `s3://bucket/prefix`: the dimension of the metrics.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl Destination {
    /// Whether the object lies among the outputs, so that it is one of them. Never if the prefix is empty: outputs and
    /// sources then look alike, see [`Destination::feeds_itself`].
    #[must_use]
    pub fn contains(&self, object: &SourceObject) -> bool {
        !self.prefix.is_empty() && object.bucket == self.bucket && object.key.as_str().starts_with(&self.prefix)
    }

    /// Whether an output of the object would be the next source: both are in one bucket, and no prefix tells them
    /// apart.
    #[must_use]
    pub fn feeds_itself(&self, object: &SourceObject) -> bool {
        self.prefix.is_empty() && object.bucket == self.bucket
    }

    /// The key of one output: prefix, folder of the size, `/`, source key, and the first of `extensions` unless the
    /// source key ends in one of them (in any case).
    ///
    /// # Errors
    /// [`NameError::LongKey`] if S3 could not hold it.
    pub fn output_key(
        &self,
        size: OutputSize,
        source: &ObjectKey,
        extensions: &[&str],
    ) -> Result<ObjectKey, NameError> {
        let has_extension = |extension: &&str| {
            let name = source.as_str().as_bytes();
            name.len()
                .checked_sub(extension.len())
                .and_then(|at| name.get(at..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(extension.as_bytes()))
        };
        let appended =
            if extensions.iter().any(has_extension) { "" } else { extensions.first().copied().unwrap_or("") };
        ObjectKey::parse(&format!("{}{}/{source}{appended}", self.prefix, size.folder()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn destination(prefix: &str) -> Destination {
        Destination { bucket: BucketName::parse("out").expect("a name"), prefix: prefix.to_owned() }
    }

    fn object(bucket: &str, key: &str) -> SourceObject {
        SourceObject::new(BucketName::parse(bucket).expect("a name"), ObjectKey::parse(key).expect("a key"))
    }

    #[test]
    fn outputs_are_told_from_sources_by_the_prefix() {
        let cases = [
            ("another bucket", "train/", "in", "train/224x224/a.jpg", (false, false)),
            ("an output", "train/", "out", "train/224x224/a.jpg", (true, false)),
            ("a source beside the outputs", "train/", "out", "photos/a.jpg", (false, false)),
            ("no prefix, one bucket", "", "out", "photos/a.jpg", (false, true)),
            ("no prefix, two buckets", "", "in", "photos/a.jpg", (false, false)),
        ];
        for (label, prefix, bucket, key, expected) in cases {
            let (destination, object) = (destination(prefix), object(bucket, key));
            assert_eq!((destination.contains(&object), destination.feeds_itself(&object)), expected, "{label}");
        }
    }

    #[test]
    fn output_keys_never_meet() {
        let size: OutputSize = "224".parse().expect("a size");
        let cases = [
            ("appended", "", "a/1.png", &[".jpg", ".jpeg"][..], "224x224/a/1.png.jpg"),
            ("kept", "", "a/1.jpg", &[".jpg", ".jpeg"], "224x224/a/1.jpg"),
            ("any case", "", "a/1.JPeG", &[".jpg", ".jpeg"], "224x224/a/1.JPeG"),
            ("prefix is literal", "thumbs-", "1.png", &[".png"], "thumbs-224x224/1.png"),
            ("no name before the extension", "t/", ".jpg", &[".jpg"], "t/224x224/.jpg"),
            ("multi-byte end", "", "é", &[".npy"], "224x224/é.npy"),
        ];
        for (label, prefix, source, extensions, expected) in cases {
            let key = ObjectKey::parse(source).expect("a key");
            let actual = destination(prefix).output_key(size, &key, extensions).expect("short enough");
            assert_eq!(actual.as_str(), expected, "{label}");
        }
        let key = ObjectKey::parse("a/1.jpg").expect("a key");
        let cut = destination("t/").output_key("224@256".parse().expect("a size"), &key, &[".png"]);
        assert_eq!(cut.as_ref().map(ObjectKey::as_str), Ok("t/224x224/a/1.jpg.png"), "as large as a plain 224");
        let short = OutputSize::Short(NonZeroU32::new(384).expect("not zero"));
        let short = destination("t/").output_key(short, &key, &[".jpg"]);
        assert_eq!(short.as_ref().map(ObjectKey::as_str), Ok("t/short384/a/1.jpg"));
        let long = ObjectKey::parse(&"x".repeat(1024)).expect("a key");
        assert!(matches!(destination("").output_key(size, &long, &[".jpg"]), Err(NameError::LongKey { .. })));
    }
}
