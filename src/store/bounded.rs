//! A store that answers a bounded number of requests at a time: each takes a connection, its buffers, and a file
//! descriptor.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Condition, Document, Download, Fetched, Output, OutputHead, Store, StoreError, Written};
use crate::object::{BucketName, ObjectKey};

/// A store behind a semaphore.
#[derive(Debug)]
pub(crate) struct Bounded<'a, S> {
    store: &'a S,
    requests: Semaphore,
}

/// A download on its way: it counts until all bytes have come.
#[derive(Debug)]
pub(crate) struct Counted<'a, D> {
    download: D,
    _request: Option<SemaphorePermit<'a>>,
}

impl<'a, S> Bounded<'a, S> {
    /// At most `requests` at a time; further ones wait for their turn.
    pub(crate) fn new(store: &'a S, requests: usize) -> Self {
        Self { store, requests: Semaphore::new(requests.max(1)) }
    }

    /// `None` only if the semaphore was closed, which nobody does.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.requests.acquire().await.ok()
    }
}

impl<D: Download> Download for Counted<'_, D> {
    fn etag(&self) -> &str {
        self.download.etag()
    }

    fn version_id(&self) -> Option<&str> {
        self.download.version_id()
    }

    fn length_bytes(&self) -> Option<u64> {
        self.download.length_bytes()
    }

    fn is_output(&self) -> bool {
        self.download.is_output()
    }

    async fn bytes(self, limit_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.download.bytes(limit_bytes).await
    }
}

impl<'a, S: Store> Store for &'a Bounded<'a, S> {
    type Download = Counted<'a, S::Download>;

    async fn head(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<OutputHead>, StoreError> {
        let _request = self.turn().await;
        self.store.head(bucket, key).await
    }

    async fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        unless: Option<&str>,
    ) -> Result<Fetched<Self::Download>, StoreError> {
        let request = self.turn().await;
        Ok(match self.store.get(bucket, key, unless).await? {
            Fetched::Found(download) => Fetched::Found(Counted { download, _request: request }),
            Fetched::NotModified => Fetched::NotModified,
            Fetched::FolderMarker => Fetched::FolderMarker,
            Fetched::OwnOutput => Fetched::OwnOutput,
        })
    }

    async fn put(&self, output: Output, condition: &Condition) -> Result<Written, StoreError> {
        let _request = self.turn().await;
        self.store.put(output, condition).await
    }

    async fn put_document(&self, document: Document) -> Result<(), StoreError> {
        let _request = self.turn().await;
        self.store.put_document(document).await
    }
}
