//! Where objects are: the few operations that the story needs, and what can go wrong with them.

pub mod dir;
pub mod s3;

use std::future::Future;

use crate::object::{BucketName, ObjectKey};

/// Why an operation on the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such object, or no such bucket.
    #[error("{0}")]
    NotFound(String),
    /// The store refuses the caller.
    #[error("{0}")]
    AccessDenied(String),
    /// The store cannot hold such a key.
    #[error("{0}")]
    InvalidKey(String),
    /// The store does not answer, or not with what was stored; all retries are used up.
    #[error("{0}")]
    Unavailable(String),
    /// A download broke off, stalled, or was not what is stored: worth asking again.
    #[error("{0}")]
    BrokenDownload(String),
}

/// What an output that is already there says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputHead {
    /// The output's own `ETag`, as the store writes it.
    pub etag: String,
    /// The `ETag` of the source it was made of, without quotes.
    pub source_etag: Option<String>,
    /// The hash of the settings it was made with.
    pub spec: Option<String>,
}

/// The answer to a request for a source.
#[derive(Debug)]
pub enum Fetch<D> {
    /// The source still has the `ETag` that was named.
    NotModified,
    /// The source as it is now; its bytes are yet to be read.
    Found(D),
}

/// A source whose headers have come and whose bytes have not.
pub trait Download {
    /// The source's `ETag`, without quotes.
    fn etag(&self) -> &str;

    /// The source's version, in a bucket that has them.
    fn version_id(&self) -> Option<&str>;

    /// How many bytes there are.
    fn length_bytes(&self) -> u64;

    /// Reads all bytes and sees that they are those that were stored.
    ///
    /// # Errors
    /// [`StoreError::BrokenDownload`] where they are not.
    fn bytes(self) -> impl Future<Output = Result<Vec<u8>, StoreError>>;
}

/// What must still be so for an output to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no such object.
    Absent,
    /// The object still has this `ETag`.
    Unchanged(String),
}

impl Condition {
    /// How a write ended that was made on this condition, and was made.
    #[must_use]
    pub const fn met(&self) -> Written {
        match self {
            Self::Absent => Written::Created,
            Self::Unchanged(_) => Written::Replaced,
        }
    }
}

/// An output on its way.
#[derive(Debug)]
pub struct Output {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The file.
    pub bytes: Vec<u8>,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// What it is made of and how.
    pub origin: Origin,
}

/// What an output is made of and how: its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `source-etag`, without quotes.
    pub source_etag: String,
    /// `source-version-id`.
    pub source_version_id: Option<String>,
    /// `spec`.
    pub spec: String,
}

/// How a conditional write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The output is there, and nothing was before.
    Created,
    /// The output is there. What it replaced had the `ETag` of the condition, or the store knows no conditions.
    Replaced,
    /// The condition no longer held: somebody else wrote first.
    Raced,
}

/// Buckets of objects.
pub trait Store {
    /// A source on its way.
    type Download: Download;

    /// What the output under this key says of itself; nothing where there is none.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn head(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> impl Future<Output = Result<Option<OutputHead>, StoreError>>;

    /// The source as it is now, unless its `ETag` (without quotes) still is `unless`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        unless: Option<&str>,
    ) -> impl Future<Output = Result<Fetch<Self::Download>, StoreError>>;

    /// Writes an output, whole or not at all, if the condition holds.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn put(&self, output: Output, condition: &Condition) -> impl Future<Output = Result<Written, StoreError>>;
}
