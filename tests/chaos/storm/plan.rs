//! The plan of one launch: faults of the store and the queues, overwritten sources, and signals.

use std::sync::{Arc, Mutex, OnceLock};

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};

use pixpipe_test_support::faults::{self, Fault, Times};

use super::run::{Batch, task};
use super::source::{event, output_key, with_one_more_attempt};
use super::{OBJECTS, SIZES};

impl Batch {
    pub(super) fn plan_faults(&mut self) {
        for _ in 0..self.rng.usize(..12) {
            self.plan_store_fault();
        }
        if self.rng.u8(..3) == 0 {
            let fault = match self.rng.u8(..4) {
                0 => Fault::Answer(503, "ServiceUnavailable"),
                1 => Fault::Reset,
                2 => Fault::LoseAnswer,
                _ => Fault::RefuseHalf,
            };
            self.server.fault(faults::queues(), Times::First(self.rng.usize(1..6)), fault);
            self.counts.count("faults of the queues");
        }
    }

    fn plan_store_fault(&mut self) {
        let key = self.sources[self.rng.usize(..OBJECTS)].key.clone();
        let output = output_key(SIZES[self.rng.usize(..SIZES.len())], &key);
        let target = match self.rng.u8(..4) {
            0 => faults::head("dest", &output),
            1 => faults::put("dest", &output),
            2 => faults::under(Method::PUT, "dest", ""),
            _ => faults::get("src", &key),
        };
        let fault = match self.rng.u8(..64) {
            0..10 => Fault::Answer(503, "SlowDown"),
            10..15 => Fault::Answer(500, "InternalError"),
            15..22 => Fault::Reset,
            22..32 => Fault::LoseAnswer,
            32..39 => Fault::CutBody,
            39..45 => Fault::TruncateBody,
            45..51 => Fault::FlipBit,
            51 => Fault::TrickleBody,
            52 => Fault::Stall,
            60..64 => Fault::Answer(400, "ExpiredToken"),
            _ => Fault::Answer(412, "PreconditionFailed"),
        };
        // Only a GET has a body to damage, and only a PUT can be answered with 412.
        let target = match fault {
            Fault::CutBody | Fault::TruncateBody | Fault::FlipBit | Fault::TrickleBody => faults::get("src", &key),
            Fault::Answer(412, _) => faults::put("dest", &output),
            _ => target,
        };
        self.server.fault(target, Times::First(self.rng.usize(1..5)), fault);
        self.counts.count("faults of the store");
    }

    /// Plans up to two outputs that somebody deletes, to have them made again: the event of each comes again as well.
    pub(super) fn plan_deletions(&mut self) -> Vec<DeferredAction> {
        (0..self.rng.usize(..3)).map(|_| self.plan_deletion()).collect()
    }

    fn plan_deletion(&mut self) -> DeferredAction {
        let source = &self.sources[self.rng.usize(..OBJECTS)];
        let output = output_key(SIZES[self.rng.usize(..SIZES.len())], &source.key);
        let (event, events) = (event(&source.key, &mut self.rng), Arc::clone(&self.new_events));
        let memory = self.server.memory();
        let deletion = DeferredAction::new(move || {
            memory.delete("dest", &output);
            events.lock().unwrap().push(event);
        });
        let hook = deletion.clone();
        self.server.after_requests(self.rng.usize(1..100), move || hook.run());
        self.counts.count("outputs deleted");
        deletion
    }

    /// Plans up to three overwritten sources. The event of each waits for the next launch, or starts a side task.
    pub(super) fn plan_uploads(&mut self) -> Vec<DeferredAction> {
        (0..self.rng.usize(..4)).map(|_| if self.rng.bool() { self.plan_upload() } else { self.plan_race() }).collect()
    }

    /// Overwrites a source at a random request. Its event belongs to the next launch.
    fn plan_upload(&mut self) -> DeferredAction {
        let source = &self.sources[self.rng.usize(..OBJECTS)];
        let overwrite = source.overwrite(&self.server, &mut self.rng);
        let (event, events) = (event(&source.key, &mut self.rng), Arc::clone(&self.new_events));
        let upload = DeferredAction::new(move || {
            overwrite();
            events.lock().unwrap().push(event);
        });
        let hook = upload.clone();
        self.server.after_requests(self.rng.usize(1..100), move || hook.run());
        self.counts.count("sources overwritten");
        upload
    }

    /// Overwrites a source when the output of its old contents is about to be written, and starts a side task on the
    /// new contents. One write of that output fails.
    fn plan_race(&mut self) -> DeferredAction {
        let source = &self.sources[self.rng.usize(..OBJECTS)];
        let overwrite = source.overwrite(&self.server, &mut self.rng);
        let (event, events) = (event(&source.key, &mut self.rng), Arc::clone(&self.new_events));
        let (endpoint, side_tasks) = (self.server.endpoint().to_owned(), Arc::clone(&self.side_tasks));
        let upload = DeferredAction::new(move || {
            overwrite();
            side_tasks.lock().unwrap().push(std::thread::spawn(move || {
                let finished = task(&endpoint).batch(&event).run();
                if finished.code != Some(0) {
                    events.lock().unwrap().push(with_one_more_attempt(event));
                }
            }));
        });
        let hook = upload.clone();
        let output = || faults::put("dest", &output_key(SIZES[0], &source.key));
        self.server.at_request(output(), move || hook.run());
        self.server.fault(output(), Times::First(1), Fault::Answer(503, "SlowDown"));
        self.counts.count("sources overwritten during a write");
        upload
    }

    /// Plans up to two signals, each at a random request. `process` is set as soon as the program has started.
    pub(super) fn plan_signals(&mut self, process: &Arc<OnceLock<Pid>>) {
        let signals: &[Signal] = match self.rng.u8(..8) {
            0 | 1 => &[Signal::TERM],
            2 => &[Signal::TERM, Signal::TERM],
            3 | 4 => &[Signal::KILL],
            _ => &[],
        };
        for signal in signals {
            let (signal, process) = (*signal, Arc::clone(process));
            self.server.after_requests(self.rng.usize(1..100), move || {
                if let Some(pid) = process.get() {
                    let _ = kill_process(*pid, signal); // it may have ended by now
                }
            });
            self.counts.count(if signal == Signal::KILL { "SIGKILLs planned" } else { "SIGTERMs planned" });
        }
    }
}

/// An action that happens exactly once: at a request, or after the task has ended. Clones are the same action.
#[derive(Clone)]
pub(super) struct DeferredAction(Arc<Mutex<Option<Action>>>);

type Action = Box<dyn FnOnce() + Send>;

impl DeferredAction {
    fn new(action: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(action)))))
    }

    /// Does it, unless it was done before.
    pub(super) fn run(&self) {
        if let Some(action) = self.0.lock().unwrap().take() {
            action();
        }
    }
}
