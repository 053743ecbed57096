//! The program: environment in, exit code out.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use pixpipe::log::stderr_line;
use pixpipe::outcome::Exit;
use pixpipe::signals::Signals;

fn main() -> ExitCode {
    // One thread does all input and output; pixels have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = runtime.and_then(|runtime| {
        runtime.block_on(async {
            // First of all: as PID 1 the process has no default signal actions.
            let mut signals = Signals::install()?;
            let args: Vec<_> = std::env::args_os().skip(1).collect();
            let vars = std::env::vars_os().collect();
            let random_seed = RandomState::new().hash_one(std::process::id());
            Ok(pixpipe::cli::run(&args, vars, &mut signals, random_seed).await.code())
        })
    });
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            stderr_line(&format!("the runtime cannot start: {error}"));
            ExitCode::from(Exit::Retry.code())
        }
    }
}
