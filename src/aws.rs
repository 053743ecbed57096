//! The SDK configuration that all AWS clients share: every number that shapes the traffic of all services.

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use std::sync::{Mutex, PoisonError};

use crate::outcome::Exit;

mod wire {
    //! Numbers for every service.

    use std::time::Duration;

    /// Attempts per request (the SDK's default): with its exponential backoff, about 3 s of throttling are bridged. The
    /// launcher repeats after a longer outage.
    pub(super) const ATTEMPTS: u32 = 3;
    /// Time limit of a connection (the SDK's default): inside a region one takes single milliseconds; a lost SYN is
    /// sent again after 1 s and 3 s.
    pub(super) const CONNECT: Duration = Duration::from_millis(3100);
    /// Time limit until the first byte of an answer. Services answer within some 100 ms; AWS advises to give up early
    /// and to ask again.
    pub(super) const FIRST_BYTE: Duration = Duration::from_secs(5);
    /// Time limit of one attempt, an upload included.
    pub(super) const ATTEMPT: Duration = Duration::from_secs(24);
    /// Time limit of all attempts of one request.
    pub(super) const OPERATION: Duration = Duration::from_secs(80);
}

/// Why no client can be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConnectError {
    /// No region is configured.
    #[error(
        "AWS_REGION is required, since no profile names a region: set it to the buckets' region, such as eu-west-1"
    )]
    NoRegion,
    /// There are no credentials.
    #[error(
        "there are no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor a profile \
         (AWS_PROFILE, ~/.aws), nor a web identity (AWS_WEB_IDENTITY_TOKEN_FILE), nor the role of an ECS task. Set one \
         of them; after `aws sso login`, `aws configure export-credentials --format env` prints the first two"
    )]
    NoCredentials,
    /// The source of the credentials is wrongly set up.
    #[error("the AWS credentials cannot be had: {0}; mend the profile or the variables that name them")]
    WrongCredentials(String),
    /// The source of the credentials does not answer.
    #[error("the AWS credentials cannot be had: {0}; try again later")]
    NoAnswer(String),
}

impl ConnectError {
    /// The exit code that it leads to.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NoAnswer(_) => Exit::Retry,
            Self::NoRegion | Self::NoCredentials | Self::WrongCredentials(_) => Exit::Config,
        }
    }
}

/// An error with its causes, in words for people. A cause that says what the error before has said is left out.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text += ": ";
            text += &words;
        }
        cause = error.source();
    }
    text
}

/// Credentials that were fetched already, then those of the chain: they are asked for once, before the batch.
#[derive(Debug)]
struct Fetched {
    first: Mutex<Option<Credentials>>,
    chain: CredentialsProviderChain,
}

impl Fetched {
    async fn new(chain: CredentialsProviderChain) -> Result<Self, ConnectError> {
        let first = chain.provide_credentials().await.map_err(|error| match &error {
            CredentialsError::CredentialsNotLoaded(_) => ConnectError::NoCredentials,
            CredentialsError::InvalidConfiguration(_) => ConnectError::WrongCredentials(self::chain(&error)),
            _ => ConnectError::NoAnswer(self::chain(&error)),
        })?;
        Ok(Self { first: Mutex::new(Some(first)), chain })
    }
}

impl ProvideCredentials for Fetched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.chain.provide_credentials(),
        }
    }
}

/// The HTTP connections, region, credentials (fetched once), retries, time limits and user agent of every client.
///
/// From the environment, as in every AWS SDK: `AWS_*`, profiles, web identity, ECS task roles. The metadata service of
/// EC2 is never asked.
///
/// # Errors
/// [`ConnectError`]; no request is sent here but for credentials.
pub(crate) async fn sdk_config() -> Result<SdkConfig, ConnectError> {
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    // The SDK's own default chain would ask the metadata service of EC2 if no other provider gave a region.
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .region()
        .await
        .ok_or(ConnectError::NoRegion)?;
    let provider_config =
        ProviderConfig::without_region().with_region(Some(region.clone())).with_http_client(http_client.clone());
    let credentials = CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("Profile", ProfileFileCredentialsProvider::builder().configure(&provider_config).build())
        .or_else("WebIdentityToken", WebIdentityTokenCredentialsProvider::builder().configure(&provider_config).build())
        .or_else(
            "EcsContainer",
            aws_config::ecs::EcsCredentialsProvider::builder().configure(&provider_config).build(),
        );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(wire::CONNECT)
        .read_timeout(wire::FIRST_BYTE)
        .operation_attempt_timeout(wire::ATTEMPT)
        .operation_timeout(wire::OPERATION)
        .build();
    let app_name = AppName::new(concat!("pixpipe-", env!("CARGO_PKG_VERSION"))).ok();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .region(region)
        .credentials_provider(Fetched::new(credentials).await?)
        .retry_config(RetryConfig::standard().with_max_attempts(wire::ATTEMPTS))
        .timeout_config(timeouts);
    if let Some(app_name) = app_name {
        loader = loader.app_name(app_name);
    }
    Ok(loader.load().await)
}
