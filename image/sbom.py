#!/usr/bin/env python3
"""Writes target/sbom.cdx.json: what the image's binary is made of, as CycloneDX 1.5.

cargo-cyclonedx lists the crates. C that a crate brings along, and the C library, are unknown to it: they are added here.
"""

import json
import platform
import re
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
TARGET = f"{platform.machine()}-unknown-linux-gnu"
TOOL_VERSION = "0.5.9"
TOOLS = TREE / "target" / "tools"
OUTPUT = TREE / "target" / "sbom.cdx.json"


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=TREE, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates():
    """The crates that end in the binary, without what only builds it."""
    tool = TOOLS / "bin" / "cargo-cyclonedx"
    cargo("install", "--quiet", "--locked", "--version", TOOL_VERSION, "--root", str(TOOLS), "cargo-cyclonedx")
    # The tool writes beside Cargo.toml only.
    written = TREE / "pixpipe.cdx.json"
    options = ["--format", "json", "--spec-version", "1.5", "--no-build-deps", "--target", TARGET]
    subprocess.run([tool, "cyclonedx", "--quiet", *options, "--override-filename", "pixpipe.cdx"], cwd=TREE, check=True)
    # Where this folder is, is nobody's business.
    bom = json.loads(written.read_text().replace(f"path+file://{TREE}#", ""))
    written.unlink()
    return bom


def libjpeg_turbo():
    """The one that turbojpeg-sys has in its package; its own build says the version."""
    packages = json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]
    [manifest] = [package["manifest_path"] for package in packages if package["name"] == "turbojpeg-sys"]
    build = (Path(manifest).parent / "libjpeg-turbo" / "CMakeLists.txt").read_text()
    [version] = re.findall(r"^set\(VERSION ([\d.]+)\)", build, re.MULTILINE)
    licenses = [{"license": {"id": name}} for name in ["IJG", "BSD-3-Clause", "Zlib"]]
    return library("libjpeg-turbo", version, f"pkg:github/libjpeg-turbo/libjpeg-turbo@{version}", licenses)


def glibc():
    """That of the machine that links; in the Dockerfile's build stage, Debian 12's."""
    _, version = platform.libc_ver()
    return library("glibc", version, f"pkg:generic/glibc@{version}", [{"license": {"id": "LGPL-2.1-or-later"}}])


def library(name, version, purl, licenses):
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": "required",
            "licenses": licenses, "purl": purl}  # fmt: skip


def main():
    bom = crates()
    jpeg, libc = libjpeg_turbo(), glibc()
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


if __name__ == "__main__":
    main()
