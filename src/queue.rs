//! The queues that unfinished records are handed back to: the only user of `aws_sdk_sqs`. `outcome::message` makes the
//! messages.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::aws::chain;
use crate::outcome::{Exit, Message};

/// The most entries of one `SendMessageBatch`.
const MAX_ENTRIES: usize = 10;
/// The most bytes of one request: 256 KiB was the limit of every queue until 2025 (1 MiB since), less room for the
/// envelope.
const MAX_BATCH_BYTES: usize = 240 << 10;
/// Requests to one queue at the same time.
const REQUESTS: usize = 8;
/// The time limit until the first byte of an answer, and the one of all attempts: a task that was asked to end has
/// little time left.
const FIRST_BYTE: Duration = Duration::from_secs(3);
const OPERATION: Duration = Duration::from_secs(12);

/// Why a message could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SendError(String);

/// Queues of SQS.
#[derive(Debug)]
pub(crate) struct Queues {
    client: Client,
}

impl Queues {
    /// A client that shares connections and credentials with every other one that was made from `config`.
    #[must_use]
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let timeouts = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
        let timeouts = timeouts.into_builder().read_timeout(FIRST_BYTE).operation_timeout(OPERATION).build();
        let builder = aws_sdk_sqs::config::Builder::from(config).timeout_config(timeouts);
        Self { client: Client::from_conf(builder.build()) }
    }

    /// Sends all messages to one queue, a few requests at a time. Gives the results of each request with the numbers of
    /// its messages. A queue that does not answer is given up: later messages have an error at once.
    pub(crate) fn send<'a>(
        &'a self,
        url: &'a str,
        mut messages: Vec<(usize, &'a Message)>,
    ) -> impl Stream<Item = Vec<(usize, Result<(), SendError>)>> + 'a {
        let mut requests = Vec::new();
        while !messages.is_empty() {
            let later = messages.split_off(batch_length(&messages));
            requests.push(std::mem::replace(&mut messages, later));
        }
        let is_given_up = Rc::new(Cell::new(false));
        let send = move |request: Vec<(usize, &'a Message)>| {
            let is_given_up = Rc::clone(&is_given_up);
            async move {
                let (numbers, messages): (Vec<usize>, Vec<&Message>) = request.into_iter().unzip();
                let results = if is_given_up.get() {
                    vec![Err(SendError("the queue did not answer before".to_owned())); messages.len()]
                } else {
                    self.send_batch(url, &messages, &is_given_up).await
                };
                numbers.into_iter().zip(results).collect()
            }
        };
        stream::iter(requests).map(send).buffer_unordered(REQUESTS)
    }

    /// Asks whether messages may be sent: by a request without any, which every queue refuses that may be sent to.
    ///
    /// # Errors
    /// The exit code that the answer, or its absence, stands for, and what to say.
    pub(crate) async fn check(&self, url: &str) -> Result<(), (Exit, String)> {
        match self.client.send_message_batch().queue_url(url).set_entries(Some(Vec::new())).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some_and(|code| code.contains("EmptyBatchRequest")) => Ok(()),
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                let is_refusal = status.is_some_and(|status| (400..500).contains(&status));
                let why = match (error.code(), error.message()) {
                    (Some(code), message) => format!("{code} {}", message.unwrap_or_default()),
                    (None, _) => chain(&error),
                };
                Err((if is_refusal { Exit::Config } else { Exit::Retry }, why.trim_end().to_owned()))
            }
        }
    }

    async fn send_batch(
        &self,
        url: &str,
        messages: &[&Message],
        is_given_up: &Cell<bool>,
    ) -> Vec<Result<(), SendError>> {
        let all_failed = |why: &str| vec![Err(SendError(why.to_owned())); messages.len()];
        let mut request = self.client.send_message_batch().queue_url(url);
        for (index, message) in messages.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(&message.body)
                .delay_seconds(i32::from(message.delay_seconds))
                .build();
            match entry {
                Ok(entry) => request = request.entries(entry),
                Err(error) => return all_failed(&error.to_string()),
            }
        }
        match request.send().await {
            Err(error) => {
                // No answer at all, in all attempts.
                is_given_up.set(is_given_up.get() || error.raw_response().is_none());
                all_failed(&chain(&error))
            }
            // Each entry has a result of its own: one that is in neither list was not sent.
            Ok(answer) => (0..messages.len())
                .map(|index| {
                    let id = index.to_string();
                    if answer.successful().iter().any(|sent| sent.id() == id) {
                        return Ok(());
                    }
                    let failed = answer.failed().iter().find(|failed| failed.id() == id);
                    let why = failed.map_or("the queue did not say whether it took the message".to_owned(), |failed| {
                        format!("{} {}", failed.code(), failed.message().unwrap_or_default())
                    });
                    Err(SendError(why))
                })
                .collect(),
        }
    }
}

/// The number of messages, at least one, that fit into one request.
fn batch_length(messages: &[(usize, &Message)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, message): &&(usize, &Message)| {
        bytes += message.body.len();
        bytes <= MAX_BATCH_BYTES
    };
    messages.iter().take(MAX_ENTRIES).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_within_the_limits_of_the_queue() {
        let messages = |sizes: &[usize]| -> Vec<Message> {
            sizes.iter().map(|size| Message { body: "x".repeat(*size), delay_seconds: 0 }).collect()
        };
        let cases: [(&[usize], usize); 5] = [
            (&[1; 25], 10),
            (&[100 << 10, 100 << 10, 100 << 10], 2),
            (&[300 << 10, 1], 1),
            (&[240 << 10, 1], 1),
            (&[1], 1),
        ];
        for (sizes, expected) in cases {
            assert_eq!(batch_length(&messages(sizes).iter().enumerate().collect::<Vec<_>>()), expected, "{sizes:?}");
        }
    }
}
