//! Faults in front of the S3 of the tests: which request meets which, and what it does to the answer.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Response, header};

use super::server::Request;

/// The body of an answer; an error in it breaks the connection.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What goes wrong.
#[derive(Clone)]
pub(crate) enum Fault {
    /// An error answer instead of the real one: status and S3 error code. The request is not carried out.
    Answer(u16, &'static str),
    /// The connection is reset before the first header. The request is not carried out.
    Reset,
    /// The request is carried out, then the connection is reset before the first header.
    LoseAnswer,
    /// No answer ever comes. The request is not carried out.
    Stall,
    /// The real headers and the first half of the body, then a reset.
    CutBody,
    /// The first half of the body, with a `Content-Length` that agrees with it.
    TruncateBody,
    /// One byte every 100 ms: fast enough for a time limit on each read, too slow for any on the whole.
    TrickleBody,
    /// The lowest bit of the byte in the middle is the other way round; headers are as they were.
    FlipBit,
    /// Of the messages of one request, every second is refused, as the queue's own fault.
    RefuseHalf,
    /// Nothing goes wrong, but the body of the request is taken in evenly over so much time.
    SlowUpload(Duration),
    /// Nothing goes wrong, but the request waits for [`Gate::open`].
    Hold(Gate),
}

/// How often a fault happens.
#[derive(Clone, Copy)]
pub(crate) enum Times {
    /// To the first so many requests that the target names.
    First(usize),
    /// To all of them.
    Always,
}

/// Which requests a fault happens to.
pub(crate) struct Target {
    method: Method,
    bucket: &'static str,
    key: Key,
    only_conditional: bool,
}

enum Key {
    Is(String),
    StartsWith(String),
}

/// GET of one object.
pub(crate) fn get(bucket: &'static str, key: &str) -> Target {
    Target { method: Method::GET, bucket, key: Key::Is(key.to_owned()), only_conditional: false }
}

/// HEAD of one object.
pub(crate) fn head(bucket: &'static str, key: &str) -> Target {
    Target { method: Method::HEAD, bucket, key: Key::Is(key.to_owned()), only_conditional: false }
}

/// PUT of one object.
pub(crate) fn put(bucket: &'static str, key: &str) -> Target {
    Target { method: Method::PUT, bucket, key: Key::Is(key.to_owned()), only_conditional: false }
}

/// Requests to the queues.
pub(crate) fn queues() -> Target {
    under(Method::POST, "", "")
}

/// Requests of one method to every key with the prefix; an empty prefix means the whole bucket.
pub(crate) fn under(method: Method, bucket: &'static str, prefix: &str) -> Target {
    Target { method, bucket, key: Key::StartsWith(prefix.to_owned()), only_conditional: false }
}

impl Target {
    /// Only those of the requests that depend on a condition.
    pub(crate) fn conditional(self) -> Self {
        Self { only_conditional: true, ..self }
    }

    /// Whether a request is one of these.
    pub(crate) fn names(&self, request: &Request) -> bool {
        let key_fits = match &self.key {
            Key::Is(key) => *key == request.key,
            Key::StartsWith(prefix) => request.key.starts_with(prefix),
        };
        let is_conditional = !request.header("if-match").is_empty() || !request.header("if-none-match").is_empty();
        self.method == request.method
            && self.bucket == request.bucket
            && key_fits
            && (is_conditional || !self.only_conditional)
    }
}

struct Rule {
    target: Target,
    fault: Fault,
    /// `None`: for ever.
    left: Option<usize>,
}

/// The script: rules in the order in which they were added. Clones are the same script.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    rules: Arc<Mutex<VecDeque<Rule>>>,
}

impl Faults {
    /// Adds a rule behind the others.
    pub(crate) fn add(&self, target: Target, times: Times, fault: Fault) {
        let left = match times {
            Times::First(times) => Some(times),
            Times::Always => None,
        };
        self.lock().push_back(Rule { target, fault, left });
    }

    /// Forgets all rules.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The fault of the first rule that names `request` and is not used up; uses it once.
    pub(crate) fn take(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.lock();
        let rule = rules.iter_mut().find(|rule| rule.left != Some(0) && rule.target.names(request))?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.fault.clone())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds requests back until the test lets them through, and tells the test when they have come.
#[derive(Clone)]
pub(crate) struct Gate {
    open: Arc<tokio::sync::watch::Sender<bool>>,
    waiting: Arc<(Mutex<usize>, Condvar)>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn closed() -> Self {
        Self { open: Arc::new(tokio::sync::watch::Sender::new(false)), waiting: Arc::default() }
    }

    /// Lets through what waits and what will come.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns when so many requests have come to the gate since it was made.
    pub(crate) fn wait_for(&self, requests: usize) {
        let (count, changed) = &*self.waiting;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, waited) = changed
            .wait_timeout_while(count, super::run::TIME_LIMIT, |count| *count < requests)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "{} of {requests} requests came to the gate in {:?}",
            *count,
            super::run::TIME_LIMIT
        );
    }

    /// Waits, as one request, until the gate is open.
    pub(crate) async fn pass(&self) {
        let mut open = self.open.subscribe();
        {
            let (count, changed) = &*self.waiting;
            *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            changed.notify_all();
        }
        let _ = open.wait_for(|open| *open).await; // the sender lives as long as `self`
    }
}

/// The error answer that S3 gives with `status` and `code`.
pub(crate) fn error_answer(status: u16, code: &str) -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <Error><Code>{code}</Code><Message>by the test's script</Message><RequestId>0</RequestId></Error>"
    );
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/xml")
        .body(whole(Bytes::from(xml)))
        .expect("a status and one header make an answer")
}

/// The answer that carries `fault` instead of the intact `body`.
pub(crate) fn spoil(mut answer: Response<()>, body: &Bytes, fault: Option<&Fault>) -> Response<Body> {
    let half = body.slice(..body.len() / 2);
    let (length, spoilt) = match fault {
        Some(Fault::CutBody) => (body.len(), cut_after(half)),
        Some(Fault::TruncateBody) => (half.len(), whole(half)),
        Some(Fault::TrickleBody) => (body.len(), trickled(body.clone())),
        Some(Fault::FlipBit) => (body.len(), whole(with_flipped_bit(body))),
        _ => (body.len(), whole(body.clone())),
    };
    if !body.is_empty() {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    answer.map(|()| spoilt)
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The pause between the two parts lets the server flush the first: without it nothing of the answer would be sent.
fn cut_after(first: Bytes) -> Body {
    let rest = stream::once(async {
        tokio::task::yield_now().await;
        Err(io::Error::other("cut by the test's script"))
    });
    StreamBody::new(stream::iter([Ok(Frame::data(first))]).chain(rest)).boxed_unsync()
}

fn trickled(bytes: Bytes) -> Body {
    let drops = stream::iter(0..bytes.len()).then(move |at| {
        let drop = bytes.slice(at..=at);
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(Frame::data(drop))
        }
    });
    StreamBody::new(drops).boxed_unsync()
}

fn with_flipped_bit(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}
