//! An S3 that keeps its objects in memory: versions, conditional reads and writes with exactly one winner, checksums.
//!
//! [`Memory`] is the store and knows nothing of HTTP; [`Backend`] speaks the S3 protocol for it through `s3s`.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::dto::{
    Checksum, ChecksumMode, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput, ServerSideEncryption, StreamingBlob,
    Timestamp,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// One version of one object, as it lies in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    /// The contents.
    pub(crate) bytes: Bytes,
    /// Without quotes: the MD5 of the contents, unless [`Upload::etag`] said otherwise.
    pub(crate) etag: String,
    /// Present where the bucket is versioned.
    pub(crate) version_id: Option<String>,
    /// As the writer gave it.
    pub(crate) content_type: Option<String>,
    /// User metadata, names in lower case and without `x-amz-meta-`.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The checksums that S3 keeps, in base64; none for an object that was written without.
    pub(crate) checksum: Checksum,
    /// `aws:kms` where the object is encrypted so that its `ETag` is not an MD5.
    pub(crate) encryption: Option<&'static str>,
}

impl Object {
    /// Whether S3 keeps a checksum of the contents.
    pub(crate) fn has_checksum(&self) -> bool {
        let Checksum { checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256, .. } =
            &self.checksum;
        [checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256]
            .into_iter()
            .any(Option::is_some)
    }
}

/// What a test puts into the store behind the server's back.
#[derive(Default)]
pub(crate) struct Upload {
    /// The contents.
    pub(crate) bytes: Vec<u8>,
    /// Which checksums are stored with it.
    pub(crate) checksums: Checksums,
    /// An `ETag` that is not the MD5, as S3 gives for a multipart upload or under KMS.
    pub(crate) etag: Option<&'static str>,
    /// The value of `x-amz-server-side-encryption`.
    pub(crate) encryption: Option<&'static str>,
    /// User metadata.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The checksums stored with an [`Upload`].
#[derive(Clone, Copy, Default)]
pub(crate) enum Checksums {
    /// None, as in objects from before 2024 and many third-party uploads.
    None,
    /// CRC64NVME, which S3 adds by itself today.
    #[default]
    Crc64Nvme,
    /// CRC32, which the SDKs send by default.
    Crc32,
}

/// On what a write depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Always,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match` with this `ETag`, without quotes.
    Unchanged(String),
}

/// Why the store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bucket does not exist.
    NoSuchBucket,
    /// The key does not exist.
    NoSuchKey,
    /// The condition does not hold.
    PreconditionFailed,
}

#[derive(Default)]
struct Bucket {
    versioned: bool,
    /// Oldest version first; an unversioned bucket holds one.
    objects: BTreeMap<String, Vec<Object>>,
}

#[derive(Default)]
struct Contents {
    buckets: BTreeMap<String, Bucket>,
    versions_given: u64,
}

/// The store. Clones are the same store.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    contents: Arc<Mutex<Contents>>,
}

impl Memory {
    /// Makes an empty bucket; one of that name stays as it is.
    pub(crate) fn create_bucket(&self, bucket: &str, versioned: bool) {
        self.lock().buckets.entry(bucket.to_owned()).or_insert_with(|| Bucket { versioned, ..Bucket::default() });
    }

    /// The newest version.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        let contents = self.lock();
        let bucket = contents.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?;
        bucket.objects.get(key).and_then(|versions| versions.last()).cloned().ok_or(Refusal::NoSuchKey)
    }

    /// All versions, the oldest first; none where there is no such object.
    pub(crate) fn versions(&self, bucket: &str, key: &str) -> Vec<Object> {
        let contents = self.lock();
        let versions = contents.buckets.get(bucket).and_then(|bucket| bucket.objects.get(key));
        versions.cloned().unwrap_or_default()
    }

    /// Writes one object where `condition` holds; look and write are one step, so that of racing writers one wins.
    pub(crate) fn put(
        &self,
        bucket: &str,
        key: &str,
        object: Object,
        condition: &Condition,
    ) -> Result<Object, Refusal> {
        let mut contents = self.lock();
        let version = contents.versions_given + 1;
        let bucket = contents.buckets.get_mut(bucket).ok_or(Refusal::NoSuchBucket)?;
        let current = bucket.objects.get(key).and_then(|versions| versions.last());
        match (condition, current) {
            (Condition::Absent, Some(_)) => return Err(Refusal::PreconditionFailed),
            (Condition::Unchanged(_), None) => return Err(Refusal::NoSuchKey),
            (Condition::Unchanged(etag), Some(current)) if *etag != current.etag => {
                return Err(Refusal::PreconditionFailed);
            }
            _ => {}
        }
        let mut object = object;
        let versions = bucket.objects.entry(key.to_owned()).or_default();
        if bucket.versioned {
            object.version_id = Some(format!("v{version:016}"));
        } else {
            versions.clear();
        }
        versions.push(object.clone());
        contents.versions_given = version;
        Ok(object)
    }

    /// Removes an object with all its versions.
    pub(crate) fn delete(&self, bucket: &str, key: &str) {
        if let Some(bucket) = self.lock().buckets.get_mut(bucket) {
            bucket.objects.remove(key);
        }
    }

    /// The keys of a bucket in order; none where there is no such bucket.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        self.lock().buckets.get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Contents with the defaults: a stored CRC64NVME and the MD5 as `ETag`.
    pub(crate) fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// The object that this upload leaves in the store.
    pub(crate) fn into_object(self) -> Object {
        let mut hasher = ChecksumHasher::default();
        match self.checksums {
            Checksums::None => {}
            Checksums::Crc64Nvme => hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::default()),
            Checksums::Crc32 => hasher.crc32 = Some(s3s::crypto::Crc32::default()),
        }
        hasher.update(&self.bytes);
        Object {
            etag: self.etag.map_or_else(|| md5_hex(&self.bytes), str::to_owned),
            bytes: self.bytes.into(),
            checksum: hasher.finalize(),
            encryption: self.encryption,
            metadata: self.metadata,
            ..Object::default()
        }
    }
}

/// The `ETag` that S3 gives to contents written in one piece.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a String takes any text
        hex
    })
}

/// The S3 protocol for a [`Memory`].
pub(crate) struct Backend(pub(crate) Memory);

#[async_trait::async_trait]
impl S3 for Backend {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let trailers = request.trailing_headers.and_then(|trailers| trailers.take());
        let mut input = request.input;
        let body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let bytes: Vec<u8> = body
            .try_fold(Vec::new(), |mut bytes, chunk| async move {
                bytes.extend_from_slice(&chunk);
                Ok(bytes)
            })
            .await
            .map_err(|error| s3_error!(IncompleteBody, "{error}"))?;

        let claimed = claimed_checksum(&input, trailers.as_ref());
        let checksum = checksum_like(&claimed, &bytes);
        if checksum != claimed {
            return Err(s3_error!(BadDigest));
        }

        let object = Object {
            etag: md5_hex(&bytes),
            bytes: bytes.into(),
            content_type: input.content_type,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            checksum,
            ..Object::default()
        };
        let condition = match (input.if_match, input.if_none_match) {
            (None, None) => Condition::Always,
            (None, Some(ETagCondition::Any)) => Condition::Absent,
            (Some(ETagCondition::ETag(etag)), None) => Condition::Unchanged(etag.value().to_owned()),
            _ => return Err(s3_error!(NotImplemented, "S3 writes on If-Match with an ETag or If-None-Match with *")),
        };
        let written = self.0.put(&input.bucket, &input.key, object, &condition).map_err(refuse)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(written.etag)),
            version_id: written.version_id,
            checksum_crc32: written.checksum.checksum_crc32,
            checksum_crc32c: written.checksum.checksum_crc32c,
            checksum_crc64nvme: written.checksum.checksum_crc64nvme,
            checksum_sha1: written.checksum.checksum_sha1,
            checksum_sha256: written.checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        if input.range.is_some() || input.version_id.is_some() {
            return Err(s3_error!(NotImplemented, "the program reads whole objects, as they are now"));
        }
        let object = self.0.get(&input.bucket, &input.key).map_err(refuse)?;
        check_read(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let checksum = asked_checksum(&object, input.checksum_mode.as_ref());
        let bytes = object.bytes;
        Ok(S3Response::new(GetObjectOutput {
            content_length: i64::try_from(bytes.len()).ok(),
            body: Some(StreamingBlob::wrap(stream::once(async move { Ok::<_, Infallible>(bytes) }))),
            e_tag: Some(ETag::Strong(object.etag)),
            version_id: object.version_id,
            content_type: object.content_type,
            metadata: Some(object.metadata.into_iter().collect::<HashMap<_, _>>()),
            last_modified: Some(Timestamp::from(std::time::SystemTime::UNIX_EPOCH)),
            server_side_encryption: object.encryption.map(ServerSideEncryption::from_static),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.0.get(&input.bucket, &input.key).map_err(refuse)?;
        check_read(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let checksum = asked_checksum(&object, input.checksum_mode.as_ref());
        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(object.bytes.len()).ok(),
            e_tag: Some(ETag::Strong(object.etag)),
            version_id: object.version_id,
            content_type: object.content_type,
            metadata: Some(object.metadata.into_iter().collect::<HashMap<_, _>>()),
            last_modified: Some(Timestamp::from(std::time::SystemTime::UNIX_EPOCH)),
            server_side_encryption: object.encryption.map(ServerSideEncryption::from_static),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..HeadObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let prefix = request.input.prefix.unwrap_or_default();
        let contents: Vec<s3s::dto::Object> = self
            .0
            .keys(&request.input.bucket)
            .into_iter()
            .filter(|key| key.starts_with(&prefix))
            .map(|key| s3s::dto::Object { key: Some(key), ..s3s::dto::Object::default() })
            .collect();
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len()).ok(),
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }
}

fn refuse(refusal: Refusal) -> s3s::S3Error {
    match refusal {
        Refusal::NoSuchBucket => s3_error!(NoSuchBucket),
        Refusal::NoSuchKey => s3_error!(NoSuchKey),
        Refusal::PreconditionFailed => s3_error!(PreconditionFailed),
    }
}

fn check_read(
    object: &Object,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let matches = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if if_match.is_some_and(|condition| !matches(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(matches) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// S3 tells a checksum only to who asks with `x-amz-checksum-mode: ENABLED`.
fn asked_checksum(object: &Object, mode: Option<&ChecksumMode>) -> Checksum {
    if mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED) {
        object.checksum.clone()
    } else {
        Checksum::default()
    }
}

/// The checksums that a writer claims, from headers or, for a chunked body, from the trailers.
fn claimed_checksum(input: &PutObjectInput, trailers: Option<&hyper::HeaderMap>) -> Checksum {
    let claim = |name: &str, header: &Option<String>| {
        let trailer = trailers.and_then(|trailers| trailers.get(name)).and_then(|value| value.to_str().ok());
        trailer.map(str::to_owned).or_else(|| header.clone())
    };
    Checksum {
        checksum_crc32: claim("x-amz-checksum-crc32", &input.checksum_crc32),
        checksum_crc32c: claim("x-amz-checksum-crc32c", &input.checksum_crc32c),
        checksum_crc64nvme: claim("x-amz-checksum-crc64nvme", &input.checksum_crc64nvme),
        checksum_sha1: claim("x-amz-checksum-sha1", &input.checksum_sha1),
        checksum_sha256: claim("x-amz-checksum-sha256", &input.checksum_sha256),
        ..Checksum::default()
    }
}

/// The checksums of `bytes` of the kinds that `claimed` has.
fn checksum_like(claimed: &Checksum, bytes: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher {
        crc32: claimed.checksum_crc32.is_some().then(s3s::crypto::Crc32::default),
        crc32c: claimed.checksum_crc32c.is_some().then(s3s::crypto::Crc32c::default),
        sha1: claimed.checksum_sha1.is_some().then(s3s::crypto::Sha1::default),
        sha256: claimed.checksum_sha256.is_some().then(s3s::crypto::Sha256::default),
        crc64nvme: claimed.checksum_crc64nvme.is_some().then(s3s::crypto::Crc64Nvme::default),
    };
    hasher.update(bytes);
    hasher.finalize()
}
