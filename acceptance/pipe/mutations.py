#!/usr/bin/env python3
"""Makes each seeded mistake in a copy of an initialised copy of the module; some check must see it.

usage: mutations.py WORK --out DIR [--node-modules DIR] [--jobs N] [--only TEXT]
"""

import argparse
import concurrent.futures
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mistakes import CONTROLS, MISTAKES

HERE = Path(__file__).parent


def caught_by(mistake, work, out, node_modules):
    """The check that sees a mistake; None if no check does."""
    folder = out / re.sub(r"\W+", "_", mistake.label)
    shutil.copytree(work, folder, symlinks=True)
    try:
        seed(mistake, folder)
        done = apply(mistake, folder)
        if done.returncode:
            messages = map(json.loads, done.stdout.splitlines())
            errors = [m["diagnostic"]["summary"] for m in messages if m.get("type") == "diagnostic"]
            if not errors or any("plugin" in error for error in errors):
                raise RuntimeError(f"terraform failed, and not because of the mistake: {errors} {done.stderr[-500:]}")
            return f"terraform: {errors[0]}"
        return None if mistake.in_a_validation else first_failing_check(done.stdout, folder, node_modules)
    finally:
        shutil.rmtree(folder)


def seed(mistake, folder):
    """Writes the mistake into the module."""
    path = folder / mistake.file
    text = path.read_text(encoding="utf-8")
    if mistake.right not in text:
        raise LookupError(f"{mistake.file} has no {mistake.right!r}: change the mistake with the module")
    path.write_text(text.replace(mistake.right, mistake.wrong), encoding="utf-8")


def apply(mistake, folder):
    """Runs the one scenario or test that shows the mistake."""
    tests = folder / "tests" / ("refused.tftest.hcl" if mistake.in_a_validation else "scenarios.tftest.hcl")
    head, *runs = tests.read_text(encoding="utf-8").split("\nrun ")
    run = next(run for run in runs if run.startswith(f'"{mistake.shown_by}" '))
    (folder / "tests/one.tftest.hcl").write_text(f"{head}\nrun {run}", encoding="utf-8")
    command = ["terraform", "test", "-json", "-verbose", "-filter=tests/one.tftest.hcl"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def first_failing_check(applied, folder, node_modules):
    """The first check that fails on what was applied; None if all pass."""
    path = folder / "applied.json"
    path.write_text(applied, encoding="utf-8")
    command = [sys.executable, str(HERE / "check_stacks.py"), "--state", str(path), "--fast"]
    command += ["--node-modules", node_modules] if node_modules else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = [line[6:].split(":")[0] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    if done.returncode and not failed:
        raise RuntimeError(f"the checks did not run: {done.stderr}")
    return failed[0] if failed else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--node-modules")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only mistakes whose label contains this text")
    arguments = parser.parse_args()
    work, out = arguments.work.resolve(), arguments.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    mistakes = [mistake for mistake in CONTROLS + MISTAKES if arguments.only in mistake.label]
    begin, failed = time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        seen = pool.map(lambda mistake: caught_by(mistake, work, out, arguments.node_modules), mistakes)
        for mistake, check in zip(mistakes, seen):
            right = (check is None) == (mistake in CONTROLS)
            failed += not right
            mark = "ok   " if right else "FAIL "
            print(f"{mark} {mistake.label} ({mistake.file}): {check or 'no check sees it'}", flush=True)
    print(f"mutations: {len(mistakes) - failed} passed, {failed} failed; {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
