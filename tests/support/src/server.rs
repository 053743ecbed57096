//! S3 and queues over real HTTP on the loopback. Signatures are checked, requests are logged, and the faults of the
//! test's script come first.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{HeaderMap, Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::faults::{Body, Fault, Faults, Target, Times, apply_fault, error_answer};
use super::queue::{self, Queues};
use super::run::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use super::s3::{Backend, Condition, Memory, Object, Upload};

/// One received request, with or without a fault.
#[derive(Clone, Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The first part of the path.
    pub bucket: String,
    /// The rest of the path, percent-decoded. Empty for a request to the bucket itself.
    pub key: String,
    /// All headers.
    pub headers: HeaderMap,
}

impl Request {
    /// The value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A running server with its own store. Stops when it is dropped.
pub struct S3Server {
    shared: Arc<Shared>,
    endpoint: String,
    /// Kept alive as long as the server: dropping it stops all connections.
    _runtime: Runtime,
}

/// State shared by all connections.
struct Shared {
    memory: Memory,
    queues: Queues,
    service: S3Service,
    faults: Faults,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    downloads: Arc<Downloads>,
    hides_absence: AtomicBool,
    hooks: Mutex<Vec<(When, Hook)>>,
}

/// GET requests whose answer is not sent to its end: now, and the most there ever were.
#[derive(Default)]
struct Downloads {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// The body of an answer to a GET: it counts until it is sent, or its receiver is gone.
struct CountedBody {
    body: Body,
    downloads: Arc<Downloads>,
}

impl CountedBody {
    fn new(body: Body, downloads: &Arc<Downloads>) -> Self {
        let now = downloads.now.fetch_add(1, Ordering::Relaxed) + 1;
        downloads.most.fetch_max(now, Ordering::Relaxed);
        Self { body, downloads: Arc::clone(downloads) }
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.downloads.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// The moment at which a hook is called.
enum When {
    /// The log of requests has this many entries.
    Number(usize),
    /// A request that the target matches is received.
    Request(Target),
}

/// A function of the test, called once by the thread of the server.
type Hook = Box<dyn FnOnce() + Send>;

impl S3Server {
    /// Starts a server without buckets on a free port of the loopback.
    pub fn start() -> Self {
        let memory = Memory::default();
        let mut builder = S3ServiceBuilder::new(Backend(memory.clone()));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let shared = Arc::new(Shared {
            memory,
            queues: Queues::default(),
            service: builder.build(),
            faults: Faults::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            downloads: Arc::default(),
            hides_absence: AtomicBool::new(false),
            hooks: Mutex::default(),
        });

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime with one thread starts");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, endpoint: format!("http://{address}"), _runtime: runtime }
    }

    /// Starts a server with the two buckets of most tests, `src` and `dest`.
    pub fn with_buckets() -> Self {
        let server = Self::start();
        server.create_bucket("src");
        server.create_bucket("dest");
        server
    }

    /// Its URL: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Creates a bucket without versioning.
    pub fn create_bucket(&self, bucket: &str) {
        self.shared.memory.create_bucket(bucket, false);
    }

    /// Creates a bucket with versioning.
    pub fn create_versioned_bucket(&self, bucket: &str) {
        self.shared.memory.create_bucket(bucket, true);
    }

    /// Writes an object without a request, whether or not one exists. Returns it as stored.
    pub fn put(&self, bucket: &str, key: &str, upload: Upload) -> Object {
        let written = self.shared.memory.put(bucket, key, upload.into_object(), &Condition::Always);
        written.unwrap_or_else(|refusal| panic!("cannot put {key:?} into {bucket:?}: {refusal:?}"))
    }

    /// The newest version of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Object {
        self.shared.memory.get(bucket, key).unwrap_or_else(|refusal| {
            panic!("no {key:?} in {bucket:?} ({refusal:?}), which has {:?}", self.keys(bucket))
        })
    }

    /// All versions of an object, oldest first.
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Object> {
        self.shared.memory.versions(bucket, key)
    }

    /// Calls `hook` once, when the given number of further requests has been received and before the last of them is
    /// answered.
    pub fn after_requests(&self, requests: usize, hook: impl FnOnce() + Send + 'static) {
        let at = self.shared.requests().len() + requests;
        self.hook(When::Number(at), hook);
    }

    /// Calls `hook` once, when a request that `target` matches is received and before it is answered.
    pub fn at_request(&self, target: Target, hook: impl FnOnce() + Send + 'static) {
        self.hook(When::Request(target), hook);
    }

    fn hook(&self, when: When, hook: impl FnOnce() + Send + 'static) {
        self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner).push((when, Box::new(hook)));
    }

    /// Removes all hooks that were not called.
    pub fn clear_hooks(&self) {
        self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The store behind the server. It does not keep the server alive.
    pub fn memory(&self) -> Memory {
        self.shared.memory.clone()
    }

    /// Removes an object and all its versions without a request.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.shared.memory.delete(bucket, key);
    }

    /// The keys of a bucket, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.shared.memory.keys(bucket)
    }

    /// Removes all messages from a queue and returns their bodies.
    pub fn take_messages(&self, queue: &str) -> Vec<Value> {
        self.shared.queues.take(queue)
    }

    /// Answers 403 to HEAD requests for what does not exist, as S3 does if the caller may not list the bucket.
    pub fn hide_absence(&self, is_hidden: bool) {
        self.shared.hides_absence.store(is_hidden, Ordering::Relaxed);
    }

    /// Adds a fault to the script. If several match a request, the one added first is applied.
    pub fn fault(&self, target: Target, times: Times, fault: Fault) {
        self.shared.faults.add(target, times, fault);
    }

    /// Removes all faults from the script.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// All requests since the start or the last [`Self::forget_requests`].
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }

    /// The logged requests of one method to one object.
    pub fn requests_of(&self, method: &Method, bucket: &str, key: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.method == method && request.bucket == bucket && request.key == key);
        requests
    }

    /// The logged downloads of one object: not the requests that only ask whether it has changed.
    pub fn downloads_of(&self, bucket: &str, key: &str) -> usize {
        let requests = self.requests_of(&Method::GET, bucket, key);
        requests.iter().filter(|request| request.header("if-none-match").is_empty()).count()
    }

    /// Number of connections since the start.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The most GET requests that were being answered at the same time.
    pub fn most_downloads_at_once(&self) -> usize {
        self.shared.downloads.most.load(Ordering::Relaxed)
    }

    /// Empties the log of requests.
    pub fn forget_requests(&self) {
        self.shared.requests().clear();
    }
}

impl Shared {
    /// Logs a request, and calls the hooks that were waiting for it.
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
                When::Request(target) => target.matches(request),
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

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                drop(tokio::spawn(serve_connection(stream, Arc::clone(&shared))));
            }
            Err(error) => panic!("the test's S3 cannot accept a connection: {error}"),
        }
    }
}

/// Answers the requests of one connection. If the script breaks it off, the peer sees a reset, not an orderly end.
async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&shared)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger(); // the peer may have closed the connection
    }
}

async fn answer(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Body>> {
    let logged = log_entry(&request);
    shared.log(&logged);
    let fault = shared.faults.take(&logged);
    match &fault {
        Some(Fault::Answer(status, code)) => {
            let _ = request.into_body().collect().await; // the writer may have closed the connection
            return Ok(error_answer(*status, code));
        }
        Some(Fault::Reset) => return Err(io::Error::other("reset on purpose by the test")),
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Hold(gate)) => gate.pass().await,
        _ => {}
    }

    if queue::is_for_queues(request.headers()) {
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let answer = shared.queues.answer(&body, matches!(fault, Some(Fault::RefuseHalf)));
        if matches!(fault, Some(Fault::LoseAnswer)) {
            return Err(io::Error::other("answer lost on purpose by the test"));
        }
        return Ok(match answer {
            Some(answer) => apply_fault(Response::new(()), &answer, fault.as_ref()),
            None => {
                Queues::refusal_of_none().map(|error| Full::new(error).map_err(|never| match never {}).boxed_unsync())
            }
        });
    }
    let request = match fault {
        Some(Fault::SlowUpload(time)) => read_slowly(request, time).await?,
        _ => request.map(s3s::Body::from),
    };
    let answer = shared.service.call(request).await;
    let answer = answer.map_err(|error| io::Error::other(format!("{error:?}")))?;
    let is_absent = logged.method == Method::HEAD && answer.status() == StatusCode::NOT_FOUND;
    if is_absent && shared.hides_absence.load(Ordering::Relaxed) {
        return Ok(error_answer(403, "AccessDenied"));
    }
    if matches!(fault, Some(Fault::LoseAnswer)) {
        return Err(io::Error::other("answer lost on purpose by the test"));
    }
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
    let body = if parts.status == StatusCode::NOT_MODIFIED { Bytes::new() } else { body };
    let answer = apply_fault(Response::from_parts(parts, ()), &body, fault.as_ref());
    if logged.method == Method::GET && !body.is_empty() {
        return Ok(answer.map(|body| CountedBody::new(body, &shared.downloads).boxed_unsync()));
    }
    Ok(answer)
}

/// Reads the body evenly over `time`. The sender has to wait because its socket is full.
async fn read_slowly(request: hyper::Request<Incoming>, time: Duration) -> io::Result<hyper::Request<s3s::Body>> {
    let started = tokio::time::Instant::now();
    let (parts, mut body) = request.into_parts();
    let length: Option<f64> = parts.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let length = length.ok_or_else(|| io::Error::other("the upload has no content-length"))?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        bytes.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "a fraction of a duration: sizes here are far below 2^52")]
        tokio::time::sleep_until(started + time.mul_f64((bytes.len() as f64 / length).min(1.0))).await;
    }
    Ok(hyper::Request::from_parts(parts, s3s::Body::from(bytes)))
}

/// The request as it goes into the log.
fn log_entry(request: &hyper::Request<Incoming>) -> Request {
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
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path:?} is not UTF-8 when percent-decoded"))
}
