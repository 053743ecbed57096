//! The layers of the architecture, read off the sources: an arrow only ever points down.
//!
//! The wall around the pixels is the compiler's: the crate `pixpipe-pixels` depends on nothing that knows I/O. Here is
//! its list of dependencies, and the rules that no compiler holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of each layer of the task, from the bottom; a module that is not listed is a mistake.
const LAYERS: [&[&str]; 3] = [
    &["config", "destination", "event", "object", "one_line", "outcome", "reason"],
    &["aws", "budget", "child", "log", "machine", "pool", "queue", "signals", "store"],
    &["batch", "cli", "task"],
];

/// Words that a layer may not contain: values know no I/O and no clock, the world knows no pixels.
const FORBIDDEN: [&[&str]; 2] = [
    &["tokio::", "futures_util", "async ", "aws_", "std::fs", "std::net", "std::env", "Instant::now", "SystemTime"],
    &["pixpipe_pixels"],
];

/// Crates that one module alone names.
const SOLE_USERS: [(&str, &str); 9] = [
    ("fast_image_resize", "scale"),
    ("fdeflate::", "codec"),
    ("moxcms", "color"),
    ("turbojpeg", "codec"),
    ("re_rav1d", "codec"),
    ("image::", "codec"),
    ("tiff::", "codec"),
    ("aws_sdk_s3", "store"),
    ("aws_sdk_sqs", "queue"),
];

/// All that the pixels may depend on.
const PIXELS_DEPEND_ON: [&str; 10] = [
    "fast_image_resize",
    "fdeflate",
    "image",
    "md-5",
    "memchr",
    "moxcms",
    "re_rav1d",
    "thiserror",
    "tiff",
    "turbojpeg",
];

#[test]
fn no_layer_reaches_up() {
    let mut faults = Vec::new();
    for (module, path, text) in sources("src") {
        let Some(layer) = LAYERS.iter().position(|modules| modules.contains(&module.as_str())) else {
            faults.push(format!("{}: the module {module} belongs to no layer", path.display()));
            continue;
        };
        for used in text.match_indices("crate::").map(|(at, prefix)| &text[at + prefix.len()..]) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if LAYERS.iter().position(|modules| modules.contains(&used.as_str())) > Some(layer) {
                faults.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
        for name in FORBIDDEN.get(layer).copied().unwrap_or_default() {
            if text.contains(name) {
                faults.push(format!("{}: layer {layer} names {name}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_belongs_to_one_module() {
    let mut faults = Vec::new();
    for (module, path, text) in sources("src").into_iter().chain(sources("crates/pixels/src")) {
        for (name, user) in SOLE_USERS {
            let names_it = text
                .match_indices(name)
                .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if names_it && module != user {
                faults.push(format!("{}: {name} belongs to {user}", path.display()));
            }
        }
        if text.contains("std::env::") || text.contains("process::exit") {
            faults.push(format!("{}: only main reads the environment and ends the process", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `{:?}` shows a value as Rust writes it: `Some("x")`. Messages are for users of any language.
#[test]
fn no_text_shows_a_value_as_rust_writes_it() {
    let mut faults = Vec::new();
    for (_, path, text) in sources("src").into_iter().chain(sources("crates/pixels/src")) {
        for line in text.lines().filter(|line| line.contains(":?}") || line.contains(":#?}")) {
            faults.push(format!("{}: {}", path.display(), line.trim()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pixels_depend_on_nothing_that_knows_the_world() {
    let manifest = fs::read_to_string(root().join("crates/pixels/Cargo.toml")).expect("readable");
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").expect("a table of dependencies");
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let mut names: Vec<&str> = dependencies.lines().filter_map(|line| Some(line.split_once(" =")?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, PIXELS_DEPEND_ON);
}

#[test]
fn main_is_short() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("readable");
    assert!(main.lines().count() <= 60);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below a folder but `main.rs` and `lib.rs`: its top module, its path and its code without comments
/// and tests.
fn sources(below: &str) -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("main.rs") && !path.ends_with("lib.rs") && !path.ends_with("tests.rs") {
                let relative = path.strip_prefix(root().join(below)).expect("inside");
                let first = relative.iter().next().expect("a name").to_string_lossy();
                found.push((first.trim_end_matches(".rs").to_owned(), path.clone(), code(&path)));
            }
        }
    }
    assert!(found.len() > 10);
    found
}

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
