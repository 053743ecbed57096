#!/usr/bin/env python3
"""Checks on the module's text: its variables and outputs, the messages of its validations, its README.

usage: sources.py MODULE --work INITIALISED_COPY
"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import hcl2

import readme_tables

# Variables whose validations look at each other: one bad value at a time.
LINKED = [{"source_bucket", "destination_bucket", "source_prefix", "destination_prefix"}, {"batch_size", "batch_window_seconds"}, {"task_cpu_units", "task_memory_mib"}]


def blocks(path, kind):
    """name -> attributes of all blocks of a kind in one file."""
    with open(path, encoding="utf-8") as text:
        return {name.strip('"'): body for block in hcl2.load(text).get(kind, []) for name, body in block.items()}


def first(value):
    return value[0] if isinstance(value, list) else value


def variables_are_typed_described_and_validated(module, work):
    for path in (module / "variables.tf", module / "examples/complete/variables.tf"):
        for name, body in blocks(path, "variable").items():
            kind = str(first(body.get("type", "")))
            assert kind and "any" not in kind, f"{path.name}: {name}: type {kind!r}"
            description = first(body.get("description", ""))
            assert description.endswith(".") and len(description) > 10, f"{name}: description {description!r}"
            validations = body.get("validation", [])
            assert validations or "bool" in kind, f"{name} has no validation"
            for validation in validations:
                assert first(validation["error_message"]).removeprefix('${"').startswith(f"{name}: "), f"{name}: the message must name the variable"


def outputs_are_described(module, work):
    for path in (module / "outputs.tf", module / "examples/complete/outputs.tf"):
        for name, body in blocks(path, "output").items():
            assert first(body.get("description", "")).endswith("."), f"{name} is not described"


def nothing_is_skipped_without_a_reason(module, work):
    for path in module.rglob("*.tf"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.search(r"#checkov:skip=CKV2?_AWS_\d+:.{20,}", line), f"{path.name}: {line.strip()}"


def the_example_does_not_hold_back_the_modules_data_sources(module, work):
    """With depends_on, account and region would be unknown whenever the network changes, and every policy would look changed."""
    for name, body in blocks(module / "examples/complete/main.tf", "module").items():
        assert "depends_on" not in body, f"module {name} has depends_on: let its arguments wait instead"


def no_file_names_a_machine_or_an_account(module, work):
    here = Path(__file__).parent
    for folder in (module, here):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in (".tf", ".hcl", ".md", ".py", ".sh", ".jsonata", ".tftpl", ".json", ".txt", ".cjs"):
                text = path.read_text(encoding="utf-8")
                assert not re.search(r"/(?:home|root|work)/\w", text), path
                for account in re.findall(r"\b\d{12}\b", text):
                    assert account in ("123456789012", "999999999999", "000000000000"), f"{path}: {account}"
    assert not list(module.rglob(".terraform.lock.hcl"))


def the_readme_is_of_this_module(module, work):
    text = (module / "README.md").read_text(encoding="utf-8")
    assert readme_tables.rewrite(text, module) == text, "run tests/pipe/readme_tables.py pipe"


def every_validation_refuses_with_its_message(module, work):
    """All the bad values of tests/refused.tftest.hcl, many at once, without saying that they will be refused."""
    refused = module / "tests/refused.tftest.hcl"
    with open(refused, encoding="utf-8") as text:
        parsed = hcl2.load(text)
    cases = [(name, {variable: value[0] for variable, value in first(body["variables"]).items()}, str(first(first(body["expect_failures"])))) for run in parsed["run"] for name, body in run.items()]
    expected = {name: re.sub(r"[${}]|var\.", "", failure) for name, _, failure in cases}
    declared = blocks(module / "variables.tf", "variable")
    tried = {expected[name] for name, _, _ in cases}
    untried = {name for name, body in declared.items() if body.get("validation")} - tried
    assert not untried, f"no bad value is tried of {untried}"
    many = {name for name, body in declared.items() if len(body.get("validation", [])) > 1}
    for name in many:
        assert sum(1 for case in cases if expected[case[0]] == name) >= len(declared[name]["validation"]), f"fewer bad values than validations of {name}"

    rounds = []
    for name, values, _ in cases:
        touched = set(values) | set().union(*[group for group in LINKED if group & set(values)])
        for used, members in rounds:
            if not used & touched:
                used |= touched
                members.append((name, values))
                break
        else:
            rounds.append((touched, [(name, values)]))
    head = refused.read_text(encoding="utf-8").split("\nrun ")[0]
    tests = work / "tests"
    files = []
    for index, (_, members) in enumerate(rounds):
        path = tests / f"messages_{index}.tftest.hcl"
        lines = [f"    {variable} = {json.dumps(value)}" for _, values in members for variable, value in values.items()]
        path.write_text(head + '\nrun "messages" {\n  command = plan\n\n  variables {\n' + "\n".join(lines) + "\n  }\n}\n", encoding="utf-8")
        files.append(path)
    try:
        done = subprocess.run(["terraform", "test", "-json", *[f"-filter=tests/{path.name}" for path in files]], cwd=work, capture_output=True, text=True, check=False)
    finally:
        for path in files:
            path.unlink()
    seen = {path.name: [] for path in files}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("type") == "diagnostic":
            seen[Path(message["@testfile"]).name].append(message["diagnostic"]["detail"])
    for path, (_, members) in zip(files, rounds):
        for name, _ in members:
            wanted = expected[name] + ": "
            assert any(wanted in detail for detail in seen[path.name]), f"{name}: no message of {expected[name]}: {seen[path.name]}"


CHECKS = [variables_are_typed_described_and_validated, outputs_are_described, nothing_is_skipped_without_a_reason,
          the_example_does_not_hold_back_the_modules_data_sources, no_file_names_a_machine_or_an_account,
          the_readme_is_of_this_module, every_validation_refuses_with_its_message]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    failed = 0
    for check in CHECKS:
        try:
            check(arguments.module, arguments.work)
            print(f"ok    {check.__name__.replace('_', ' ')}")
        except Exception as error:  # a check that breaks has failed
            failed += 1
            print(f"FAIL  {check.__name__.replace('_', ' ')}: {type(error).__name__} {str(error)[:600]}")
    print(f"sources: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
