//! Draws one PNG of a run: each source, scaled down, beside its outputs in their true size; failed records in red.
//!
//! `contact-sheet ROOT DEST_BUCKET OUTPUT.png < LINES`: `ROOT` is the `PATH` of the run's `STORE=dir:PATH`,
//! `DEST_BUCKET` as in the run, and `LINES` is its standard output with `LOG_FORMAT=json`. Prints the path of the PNG.

mod builder;
mod record;
mod sheet;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use builder::{SheetBuilder, dimensions};
use record::Records;
use sheet::{Card, sheet};

const USAGE: &str = "usage: contact-sheet ROOT DEST_BUCKET OUTPUT.png < LINES
ROOT         the PATH of the run's STORE=dir:PATH: files are at ROOT/<bucket>/<key>
DEST_BUCKET  the bucket of the run's outputs
OUTPUT.png   the sheet to be written
LINES        the standard output of the run with LOG_FORMAT=json";

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let [root, destination, output] = args.as_slice() else {
        return end(2, &format!("{} arguments received, 3 are needed\n{USAGE}", args.len()));
    };
    match run(Path::new(root), &destination.to_string_lossy(), Path::new(output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(1, &error.to_string()),
    }
}

fn end(code: u8, message: &str) -> ExitCode {
    // The exit code says the same if nobody reads standard error.
    let _ = writeln!(io::stderr(), "contact-sheet: {message}");
    ExitCode::from(code)
}

fn run(root: &Path, destination: &str, output: &Path) -> Result<(), Box<dyn Error>> {
    let lines = io::read_to_string(io::stdin())
        .map_err(|error| format!("standard input cannot be read ({error}); give the lines of a run, as UTF-8"))?;
    let records = Records::parse(&lines)?;
    let mut builder = SheetBuilder::try_new(root, destination)?;
    let cards: Vec<Card> = records.worked_on.iter().map(|record| builder.card(record)).collect();
    let unwritable = |error: &dyn Error| format!("{} cannot be written ({error}); give another path", output.display());
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).map_err(|error| unwritable(&error))?;
    }
    let title = title(&cards, records.skipped, destination);
    sheet(&cards, &title).save(output).map_err(|error| unwritable(&error))?;
    writeln!(io::stdout(), "{}", output.display())?;
    Ok(())
}

/// Such as `7 sources at 224×224 and 299×299 in target, 1 failed, 2 skipped`.
fn title(cards: &[Card], skipped: usize, destination: &str) -> String {
    let mut sizes: Vec<String> = Vec::new();
    for output in cards.iter().flat_map(|card| card.pictures.iter().skip(1)) {
        let size = dimensions(output.size);
        if output.image.is_some() && !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let failed = cards.iter().filter(|card| card.is_failed).count();
    let mut title = format!("{} sources", cards.len());
    if !sizes.is_empty() {
        title += &format!(" at {} in {destination}", sizes.join(" and "));
    }
    for (count, status) in [(failed, "failed"), (skipped, "skipped")] {
        if count > 0 {
            title += &format!(", {count} {status}");
        }
    }
    title
}
