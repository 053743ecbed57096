//! `--check-access`: one request to each bucket and queue, with the rights that a task needs.

use super::connection::Queues;
use crate::config::Config;
use crate::destination::Destination;
use crate::log::stdout_line;
use crate::object::{BucketName, ObjectKey};
use crate::outcome::Exit;
use crate::store::{Store, StoreError};

/// The name of an object that nobody has.
const NOBODYS_KEY: &str = ".pixpipe-check-access";

/// Asks, and prints a line for each. [`Exit::Config`] if one refuses, else [`Exit::Retry`] if one does not answer.
pub(super) async fn check<S: Store>(store: &S, queues: Option<&Queues>, config: &Config) -> Exit {
    let mut exit = Exit::Done;
    let Destination { bucket, prefix } = &config.destination;
    let buckets = [Some(("DEST_BUCKET", bucket, prefix.as_str())), config.source_bucket.as_ref().map(source)];
    for (variable, bucket, prefix) in buckets.into_iter().flatten() {
        let answer = match ObjectKey::parse(&format!("{prefix}{NOBODYS_KEY}")) {
            // A GET, since the answer to a HEAD does not tell a bucket that is not there from an object that is not.
            Ok(key) => match store.get(bucket, &key, None).await {
                Err(StoreError::NotFound(why)) if !why.contains("NoSuchBucket") => Ok(()),
                answer => answer.map(drop),
            },
            Err(error) => Err(StoreError::InvalidKey(error.to_string())),
        };
        let (end, hint) = match &answer {
            Ok(()) => (Exit::Done, ""),
            Err(StoreError::Unavailable(_)) => (Exit::Retry, ""),
            Err(StoreError::AccessDenied(_)) => (
                Exit::Config,
                ". A task needs s3:GetObject; without s3:ListBucket, this answer is usual and tells nothing",
            ),
            Err(_) => (Exit::Config, ""),
        };
        exit = exit.max(end);
        say(&format!("{variable}: s3://{bucket}"), answer.map_err(|error| format!("{error}{hint}")));
    }
    let urls = [("RETRY_QUEUE_URL", &config.hand_back.retry_url), ("FAILED_QUEUE_URL", &config.hand_back.failed_url)];
    for (variable, url) in urls {
        if let (Some(queues), Some(url)) = (queues, url) {
            let answer = queues.check(url).await;
            exit = exit.max(answer.as_ref().err().map_or(Exit::Done, |(end, _)| *end));
            say(&format!("{variable}: {url}"), answer.map_err(|(_, why)| why));
        }
    }
    stdout_line("Writing was not tried: that needs s3:PutObject on the outputs.");
    exit
}

const fn source(bucket: &BucketName) -> (&'static str, &BucketName, &'static str) {
    ("SOURCE_BUCKET", bucket, "")
}

fn say(what: &str, answer: Result<(), String>) {
    match answer {
        Ok(()) => stdout_line(&format!("ok      {what}")),
        Err(why) => stdout_line(&format!("fault   {what}: {why}")),
    }
}
