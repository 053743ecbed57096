//! The architecture's four layers, read off the sources: an arrow only ever points down.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of each layer, from the bottom; what is not listed is a mistake.
const LAYERS: [&[&str]; 4] = [
    &["config", "event", "geometry", "object", "spec"],
    &["codec", "color", "pixels", "render", "scale"],
    &["aws", "child", "handback", "memory", "pool", "shutdown", "store", "telemetry"],
    &["batch", "cli", "outcome", "report"],
];

/// What the values and the pixels may not name: I/O, async, AWS; values neither codecs nor the clock.
const FORBIDDEN: [&[&str]; 2] = [
    &[
        "tokio::",
        "futures_util",
        "async ",
        "aws_",
        "image::",
        "tiff::",
        "turbojpeg::",
        "fast_image_resize",
        "moxcms::",
        "std::fs",
        "std::net",
        "std::env",
        "Instant::now",
        "SystemTime",
    ],
    &["tokio::", "futures_util", "async ", "aws_", "std::fs", "std::net", "std::env"],
];

/// Crates that one module alone names.
const SOLE_USERS: [(&str, &str); 7] = [
    ("fast_image_resize", "scale"),
    ("moxcms", "color"),
    ("turbojpeg", "codec"),
    ("image::", "codec"),
    ("tiff::", "codec"),
    ("aws_sdk_s3", "store"),
    ("aws_sdk_sqs", "handback"),
];

#[test]
fn no_layer_reaches_up() {
    let mut faults = Vec::new();
    for (module, path, text) in sources() {
        let Some(layer) = LAYERS.iter().position(|modules| modules.contains(&module.as_str())) else {
            faults.push(format!("{}: the module {module} belongs to no layer", path.display()));
            continue;
        };
        for used in text.match_indices("crate::").map(|(at, prefix)| &text[at + prefix.len()..]) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let used_layer = LAYERS.iter().position(|modules| modules.contains(&used.as_str()));
            let is_pixels_from_world = layer == 2 && used_layer == Some(1);
            if used_layer.is_some_and(|used_layer| used_layer > layer) || is_pixels_from_world {
                faults.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
        for name in FORBIDDEN.get(layer).copied().unwrap_or_default() {
            if text.contains(name) {
                faults.push(format!("{}: layer {layer} names {name}", path.display()));
            }
        }
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

#[test]
fn main_is_short() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("readable");
    assert!(main.lines().count() <= 60);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file but `main.rs` and `lib.rs`: its top module, its path and its code without comments and tests.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("main.rs") && !path.ends_with("lib.rs") && !path.ends_with("tests.rs") {
                found.push((top_module(&path), path.clone(), code(&path)));
            }
        }
    }
    assert!(found.len() > 15);
    found
}

fn top_module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).expect("inside");
    let first = relative.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
