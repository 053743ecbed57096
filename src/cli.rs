//! The command line: its arguments, and the texts of `--help` and `--check-config`.

use std::ffi::OsString;

use crate::child::CHILD_ARGUMENT;
use crate::config::{Config, DefaultValue, Misspelt, Setting, VARIABLES, Variable};
use crate::event::{self, Entry, EntryKind};
use crate::log::{stderr_line, stdout_line};
use crate::machine::Machine;
use crate::object::{BucketName, ObjectKey};
use crate::one_line::one_line;
use crate::outcome::Exit;
use crate::reason::FailReason;
use crate::signals::Signals;
use crate::task::{self, Input};

/// What the arguments ask for.
enum Order {
    Run(Input),
    CheckConfig,
    CheckAccess,
    Help,
    Version,
}

/// Runs the program: `args` without its name, `vars` the environment, `random_seed` for spreading repetitions in time.
pub async fn run(args: &[OsString], vars: Vec<(OsString, OsString)>, signals: &mut Signals, random_seed: u64) -> Exit {
    match order(args) {
        Ok(Order::Run(input)) => task::run(vars, &input, signals, random_seed).await,
        Ok(Order::CheckConfig) => check_config(&vars),
        Ok(Order::CheckAccess) => match Config::without_batch(warned(vars)) {
            Ok(config) => task::check_access(&config, signals).await,
            Err(faults) => task::refuse_config(&faults),
        },
        Ok(Order::Help) => print(&help()),
        Ok(Order::Version) => print(concat!("pixpipe ", env!("CARGO_PKG_VERSION"))),
        Err(why) => {
            stderr_line(&why);
            Exit::Usage
        }
    }
}

fn order(args: &[OsString]) -> Result<Order, String> {
    let texts: Vec<_> = args.iter().map(|argument| argument.to_string_lossy()).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    Ok(match (texts.as_slice(), args) {
        ([], _) => Order::Run(Input::Variable),
        ([CHILD_ARGUMENT], _) => Order::Run(Input::Parent),
        (["--batch", _], [_, name]) => Order::Run(Input::named(name)),
        (["--batch"], _) => return Err("--batch needs the name of a file, or - for standard input".to_owned()),
        (["--check-config"], _) => Order::CheckConfig,
        (["--check-access"], _) => Order::CheckAccess,
        (["--help" | "-h"], _) => Order::Help,
        (["--version" | "-V"], _) => Order::Version,
        (other, _) => {
            return Err(format!(
                "the arguments \"{}\" are not accepted: give none, or one of --batch FILE, --check-config, \
                 --check-access, --help, --version",
                one_line(&other.join(" "))
            ));
        }
    })
}

/// The variables, after a word about those that look misspelt.
fn warned(vars: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    task::warn_of(&Misspelt::all(&vars));
    vars
}

/// Shows the settings. A batch need not be there: a task definition has none.
fn check_config(vars: &[(OsString, OsString)]) -> Exit {
    task::warn_of(&Misspelt::all(vars));
    let config = match Config::without_batch(vars.iter().cloned()) {
        Ok(config) => config,
        Err(faults) => return task::refuse_config(&faults),
    };
    let entries = match config.batch.is_some().then(|| task::read_variable(&config)).transpose() {
        Ok(entries) => entries.map(|entries| event::select(entries, &config.destination)),
        Err(why) => {
            stderr_line(&why);
            return Exit::Batch;
        }
    };
    print(&preview(&config, entries.as_deref(), Machine::within(&config.limits)))
}

fn print(text: &str) -> Exit {
    stdout_line(text);
    Exit::Done
}

/// The settings in the variables' own words, and the fate of each entry.
fn preview(config: &Config, entries: Option<&[Entry]>, machine: Machine) -> String {
    let mut text = String::from("Settings (* differs from the default):\n");
    for (variable, set) in VARIABLES.iter().zip(&config.settings) {
        text += &setting(variable, set, machine);
    }
    text += &format!("\nThreads: {}\n", machine.threads);
    for size in &config.spec.sizes {
        text += &format!("Spec of {size}: {}\n", config.spec.hash(*size));
    }
    text += "\nExamples:\n";
    for example in EXAMPLE_KEYS {
        text += &outputs_of(config, example);
    }
    let Some(entries) = entries else {
        return text + "\nSQS_BODY is not set: no entries. Nothing was read or written.";
    };
    text += &format!("\nEntries: {}\n", entries.len());
    for Entry { pointer, kind, .. } in entries {
        let fate = match kind {
            EntryKind::Work(object) if config.destination.feeds_itself(object) => {
                format!("fail    {object}: {}", FailReason::WouldLoop.as_str())
            }
            EntryKind::Work(object) => format!("make    {object}"),
            EntryKind::Skip { object: Some(object), reason } => {
                format!("skip    {object}: {}", reason.as_str())
            }
            EntryKind::Skip { object: None, reason } => format!("skip    {}", reason.as_str()),
            EntryKind::Invalid { message, .. } => {
                format!("fail    {}: {}", FailReason::InvalidEntry.as_str(), one_line(message))
            }
            EntryKind::Reference(reference) => format!("read    the batch {}", reference.batch),
            EntryKind::Unread { reference, reason, .. } => format!("fail    {}: {}", reference.batch, reason.as_str()),
        };
        text += &format!("  {pointer:<14}{fate}\n");
    }
    text + "\nNothing was read or written."
}

/// Source keys whose outputs are shown.
const EXAMPLE_KEYS: [&str; 2] = ["photos/cat.jpg", "photos/dog.png"];

/// The keys of the outputs of an example, one a line.
fn outputs_of(config: &Config, example: &str) -> String {
    let bucket = config.source_bucket.as_ref().map_or("<source bucket>", BucketName::as_str);
    let extensions = config.spec.encoding.extensions();
    let keys = config.spec.sizes.iter().filter_map(|size| {
        let key = ObjectKey::parse(example).ok()?;
        config.destination.output_key(*size, &key, extensions).ok()
    });
    let place = &config.destination.bucket;
    keys.map(|key| format!("  s3://{bucket}/{example} -> s3://{place}/{}\n", one_line(key.as_str()))).collect()
}

/// One line of the settings: `NAME=value`, and the default if it differs.
fn setting(variable: &Variable, set: &Setting, machine: Machine) -> String {
    let Variable { name, default, .. } = variable;
    let from_preset = if set.preset.is_some() { "by PRESET, " } else { "" };
    match (set.text.as_deref().map(one_line), default) {
        (Some(_), _) if *name == "SQS_BODY" => {
            format!("  {name}: {} bytes\n", set.text.as_deref().unwrap_or_default().len())
        }
        (Some(text), _) if set.is_changed => format!("* {name}={text} ({from_preset}default: {default})\n"),
        (Some(text), _) if set.preset.is_some() => format!("  {name}={text} (by PRESET)\n"),
        (Some(text), _) => format!("  {name}={text}\n"),
        (None, DefaultValue::Text(text)) => format!("  {name}={text}\n"),
        (None, _) => match *name {
            "MEMORY_LIMIT_BYTES" => format!("  {name}={} ({default})\n", machine.memory_bytes),
            "CONCURRENCY" => format!("  {name}={} ({default})\n", machine.concurrency),
            _ => format!("  {name} is not set\n"),
        },
    }
}

fn help() -> String {
    let mut text = String::from(
        "pixpipe makes fixed-size training images of the S3 objects in SQS_BODY, writes them to DEST_BUCKET, and \
         exits.\n\n\
         Arguments: none, or one of\n  \
         --batch FILE        read the batch from a file, or from standard input (-), in place of SQS_BODY\n  \
         --check-config      show the settings and the fate of each entry; read and write nothing\n  \
         --check-access      one request to each bucket and queue: is it there, and may it be used?\n  \
         --help, --version\n\nEnvironment:\n",
    );
    for variable in VARIABLES {
        let default = match variable.default {
            DefaultValue::Required => "required".to_owned(),
            other => format!("default: {other}"),
        };
        text += &format!("  {} ({default})\n", variable.name);
        for line in wrapped(&variable.meaning.replace('`', ""), 90) {
            text += &format!("{:22}{line}\n", "");
        }
        text += &format!("{:22}Accepted: {}\n", "", variable.accepts);
    }
    text += "  AWS_*\n                      Region, credentials and endpoints, as in every AWS SDK.\n\n\
             SQS_BODY is one of these shapes, an array that mixes them, or one a line; each may also arrive as a \
             JSON string:\n  \
             S3 notification     {\"Records\":[{\"eventSource\":\"aws:s3\",...}]}, or a lone record of it\n  \
             EventBridge event   {\"source\":\"aws.s3\",\"detail-type\":\"Object Created\",...}\n  \
             SNS envelope        {\"Type\":\"Notification\",\"Message\":\"...\"}\n  \
             SQS message         {\"messageId\":...,\"body\":...}\n  \
             Lambda event        {\"Records\":[{\"eventSource\":\"aws:sqs\",\"body\":...}]}\n  \
             object              {\"bucket\":...,\"key\":...}, \"s3://bucket/key\"\n  \
             key                 {\"Key\":...}, or the key alone, with SOURCE_BUCKET\n  \
             batcher             {\"Items\":[...],\"BatchInput\":{\"bucket\":...}}\n  \
             reference           {\"batch\":\"s3://bucket/key\"}: an object that holds a batch\n\n\
             Outputs: DEST_PREFIX<W>x<H>/<source key> (FIT=short: short<N>/), with .jpg, .png, .webp or .npy appended \
             if missing\n\n\
             Exit codes:\n  \
             0                   every record written, skipped or handed back\n  \
             1                   at least one record failed for good and was not handed back\n  \
             64                  the arguments are not accepted\n  \
             65                  the batch cannot be read\n  \
             75                  unfinished work that is worth retrying was not handed back\n  \
             78                  the configuration is at fault\n\n\
             Reasons of failed records:\n  ";
    let reasons: Vec<&str> = FailReason::ALL.iter().map(|reason| reason.as_str()).collect();
    text += &reasons.join(", ");
    text
}

/// The text in lines of at most `columns` characters, unless a word is longer.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_shown_on_one_line_and_a_body_by_its_own_length() {
        let machine = Machine { threads: 1, concurrency: 8, requests: 8, memory_bytes: 1 << 30 };
        let shown = |name: &str, text: Option<&str>, is_changed| {
            let variable = VARIABLES.iter().find(|variable| variable.name == name).expect("a variable");
            setting(variable, &Setting { text: text.map(str::to_owned), is_changed, preset: None }, machine)
        };
        assert_eq!(shown("SQS_BODY", Some("[\n\n]"), false), "  SQS_BODY: 4 bytes\n");
        assert_eq!(shown("DEST_PREFIX", Some("it's\n"), true), "* DEST_PREFIX=it's\\n (default: empty)\n");
        assert_eq!(shown("FIT", None, false), "  FIT=cover\n");
        let by_preset = |name: &str, text: &str, is_changed| {
            let variable = VARIABLES.iter().find(|variable| variable.name == name).expect("a variable");
            setting(variable, &Setting { text: Some(text.to_owned()), is_changed, preset: Some("clip-224") }, machine)
        };
        assert_eq!(by_preset("SIZES", "224@224", true), "* SIZES=224@224 (by PRESET, default: 224)\n");
        assert_eq!(by_preset("FIT", "cover", false), "  FIT=cover (by PRESET)\n");
        assert_eq!(shown("CONCURRENCY", None, false), "  CONCURRENCY=8 (32 × CPUs)\n");
        assert_eq!(shown("SOURCE_BUCKET", None, false), "  SOURCE_BUCKET is not set\n");
    }
}
