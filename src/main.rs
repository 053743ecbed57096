//! The program: environment in, exit code out.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use pixpipe::log::{self, stderr_line};
use pixpipe::outcome::Exit;
use pixpipe::signals::Signals;

fn main() -> ExitCode {
    log::open();
    // Without threads to be had, the runtime itself panics: the same work may succeed on another machine.
    let exit = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Retry);
    log::close();
    ExitCode::from(exit.code())
}

fn run() -> Exit {
    // One thread does all input and output; pixels have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let exit = runtime.and_then(|runtime| {
        runtime.block_on(async {
            // First of all: as PID 1 the process has no default signal actions.
            let mut signals = Signals::install()?;
            let args: Vec<_> = std::env::args_os().skip(1).collect();
            let vars = std::env::vars_os().collect();
            let random_seed = RandomState::new().hash_one(std::process::id());
            Ok(pixpipe::cli::run(&args, vars, &mut signals, random_seed).await)
        })
    });
    exit.unwrap_or_else(|error| {
        stderr_line(&format!("the runtime cannot start: {error}"));
        Exit::Retry
    })
}
