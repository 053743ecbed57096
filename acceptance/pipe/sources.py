#!/usr/bin/env python3
"""Checks on the module's text: variables, outputs, the messages of validations, documents, examples.

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

HERE = Path(__file__).parent
TEXTS = (".tf", ".hcl", ".md", ".py", ".sh", ".jsonata", ".tftpl", ".tfvars", ".json", ".txt", ".cjs", "")
SAMPLE_ACCOUNTS = ("123456789012", "999999999999", "000000000000")
MAX_COLUMNS = 120

# Variables whose validations look at each other: one bad value at a time.
LINKED = [
    {"source_bucket", "destination_bucket", "source_prefix", "destination_prefix"},
    {
        "batch_size", "batch_window_seconds", "spot_attempts", "direct_capacity_provider", "work_bucket",
        "work_kms_key_arn", "source_bucket", "destination_bucket", "event_source",
    },
    {"max_tasks", "on_demand_tasks"},
    {"event_source", "source_suffixes"},
    {"task_cpu_units", "task_memory_mib"},
    {"preset", "sizes", "fit", "crop_round", "filter", "format"},
    {
        "backfill_enabled", "backfill_schedule", "backfill_input", "backfill_topic_arn", "list_bucket", "list_prefix",
        "max_tasks", "spot_attempts", "source_prefix",
    },
]

BACKFILL, DRAIN = {"backfill_enabled": True}, {"launcher": "drain"}

# variable: (good values at the edges, bad values beside them[, what must be set for them])
BOUNDS = {
    "name": (["ab", "a" * 32], ["a", "a" * 33, "1a"]),
    "image": (["a:" + "t" * 128], ["a:" + "t" * 129]),
    "source_bucket": (["abc", "b" * 63], ["ab", "b" * 64]),
    "destination_bucket": (["abd", "c" * 63], ["ab", "c" * 64]),
    "work_bucket": (["abe", "d" * 63], ["ab", "d" * 64]),
    "source_prefix": (["p" * 512, "größe+1 /"], ["p" * 513]),
    "destination_prefix": (["q" * 512, "é" * 150], ["q" * 513, "é" * 512]),
    "source_suffixes": ([["s" * 64], [f".{i:02}" for i in range(20)]], [["s" * 65], [f".{i:02}" for i in range(21)]]),
    "batch_size": ([2, 50], [1, 51, 2.5]),
    "batch_window_seconds": ([1, 300], [-1, 301, 1.5]),
    "spot_attempts": ([1, 10], [0, 11, 1.5]),
    "batch_objects": ([10, 500], [9, 501, 10.5], DRAIN),
    "on_demand_tasks": ([0, 4], [-1, 5, 0.5], DRAIN),
    "drain_start_messages": ([1, 1000000], [0, 1000001, 1.5], DRAIN),
    "drain_start_age_seconds": ([60, 604800], [59, 604801, 60.5], DRAIN),
    "task_timeout_seconds": ([300, 86400], [299, 86401]),
    "subnet_ids": ([[f"subnet-{i}" for i in range(16)]], [[f"subnet-{i}" for i in range(17)]]),
    "security_group_ids": ([[f"sg-{i}" for i in range(5)]], [[f"sg-{i}" for i in range(6)]]),
    "sizes": ([["1"], ["4096x4096"], ["1x2@2", "4096@4096"]], [["0"], ["4097"], ["1x4097"], ["1@4097"], ["2@1"]]),
    "fit": (["short"], ["longest"]),
    "jpeg_quality": ([1, 100], [0, 101]),
    "max_source_bytes": ([1, 17179869184], [0, 17179869185]),
    "max_source_pixels": ([1, 17179869184], [0, 17179869185]),
    "concurrency_objects": ([1, 1024], [0, 1025]),
    "grace_seconds": ([0, 110], [-1, 111]),
    "max_attempts": ([1, 100], [0, 101]),
    "rust_log": (["e" * 256], ["e" * 257]),
    "alarm_oldest_message_seconds": ([60, 1209600], [59, 1209601]),
    "backfill_batch_objects": ([10, 2000], [9, 2001]),
    "max_tasks": ([1, 1000], [0, 1001], BACKFILL),
    "list_bucket": (["abf", "e" * 63], ["ab", "e" * 64], BACKFILL),
    "list_prefix": (["l" * 512], ["l" * 513], BACKFILL),
    "schedule_window_minutes": ([0, 1440], [-1, 1441]),
    "tags": ([{f"t{i}": "v" for i in range(40)}], [{f"t{i}": "v" for i in range(41)}]),
}


def blocks(path, kind):
    """name -> attributes of all blocks of a kind in one file."""
    with open(path, encoding="utf-8") as text:
        return {name.strip('"'): body for block in hcl2.load(text).get(kind, []) for name, body in block.items()}


def first(value):
    return value[0] if isinstance(value, list) else value


def texts(*folders):
    """The text files below some folders, without Terraform's own."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            own = not any(part.startswith(".terraform") or part == "__pycache__" for part in path.parts)
            if path.is_file() and own and path.suffix in TEXTS:
                yield path, path.read_text(encoding="utf-8")


# --- checks


def variables_are_typed_and_described(module, work):
    for path in (module / "variables.tf", *module.glob("examples/*/*.tf")):
        for name, body in blocks(path, "variable").items():
            kind = str(first(body.get("type", "")))
            assert kind and "any" not in kind, f"{path}: {name}: type {kind!r}"
            description = first(body.get("description", ""))
            assert description.endswith(".") and len(description) > 10, f"{path}: {name}: {description!r}"


def variables_are_validated_with_messages_that_name_them(module, work):
    for path in (module / "variables.tf", module / "examples/complete/variables.tf"):
        for name, body in blocks(path, "variable").items():
            validations = body.get("validation", [])
            assert validations or "bool" in str(first(body["type"])), f"{name} has no validation"
            for validation in validations:
                message = first(validation["error_message"]).removeprefix('${"')
                assert message.startswith(f"{name}: "), f"{name}: the message must begin with the name: {message}"


def outputs_are_described(module, work):
    for path in (module / "outputs.tf", module / "examples/complete/outputs.tf"):
        for name, body in blocks(path, "output").items():
            assert first(body.get("description", "")).endswith("."), f"{name} is not described"


def nothing_is_skipped_without_a_reason(module, work):
    for path in module.rglob("*.tf"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.search(r"#checkov:skip=CKV2?_AWS_\d+:.{20,}", line), f"{path.name}: {line.strip()}"


def examples_do_not_hold_back_the_modules_data_sources(module, work):
    """With depends_on, a change of the network makes account and region unknown, and every policy looks changed."""
    for path in module.glob("examples/*/main.tf"):
        for name, body in blocks(path, "module").items():
            assert "depends_on" not in body, f"{path}: module {name} has depends_on: let its arguments wait instead"


def presets_are_the_programs(module, work):
    source = (HERE.parent.parent / "src/config/preset.rs").read_text(encoding="utf-8")
    names = re.findall(r'^ +(?:cut|stretch)\("([a-z0-9-]+)"', source, re.M)
    condition = str(blocks(module / "variables.tf", "variable")["preset"]["validation"][0]["condition"])
    accepted = re.findall(r"[a-z]+(?:-[a-z]+)?(?:-[0-9]+)+", condition)
    assert len(names) > 5 and accepted == names, f"the program has {names}, the module {accepted}"


def order_that_no_plan_shows(module, work):
    """A pipe tries its rights when it is created, and launchers name the family of the task definition."""
    pipe = (module / "pipe.tf").read_text(encoding="utf-8")
    assert "depends_on = [aws_iam_role_policy.pipe]" in pipe, "the pipe comes before its rights"
    task = (module / "task.tf").read_text(encoding="utf-8")
    assert "create_before_destroy = true" in task, "for a moment there is no active task definition"
    machines = (
        ("launch_batched.tf", "state_machine"), ("launch_direct.tf", "redrive"), ("launch_drain.tf", "drain"),
        ("launch_drain.tf", "collect"),
    )  # fmt: skip
    for name, machine in machines:
        text = (module / name).read_text(encoding="utf-8")
        assert f"depends_on = [aws_iam_role_policy.{machine}]" in text, f"{name}: the machine comes before its rights"


def every_example_has_a_test_and_is_in_the_readme(module, work):
    readme = (module / "README.md").read_text(encoding="utf-8")
    examples = {path.name for path in (module / "examples").iterdir()}
    tests = {path.name.removesuffix(".tftest.hcl") for path in (HERE / "examples").glob("*.tftest.hcl")}
    assert examples == tests, f"examples without test, or tests without example: {examples ^ tests}"
    missing = [name for name in examples if f"examples/{name}" not in readme]
    assert not missing, f"README.md does not link {missing}"


def no_file_names_a_machine_or_an_account(module, work):
    for path, text in texts(module, HERE):
        assert not re.search(r"/(?:home|root|work)/\w", text), path
        for account in re.findall(r"\b\d{12}\b", text):
            assert account in SAMPLE_ACCOUNTS, f"{path}: {account}"
    assert not list(module.rglob(".terraform.lock.hcl"))


def lines_have_at_most_120_columns(module, work):
    """But for rows of tables, and for what cannot be broken."""
    wide = [
        f"{path}:{number}"
        for path, text in texts(module, HERE, HERE.parent / "e2e")
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > MAX_COLUMNS and not line.lstrip().startswith("|") and " " in line.strip()
    ]
    assert not wide, wide


def links_of_the_documents_lead_to_files(module, work):
    for path, text in texts(module):
        for target in re.findall(r"\]\(([^)#]+)", text) if path.suffix == ".md" else ():
            assert "://" in target or (path.parent / target).exists(), f"{path}: {target}"


def the_version_stands_in_no_document(module, work):
    """It stands in Cargo.toml; documents say $VERSION."""
    for path, text in texts(module):
        found = re.search(r"pixpipe:\d[\w.-]*", text)
        assert not found, f"{path}: {found[0]}: write pixpipe:$VERSION"


def the_tables_of_the_documents_are_up_to_date(module, work):
    for document in readme_tables.TABLES:
        text = (module / document).read_text(encoding="utf-8")
        fresh = readme_tables.rewritten(document, module)
        assert text == fresh, f"{document}: run acceptance/pipe/readme_tables.py pipe"


def the_usual_designs_are_written_with_variables_that_exist(module, work):
    text = (module / "docs/usual-designs.md").read_text(encoding="utf-8")
    examples = re.findall(r"```hcl\n(.*?)```", text, re.S)
    used = {name for example in examples for name in re.findall(r"^(\w+) +=", example, re.M)}
    assert len(examples) == text.count("\n## ") - 1 and used, "an example a design"
    unknown = used - set(blocks(module / "variables.tf", "variable"))
    assert not unknown, f"usual-designs.md: no variables {unknown}"


def every_validation_refuses_with_its_message(module, work):
    """Tries all bad values of tests/refused.tftest.hcl and of BOUNDS, many at once, and looks at the messages."""
    cases = refused_cases(module / "tests/refused.tftest.hcl")
    cases += [({name: bad, **beside}, name) for name, _, bads, beside in bounds() for bad in bads]
    variables = blocks(module / "variables.tf", "variable")
    every_validation_is_tried(cases, variables)
    planned = rounds(cases)
    seen = plans(module, work, [{k: v for values, _ in members for k, v in values.items()} for members in planned])
    for members, said in zip(planned, seen, strict=True):
        for values, variable in members:
            named = any(f"{variable}: " in detail for detail in said)
            assert named, f"{str(values)[:200]}: no message of {variable}: {said}"


def values_at_the_bounds_are_accepted(module, work):
    for name, body in blocks(module / "variables.tf", "variable").items():
        for validation in body.get("validation", []):
            numbers = re.search(r"(?:>=|<=) ?[0-9]", str(validation["condition"]))
            assert not numbers or name in BOUNDS, f"{name} has bounds that nothing tries"
    cases = [({name: good, **beside}, name) for name, goods, _, beside in bounds() for good in goods]
    planned = rounds(cases)
    seen = plans(module, work, [{k: v for values, _ in members for k, v in values.items()} for members in planned])
    for members, said in zip(planned, seen, strict=True):
        assert not said, f"{[name for _, name in members]}: {said}"


CHECKS = [
    variables_are_typed_and_described,
    variables_are_validated_with_messages_that_name_them,
    outputs_are_described,
    nothing_is_skipped_without_a_reason,
    examples_do_not_hold_back_the_modules_data_sources,
    presets_are_the_programs,
    order_that_no_plan_shows,
    every_example_has_a_test_and_is_in_the_readme,
    no_file_names_a_machine_or_an_account,
    lines_have_at_most_120_columns,
    links_of_the_documents_lead_to_files,
    the_version_stands_in_no_document,
    the_tables_of_the_documents_are_up_to_date,
    the_usual_designs_are_written_with_variables_that_exist,
    every_validation_refuses_with_its_message,
    values_at_the_bounds_are_accepted,
]

# --- bad values


def bounds():
    """(variable, good values, bad values, what is set beside them)"""
    return [(name, *values, {})[:4] for name, values in BOUNDS.items()]


def refused_cases(path):
    """[(bad values by variable, the variable that must refuse)] of the tests of refusals."""
    with open(path, encoding="utf-8") as text:
        runs = [body for run in hcl2.load(text)["run"] for body in run.values()]
    return [
        (
            {variable: value[0] for variable, value in first(body["variables"]).items()},
            re.sub(r"[${}]|var\.", "", str(first(first(body["expect_failures"])))),
        )
        for body in runs
    ]


def every_validation_is_tried(cases, variables):
    for name, body in variables.items():
        tried = sum(variable == name for _, variable in cases)
        assert tried >= len(body.get("validation", [])), f"{name}: fewer bad values than validations"


def rounds(cases):
    """The cases in as few groups as possible: of one launcher, no two with variables that influence each other."""
    groups = []
    for values, variable in cases:
        launcher, touched = values.get("launcher"), set(values) - {"launcher"}
        touched |= set().union(*[linked for linked in LINKED if linked & touched])
        for given, used, members in groups:
            if given == launcher and not used & touched:
                used |= touched
                members.append((values, variable))
                break
        else:
            groups.append((launcher, touched, [(values, variable)]))
    return [members for _, _, members in groups]


def plans(module, work, many_values):
    """The details of Terraform's diagnostics when it plans the stack of the tests with each of these values."""
    head = (module / "tests/refused.tftest.hcl").read_text(encoding="utf-8").split("\nrun ")[0]
    paths = [work / "tests" / f"plan_{index}.tftest.hcl" for index in range(len(many_values))]
    for path, values in zip(paths, many_values):
        lines = [f"    {name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
        run = 'run "values" {\n  command = plan\n\n  variables {\n' + "\n".join(lines) + "\n  }\n}\n"
        path.write_text(f"{head}\n{run}", encoding="utf-8")
    command = ["terraform", "test", "-json", *[f"-filter=tests/{path.name}" for path in paths]]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    finally:
        for path in paths:
            path.unlink()
    seen = {path.name: [] for path in paths}
    for message in map(json.loads, done.stdout.splitlines()):
        if message.get("type") == "diagnostic":
            seen[Path(message["@testfile"]).name].append(message["diagnostic"]["detail"])
    return list(seen.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    failed = 0
    for check in CHECKS:
        label = check.__name__.replace("_", " ")
        try:
            check(arguments.module, arguments.work)
            print(f"ok    {label}")
        except Exception as error:  # a check that breaks has failed
            failed += 1
            print(f"FAIL  {label}: {type(error).__name__} {str(error)[:600]}")
    print(f"sources: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
