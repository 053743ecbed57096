//! The list of parts (`make sbom`) names the libjpeg-turbo that is linked: the version in the header that its build has
//! installed. The list itself takes the version from the sources, so a build against another library would show.
#![allow(missing_docs, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// The version that the newest build of turbojpeg-sys beside this test has installed.
fn built_version() -> String {
    let program = std::env::current_exe().expect("the path of this test");
    let builds = program.ancestors().nth(2).expect("deps lies in the profile's folder").join("build");
    let newest = fs::read_dir(&builds)
        .unwrap_or_else(|error| panic!("{}: {error}", builds.display()))
        .map(|entry| entry.expect("an entry of it").path().join("out/include/jconfig.h"))
        .filter(|header| header.exists())
        .max_by_key(|header| header.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH))
        .expect("turbojpeg-sys installs the headers of the library that it builds");
    let header = fs::read_to_string(&newest).expect("a header is text");
    let version = header.lines().find_map(|line| line.strip_prefix("#define LIBJPEG_TURBO_VERSION "));
    version.expect("a version of libjpeg-turbo").trim().to_owned()
}

#[test]
fn the_list_of_parts_names_the_libjpeg_turbo_that_is_linked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("python3")
        .args(["image/sbom.py", "--libjpeg-turbo"])
        .current_dir(root)
        .output()
        .expect("Python 3 is installed");
    let component = String::from_utf8_lossy(&output.stdout);
    let version = built_version();
    assert!(component.contains(r#""name": "libjpeg-turbo""#), "{component}{}", String::from_utf8_lossy(&output.stderr));
    assert!(component.contains(&format!(r#""version": "{version}""#)), "{version} was built, not {component}");
}
