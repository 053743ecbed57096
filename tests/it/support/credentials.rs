//! Loopback listeners that stand for the other places an AWS SDK may look for credentials.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::run::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};

/// A listener that nobody is supposed to connect to.
pub(crate) struct Trap {
    listener: TcpListener,
}

impl Trap {
    /// Listens on a free port of the loopback.
    pub(crate) fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        listener.set_nonblocking(true).expect("a listener can be made not to block");
        Self { listener }
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("a bound listener has an address"))
    }

    /// Whether anyone has connected, answered or not: the kernel keeps them in the queue.
    pub(crate) fn has_caught(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

/// A container's credential endpoint, as ECS has it. Serves until the process of the tests ends.
pub(crate) struct ContainerCredentials {
    endpoint: String,
    answered: Arc<AtomicUsize>,
}

impl ContainerCredentials {
    /// What the SDK has to send in `Authorization`.
    pub(crate) const AUTHORIZATION: &str = "authorization-token-of-the-container";

    /// Starts it on a free port of the loopback.
    pub(crate) fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = answer(&stream); // the peer may have gone already
            }
        });
        Self { endpoint: format!("http://{address}/credentials"), answered }
    }

    /// The value of `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub(crate) fn uri(&self) -> &str {
        &self.endpoint
    }

    /// How many connections have been made.
    pub(crate) fn times_asked(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
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
