#!/usr/bin/env python3
"""Fails if a line of a source or a document is wider than 120 columns.

Not counted: rows of Markdown tables, and lines that hold a web address or a digest. Cargo.toml is not checked: there a
dependency and the reason for it stand on one line.
"""
import re
import subprocess
import sys
from pathlib import Path

COLUMNS = 120
ROOT = Path(__file__).resolve().parents[1]
CHECKED = re.compile(
    r"\.(rs|md|py|sh|tf|hcl|jsonata|tftpl|ya?ml|mjs|cjs)$|(^|/)(Makefile|Dockerfile|run)$|^\.editorconfig$"
)
EXEMPT = re.compile(r"^\s*\||https?://|@sha256:|hashFiles")


def main():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    wide = 0
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not CHECKED.search(name) or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if len(line) > COLUMNS and not EXEMPT.search(line):
                print(f"{name}:{number}: {len(line)} columns, {COLUMNS} are allowed: break the line")
                wide += 1
    sys.exit(wide > 0)


main()
