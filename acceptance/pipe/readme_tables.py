#!/usr/bin/env python3
"""Writes the generated tables of the module's documents between their marks: variables, outputs, costs.

usage: readme_tables.py MODULE
"""

import json
import math
import re
import sys
from pathlib import Path

import hcl2

# us-east-1, January 2026, in dollars. https://aws.amazon.com/fargate/pricing/ and the same for eventbridge,
# step-functions, sqs and s3.
PRICES = {
    "vcpu_hour": {"ARM64": 0.03238, "X86_64": 0.04048},
    "gb_hour": {"ARM64": 0.00356, "X86_64": 0.004445},
    "spot_share": 0.33,  # Spot varies; about a third of the price
    "opt_in_event": 1.00e-6,  # S3's events are "opt-in data events"; event_source = "s3" costs nothing
    "pipe_request": 0.40e-6,
    "transition": 25e-6,
    "express_request": 1.00e-6,
    "express_gb_second": 16.67e-6,
    "sqs_request": 0.40e-6,
    "s3_get": 0.40e-6,
    "s3_put": 5.0e-6,
    "address_hour": 0.005,
    "log_gb": 0.50,
}
LOG_BYTES_PER_RECORD = 500
PULL_SECONDS, START_SECONDS, MINIMUM_SECONDS = 3, 2, 60
SECONDS_PER_IMAGE = 0.2  # get, resize and put of a camera-size photo, one after the other on one vCPU
# Start, split, decide, run, end. A drain: nine a batch (checks/drains.py), and two for its share of worker and drain. A
# backfill: of a batch, the child that writes it and the child that runs its task (checks/backfill.py).
TRANSITIONS = {"direct": 0, "event": 5, "batched": 5, "drain": 11, "backfill": 11}
COLLECT_SECONDS, COLLECT_GB = 5, 0.0625
RECEIVES = 85  # for 500 messages: fewer at a time as the batch fills
LISTED_AT_ONCE = 1000
READS_PER_IMAGE = 3  # the head of the output that is not there yet, the source, and whether that is still the same


def cost(launcher, batch, spot=True, millions=1, vcpu=0.25, gb=1, architecture="ARM64"):
    """Dollars per million images, by part."""
    images = 1e6 * millions
    tasks = math.ceil(images / batch)
    seconds = max(MINIMUM_SECONDS, PULL_SECONDS + START_SECONDS + batch * SECONDS_PER_IMAGE / vcpu)
    hour = vcpu * PRICES["vcpu_hour"][architecture] + gb * PRICES["gb_hour"][architecture]
    hour *= PRICES["spot_share"] if spot else 1
    collecting = PRICES["express_request"] + COLLECT_SECONDS * COLLECT_GB * PRICES["express_gb_second"]
    transitions = tasks * TRANSITIONS[launcher] * PRICES["transition"]
    # A stored batch: two writes (batch and report), two reads (the task's, and the report's head). Two listings.
    stored = tasks * 2 * (PRICES["s3_put"] + PRICES["s3_get"]) if launcher in ("drain", "backfill") else 0
    stored += images / LISTED_AT_ONCE * PRICES["s3_put"] if launcher == "backfill" else 0
    requests = {  # send, receive and delete: per image
        "direct": 3,
        "event": 0,
        "batched": 1 + 2 / min(batch, 10),
        "drain": 1 + RECEIVES / batch + 1 / 10,
        "backfill": 0,
    }
    return {
        "Fargate": tasks * seconds / 3600 * hour,
        "public address": tasks * seconds / 3600 * PRICES["address_hour"],
        "events": 0 if launcher == "backfill" else images * PRICES["opt_in_event"],
        "pipe": {"direct": images, "batched": tasks}.get(launcher, 0) * PRICES["pipe_request"],
        "Step Functions": transitions + (tasks * collecting if launcher == "drain" else 0),
        "SQS": images * requests[launcher] * PRICES["sqs_request"],
        "S3": images * (READS_PER_IMAGE * PRICES["s3_get"] + PRICES["s3_put"]) + stored,
        "logs": images * LOG_BYTES_PER_RECORD / 1e9 * PRICES["log_gb"],
    }


def cost_table():
    columns = {
        "direct, FARGATE": ("direct", 1, False),
        "direct, FARGATE_SPOT": ("direct", 1),
        "event": ("event", 1),
        "batched 10": ("batched", 10),
        "batched 50 (default)": ("batched", 50),
        "drain 500": ("drain", 500, True, 1, 1, 2),
        "backfill 1,000": ("backfill", 1000, True, 1, 1, 2),
    }
    parts = {name: cost(*arguments) for name, arguments in columns.items()}
    rows = ["| $ per million images | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for part in parts["batched 10"]:
        rows.append(f"| {part} | " + " | ".join(f"{parts[name][part]:.2f}" for name in columns) + " |")
    whole = {name: sum(parts[name].values()) for name in columns}
    own = {name: whole[name] - parts[name]["S3"] - parts[name]["events"] for name in columns}
    rows.append("| **all** | " + " | ".join(f"**{whole[name]:.1f}**" for name in columns) + " |")
    rows.append("| without S3's requests and events | " + " | ".join(f"{own[name]:.1f}" for name in columns) + " |")
    return "\n".join(rows)


def blocks(path, kind):
    with open(path, encoding="utf-8") as text:
        return {name.strip('"'): body for block in hcl2.load(text).get(kind, []) for name, body in block.items()}


def first(value, otherwise=None):
    return value[0] if isinstance(value, list) and value else otherwise if isinstance(value, list) else value


def cell(text):
    return str(text).replace('\\"', '"').replace("|", "\\|").replace("\n", " ")


def variable_table(module):
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, body in blocks(module / "variables.tf", "variable").items():
        kind = re.sub(r"^\$\{|\}$|['\"]", "", str(first(body["type"]))).replace(": ", " = ")
        while "${" in kind:  # hcl2 writes every expression like that, inside of others, too
            kind = re.sub(r"\$\{((?:[^${}]|\{[^${}]*\})*)\}", r"\1", kind)
        default = "required"
        if "default" in body:
            value = (
                body["default"][0]
                if isinstance(body["default"], list) and len(body["default"]) == 1
                else body["default"]
            )
            default = f"`{json.dumps(value)}`"
        rows.append(f"| `{name}` | `{kind}` | {cell(default)} | {cell(first(body['description']))} |")
    return "\n".join(rows)


def output_table(module):
    rows = ["| output | meaning |", "|---|---|"]
    rows.extend(
        f"| `{name}` | {cell(first(body['description']))} |"
        for name, body in blocks(module / "outputs.tf", "output").items()
    )
    return "\n".join(rows)


def usual_designs_table(_):
    import usual_designs  # which takes the prices from here

    return usual_designs.table()


# document: mark: function of the module's folder that makes the table
TABLES = {
    "README.md": {"variables": variable_table, "outputs": output_table},
    "docs/cost.md": {"costs": lambda module: cost_table()},
    "docs/usual-designs.md": {"usual designs": usual_designs_table},
}


def rewritten(document, module):
    """The text of a document with its tables as they should be."""
    text = (module / document).read_text(encoding="utf-8")
    for mark, table in TABLES[document].items():
        begin, end = f"<!-- generated: {mark} -->", f"<!-- end: {mark} -->"
        before, rest = text.split(begin)
        text = before + begin + "\n" + table(module) + "\n" + end + rest.split(end)[1]
    return text


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in filter(lambda name: (folder / name).exists(), TABLES):
        (folder / name).write_text(rewritten(name, folder), encoding="utf-8")
