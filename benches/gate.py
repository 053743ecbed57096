#!/usr/bin/env python3
"""Counts the instructions of a render, and compares them with gate.tsv: a loss of vector instructions shows at once.

usage: gate.py GATE [--write]

GATE is the program that `cargo bench --bench gate --no-run` leaves. valgrind counts by its tool callgrind. A render's
count is that of three renders less that of one, halved: starting up and building tables is not in it. Counts do not
depend on the load of the machine, but on the compiler and the CPU's features: gate.tsv names both, and on others the
counts are only shown. --write puts them into gate.tsv.
Exit code: 0 within 5 % of gate.tsv, 1 outside, 77 skipped: no valgrind, or another compiler or CPU.
"""
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benches" / "gate.tsv"
TOLERANCE = 0.05
# By the sides of the photos, JPEGs are decoded at 1/8, 1/4, 1/2 (4:2:0) and 1/2 (4:4:4).
CASES = [
    ("retina.jpg", "80"),
    ("retina.jpg", "160"),
    ("retina.jpg", "300"),
    ("rocket.jpg", "80"),
    ("coffee.png", "224"),
]


def instructions(gate, times, size, photo):
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", gate, str(times), size, photo]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return int(found[1])


def here():
    """What the counts depend on. valgrind has AVX2 if the CPU has."""
    said = subprocess.run(["rustc", "--version"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    cpu = Path("/proc/cpuinfo")
    has_avx2 = cpu.exists() and " avx2 " in cpu.read_text()
    return f"rustc {said.split()[1]}, {platform.machine()}{', AVX2' if has_avx2 else ''}"


def main():
    arguments = sys.argv[1:]
    if not arguments or set(arguments[1:]) - {"--write"}:
        sys.exit(__doc__)
    if not shutil.which("valgrind"):
        print("SKIPPED gate: valgrind is not installed")
        sys.exit(77)
    counts = {}
    for photo, size in CASES:
        path = ROOT / "testdata" / "photos" / photo
        one, three = (instructions(arguments[0], times, size, path) for times in (1, 3))
        counts[f"{photo} to {size}"] = (three - one) // 2
    if "--write" in arguments:
        rows = [f"{case}\t{count}\n" for case, count in counts.items()]
        TABLE.write_text(f"{here()}\n{''.join(rows)}")
    then, *rows = TABLE.read_text().splitlines()
    expected = {case: int(count) for case, count in (row.split("\t") for row in rows)}
    outside = 0
    for case, count in counts.items():
        off = count / expected[case] - 1
        outside += abs(off) > TOLERANCE
        print(f"{case}: {count:,} instructions, {off:+.1%}")
    if then != here():
        print(f"SKIPPED gate: the counts of gate.tsv are those of {then}; here is {here()}")
        sys.exit(77)
    if outside:
        sys.exit(f"{outside} of {len(counts)} are more than {TOLERANCE:.0%} off: find out why, or run with --write")


if __name__ == "__main__":
    main()
