#!/usr/bin/env python3
"""Makes the seeded mistakes in copies of an initialised copy of the module; for each, its check must fail.

Mistakes that different checks see share a copy, and so one run of Terraform; only the checks that are named run. A
copy without mistakes, of each scenario, must pass all of them.

usage: mutations.py WORK --out DIR [--node-modules DIR] [--jobs N] [--only TEXT]
"""

import argparse
import concurrent.futures
import importlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import sources
from mistakes import MISTAKES
from world import Absent, World

SCENARIOS = (
    "direct", "direct_keys", "batched", "batched_s3", "defaults", "off", "backfill", "direct_backfill", "event",
    "drain",
)  # fmt: skip
MOST_OF_A_COPY = 8


class Unseen(Exception):
    """Why a mistake counts as not seen, or a control as not passed."""


def seed(folder, mistakes):
    """Writes the mistakes into a copy of the module."""
    for mistake in mistakes:
        path = folder / mistake.file
        text = path.read_text(encoding="utf-8")
        if mistake.right not in text:
            raise LookupError(f"{mistake.file} has no {mistake.right!r}: change the mistake with the module")
        path.write_text(text.replace(mistake.right, mistake.wrong), encoding="utf-8")


def groups_of(mistakes):
    """Mistakes that may share a copy: of one scenario, of different checks, and not in each other's text."""
    groups = []
    for mistake in mistakes:
        for group in groups:
            apart = all(
                not (mistake.alone or other.alone)
                and mistake.seen_by != other.seen_by
                and (mistake.file != other.file or not (mistake.right in other.right or other.right in mistake.right))
                for other in group
            )
            if group[0].shown_by == mistake.shown_by and apart and len(group) < MOST_OF_A_COPY:
                group.append(mistake)
                break
        else:
            groups.append([mistake])
    return groups


def terraform_test(folder, file):
    command = ["terraform", "test", "-json", "-verbose", f"-filter={file}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def diagnostics(output):
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    found = [m["diagnostic"] for m in messages if m.get("type") == "diagnostic"]
    return [f"{d['summary']} {d['detail']} {d.get('snippet', {}).get('context', '')}" for d in found]


def applied(folder, scenario):
    """The scenario as the copy of the module makes it."""
    head, *runs = (folder / "tests/scenarios.tftest.hcl").read_text(encoding="utf-8").split("\nrun ")
    (run,) = [run for run in runs if run.startswith(f'"{scenario}" ')]
    (folder / "tests/one.tftest.hcl").write_text(f"{head}\nrun {run}", encoding="utf-8")
    done = terraform_test(folder, "tests/one.tftest.hcl")
    if done.returncode:
        raise Unseen(f"terraform failed: {diagnostics(done.stdout)} {done.stderr[-500:]}")
    path = folder / "applied.json"
    path.write_text(done.stdout, encoding="utf-8")
    return path


def says(check, world):
    """What a check says if it fails; None if it passes."""
    if check == "terraform":
        return None  # it has not refused
    module, function = check.split(".")
    try:
        getattr(importlib.import_module(f"checks.{module}"), function)(world)
    except Absent:  # the rest of the check is about a scenario that was not applied
        return None
    except Exception as error:  # a check that breaks has failed
        return f"{type(error).__name__} {error}"
    return None


def seen_in_scenario(folder, group, node_modules):
    try:
        path = applied(folder, group[0].shown_by)
    except Unseen as unseen:
        if group[0].seen_by == "terraform":
            return [str(unseen)]
        raise
    world = World(path, node_modules, fast=True)
    return [says(mistake.seen_by, world) for mistake in group]


def seen_in_sources(folder, group, _):
    def said(mistake):
        try:
            getattr(sources, mistake.seen_by)(folder, folder)
        except AssertionError as error:
            return str(error)
        return None

    return [said(mistake) for mistake in group]


def seen_at_bounds(folder, group, _):
    """Values that the right module refuses, and this one must accept: then the check of the bounds fails."""
    planned = sources.rounds([(dict(mistake.given), mistake.seen_by) for mistake in group])
    values = [{k: v for given, _ in members for k, v in given.items()} for members in planned]
    said = {}
    for members, details in zip(planned, sources.plans(folder, folder, values), strict=True):
        for _, variable in members:
            said[variable] = None if any(f"{variable}: " in detail for detail in details) else f"{variable} is accepted"
    return [said[mistake.seen_by] for mistake in group]


def seen_in_example(folder, group, _):
    done = terraform_test(folder / "examples/complete", "tests/complete.tftest.hcl")
    said = diagnostics(done.stdout)
    return [next((one for one in said if mistake.seen_by in one), None) for mistake in group]


# A run of the example's test that fails ends the test, so each of its two runs has a kind of its own.
KINDS = {
    "source": seen_in_sources,
    "bounds": seen_at_bounds,
    "example": seen_in_example,
    "private_example": seen_in_example,
}


def run(group, work, out, node_modules):
    """[(mistake, what its check says; None: nothing)]"""
    folder = out / f"{group[0].shown_by}-{MISTAKES.index(group[0])}"
    shutil.copytree(work, folder, symlinks=True)
    try:
        seed(folder, group)
        return list(zip(group, KINDS.get(group[0].shown_by, seen_in_scenario)(folder, group, node_modules)))
    except Unseen as unseen:
        return [(mistake, f"UNSEEN {unseen}") for mistake in group]
    finally:
        shutil.rmtree(folder)


def control(scenario, work, out, node_modules):
    """The named checks of a scenario that fail although nothing is wrong."""
    folder = out / f"control-{scenario}"
    shutil.copytree(work, folder, symlinks=True)
    try:
        world = World(applied(folder, scenario), node_modules, fast=True)
        named = {mistake.seen_by for mistake in MISTAKES if mistake.shown_by == scenario}
        return {check: said for check in sorted(named) if (said := says(check, world))}
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--node-modules")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only mistakes whose label contains this text, each alone")
    arguments = parser.parse_args()
    work, out = arguments.work.resolve(), arguments.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    given = (work, out, arguments.node_modules)
    chosen = [mistake for mistake in MISTAKES if arguments.only in mistake.label]
    groups = [[mistake] for mistake in chosen] if arguments.only else groups_of(chosen)
    begin, passed, failed = time.monotonic(), 0, 0
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        controls = {} if arguments.only else {s: pool.submit(control, s, *given) for s in SCENARIOS}
        runs = [pool.submit(run, group, *given) for group in groups]
        for scenario, future in controls.items():
            wrong = future.result()
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"{'FAIL ' if wrong else 'ok   '} control: {scenario}{f': {wrong}' if wrong else ''}", flush=True)
        for future in runs:
            for mistake, said in future.result():
                right = said is not None and not said.startswith("UNSEEN") and mistake.says in said
                passed, failed = passed + right, failed + (not right)
                what = mistake.seen_by if right else f"{mistake.seen_by} says {str(said)[:400]}"
                print(f"{'ok   ' if right else 'FAIL '} {mistake.label} ({mistake.file}): {what}", flush=True)
    print(f"mutations: {passed} passed, {failed} failed; {len(groups)} copies, {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
