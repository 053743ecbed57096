//! S3, and servers that speak its protocol: the only user of `aws_sdk_s3`.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption};
use aws_smithy_types::timeout::TimeoutConfig;
use md5::{Digest, Md5};

use super::{Condition, Document, Download, Fetched, Origin, Output, OutputHead, Store, StoreError, Written};
use crate::aws::chain;
use crate::object::{BucketName, ObjectKey, uri};

mod wire {
    //! The numbers that shape the traffic with S3, beside those of every service in `aws::wire`.

    use std::time::Duration;

    /// One attempt to upload an output: 48 MiB, the largest, at 2 MiB/s. The SDK counts the sending of the body into
    /// the time until the first byte of the answer.
    pub(super) const UPLOAD: Duration = Duration::from_secs(24);
    /// A download without a byte for this long has broken off.
    pub(super) const STALL: Duration = Duration::from_secs(5);
    /// The slowest download that is accepted; a Fargate task of a quarter CPU gets some 10 MB/s.
    pub(super) const SLOWEST_BYTES_PER_SECOND: u64 = 256 * 1024;
    /// Base allowance of every download, on top of its size.
    pub(super) const BASE_DOWNLOAD: Duration = Duration::from_secs(10);
}

/// Buckets of S3.
#[derive(Debug)]
pub(crate) struct S3Store {
    client: Client,
    /// Whether the store refused conditional writes as not implemented.
    unconditional: Cell<bool>,
}

impl S3Store {
    /// A client that shares connections and credentials with every other one that was made from `config`; no request is
    /// sent here.
    #[must_use]
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let builder = aws_sdk_s3::config::Builder::from(config).force_path_style(!is_aws(endpoint(config).as_deref()));
        Self { client: Client::from_conf(builder.build()), unconditional: Cell::new(false) }
    }

    /// The settings of a request with a body that is long.
    fn uploading(&self) -> aws_sdk_s3::config::Builder {
        let timeouts = self.client.config().timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
        let timeouts = timeouts.into_builder().read_timeout(wire::UPLOAD).build();
        aws_sdk_s3::Config::builder().timeout_config(timeouts)
    }
}

/// The endpoint that is configured for S3, or for everything.
fn endpoint(config: &SdkConfig) -> Option<String> {
    let key = aws_types::service_config::ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    config
        .service_config()
        .and_then(|service| service.load_config(key))
        .or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Whether the endpoint is one of AWS: there, the bucket is part of the host's name.
fn is_aws(endpoint: Option<&str>) -> bool {
    let Some(endpoint) = endpoint else { return true };
    let host = endpoint.split("://").nth(1).unwrap_or(endpoint).split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|domain| host.ends_with(domain))
}

/// An answer with a source, its body not yet read.
#[derive(Debug)]
pub(crate) struct Answer {
    etag: String,
    length_bytes: Option<u64>,
    /// Whether the SDK compares the body with a checksum of the whole object.
    is_checked: bool,
    /// Whether the `ETag` stands for more than these very bytes.
    is_weak: bool,
    output: GetObjectOutput,
}

impl Answer {
    fn new(output: GetObjectOutput) -> Self {
        let has_checksum = [
            &output.checksum_crc32,
            &output.checksum_crc32_c,
            &output.checksum_crc64_nvme,
            &output.checksum_sha1,
            &output.checksum_sha256,
        ]
        .into_iter()
        .any(Option::is_some);
        let is_composite = output.checksum_type() == Some(&ChecksumType::Composite)
            || output.e_tag().is_some_and(|etag| etag.contains('-'));
        Self {
            etag: unquoted(output.e_tag().unwrap_or_default()).to_owned(),
            length_bytes: output.content_length().and_then(|length| u64::try_from(length).ok()),
            is_checked: has_checksum && !is_composite,
            is_weak: output.e_tag().is_some_and(|etag| etag.starts_with("W/")),
            output,
        }
    }

    /// The `ETag`, if it is the MD5 of the body. It is for objects that were uploaded in one part and are not encrypted
    /// with a key of KMS or of the caller ("Checking object integrity" in S3's user guide).
    fn md5(&self) -> Option<String> {
        let is_hash = self.etag.len() == 32 && self.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_plain = matches!(self.output.server_side_encryption(), None | Some(ServerSideEncryption::Aes256))
            && self.output.sse_customer_algorithm().is_none();
        (is_hash && is_plain && !self.is_weak).then(|| self.etag.to_ascii_lowercase())
    }
}

impl Download for Answer {
    fn etag(&self) -> &str {
        &self.etag
    }

    fn version_id(&self) -> Option<&str> {
        self.output.version_id().filter(|version| *version != "null")
    }

    fn length_bytes(&self) -> Option<u64> {
        self.length_bytes
    }

    fn is_output(&self) -> bool {
        let has = |name: &str| self.output.metadata().is_some_and(|all| all.contains_key(name));
        has("spec") && has("source-etag")
    }

    async fn bytes(mut self, limit_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let most_bytes = self.length_bytes.unwrap_or(limit_bytes);
        let deadline = wire::BASE_DOWNLOAD + Duration::from_secs(most_bytes / wire::SLOWEST_BYTES_PER_SECOND);
        let expected_md5 = if self.is_checked { None } else { self.md5() };
        let mut body = std::mem::take(&mut self.output.body);
        let read = async {
            let capacity = self.length_bytes.and_then(|length| usize::try_from(length).ok());
            let mut bytes = Vec::with_capacity(capacity.unwrap_or(0));
            loop {
                match tokio::time::timeout(wire::STALL, body.try_next()).await {
                    Err(_) => {
                        let why = format!("no data received for {} s", wire::STALL.as_secs());
                        return Err(StoreError::BrokenDownload(why));
                    }
                    Ok(Err(error)) => return Err(StoreError::BrokenDownload(chain(&error))),
                    Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
                    Ok(Ok(None)) => return Ok(bytes),
                }
                if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit_bytes {
                    return Err(StoreError::TooLarge { limit_bytes });
                }
            }
        };
        let bytes = tokio::time::timeout(deadline, read).await.unwrap_or_else(|_| {
            let why = format!("the download took longer than {} s", deadline.as_secs());
            Err(StoreError::BrokenDownload(why))
        })?;
        let actual = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(expected) = self.length_bytes.filter(|expected| *expected != actual) {
            return Err(StoreError::BrokenDownload(format!("received {actual} of {expected} bytes")));
        }
        if let Some(expected) = expected_md5 {
            let actual: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            if actual != expected {
                return Err(StoreError::BrokenDownload(format!(
                    "the bytes have the MD5 {actual}, the stored object has {expected}"
                )));
            }
        }
        Ok(bytes)
    }
}

impl Store for S3Store {
    type Download = Answer;

    async fn head(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<OutputHead>, StoreError> {
        match self.client.head_object().bucket(bucket.as_str()).key(key.as_str()).send().await {
            Ok(head) => {
                let metadata = |name: &str| head.metadata().and_then(|all| all.get(name)).cloned();
                Ok(Some(OutputHead {
                    etag: head.e_tag().unwrap_or_default().to_owned(),
                    source_etag: metadata("source-etag"),
                    spec: metadata("spec"),
                    source: metadata("source"),
                }))
            }
            // HEAD has no body, hence no code: a missing bucket shows when the output is written.
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(refusal(&error, &format!("reading the head of {}", uri(bucket, key)))),
        }
    }

    async fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        unless: Option<&str>,
    ) -> Result<Fetched<Answer>, StoreError> {
        let request = self
            .client
            .get_object()
            .bucket(bucket.as_str())
            .key(key.as_str())
            .checksum_mode(ChecksumMode::Enabled)
            .set_if_none_match(unless.map(|etag| format!("\"{etag}\"")));
        match request.send().await {
            Ok(output) => {
                let answer = Answer::new(output);
                // The answer of a store that ignores the condition.
                let is_known = unless.is_some_and(|etag| !etag.is_empty() && etag == answer.etag);
                Ok(if is_known { Fetched::NotModified } else { Fetched::new(key, answer) })
            }
            Err(error) if status(&error) == Some(304) => Ok(Fetched::NotModified),
            Err(error) => Err(refusal(&error, &format!("reading {}", uri(bucket, key)))),
        }
    }

    async fn put(&self, output: Output, condition: &Condition) -> Result<Written, StoreError> {
        let Output { bucket, key, bytes, content_type, origin } = output;
        let place = format!("writing {}", uri(&bucket, &key));
        let body = bytes::Bytes::from(bytes);
        let request = || {
            self.client
                .put_object()
                .bucket(bucket.as_str())
                .key(key.as_str())
                .content_type(content_type)
                .set_metadata(Some(metadata(&origin)))
                .body(ByteStream::from(body.clone()))
        };
        if !self.unconditional.get() {
            let conditional = match condition {
                Condition::Absent => request().if_none_match("*"),
                Condition::Unchanged(etag) => request().if_match(etag),
            };
            match conditional.customize().config_override(self.uploading()).send().await {
                Ok(put) => return Ok(Written::Done(unquoted(put.e_tag().unwrap_or_default()).to_owned())),
                Err(error) if status(&error) == Some(501) => {
                    tracing::warn!("{place}: this store has no conditional writes; it is written to without them");
                    self.unconditional.set(true);
                }
                Err(error) if is_race(&error, condition) => return Ok(Written::Raced),
                Err(error) => return Err(refusal(&error, &place)),
            }
        }
        match request().customize().config_override(self.uploading()).send().await {
            Ok(put) => Ok(Written::Done(unquoted(put.e_tag().unwrap_or_default()).to_owned())),
            Err(error) => Err(refusal(&error, &place)),
        }
    }

    async fn put_document(&self, document: Document) -> Result<(), StoreError> {
        let Document { bucket, key, lines, metadata } = document;
        let request = self
            .client
            .put_object()
            .bucket(bucket.as_str())
            .key(key.as_str())
            .content_type("application/jsonl")
            .set_metadata(Some(metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
            .body(ByteStream::from(lines));
        let written = request.customize().config_override(self.uploading()).send().await;
        written.map(drop).map_err(|error| refusal(&error, &format!("writing {}", uri(&bucket, &key))))
    }
}

fn metadata(origin: &Origin) -> HashMap<String, String> {
    let pairs = [
        ("source-etag", Some(&origin.source_etag)),
        ("source-version-id", origin.source_version_id.as_ref()),
        ("spec", Some(&origin.spec)),
        ("source", Some(&origin.source)),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect()
}

/// An `ETag` without its quotes, and without the mark of a weak one: If-None-Match compares both kinds alike.
fn unquoted(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// 412: the condition does not hold; 409: another conditional write is under way; 404: the object that was to be
/// unchanged is gone.
fn is_race<E: ProvideErrorMetadata>(error: &SdkError<E>, condition: &Condition) -> bool {
    match status(error) {
        Some(412 | 409) => true,
        Some(404) => matches!(condition, Condition::Unchanged(_)) && error.code() != Some("NoSuchBucket"),
        _ => false,
    }
}

fn refusal<E>(error: &SdkError<E>, doing: &str) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = status(error);
    let text = match (status, error.code(), error.message()) {
        (Some(status), Some(code), message) => format!("{doing}: {status} {code} {}", message.unwrap_or_default()),
        (Some(status), None, _) => format!("{doing}: status {status}"),
        _ => format!("{doing}: {}", chain(error)),
    };
    let remedy = remedy(status, error.code(), region(error));
    let text = format!("{}{remedy}", text.trim_end());
    // Another task has other credentials, another clock and another connection.
    let is_transient = matches!(status, Some(408 | 409 | 425 | 429))
        || matches!(
            error.code(),
            Some(
                "ExpiredToken"
                    | "TokenRefreshRequired"
                    | "RequestTimeTooSkewed"
                    | "RequestTimeout"
                    | "BadDigest"
                    | "IncompleteBody"
                    | "XAmzContentSHA256Mismatch"
            )
        );
    match (status, error.code()) {
        // The SDK refuses to make a request for such a key, for example one of white space alone.
        _ if matches!(error, SdkError::ConstructionFailure(_)) => StoreError::InvalidKey(text),
        _ if is_transient => StoreError::Unavailable(text),
        (Some(404), _) => StoreError::NotFound(text),
        (_, Some("KeyTooLongError" | "InvalidURI" | "InvalidBucketName")) => StoreError::InvalidKey(text),
        // All other answers of this kind would be the same the next time.
        (Some(300..=499), _) => StoreError::AccessDenied(text),
        _ => StoreError::Unavailable(text),
    }
}

/// The region that the bucket is in, as S3 tells it to who asks in another one.
fn region<E>(error: &SdkError<E>) -> Option<&str> {
    error.raw_response()?.headers().get("x-amz-bucket-region")
}

/// The setting that a refusal points at.
fn remedy(status: Option<u16>, code: Option<&str>, region: Option<&str>) -> String {
    let is_elsewhere = matches!(
        code,
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
    );
    match (status, code, region) {
        (Some(301 | 307), _, Some(region)) => format!(". The bucket is in another region: set AWS_REGION={region}"),
        (Some(301 | 307), ..) => ". The bucket is in another region: set AWS_REGION to it".to_owned(),
        _ if is_elsewhere => ". The bucket is in another region: set AWS_REGION to it".to_owned(),
        (_, Some("InvalidAccessKeyId"), _) => {
            ". This store does not know the key: look at AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL".to_owned()
        }
        (_, Some("SignatureDoesNotMatch"), _) => {
            ". The secret is another key's: look at AWS_SECRET_ACCESS_KEY".to_owned()
        }
        (Some(403), Some("AccessDenied"), _) => {
            ". The credentials lack the right, or a policy of the bucket or its key denies it: see docs/contract.md, \
             section 9"
                .to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_aws_have_a_name_a_bucket() {
        let cases = [
            (None, true),
            (Some("https://s3.eu-west-1.amazonaws.com"), true),
            (Some("https://s3.cn-north-1.amazonaws.com.cn/"), true),
            (Some("https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com"), true),
            (Some("https://s3.us-east-1.api.aws:443"), true),
            (Some("http://127.0.0.1:9000"), false),
            (Some("https://amazonaws.com.example.org"), false),
            (Some("minio:9000"), false),
        ];
        for (endpoint, expected) in cases {
            assert_eq!(is_aws(endpoint), expected, "{endpoint:?}");
        }
    }
}
