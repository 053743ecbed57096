#!/usr/bin/env python3
"""Writes target/sbom.cdx.json: the components of the program that ships, as CycloneDX 1.5.

    python image/sbom.py                   # needs the network once, for cargo-cyclonedx
    python image/sbom.py --program FILE    # for this program, which may be linked with the glibc of another machine
    python image/sbom.py --libjpeg-turbo   # prints the component of libjpeg-turbo alone, for its test

cargo-cyclonedx describes the crates. It does not know which features ship: cargo's metadata unites those of all members
of the workspace and of their dev-dependencies. So its list is cut down to the crates that `cargo tree` shows for the
package pixpipe. Two C libraries, which neither of them knows, are added here.
"""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
TARGET = f"{platform.machine()}-unknown-linux-gnu"
PACKAGE = "pixpipe"
TOOL_VERSION = "0.5.9"
TOOLS = TREE / "target" / "tools"
WRITTEN = "sbom-of-member.cdx"  # the tool writes a file of this name beside each member's Cargo.toml
OUTPUT = TREE / "target" / "sbom.cdx.json"


def main():
    metadata = cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET)
    packages = json.loads(metadata)["packages"]
    if sys.argv[1:] == ["--libjpeg-turbo"]:
        print(json.dumps(libjpeg_turbo(packages)))
        return
    bom = cut_down(described(packages), shipped())
    program = Path(sys.argv[2]) if sys.argv[1:2] == ["--program"] else None
    jpeg, libc = libjpeg_turbo(packages), glibc(program)
    bom["components"] += [jpeg, libc]
    root = bom["metadata"]["component"]["bom-ref"]
    for dependency in bom["dependencies"]:
        if "turbojpeg-sys@" in dependency["ref"]:
            dependency.setdefault("dependsOn", []).append(jpeg["bom-ref"])
        if dependency["ref"] == root:
            dependency.setdefault("dependsOn", []).append(libc["bom-ref"])
    bom["dependencies"] += [{"ref": jpeg["bom-ref"]}, {"ref": libc["bom-ref"]}]
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(bom, indent=1) + "\n")
    print(f"{OUTPUT.relative_to(TREE)}: {len(bom['components'])} components")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=TREE, check=True, stdout=subprocess.PIPE, text=True).stdout


def described(packages):
    """The SBOM of the package as the tool writes it."""
    tool = TOOLS / "bin" / "cargo-cyclonedx"
    cargo("install", "--quiet", "--locked", "--version", TOOL_VERSION, "--root", str(TOOLS), "cargo-cyclonedx")
    options = ["--format", "json", "--spec-version", "1.5", "--no-build-deps", "--target", TARGET]
    folders = [Path(package["manifest_path"]).parent for package in packages if package["source"] is None]
    try:
        subprocess.run([tool, "cyclonedx", "--quiet", *options, "--override-filename", WRITTEN], cwd=TREE, check=True)
        text = (TREE / f"{WRITTEN}.json").read_text()
    finally:
        for folder in folders:
            (folder / f"{WRITTEN}.json").unlink(missing_ok=True)
    # Without the path of this folder.
    bom = json.loads(text.replace(f"file://{TREE}", "file://."))
    assert bom["metadata"]["component"]["name"] == PACKAGE, "the root of the workspace is not the package pixpipe"
    return bom


def shipped():
    """Name and version of all crates that are linked into the program, with its default features."""
    options = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    lines = cargo("tree", "--locked", "--package", PACKAGE, "--target", TARGET, *options).splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, lines))}


def cut_down(bom, crates):
    """The SBOM with these crates only, in its components and in its graph of dependencies."""
    bom["components"] = [part for part in bom["components"] if (part["name"], part["version"]) in crates]
    root = bom["metadata"]["component"]
    missing = crates - {(part["name"], part["version"]) for part in [root, *bom["components"]]}
    assert not missing, f"cargo-cyclonedx does not list {sorted(missing)}"
    refs = {part["bom-ref"] for part in [root, *bom["components"]]}
    bom["dependencies"] = [
        {**dependency, "dependsOn": [ref for ref in dependency.get("dependsOn", []) if ref in refs]}
        for dependency in bom["dependencies"]
        if dependency["ref"] in refs
    ]
    return bom


def libjpeg_turbo(packages):
    """The library in the package turbojpeg-sys, whose own build names its version."""
    [manifest] = [package["manifest_path"] for package in packages if package["name"] == "turbojpeg-sys"]
    build = (Path(manifest).parent / "libjpeg-turbo" / "CMakeLists.txt").read_text()
    [version] = re.findall(r"^set\(VERSION ([\d.]+)\)", build, re.MULTILINE)
    licenses = [{"license": {"id": name}} for name in ["IJG", "BSD-3-Clause", "Zlib"]]
    return library("libjpeg-turbo", version, f"pkg:github/libjpeg-turbo/libjpeg-turbo@{version}", licenses)


def glibc(program):
    """The C library: the one that the program carries, else that of this machine, which would link it."""
    if program:
        [version] = re.findall(rb"GNU C Library .* stable release version ([\d.]+)\.\n", program.read_bytes())
        version = version.decode()
    else:
        _, version = platform.libc_ver()
    return library("glibc", version, f"pkg:generic/glibc@{version}", [{"license": {"id": "LGPL-2.1-or-later"}}])


def library(name, version, purl, licenses):
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": "required",
            "licenses": licenses, "purl": purl}  # fmt: skip


if __name__ == "__main__":
    main()
