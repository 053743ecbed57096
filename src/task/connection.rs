//! The store and the queues that the configuration names.

use crate::config::{Config, StoreKind};
use crate::store::dir::DirStore;

#[cfg(feature = "aws")]
mod with_aws {
    pub(crate) use crate::aws::{ConnectError, sdk_config};
    pub(crate) use crate::queue::Queues;
    pub(crate) use crate::store::s3::S3Store;
}
#[cfg(feature = "aws")]
pub(super) use with_aws::*;

/// The store and the queues of one task.
pub(super) struct Connection {
    pub(super) store: AnyStore,
    pub(super) queues: Option<Queues>,
}

/// The store of one task.
pub(super) enum AnyStore {
    #[cfg(feature = "aws")]
    S3(S3Store),
    Dir(DirStore),
}

impl Connection {
    /// Opens the store and the queues; no request is sent. They share one SDK configuration, so credentials are fetched
    /// once; without S3 and queues, none is loaded.
    #[cfg(feature = "aws")]
    pub(super) async fn open(config: &Config) -> Result<Self, ConnectError> {
        let needs_aws = config.store == StoreKind::S3 || config.hand_back.has_queue();
        let sdk = if needs_aws { Some(sdk_config().await?) } else { None };
        let store = match (&config.store, &sdk) {
            (StoreKind::Dir(path), _) => AnyStore::Dir(DirStore::new(path.clone())),
            (StoreKind::S3, Some(sdk)) => AnyStore::S3(S3Store::new(sdk)),
            (StoreKind::S3, None) => return Err(ConnectError::NoRegion),
        };
        let queues = sdk.filter(|_| config.hand_back.has_queue()).map(|sdk| Queues::new(&sdk));
        Ok(Self { store, queues })
    }

    /// Opens the folders that the configuration names: this build has no other store, and no queues.
    #[cfg(not(feature = "aws"))]
    #[expect(clippy::unused_async, reason = "with AWS it waits for credentials")]
    pub(super) async fn open(config: &Config) -> Result<Self, ConnectError> {
        match &config.store {
            StoreKind::S3 => Err(ConnectError::NeedsAws("STORE=s3")),
            StoreKind::Dir(_) if config.hand_back.retry_url.is_some() => Err(ConnectError::NeedsAws("RETRY_QUEUE_URL")),
            StoreKind::Dir(_) if config.hand_back.failed_url.is_some() => {
                Err(ConnectError::NeedsAws("FAILED_QUEUE_URL"))
            }
            StoreKind::Dir(path) => Ok(Self { store: AnyStore::Dir(DirStore::new(path.clone())), queues: None }),
        }
    }
}

#[cfg(not(feature = "aws"))]
mod without_aws {
    use futures_util::stream::{self, Stream};

    use crate::outcome::{Exit, Message};

    /// The configuration asks for a part of AWS.
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum ConnectError {
        #[error(
            "{0} needs AWS, and this program was built without it (cargo feature aws): use another build, or \
             STORE=dir:PATH without queues"
        )]
        NeedsAws(&'static str),
    }

    impl ConnectError {
        /// The exit code that it leads to.
        pub(crate) const fn exit(&self) -> Exit {
            match self {
                Self::NeedsAws(_) => Exit::Config,
            }
        }
    }

    /// No value of this type exists: there are no queues without AWS.
    pub(crate) enum Queues {}

    impl Queues {
        pub(crate) fn send<'a>(
            &'a self,
            _url: &'a str,
            _messages: Vec<(usize, &'a Message)>,
        ) -> impl Stream<Item = Vec<(usize, Result<(), ConnectError>)>> + 'a {
            match *self {}
            #[expect(unreachable_code, reason = "the type of the result")]
            stream::empty()
        }

        #[expect(clippy::unused_async, reason = "with AWS it waits for an answer")]
        pub(crate) async fn check(&self, _url: &str) -> Result<(), (Exit, String)> {
            match *self {}
        }
    }
}
#[cfg(not(feature = "aws"))]
pub(super) use without_aws::*;
