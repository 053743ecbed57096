#!/usr/bin/env python3
"""Runs the tests in stages that overlap: while one waits, another computes.

usage: test.py check | test

`check`: format, lints, unit and behaviour tests. `test`: everything. Each stage prints a heading, its output and its
seconds when it has ended; its log is target/test/<stage>.log. The last lines are a table of all stages, the reasons of
those that were SKIPPED (exit code 77), and the sum of all tests.
"""
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "target" / "test"
if not shutil.which("rustc"):
    sys.exit("rustc is missing: install Rust with rustup, which reads rust-toolchain.toml")
TRIPLE = subprocess.run(
    ["rustc", "--print", "host-tuple"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.strip()
# Incremental builds help whoever builds again; a clean clone is faster without.
if os.environ.get("CI"):
    os.environ.setdefault("CARGO_INCREMENTAL", "0")
# The stages hand files to each other below target/.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name not in ("CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS")}
DEBUG = ROOT / "target" / TRIPLE / "debug"
# A copy: the tests build the program again, with files that crash the decoder (`fault-switch`). A bench is built with
# it so that the dependencies have the features of the tests, and are not compiled twice.
PROGRAM = OUT / "pixpipe"
CARGO_TEST = "cargo test --locked --workspace --features fault-switch"
SKIPPED = 77
SIDE_BY_SIDE = 3


@dataclass
class Stage:
    name: str
    about: str
    command: str
    needs: tuple = ()
    variables: dict = field(default_factory=dict)
    state: str = "waiting"  # then "running", then "ended"
    # Set when it has ended; a stage whose needs failed has no code.
    code: int = None
    seconds: float = 0.0
    log: str = ""


CHECK = [
    Stage("format", "rustfmt, 120 columns, one toolchain", "make --no-print-directory format"),
    Stage("program", "the program under test, as the container image has it",
          f"cargo build --locked --workspace --bins --bench stages && strip -o {PROGRAM} {DEBUG}/pixpipe"),
    Stage("compile", "all Rust tests", f"{CARGO_TEST} --no-run", needs=("program",)),
    Stage("unit", "pure code, the contact sheet",
          f"{CARGO_TEST} --lib --bins --test program && {CARGO_TEST} --doc", needs=("compile",)),
    Stage("pixels", "plans, hostile files, mutated files in the pixels crate",
          f"{CARGO_TEST} --test plan_memory --test hostile --test fuzz_corpus --test sbom", needs=("compile",)),
    Stage("behaviour", "the built program: environment, S3, races, hand-back, goldens", f"{CARGO_TEST} --test it",
          needs=("compile",)),
]

# cargo locks its folder while it checks, so this comes when nobody else needs it.
LINT = Stage("lint", "clippy and documentation, without a warning", "make --no-print-directory clippy deny",
             needs=("unit", "pixels", "behaviour"))

EVERYTHING = [
    *CHECK,
    Stage("module", "the Terraform module: mocked plans, service models, seeded mistakes", "acceptance/pipe/run",
          needs=("program",)),
    Stage("image", "what is in the image, and that it runs without rights", "acceptance/image/run",
          needs=("program",), variables={"BINARY": str(PROGRAM), "PROFILE": "dev", "IMAGE": "localhost/pixpipe:test"}),
    Stage("e2e", "the whole flow: terraform apply, uploads, tasks in containers, a bad day", "acceptance/e2e/run",
          needs=("image",), variables={"E2E_BINARY": str(PROGRAM), "PROFILE": "dev"}),
    Stage("delivery", "a release into a registry, the module of its repository and roles", "acceptance/delivery/run",
          needs=("program",), variables={"BINARY": str(PROGRAM)}),
    Stage("chaos", "many batches through every fault", f"{CARGO_TEST} --test chaos", needs=("compile",)),
    Stage("goldens", "the goldens are what Pillow makes", "make --no-print-directory goldens"),
    Stage("parity", "pixels beside Pillow's", "acceptance/parity/run", needs=("compile", "goldens"),
          variables={"BINARY": str(PROGRAM)}),
    Stage("packing", "the recipes that pack by the manifest",
          f"python3 acceptance/packing/packing.py --binary {PROGRAM}", needs=("program",)),
    Stage("ministack", "another S3 and SQS, with policies that are enforced", "acceptance/ministack/run",
          needs=("compile",), variables={"CARGO_TEST_ARGS": CARGO_TEST.removeprefix("cargo test ")}),
    LINT,
]


def run(stage):
    start = time.monotonic()
    log = OUT / f"{stage.name}.log"
    with open(log, "wb") as output:
        ended = subprocess.run(
            ["bash", "-c", stage.command], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, env=ENVIRONMENT | {"CARGO_TERM_COLOR": "never"} | stage.variables,
        )
    stage.log = log.read_text(encoding="utf-8", errors="replace")
    stage.seconds = time.monotonic() - start
    stage.code = ended.returncode


def counts(log):
    """Passed and failed tests, as cargo and the acceptance suites count them; None if nothing was counted."""
    cargo = [(int(passed), int(failed)) for passed, failed in
             re.findall(r"^test result: \S+ (\d+) passed; (\d+) failed", log, flags=re.M)]
    own = re.findall(r"^(\d+) passed, (\d+) failed$", log, flags=re.M)
    # A suite that runs cargo sums its counts up itself.
    found = [(int(own[-1][0]), int(own[-1][1]))] if own else cargo
    if not found:
        return None
    return sum(passed for passed, _ in found), sum(failed for _, failed in found)


def result_of(stage):
    return {0: "ok", SKIPPED: "SKIPPED", None: "not run"}.get(stage.code, f"FAILED ({stage.code})")


def report(stage):
    print(f"\n== {stage.name}: {stage.about}", flush=True)
    lines = stage.log.rstrip().splitlines()
    if stage.code == 0:
        # The log of a stage that passed is for whoever looks for it.
        interesting = re.compile(r"^test result|passed|failed|^warning|SKIPPED|bytes compressed")
        lines = [line for line in lines if interesting.search(line)][-20:]
    print("\n".join(lines))
    print(f"-- {stage.name}: {result_of(stage)}, {stage.seconds:.0f} s", flush=True)


def run_all(stages):
    """Starts each stage as soon as those that it needs have passed, in the order of the list."""
    by_name = {stage.name: stage for stage in stages}
    changed = threading.Condition()

    def work(stage):
        try:
            run(stage)
        except Exception:
            # Whatever goes wrong here has failed the stage, and must not leave the others waiting.
            stage.code, stage.log = 1, stage.log + traceback.format_exc()
        with changed:
            try:
                report(stage)
            finally:
                stage.state = "ended"
                changed.notify()

    def turn():
        for stage in (stage for stage in stages if stage.state == "waiting"):
            needed = [by_name[name] for name in stage.needs]
            if any(need.state == "ended" and need.code not in (0, SKIPPED) for need in needed):
                stage.state = "ended"
                return True
            running = sum(stage.state == "running" for stage in stages)
            if running < SIDE_BY_SIDE and all(need.state == "ended" for need in needed):
                stage.state = "running"
                threading.Thread(target=work, args=(stage,)).start()
                return True
        return False

    with changed:
        while any(stage.state != "ended" for stage in stages):
            if not turn():
                changed.wait()


def main():
    sets = {"check": [*CHECK, LINT], "test": EVERYTHING}
    if len(sys.argv) != 2 or sys.argv[1] not in sets:
        sys.exit(__doc__)
    stages = sets[sys.argv[1]]
    sys.stdout.reconfigure(errors="replace")
    OUT.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    run_all(stages)

    print(f"\n{'stage':<12}{'result':<14}{'seconds':>8}{'passed':>8}{'failed':>8}")
    passed = failed = 0
    for stage in stages:
        # A stage that counts nothing is one test. One whose tests are none has tested nothing.
        ok, bad = counts(stage.log) or (int(stage.code == 0), 0)
        if stage.code != SKIPPED and bad == 0 and (stage.code != 0 or ok == 0):
            bad = 1
        passed, failed = passed + ok, failed + bad
        print(f"{stage.name:<12}{result_of(stage):<14}{stage.seconds:>8.0f}{ok:>8}{bad:>8}")
    for stage in stages:
        for line in re.findall(r"^SKIPPED.*$", stage.log, flags=re.M):
            print(f"{stage.name}: {line}")
    skipped = sum(stage.code == SKIPPED for stage in stages)
    print(f"all: {time.monotonic() - start:.0f} s\n")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0)


main()
