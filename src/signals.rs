//! SIGTERM and SIGINT: the first asks to finish, a second one to stop.

use std::io;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of a process that may be PID 1, for which no signal has a default action.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A signal that was seen by somebody who could not act on it.
    put_back: Option<&'static str>,
}

impl Signals {
    /// Puts the handlers in place; from here on no signal is lost, even before it is asked for.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            put_back: None,
        })
    }

    /// Waits for the next signal; gives its name.
    pub async fn next(&mut self) -> &'static str {
        if let Some(signal) = self.put_back.take() {
            return signal;
        }
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            // Both streams have ended, which they never do.
            else => std::future::pending().await,
        }
    }

    /// Makes `signal` the next one again.
    pub const fn put_back(&mut self, signal: &'static str) {
        self.put_back = Some(signal);
    }

    /// The name of a signal that has come by now.
    pub async fn pending(&mut self) -> Option<&'static str> {
        // A handler only writes to a pipe; the runtime reads it when the task gives way.
        tokio::task::yield_now().await;
        self.next().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[test]
    fn a_signal_that_came_before_it_is_asked_for_is_seen_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut signals = Signals::install().expect("handlers can be installed");
            assert_eq!(signals.pending().await, None);
            kill_process(getpid(), Signal::TERM).expect("a process may signal itself");
            // Any thread of the process may run the handler, a little later.
            let mut seen = None;
            for _ in 0..100_000 {
                seen = signals.pending().await;
                if seen.is_some() {
                    break;
                }
                std::thread::yield_now();
            }
            assert_eq!(seen, Some("SIGTERM"));
            assert_eq!(signals.pending().await, None);
        });
    }
}
