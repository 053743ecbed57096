//! Faults in front of the S3 of the tests: the requests that each one applies to, and its effect on the answer.

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

/// The body of an answer. An error in it breaks the connection.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

const PART_BYTES: usize = 64 << 10;

/// A way in which a request fails.
#[derive(Clone)]
pub enum Fault {
    /// An error answer with this status and S3 error code. The request is not carried out.
    Answer(u16, &'static str),
    /// The connection is reset before the first header. The request is not carried out.
    Reset,
    /// The connection is reset before the first header, after the request was carried out.
    LoseAnswer,
    /// The request is never answered and not carried out.
    Stall,
    /// A reset after the real headers and the first half of the body.
    CutBody,
    /// The first half of the body only, with a `Content-Length` to match.
    TruncateBody,
    /// A body of one byte every 100 ms: fast enough for a time limit on each read, too slow for one on the whole.
    TrickleBody,
    /// A body with one bit flipped, the lowest of its middle byte. The headers are those of the intact body.
    FlipBit,
    /// An intact body in chunks, without a `Content-Length`.
    Chunked,
    /// A refusal of every second message of a request to a queue, as an error of the queue.
    RefuseHalf,
    /// A slow but intact upload: the server reads the request's body evenly over this time.
    SlowUpload(Duration),
    /// A delay until [`Gate::open`]. The request then succeeds.
    Hold(Gate),
}

/// Number of requests that a fault applies to.
#[derive(Clone, Copy)]
pub enum Times {
    /// The first requests that the target matches, at most this many.
    First(usize),
    /// All requests that the target matches.
    Always,
}

/// The requests that a fault applies to.
pub struct Target {
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
pub fn get(bucket: &'static str, key: &str) -> Target {
    Target::one_object(Method::GET, bucket, key)
}

/// HEAD of one object.
pub fn head(bucket: &'static str, key: &str) -> Target {
    Target::one_object(Method::HEAD, bucket, key)
}

/// PUT of one object.
pub fn put(bucket: &'static str, key: &str) -> Target {
    Target::one_object(Method::PUT, bucket, key)
}

/// All requests to queues.
pub fn queues() -> Target {
    under(Method::POST, "", "")
}

/// Requests of one method to all keys with the prefix. An empty prefix means the whole bucket.
pub fn under(method: Method, bucket: &'static str, prefix: &str) -> Target {
    Target { method, bucket, key: Key::StartsWith(prefix.to_owned()), only_conditional: false }
}

impl Target {
    fn one_object(method: Method, bucket: &'static str, key: &str) -> Self {
        Self { method, bucket, key: Key::Is(key.to_owned()), only_conditional: false }
    }

    /// The requests among these that have `If-Match` or `If-None-Match`.
    pub fn conditional(self) -> Self {
        Self { only_conditional: true, ..self }
    }

    /// Whether a request is one of these.
    pub(crate) fn matches(&self, request: &Request) -> bool {
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

/// One row of the script.
struct Rule {
    target: Target,
    fault: Fault,
    /// Applications left; `None` means no limit.
    left: Option<usize>,
}

/// The script: rules in the order in which they were added.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
}

impl Faults {
    /// Appends a rule.
    pub(crate) fn add(&self, target: Target, times: Times, fault: Fault) {
        let left = match times {
            Times::First(times) => Some(times),
            Times::Always => None,
        };
        self.lock().push(Rule { target, fault, left });
    }

    /// Removes all rules.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The fault of the first rule that matches `request` and has applications left. Uses up one of them.
    pub(crate) fn take(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.lock();
        let rule = rules.iter_mut().find(|rule| rule.left != Some(0) && rule.target.matches(request))?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.fault.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A barrier that holds requests back until the test opens it, and on which the test can wait for them. Clones are the
/// same gate.
#[derive(Clone)]
pub struct Gate {
    open: Arc<tokio::sync::watch::Sender<bool>>,
    waiting: Arc<(Mutex<usize>, Condvar)>,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self { open: Arc::new(tokio::sync::watch::Sender::new(false)), waiting: Arc::default() }
    }

    /// Lets through the requests that wait and all later ones.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns when the gate has been reached by this many requests since it was created.
    pub fn wait_for(&self, requests: usize) {
        let (count, changed) = &*self.waiting;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, waited) = changed
            .wait_timeout_while(count, super::run::TIME_LIMIT, |count| *count < requests)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "{} of {requests} requests reached the gate in {:?}",
            *count,
            super::run::TIME_LIMIT
        );
    }

    /// Counts one request, and waits until the gate is open.
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

/// The error answer of S3 with this status and error code.
pub(crate) fn error_answer(status: u16, code: &str) -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <Error><Code>{code}</Code><Message>on purpose, by the test</Message><RequestId>0</RequestId></Error>"
    );
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/xml")
        .body(whole(Bytes::from(xml)))
        .expect("a status and one header are a valid answer")
}

/// The answer with its `body` damaged by `fault`; intact if `fault` concerns something else.
pub(crate) fn apply_fault(mut answer: Response<()>, body: &Bytes, fault: Option<&Fault>) -> Response<Body> {
    let half = body.slice(..body.len() / 2);
    let (length, damaged) = match fault {
        Some(Fault::CutBody) => (body.len(), cut_after(half)),
        Some(Fault::TruncateBody) => (half.len(), whole(half)),
        Some(Fault::TrickleBody) => (body.len(), trickled(body.clone())),
        Some(Fault::FlipBit) => (body.len(), whole(with_flipped_bit(body))),
        _ => (body.len(), whole(body.clone())),
    };
    if matches!(fault, Some(Fault::Chunked)) {
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        let chunks: Vec<_> = body.chunks(1000).map(|chunk| Ok(Frame::data(body.slice_ref(chunk)))).collect();
        return answer.map(|()| StreamBody::new(stream::iter(chunks)).boxed_unsync());
    }
    if !body.is_empty() {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    answer.map(|()| damaged)
}

/// A large body is sent in parts, each when the socket has room: so it is at its end when its receiver has it.
fn whole(bytes: Bytes) -> Body {
    if bytes.len() <= PART_BYTES {
        return Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    }
    let parts: Vec<_> = bytes.chunks(PART_BYTES).map(|part| Ok(Frame::data(bytes.slice_ref(part)))).collect();
    StreamBody::new(stream::iter(parts)).boxed_unsync()
}

/// The pause before the error lets the server flush the first part. Without it, nothing of the answer would be sent.
fn cut_after(first: Bytes) -> Body {
    let rest = stream::once(async {
        tokio::task::yield_now().await;
        Err(io::Error::other("cut on purpose by the test"))
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
