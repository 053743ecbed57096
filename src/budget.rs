//! The memory budget: work waits for room before it takes any.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of admission.
const PAGE_BYTES: u64 = 4096;
/// The memory of the process before it has any work: the binary, the HTTP client with its TLS roots, stacks and codec
/// handles. Measured: 19 MiB resident at most after a first request over HTTP. As much again
/// is set aside: among others for the buffers that each thread's codecs keep, 6 MiB at most.
pub const BASE_BYTES: u64 = 24 << 20;
/// The share of the rest that is given out; allocators keep some of the memory that they get back.
const GIVEN_OUT_PERCENT: u64 = 85;
/// The share of the budget that holds files; the rest holds pixels.
const FILES_PERCENT: u64 = 25;
/// The memory of one request for a file besides the file: the buffers of its connection, and what has arrived and was
/// not read yet.
const REQUEST_BYTES: u64 = 256 << 10;

/// A budget of bytes in two parts: files that were downloaded, and the pixels made of them.
///
/// A record first takes room for its file, then for its pixels, and a holder of pixels never waits for a file: so
/// nobody waits for ever (docs/decisions/004-memory-admission.md). A record that is too large for one of the parts
/// takes the whole budget.
#[derive(Debug, Clone)]
pub struct Budget {
    files: Part,
    pixels: Part,
}

#[derive(Debug, Clone)]
struct Part {
    pages: u32,
    semaphore: Arc<Semaphore>,
}

/// Permit in the budget; dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    permits: Vec<OwnedSemaphorePermit>,
    is_whole: bool,
}

/// The answer to a request for room for pixels.
#[derive(Debug)]
pub enum PixelPermit {
    /// Room for the file and the pixels.
    Granted(Permit),
    /// The record fits only if it is alone: the caller drops its file, takes [`Budget::whole_budget`] and reads the
    /// file again.
    OnlyAlone,
}

/// The record needs more than the whole budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{needed_bytes} bytes of memory are needed, MEMORY_LIMIT_BYTES leaves {budget_bytes}")]
pub struct NeverFits {
    /// The bytes that the record needs.
    pub needed_bytes: u64,
    /// The bytes of the whole budget.
    pub budget_bytes: u64,
}

impl Part {
    fn new(bytes: u64) -> Self {
        let pages = u32::try_from(bytes / PAGE_BYTES).unwrap_or(u32::MAX);
        let pages = pages.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { pages, semaphore: Arc::new(Semaphore::new(usize::try_from(pages).unwrap_or(Semaphore::MAX_PERMITS))) }
    }

    fn fits(&self, bytes: u64) -> bool {
        pages(bytes) <= u64::from(self.pages)
    }

    async fn take(&self, pages: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).acquire_many_owned(pages).await.ok()
    }

    /// `None` if they are not free.
    fn try_take(&self, pages: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).try_acquire_many_owned(pages).ok()
    }
}

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES).max(1)
}

fn pages32(bytes: u64) -> u32 {
    u32::try_from(pages(bytes)).unwrap_or(u32::MAX)
}

impl Budget {
    /// The budget of a process that may use `limit_bytes` in all.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        // A retried record runs in a child process with the same budget: two bases, in both.
        let given_out = limit_bytes.saturating_sub(2 * BASE_BYTES) / 100 * GIVEN_OUT_PERCENT;
        let files = given_out / 100 * FILES_PERCENT;
        Self { files: Part::new(files), pixels: Part::new(given_out - files) }
    }

    /// All that is ever given out, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        (u64::from(self.files.pages) + u64::from(self.pixels.pages)) * PAGE_BYTES
    }

    /// The bytes of a file whose length is not known before it has come: while its buffer grows, it takes up to three
    /// times as many.
    #[must_use]
    pub fn growing_bytes(&self) -> u64 {
        self.total_bytes() / 3
    }

    /// Room for a request for a file of about this size, and for the file; waits until there is some.
    pub async fn permit_for_file(&self, bytes: u64) -> Permit {
        let bytes = bytes.saturating_add(REQUEST_BYTES);
        if !self.files.fits(bytes) {
            return self.whole_budget().await;
        }
        Permit { permits: self.files.take(pages32(bytes)).await.into_iter().collect(), is_whole: false }
    }

    /// Makes the permit for a file that was guessed the one for its true size, without waiting; `None` if there is not
    /// enough room.
    ///
    /// # Errors
    /// [`NeverFits`] if the whole budget is smaller.
    pub fn fit(&self, mut permit: Permit, bytes: u64) -> Result<Option<Permit>, NeverFits> {
        self.check(bytes)?;
        let bytes = bytes.saturating_add(REQUEST_BYTES);
        if !self.files.fits(bytes) {
            return Ok(Some(permit).filter(|permit| permit.is_whole));
        }
        let missing = pages32(bytes).saturating_sub(permit.pages());
        if missing > 0 {
            let Some(more) = self.files.try_take(missing) else { return Ok(None) };
            permit.permits.push(more);
        }
        Ok(Some(permit.shrunk(bytes)))
    }

    /// Adds room for pixels to the permit for a file of `file_bytes`; waits until there is some.
    ///
    /// # Errors
    /// [`NeverFits`] if the whole budget is smaller.
    pub async fn permit_for_pixels(
        &self,
        mut permit: Permit,
        file_bytes: u64,
        bytes: u64,
    ) -> Result<PixelPermit, NeverFits> {
        self.check(file_bytes.saturating_add(bytes))?;
        if permit.is_whole {
            return Ok(PixelPermit::Granted(permit));
        }
        let mut wanted = pages32(bytes);
        if wanted > self.pixels.pages {
            // The rest may come out of the part for files, if it is free: a holder of a file never waits for that part.
            let Some(rest) = self.files.try_take(wanted - self.pixels.pages) else { return Ok(PixelPermit::OnlyAlone) };
            permit.permits.push(rest);
            wanted = self.pixels.pages;
        }
        permit.permits.extend(self.pixels.take(wanted).await);
        Ok(PixelPermit::Granted(permit))
    }

    /// The whole budget; waits until nobody else holds any of it.
    pub async fn whole_budget(&self) -> Permit {
        let mut permits = Vec::new();
        for part in [&self.files, &self.pixels] {
            permits.extend(part.take(part.pages).await);
        }
        Permit { permits, is_whole: true }
    }

    fn check(&self, bytes: u64) -> Result<(), NeverFits> {
        let budget_bytes = self.total_bytes();
        if bytes > budget_bytes { Err(NeverFits { needed_bytes: bytes, budget_bytes }) } else { Ok(()) }
    }
}

impl Permit {
    fn pages(&self) -> u32 {
        let pages = self.permits.iter().map(OwnedSemaphorePermit::num_permits).sum::<usize>();
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// The room for a file whose request has ended.
    #[must_use]
    pub fn without_request(self, file_bytes: u64) -> Self {
        if self.is_whole { self } else { self.shrunk(file_bytes) }
    }

    /// Keeps room for `bytes` and gives the rest back.
    #[must_use]
    pub fn shrunk(self, bytes: u64) -> Self {
        let mut missing = usize::try_from(pages(bytes)).unwrap_or(usize::MAX);
        let mut permits = Vec::new();
        for mut permit in self.permits {
            let kept = missing.min(permit.num_permits());
            if let Some(part) = permit.split(kept).filter(|part| part.num_permits() > 0) {
                missing -= kept;
                permits.push(part);
            }
        }
        Self { permits, is_whole: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready<F: Future>(future: F) -> F::Output {
        match poll(&mut pin!(future)) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("has to wait"),
        }
    }

    fn granted(answer: Result<PixelPermit, NeverFits>) -> Permit {
        match answer {
            Ok(PixelPermit::Granted(permit)) => permit,
            other => panic!("not granted: {other:?}"),
        }
    }

    #[test]
    fn work_waits_for_room() {
        let budget = Budget::new(1 << 30);
        let half = budget.total_bytes() / 100 * 40;
        let first = ready(budget.permit_for_file(1000));
        let first = granted(ready(budget.permit_for_pixels(first, 1000, half)));
        let second = ready(budget.permit_for_file(1000));
        let mut waiting = pin!(budget.permit_for_pixels(second, 1000, half));
        assert!(poll(&mut waiting).is_pending());
        let outputs = first.shrunk(5000);
        assert!(matches!(poll(&mut waiting), Poll::Ready(Ok(_))));
        drop(outputs);
    }

    #[test]
    fn what_is_too_large_for_a_part_takes_the_whole_budget() {
        let budget = Budget::new(1 << 30);
        let large = budget.total_bytes() / 100 * 90;
        let small = ready(budget.permit_for_file(budget.total_bytes() / 100 * 20));
        let other = ready(budget.permit_for_file(1000));
        assert!(matches!(ready(budget.permit_for_pixels(other, 1000, large)), Ok(PixelPermit::OnlyAlone)));
        let mut alone = pin!(budget.whole_budget());
        assert!(poll(&mut alone).is_pending());
        let small = ready(budget.permit_for_pixels(small, 1000, 1000)).expect("a holder of a file never waits for it");
        drop(small);
        let Poll::Ready(room) = poll(&mut alone) else { panic!("has to wait") };
        let room = granted(ready(budget.permit_for_pixels(room, 1000, large)));
        let mut next = pin!(budget.permit_for_file(1));
        assert!(poll(&mut next).is_pending());
        drop(room);
        assert!(poll(&mut next).is_ready());
    }

    #[test]
    fn pixels_may_take_what_is_free_of_the_part_for_files() {
        let budget = Budget::new(1 << 30);
        let large = budget.total_bytes() / 100 * 90;
        let file = ready(budget.permit_for_file(1000));
        let other = granted(ready(budget.permit_for_pixels(ready(budget.permit_for_file(0)), 0, 1)));
        // Only for the holder of pixels, who waits for no file.
        let mut waiting = pin!(budget.permit_for_pixels(file, 1000, large));
        assert!(poll(&mut waiting).is_pending());
        drop(other);
        let Poll::Ready(room) = poll(&mut waiting) else { panic!("has to wait") };
        drop(granted(room));
        assert_eq!(ready(budget.whole_budget()).pages(), budget.files.pages + budget.pixels.pages);
    }

    #[test]
    fn a_guess_is_fitted_without_waiting() {
        let budget = Budget::new(1 << 30);
        let all = budget.total_bytes();
        let pages = |bytes: u64| u32::try_from((bytes + REQUEST_BYTES) / PAGE_BYTES).expect("few");
        let guess = || ready(budget.permit_for_file(1 << 20));
        let fitted = |permit, bytes| budget.fit(permit, bytes).expect("fits");
        assert_eq!(fitted(guess(), 1 << 20).expect("the same").pages(), pages(1 << 20));
        assert_eq!(fitted(guess(), 4096).expect("less").pages(), pages(4096));
        assert_eq!(fitted(guess(), 8 << 20).expect("more, and there is room").pages(), pages(8 << 20));
        let others = ready(budget.permit_for_file(all / 100 * 24));
        assert!(fitted(guess(), 64 << 20).is_none(), "more, and others hold it");
        drop(others);
        assert!(fitted(guess(), all / 2).is_none(), "more than the part for files: only the whole budget");
        let whole = ready(budget.permit_for_file(all / 2));
        assert!(fitted(whole, all / 2).is_some_and(|permit| permit.is_whole));
        let whole = ready(budget.permit_for_file(all / 2));
        assert_eq!(fitted(whole, 4096).map(|permit| permit.pages()), Some(pages(4096)));
        assert_eq!(budget.fit(guess(), all + 1).err(), Some(NeverFits { needed_bytes: all + 1, budget_bytes: all }));
        assert_eq!(ready(budget.permit_for_file(4096)).without_request(4096).pages(), 1);
    }

    #[test]
    fn what_never_fits_is_refused() {
        let budget = Budget::new(64 << 20);
        let total = budget.total_bytes();
        let room = ready(budget.permit_for_file(10));
        assert!(ready(budget.permit_for_pixels(room, 10, total)).is_err());
    }
}
