//! The documents and the program say the same.

use std::fs;
use std::path::{Path, PathBuf};

use pixpipe::config::{DefaultValue, Preset, VARIABLES};
use pixpipe::outcome::Exit;
use pixpipe::reason::{FailReason, SkipReason};
use pixpipe::task::CPU_LIMIT;
use pixpipe_pixels::spec::Spec;

const BEGIN: &str = "<!-- variables: generated from src/config.rs, checked by cargo test -->\n";
const END: &str = "<!-- /variables -->";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn contract() -> String {
    fs::read_to_string(path("docs/contract.md")).expect("a readable contract")
}

fn table() -> String {
    let mut table = String::from("| variable | default | accepted | meaning |\n|---|---|---|---|\n");
    for variable in VARIABLES {
        let default = match variable.default {
            DefaultValue::Text(text) if !text.is_empty() => format!("`{text}`"),
            other => other.to_string(),
        };
        let (name, accepts, meaning) = (variable.name, variable.accepts, variable.meaning);
        table += &format!("| `{name}` | {default} | {accepts} | {meaning} |\n");
    }
    table
}

/// `UPDATE_DOCUMENTS=1 cargo test --test it documents` writes the table.
#[test]
fn the_contract_has_the_table_of_the_variables() {
    let contract = contract();
    let (before, rest) = contract.split_once(BEGIN).expect("the mark before the table");
    let (written, after) = rest.split_once(END).expect("the mark behind the table");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        let updated = format!("{before}{BEGIN}{}{END}{after}", table());
        fs::write(path("docs/contract.md"), updated).expect("a writable contract");
    } else {
        assert!(written == table(), "UPDATE_DOCUMENTS=1 cargo test --test it documents writes this:\n{}", table());
    }
}

#[test]
fn the_contract_has_every_reason_exit_code_and_the_spec_of_the_defaults() {
    let contract = contract();
    let reasons = FailReason::ALL.iter().map(|reason| reason.as_str());
    for word in reasons.chain(SkipReason::ALL.iter().map(|reason| reason.as_str())) {
        assert!(contract.contains(&format!("`{word}`")), "no reason {word}");
    }
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Batch, Exit::Retry, Exit::Config] {
        assert!(contract.contains(&format!("\n| {} |", exit.code())), "no exit code {}", exit.code());
    }
    let limit = format!("| CPU time of one image | {} s,", CPU_LIMIT.as_secs());
    assert!(contract.contains(&limit), "no line {limit}");
    let spec = Spec::default();
    let text = spec.text(spec.sizes[0]);
    // The command that shows it goes over two lines.
    let contract = contract.replace("\\\n", "");
    assert!(contract.contains(&text) && contract.contains(&spec.hash(spec.sizes[0])), "not the spec text {text}");
}

#[test]
fn the_page_of_the_presets_has_the_settings_of_each() {
    let page = fs::read_to_string(path("docs/presets.md")).expect("a readable page");
    for preset in Preset::ALL {
        let settings = preset.settings();
        let (geometry, others) = settings.split_at(4);
        let cells: Vec<String> = geometry.iter().map(|(_, text)| format!("`{text}`")).collect();
        let row = format!("| `{}` | {} |\n", preset.name, cells.join(" | "));
        assert!(page.contains(&row), "no row {row}");
        for (variable, text) in others {
            assert!(page.contains(&format!("`{variable}={text}`")), "no {variable}={text}");
        }
    }
}

/// The example names photos that are there, and variables that exist.
#[test]
fn the_compose_example_is_about_this_program() {
    let text = fs::read_to_string(path("examples/compose.yaml")).expect("a readable example");
    let (_, service) = text.split_once("\n  pixpipe:\n").expect("the service");
    let (service, _) = service.split_once("\n  outputs:\n").expect("the next service");
    let (_, environment) = service.split_once("    environment:\n").expect("its environment");
    let (variables, photos): (Vec<&str>, Vec<&str>) =
        environment.lines().filter(|line| !line.trim_start().starts_with('#')).partition(|line| line.contains(": "));
    for line in variables {
        let name = line.trim().split(':').next().unwrap_or_default();
        let is_known = name.starts_with("AWS_") || VARIABLES.iter().any(|variable| variable.name == name);
        assert!(is_known, "no variable {name}");
    }
    let photos: Vec<&str> = photos.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    assert_eq!(photos.len(), 4, "{photos:?}");
    for photo in photos {
        assert!(path("testdata/photos").join(photo).exists(), "no photo {photo}");
    }
}

/// Every relative link of every document leads to a file.
#[test]
fn links_lead_somewhere() {
    let mut folders = vec![path("")];
    let mut broken = Vec::new();
    let mut links = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if file.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
                folders.push(file);
            } else if file.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&file).expect("readable");
                for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
                    if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                        continue;
                    }
                    links += 1;
                    if !folder.join(link).exists() {
                        broken.push(format!("{}: {link}", file.display()));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty() && links > 50, "{links} links, broken:\n{}", broken.join("\n"));
}
