//! The buckets: the few operations that a record needs, and their errors.

pub(crate) mod bounded;
pub(crate) mod dir;
#[cfg(feature = "aws")]
pub(crate) mod s3;

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
    /// The store does not answer, or answers with other bytes than were stored; all retries are used up.
    #[error("{0}")]
    Unavailable(String),
    /// A download broke off, stalled, or brought other bytes than are stored: worth asking again.
    #[error("{0}")]
    BrokenDownload(String),
    /// A download whose length the store did not tell has more bytes than are accepted.
    #[error("the object has more than {limit_bytes} bytes, and the store does not tell how many")]
    TooLarge {
        /// The bytes that are accepted.
        limit_bytes: u64,
    },
}

/// The metadata of an output that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputHead {
    /// The output's own `ETag`, as the store writes it.
    pub etag: String,
    /// The `ETag` of the source it was made from, without quotes.
    pub source_etag: Option<String>,
    /// The hash of the settings it was made with.
    pub spec: Option<String>,
    /// The hash of the name of its source ([`Origin::source`]).
    pub source: Option<String>,
}

/// The result of a request for a source. `T` is the source: first its download, later its file.
#[derive(Debug)]
pub enum Fetched<T> {
    /// The source still has the `ETag` that was named.
    NotModified,
    /// The marker of a folder: an empty object whose key ends in `/`.
    FolderMarker,
    /// An output of this program, of whatever configuration: it has the metadata of one.
    OwnOutput,
    /// The source as it is now.
    Found(T),
}

impl<D: Download> Fetched<D> {
    /// A source whose headers have come.
    pub fn new(key: &ObjectKey, download: D) -> Self {
        if key.is_folder_marker(download.length_bytes()) {
            Self::FolderMarker
        } else if download.is_output() {
            Self::OwnOutput
        } else {
            Self::Found(download)
        }
    }
}

/// A source whose headers have come and whose bytes have not.
pub trait Download {
    /// The source's `ETag`, without quotes.
    fn etag(&self) -> &str;

    /// The source's version, in a bucket that has them.
    fn version_id(&self) -> Option<&str>;

    /// The number of bytes; `None` if the store does not tell before the last of them has come.
    fn length_bytes(&self) -> Option<u64>;

    /// Whether the source has the metadata of an output.
    fn is_output(&self) -> bool;

    /// Reads all bytes, at most `limit_bytes`, and checks that they are those that were stored.
    ///
    /// # Errors
    /// [`StoreError::BrokenDownload`] if they are not, [`StoreError::TooLarge`] if there are more.
    fn bytes(self, limit_bytes: u64) -> impl Future<Output = Result<Vec<u8>, StoreError>>;
}

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no such object.
    Absent,
    /// The object still has this `ETag`.
    Unchanged(String),
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
    /// Its source and its settings.
    pub origin: Origin,
}

/// The source and the settings of an output: its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `source-etag`, without quotes.
    pub source_etag: String,
    /// `source-version-id`.
    pub source_version_id: Option<String>,
    /// `spec`.
    pub spec: String,
    /// `source`: a hash of the source's name.
    pub source: String,
}

/// A text about the task itself, which replaces an older one.
#[derive(Debug)]
pub struct Document {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// JSON, one document a line.
    pub lines: Vec<u8>,
    /// Its metadata; a file system keeps none of them.
    pub metadata: Vec<(&'static str, String)>,
}

/// How a conditional write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The output is written, and this is its `ETag`, without quotes. The condition held, unless the store knows none.
    Done(String),
    /// The condition no longer held: another task wrote first.
    Raced,
}

/// Buckets of objects.
pub trait Store {
    /// A source on its way.
    type Download: Download;

    /// The metadata of the output under this key; `None` if there is none.
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
    ) -> impl Future<Output = Result<Fetched<Self::Download>, StoreError>>;

    /// Writes an output, whole or not at all, if the condition holds.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn put(&self, output: Output, condition: &Condition) -> impl Future<Output = Result<Written, StoreError>>;

    /// Writes a document, whole or not at all.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn put_document(&self, document: Document) -> impl Future<Output = Result<(), StoreError>>;
}
