//! Loopback listeners in place of the endpoints from which an AWS SDK may fetch credentials.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::run::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};

/// An endpoint that must not be contacted. It accepts no connection, but notices one.
pub struct ForbiddenEndpoint {
    listener: TcpListener,
}

impl ForbiddenEndpoint {
    /// Listens on a free port of the loopback.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        Self { listener }
    }

    /// Its URL: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("a bound listener has an address"))
    }

    /// Whether anyone has connected. The kernel queues connections that are not accepted.
    pub fn was_contacted(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

/// The credential endpoint of an ECS container. Serves until the test process ends.
pub struct ContainerCredentials {
    uri: String,
    connections: Arc<AtomicUsize>,
}

impl ContainerCredentials {
    /// The `Authorization` header that the SDK must send; any other is answered with 403.
    pub const AUTHORIZATION: &str = "authorization-token-of-the-container";

    /// Starts to serve on a free port of the loopback.
    pub fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = answer(&stream); // the peer may have closed the connection
            }
        });
        Self { uri: format!("http://{address}/credentials"), connections }
    }

    /// The value of `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Number of connections since the start.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    let head: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let authorized = head.iter().any(|line| {
        line.split_once(": ").is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("authorization") && value == ContainerCredentials::AUTHORIZATION
        })
    });
    let credentials = serde_json::json!({
        "AccessKeyId": ACCESS_KEY_ID,
        "SecretAccessKey": SECRET_ACCESS_KEY,
        "Token": SESSION_TOKEN,
        "Expiration": "2099-01-01T00:00:00Z",
    })
    .to_string();
    let (status, body) = if authorized { ("200 OK", credentials) } else { ("403 Forbidden", String::new()) };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
