//! Tests against an S3 over HTTP: the objects that the program reads and writes, and its requests.

use hyper::Method;

use pixpipe_test_support::photos;
use pixpipe_test_support::run::{Pixpipe, entries};
use pixpipe_test_support::s3::{Object, Upload};
use pixpipe_test_support::server::{Request, S3Server};

mod keys;
mod manifest;
mod outputs;
mod races;
mod requests;
mod settings;
mod sources;
mod test_server;
mod unchanged;

/// A server whose bucket `src` holds one photo, `a.jpg`.
fn with_one_photo() -> S3Server {
    let server = S3Server::with_buckets();
    server.put("src", "a.jpg", Upload::of(photos::jpeg(400, 300, 1)));
    server
}

/// A run on `src/a.jpg` that makes the output `32x32/a.jpg`.
fn small_run(server: &S3Server) -> Pixpipe {
    Pixpipe::with_s3(server.endpoint()).env("SIZES", "32").batch(&entries(&[("src", "a.jpg")]))
}

fn writes(server: &S3Server) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.method == Method::PUT).collect()
}

/// The source's `ETag` in the metadata of an output, without quotes.
fn source_etag(output: &Object) -> Option<&str> {
    output.metadata.get("source-etag").map(|etag| etag.trim_matches('"'))
}
