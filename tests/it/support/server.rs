//! The S3 and the queues of the tests over real HTTP on the loopback: signatures checked, requests logged, faults in front.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{HeaderMap, Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::faults::{Body, Fault, Faults, Target, Times, error_answer, spoil};
use super::queue::{self, Queues};
use super::run::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use super::s3::{Backend, Condition, Memory, Object, Upload};

/// One request as it came, fault or not.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The HTTP method.
    pub(crate) method: Method,
    /// The bucket, from the path.
    pub(crate) bucket: String,
    /// The key, percent-decoded; empty for a request to the bucket itself.
    pub(crate) key: String,
    /// All headers.
    pub(crate) headers: HeaderMap,
}

impl Request {
    /// The value of a header, empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A running server with a store of its own. Stops when it is dropped.
pub(crate) struct S3Server {
    front: Arc<Front>,
    endpoint: String,
    /// Last, so that what it runs is gone before the rest.
    _runtime: Runtime,
}

/// What every connection sees.
struct Front {
    memory: Memory,
    queues: Queues,
    service: S3Service,
    faults: Faults,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    hooks: Mutex<Vec<(When, Hook)>>,
}

enum When {
    /// So many requests have come since the start.
    Number(usize),
    /// Such a request comes.
    Request(Target),
}

/// What happens when a certain request comes.
type Hook = Box<dyn FnOnce() + Send>;

impl S3Server {
    /// Starts a server without buckets on a free port of the loopback.
    pub(crate) fn start() -> Self {
        let memory = Memory::default();
        let mut builder = S3ServiceBuilder::new(Backend(memory.clone()));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let front = Arc::new(Front {
            memory,
            queues: Queues::default(),
            service: builder.build(),
            faults: Faults::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            hooks: Mutex::default(),
        });

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime with one thread starts");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        runtime.spawn(accept(listener, Arc::clone(&front)));
        Self { front, endpoint: format!("http://{address}"), _runtime: runtime }
    }

    /// Starts a server with the two buckets of most tests, `src` and `dest`.
    pub(crate) fn with_buckets() -> Self {
        let server = Self::start();
        server.create_bucket("src");
        server.create_bucket("dest");
        server
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes a bucket without versions.
    pub(crate) fn create_bucket(&self, bucket: &str) {
        self.front.memory.create_bucket(bucket, false);
    }

    /// Makes a bucket with versions.
    pub(crate) fn create_versioned_bucket(&self, bucket: &str) {
        self.front.memory.create_bucket(bucket, true);
    }

    /// Puts an object there without a request, whatever was there.
    pub(crate) fn put(&self, bucket: &str, key: &str, upload: Upload) -> Object {
        let written = self.front.memory.put(bucket, key, upload.into_object(), &Condition::Always);
        written.unwrap_or_else(|refusal| panic!("cannot put {key:?} into {bucket:?}: {refusal:?}"))
    }

    /// The newest version of an object.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Object {
        self.front.memory.get(bucket, key).unwrap_or_else(|refusal| {
            panic!("no {key:?} in {bucket:?} ({refusal:?}); there is {:?}", self.keys(bucket))
        })
    }

    /// Every version of an object, the oldest first.
    pub(crate) fn versions(&self, bucket: &str, key: &str) -> Vec<Object> {
        self.front.memory.versions(bucket, key)
    }

    /// Calls `hook` once, when so many more requests have come and before the last of them is answered.
    pub(crate) fn after_requests(&self, requests: usize, hook: impl FnOnce() + Send + 'static) {
        let at = self.front.requests().len() + requests;
        self.hook(When::Number(at), hook);
    }

    /// Calls `hook` once, when such a request comes and before it is answered.
    pub(crate) fn at_request(&self, target: Target, hook: impl FnOnce() + Send + 'static) {
        self.hook(When::Request(target), hook);
    }

    fn hook(&self, when: When, hook: impl FnOnce() + Send + 'static) {
        self.front.hooks.lock().unwrap_or_else(PoisonError::into_inner).push((when, Box::new(hook)));
    }

    /// Forgets what was to happen at requests that have not come.
    pub(crate) fn clear_hooks(&self) {
        self.front.hooks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The store behind the server.
    pub(crate) fn memory(&self) -> Memory {
        self.front.memory.clone()
    }

    /// Removes an object without a request.
    pub(crate) fn delete(&self, bucket: &str, key: &str) {
        self.front.memory.delete(bucket, key);
    }

    /// The keys of a bucket, in order.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        self.front.memory.keys(bucket)
    }

    /// The bodies of all messages in a queue, which are taken out.
    pub(crate) fn take_messages(&self, queue: &str) -> Vec<Value> {
        self.front.queues.take(queue)
    }

    /// Adds a fault to the script.
    pub(crate) fn fault(&self, target: Target, times: Times, fault: Fault) {
        self.front.faults.add(target, times, fault);
    }

    /// From here on nothing goes wrong any more.
    pub(crate) fn clear_faults(&self) {
        self.front.faults.clear();
    }

    /// Every request since the start or the last [`Self::forget_requests`].
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.front.requests().clone()
    }

    /// The requests of one method to one object.
    pub(crate) fn requests_of(&self, method: &Method, bucket: &str, key: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.method == method && request.bucket == bucket && request.key == key);
        requests
    }

    /// How many connections were made since the start.
    pub(crate) fn connections(&self) -> usize {
        self.front.connections.load(Ordering::Relaxed)
    }

    /// Empties the log of requests.
    pub(crate) fn forget_requests(&self) {
        self.front.requests().clear();
    }
}

impl Front {
    /// Notes a request, and calls the hooks that have waited for it.
    fn log(&self, request: &Request) {
        let number = {
            let mut requests = self.requests();
            requests.push(request.clone());
            requests.len()
        };
        let due: Vec<_> = {
            let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = |when: &When| match when {
                When::Number(at) => *at <= number,
                When::Request(target) => target.names(request),
            };
            hooks.extract_if(.., |(when, _)| is_due(when)).collect()
        };
        for (_, hook) in due {
            hook();
        }
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                front.connections.fetch_add(1, Ordering::Relaxed);
                drop(tokio::spawn(converse(stream, Arc::clone(&front))));
            }
            Err(error) => panic!("the test's S3 cannot accept a connection: {error}"),
        }
    }
}

/// Answers the requests of one connection; where the script breaks it off, the peer sees a reset, not an orderly end.
async fn converse(stream: TcpStream, front: Arc<Front>) {
    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&front)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger(); // the peer may have gone already
    }
}

async fn answer(request: hyper::Request<Incoming>, front: Arc<Front>) -> io::Result<Response<Body>> {
    let seen = seen(&request);
    front.log(&seen);
    let fault = front.faults.take(&seen);
    match &fault {
        Some(Fault::Answer(status, code)) => {
            let _ = request.into_body().collect().await; // the writer may have gone already
            return Ok(error_answer(*status, code));
        }
        Some(Fault::Reset) => return Err(io::Error::other("reset by the test's script")),
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Hold(gate)) => gate.pass().await,
        _ => {}
    }

    if queue::is_for_queues(request.headers()) {
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let answer = front.queues.answer(&body, matches!(fault, Some(Fault::RefuseHalf)));
        if matches!(fault, Some(Fault::LoseAnswer)) {
            return Err(io::Error::other("answer lost by the test's script"));
        }
        return Ok(spoil(Response::new(()), &answer, fault.as_ref()));
    }
    let request = match fault {
        Some(Fault::SlowUpload(time)) => taken_in_slowly(request, time).await?,
        _ => request.map(s3s::Body::from),
    };
    let answer = front.service.call(request).await;
    let answer = answer.map_err(|error| io::Error::other(format!("{error:?}")))?;
    if matches!(fault, Some(Fault::LoseAnswer)) {
        return Err(io::Error::other("answer lost by the test's script"));
    }
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
    let body = if parts.status == StatusCode::NOT_MODIFIED { Bytes::new() } else { body };
    Ok(spoil(Response::from_parts(parts, ()), &body, fault.as_ref()))
}

/// Reads the body so that its last byte comes when `time` is over; the sender has to wait, as its socket is full.
async fn taken_in_slowly(request: hyper::Request<Incoming>, time: Duration) -> io::Result<hyper::Request<s3s::Body>> {
    let started = tokio::time::Instant::now();
    let (parts, mut body) = request.into_parts();
    let length: Option<f64> = parts.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let length = length.ok_or_else(|| io::Error::other("an upload without a length"))?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        bytes.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "a share of a time; sizes here are far below 2^52")]
        tokio::time::sleep_until(started + time.mul_f64((bytes.len() as f64 / length).min(1.0))).await;
    }
    Ok(hyper::Request::from_parts(parts, s3s::Body::from(bytes)))
}

fn seen(request: &hyper::Request<Incoming>) -> Request {
    let path = percent_decoded(request.uri().path());
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    Request {
        method: request.method().clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        headers: request.headers().clone(),
    }
}

fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex: Vec<u8> = rest.by_ref().take(2).collect();
            let hex = String::from_utf8_lossy(&hex);
            bytes.push(u8::from_str_radix(&hex, 16).unwrap_or_else(|_| panic!("{path:?} is not percent-encoded")));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path:?} is not UTF-8 behind its percent signs"))
}
