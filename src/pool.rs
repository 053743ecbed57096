//! The CPU pool: a fixed number of threads, each with its own state; panics and endless jobs end at its edge.

use std::any::Any;
use std::fmt::Display;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

/// The interval at which the CPU time of a running job is checked.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// The unit of CPU times in `/proc`, everywhere on Linux: `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// Why a job gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The job panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The job took more CPU time than any may.
    #[error("given up after {} s of CPU time", .0.as_secs())]
    GivenUp(Duration),
    /// The thread has no state: none could be made after a panic, or for the thread that replaced an abandoned one.
    #[error("the thread could not be set up again: {0}")]
    NoState(String),
    /// No thread is left: the last one was abandoned, and the system gave no other.
    #[error("the system has no thread to run it")]
    NoThread,
}

type Job<W> = Box<dyn FnOnce(&mut State<W>) -> Next + Send>;

/// The state of a thread, or the reason why there is none.
type State<W> = Result<W, String>;

/// The next step of a thread after a job.
enum Next {
    /// Takes the next one.
    Go,
    /// Takes the next one with a new state.
    Renew,
    /// Ends: it has been replaced.
    End,
}

/// Threads that run jobs, in the order of their arrival.
pub struct Pool<W> {
    jobs: mpsc::Sender<Job<W>>,
    shared: Arc<Shared<W>>,
}

struct Shared<W> {
    queue: Mutex<mpsc::Receiver<Job<W>>>,
    make_state: Box<dyn Fn() -> State<W> + Send + Sync>,
    cpu_limit: Duration,
    /// Threads that take jobs.
    threads: AtomicUsize,
    /// Threads that were given up: each holds a CPU and what its job owns until the process ends.
    abandoned: AtomicUsize,
}

impl<W> std::fmt::Debug for Pool<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("cpu_limit", &self.shared.cpu_limit).finish_non_exhaustive()
    }
}

/// Shared between a job's thread and its watchdog.
struct Watch {
    /// The folder of the thread under `/proc`, and its CPU time when the job began; once it has begun.
    begun: Mutex<Option<(String, Duration)>>,
    abandoned: AtomicBool,
}

impl<W: Send + 'static> Pool<W> {
    /// A pool of `threads` threads, each with a state of its own from `make_state`: one at the start, and a new one
    /// after a panic, since the old one may be half changed. A job that takes more than `cpu_limit` is given up.
    ///
    /// # Errors
    /// The error of `make_state` or of the system, if a state or a thread cannot be made at the start.
    pub fn try_new<E: Display>(
        threads: usize,
        cpu_limit: Duration,
        make_state: impl Fn() -> Result<W, E> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let states = (0..threads.max(1)).map(|_| make_state()).collect::<Result<Vec<W>, E>>();
        let states = states.map_err(|error| error.to_string())?;
        let (jobs, queue) = mpsc::channel();
        let make_state = move || make_state().map_err(|error| error.to_string());
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            make_state: Box::new(make_state),
            cpu_limit,
            threads: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
        });
        for state in states {
            spawn(&shared, Some(Ok(state))).map_err(|error| format!("no thread can be started: {error}"))?;
        }
        Ok(Self { jobs, shared })
    }

    /// Whether a job was given up. Its thread cannot be stopped: what it owns comes back only when the process ends.
    #[must_use]
    pub fn has_abandoned_a_job(&self) -> bool {
        self.shared.abandoned.load(Ordering::Relaxed) > 0
    }

    /// Runs a job and waits for its result. An abandoned job keeps what it owns until it ends; meanwhile a new thread
    /// takes its place.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn run<R: Send + 'static>(&self, job: impl FnOnce(&mut W) -> R + Send + 'static) -> Result<R, JobError> {
        let watch = Arc::new(Watch { begun: Mutex::new(None), abandoned: AtomicBool::new(false) });
        let (done, mut result) = oneshot::channel();
        let theirs = Arc::clone(&watch);
        let job: Job<W> = Box::new(move |state| {
            if let (Some(thread), Ok(mut begun)) = (own_thread(), theirs.begun.lock()) {
                let cpu = cpu_time(&thread).unwrap_or_default();
                *begun = Some((thread, cpu));
            }
            let outcome = match state {
                Ok(state) => catch_unwind(AssertUnwindSafe(|| job(state)))
                    .map_err(|panic| JobError::Panicked(text_of(panic.as_ref()))),
                Err(error) => Err(JobError::NoState(error.clone())),
            };
            let next = if theirs.abandoned.load(Ordering::Acquire) {
                Next::End
            } else if outcome.is_err() {
                Next::Renew
            } else {
                Next::Go
            };
            // The caller may be gone: then nobody wants the result.
            drop(done.send(outcome));
            next
        });
        if self.shared.threads.load(Ordering::Relaxed) == 0 || self.jobs.send(job).is_err() {
            return Err(JobError::NoThread);
        }
        loop {
            match tokio::time::timeout(WATCH_EVERY, &mut result).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_)) => return Err(JobError::Panicked("the job was dropped".to_owned())),
                Err(_) if watch.cpu_time() > self.shared.cpu_limit => {
                    watch.abandoned.store(true, Ordering::Release);
                    self.shared.abandoned.fetch_add(1, Ordering::Relaxed);
                    self.shared.threads.fetch_sub(1, Ordering::Relaxed);
                    if let Err(error) = spawn(&self.shared, None) {
                        tracing::error!("no thread in place of the one that was given up: {error}");
                    }
                    return Err(JobError::GivenUp(self.shared.cpu_limit));
                }
                Err(_) if self.shared.threads.load(Ordering::Relaxed) == 0 => return Err(JobError::NoThread),
                Err(_) => {}
            }
        }
    }
}

impl Watch {
    fn cpu_time(&self) -> Duration {
        let begun = self.begun.lock().ok().and_then(|begun| begun.clone());
        begun.and_then(|(thread, start)| cpu_time(&thread)?.checked_sub(start)).unwrap_or_default()
    }
}

/// Starts a thread; without a state it makes one for itself.
fn spawn<W: Send + 'static>(shared: &Arc<Shared<W>>, state: Option<State<W>>) -> io::Result<()> {
    let theirs = Arc::clone(shared);
    std::thread::Builder::new().name("pixels".to_owned()).spawn(move || {
        let shared = theirs;
        let mut state = state.unwrap_or_else(|| (shared.make_state)());
        loop {
            let Ok(job) = shared.queue.lock().map_or(Err(mpsc::RecvError), |queue| queue.recv()) else { return };
            match job(&mut state) {
                Next::Go => {}
                Next::Renew => state = (shared.make_state)(),
                Next::End => return,
            }
        }
    })?;
    shared.threads.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a text".to_owned())
}

/// The calling thread's folder under `/proc`.
fn own_thread() -> Option<String> {
    Some(format!("/proc/{}", fs::read_link("/proc/thread-self").ok()?.to_str()?))
}

/// User and system time of a thread: fields 14 and 15 of proc(5)'s `stat`; the second field may hold spaces.
fn cpu_time(thread: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("{thread}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * ticks()?.saturating_add(ticks()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn block_on<F: std::future::Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    fn pool<W: Send + 'static>(cpu_limit: Duration, make_state: impl Fn() -> W + Send + Sync + 'static) -> Pool<W> {
        Pool::try_new(1, cpu_limit, move || Ok::<_, Infallible>(make_state())).expect("infallible")
    }

    #[test]
    fn a_state_that_cannot_be_made_is_an_error_at_the_start_and_of_each_job_later() {
        let limit = Duration::from_secs(30);
        assert_eq!(Pool::<u32>::try_new(1, limit, || Err("no memory")).err().as_deref(), Some("no memory"));
        let is_first = AtomicBool::new(true);
        let make = move || if is_first.swap(false, Ordering::Relaxed) { Ok(7) } else { Err("no memory") };
        let pool = Pool::try_new(1, limit, make).expect("the first is made");
        block_on(async {
            assert_eq!(pool.run(|state| *state).await, Ok(7));
            assert!(matches!(pool.run(|_| -> u32 { panic!("a codec's bug") }).await, Err(JobError::Panicked(_))));
            assert_eq!(pool.run(|state| *state).await, Err(JobError::NoState("no memory".into())));
        });
    }

    #[test]
    fn a_panic_ends_its_job_alone() {
        let pool = pool(Duration::from_secs(30), || 0_u32);
        block_on(async {
            assert_eq!(pool.run(|state| *state += 1).await, Ok(()));
            let error = pool.run(|_| -> u32 { panic!("a codec's bug") }).await;
            assert_eq!(error, Err(JobError::Panicked("a codec's bug".into())));
            assert_eq!(pool.run(|state| *state).await, Ok(0), "the state is a new one");
        });
    }

    #[test]
    fn a_job_that_spins_is_given_up_and_its_thread_replaced() {
        let limit = Duration::from_millis(200);
        let pool = pool(limit, || ());
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        block_on(async {
            let spinning = pool.run(move |()| {
                while !theirs.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            assert_eq!((spinning.await, pool.has_abandoned_a_job()), (Err(JobError::GivenUp(limit)), true));
            assert_eq!(pool.run(|()| 7).await, Ok(7));
        });
        stop.store(true, Ordering::Relaxed);
    }

    #[test]
    fn waiting_is_not_cpu_time() {
        let pool = pool(Duration::from_millis(100), || ());
        let (release, held) = mpsc::channel::<()>();
        block_on(async {
            let job = pool.run(move |()| held.recv().is_ok());
            let later = async {
                // Longer than the limit, on the wall clock.
                tokio::time::sleep(WATCH_EVERY * 2).await;
                release.send(()).expect("the job waits");
            };
            assert_eq!(tokio::join!(job, later).0, Ok(true));
        });
    }
}
