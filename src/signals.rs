//! SIGTERM and SIGINT: the first asks to finish, a second one to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of a process that may be PID 1, for which no signal has a default action.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Puts the handlers in place; from here on no signal is lost, even before it is asked for.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal; gives its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            // Both streams have ended, which they never do.
            else => std::future::pending().await,
        }
    }
}
