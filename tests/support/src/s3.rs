//! An S3 that keeps its objects in memory, with versions, checksums, and conditional reads and writes. Exactly one of
//! several racing conditional writes wins.
//!
//! [`Memory`] is the store and knows nothing about HTTP. `Backend` gives it the S3 protocol through `s3s`.

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

/// One version of one object in the store.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The contents.
    pub bytes: Bytes,
    /// The `ETag` without quotes: [`Upload::etag`] if it was set, else the MD5 of the contents.
    pub etag: String,
    /// Set if the bucket is versioned.
    pub version_id: Option<String>,
    /// The writer's `Content-Type`.
    pub content_type: Option<String>,
    /// User metadata. Names are in lower case and without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// The checksums that are stored with the object, in base64; empty if it was written without one.
    pub checksum: Checksum,
    /// The value of `x-amz-server-side-encryption`. With `aws:kms`, the `ETag` is not an MD5.
    pub encryption: Option<&'static str>,
}

impl Object {
    /// Whether a checksum is stored with the object.
    pub fn has_checksum(&self) -> bool {
        let Checksum { checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256, .. } =
            &self.checksum;
        [checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256]
            .into_iter()
            .any(Option::is_some)
    }
}

/// An object that a test writes into the store without a request.
#[derive(Default)]
pub struct Upload {
    /// The contents.
    pub bytes: Vec<u8>,
    /// The checksum that is stored with it.
    pub checksums: Checksums,
    /// An `ETag` other than the MD5, like those of multipart uploads and of encryption with KMS.
    pub etag: Option<&'static str>,
    /// The value of `x-amz-server-side-encryption`.
    pub encryption: Option<&'static str>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
}

/// The checksum that is stored with an [`Upload`].
#[derive(Clone, Copy, Default)]
pub enum Checksums {
    /// No checksum, like objects from before 2024 and many third-party uploads.
    None,
    /// CRC64NVME, which S3 now adds to every upload without a checksum.
    #[default]
    Crc64Nvme,
    /// CRC32, which the SDKs send by default.
    Crc32,
}

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    Always,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match` with this `ETag`, without quotes.
    Unchanged(String),
}

/// The reason why the store refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
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
    /// The versions of each key, oldest first. An unversioned bucket keeps one.
    objects: BTreeMap<String, Vec<Object>>,
}

#[derive(Default)]
struct Contents {
    buckets: BTreeMap<String, Bucket>,
    writes: u64,
    ignores_read_conditions: bool,
}

/// The store. Clones are the same store.
#[derive(Clone, Default)]
pub struct Memory {
    contents: Arc<Mutex<Contents>>,
}

impl Memory {
    /// Creates an empty bucket. An existing bucket of that name is left unchanged.
    pub(crate) fn create_bucket(&self, bucket: &str, versioned: bool) {
        self.lock().buckets.entry(bucket.to_owned()).or_insert_with(|| Bucket { versioned, ..Bucket::default() });
    }

    /// From now on, reads are answered as if they had no conditions.
    pub fn ignore_read_conditions(&self) {
        self.lock().ignores_read_conditions = true;
    }

    /// The newest version of an object.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        let contents = self.lock();
        let bucket = contents.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?;
        bucket.objects.get(key).and_then(|versions| versions.last()).cloned().ok_or(Refusal::NoSuchKey)
    }

    /// All versions of an object, oldest first; empty if there is no such object.
    pub(crate) fn versions(&self, bucket: &str, key: &str) -> Vec<Object> {
        let contents = self.lock();
        let versions = contents.buckets.get(bucket).and_then(|bucket| bucket.objects.get(key));
        versions.cloned().unwrap_or_default()
    }

    /// Writes one object if `condition` holds. Check and write are one step, so exactly one of several racing writers
    /// wins.
    ///
    /// # Errors
    /// The bucket does not exist, or the condition does not hold. The store is then unchanged.
    pub fn put(&self, bucket: &str, key: &str, object: Object, condition: &Condition) -> Result<Object, Refusal> {
        let mut contents = self.lock();
        let version = contents.writes + 1;
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
        contents.writes = version;
        Ok(object)
    }

    /// Removes an object and all its versions.
    pub fn delete(&self, bucket: &str, key: &str) {
        if let Some(bucket) = self.lock().buckets.get_mut(bucket) {
            bucket.objects.remove(key);
        }
    }

    /// The keys of a bucket, sorted; empty if there is no such bucket.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        self.lock().buckets.get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// An upload with the defaults: a stored CRC64NVME, and the MD5 as `ETag`.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// The object that this upload creates.
    pub fn into_object(self) -> Object {
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

/// The MD5 of `bytes` in lower-case hexadecimal: the `ETag` of an object that was uploaded in one part.
pub fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        hex
    })
}

/// The `ETag` of an answer: none if it is empty, a weak one if it begins with `W/`.
fn answered_etag(etag: String) -> Option<ETag> {
    match etag.strip_prefix("W/") {
        _ if etag.is_empty() => None,
        Some(weak) => Some(ETag::Weak(weak.to_owned())),
        None => Some(ETag::Strong(etag)),
    }
}

/// The S3 protocol for a [`Memory`].
pub(crate) struct Backend(pub(crate) Memory);

/// The fields that the answers to GET and HEAD have in common; the answer's type is the first argument.
macro_rules! object_answer {
    ($Answer:ident, $object:expr, $input:expr) => {{
        let object = $object;
        let checksum = requested_checksum(&object, $input.checksum_mode.as_ref());
        $Answer {
            content_length: i64::try_from(object.bytes.len()).ok(),
            e_tag: answered_etag(object.etag),
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
            ..$Answer::default()
        }
    }};
}

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

        let sent = sent_checksum(&input, trailers.as_ref());
        let checksum = checksum_like(&sent, &bytes);
        if checksum != sent {
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
            _ => return Err(s3_error!(NotImplemented, "a write takes If-Match with an ETag or If-None-Match with *")),
        };
        let written = self.0.put(&input.bucket, &input.key, object, &condition).map_err(to_s3_error)?;
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
            return Err(s3_error!(NotImplemented, "only the newest version of a whole object can be read"));
        }
        let object = self.0.get(&input.bucket, &input.key).map_err(to_s3_error)?;
        if !self.0.lock().ignores_read_conditions {
            check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        }
        let bytes = object.bytes.clone();
        let body = Some(StreamingBlob::wrap(stream::once(async move { Ok::<_, Infallible>(bytes) })));
        Ok(S3Response::new(GetObjectOutput { body, ..object_answer!(GetObjectOutput, object, input) }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.0.get(&input.bucket, &input.key).map_err(to_s3_error)?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(object_answer!(HeadObjectOutput, object, input)))
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

fn to_s3_error(refusal: Refusal) -> s3s::S3Error {
    match refusal {
        Refusal::NoSuchBucket => s3_error!(NoSuchBucket),
        Refusal::NoSuchKey => s3_error!(NoSuchKey),
        Refusal::PreconditionFailed => s3_error!(PreconditionFailed),
    }
}

/// Fails with 412 or 304 if a condition of the reader does not hold.
fn check_conditions(
    object: &Object,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let matches = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        // Weak comparison (RFC 9110, section 8.8.3.2).
        ETagCondition::ETag(etag) => etag.value() == object.etag.trim_start_matches("W/"),
    };
    if if_match.is_some_and(|condition| !matches(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(matches) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// The stored checksums if the reader sent `x-amz-checksum-mode: ENABLED`, else none: S3 does the same.
fn requested_checksum(object: &Object, mode: Option<&ChecksumMode>) -> Checksum {
    if mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED) {
        object.checksum.clone()
    } else {
        Checksum::default()
    }
}

/// The checksums that the writer sent: in headers, or in the trailers of a chunked body.
fn sent_checksum(input: &PutObjectInput, trailers: Option<&hyper::HeaderMap>) -> Checksum {
    let sent = |name: &str, header: &Option<String>| {
        let trailer = trailers.and_then(|trailers| trailers.get(name)).and_then(|value| value.to_str().ok());
        trailer.map(str::to_owned).or_else(|| header.clone())
    };
    Checksum {
        checksum_crc32: sent("x-amz-checksum-crc32", &input.checksum_crc32),
        checksum_crc32c: sent("x-amz-checksum-crc32c", &input.checksum_crc32c),
        checksum_crc64nvme: sent("x-amz-checksum-crc64nvme", &input.checksum_crc64nvme),
        checksum_sha1: sent("x-amz-checksum-sha1", &input.checksum_sha1),
        checksum_sha256: sent("x-amz-checksum-sha256", &input.checksum_sha256),
        ..Checksum::default()
    }
}

/// The checksums of `bytes`, of the same kinds as those in `sent`.
fn checksum_like(sent: &Checksum, bytes: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher {
        crc32: sent.checksum_crc32.is_some().then(s3s::crypto::Crc32::default),
        crc32c: sent.checksum_crc32c.is_some().then(s3s::crypto::Crc32c::default),
        sha1: sent.checksum_sha1.is_some().then(s3s::crypto::Sha1::default),
        sha256: sent.checksum_sha256.is_some().then(s3s::crypto::Sha256::default),
        crc64nvme: sent.checksum_crc64nvme.is_some().then(s3s::crypto::Crc64Nvme::default),
    };
    hasher.update(bytes);
    hasher.finalize()
}
