"""The state machines as documents: valid, whole, and with expressions that end in time."""

import json
import subprocess
import time

import samples
from executions import run_batch

MACHINES = [
    ("batched", "batch"), ("batched_s3", "batch"), ("direct", "redrive"), ("backfill", "backfill"),
    ("direct_backfill", "backfill"), ("drain", "drain"), ("drain", "collect"),
]  # fmt: skip
DEFINITION_MAX_BYTES = 1024 * 1024


def _definitions(world):
    return [json.dumps(stack.definition(machine)) for name, machine in MACHINES for stack in world.applied(name)]


def state_machines_pass_an_asl_validator(world):
    for definition in _definitions(world):
        assert len(definition) < DEFINITION_MAX_BYTES
        if world.node_modules:
            command = [f"{world.node_modules}/.bin/asl-validator", "--json-definition", definition]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def expressions_are_one_line_without_comments(world):
    for text in _definitions(world):
        assert "/*" not in text and "\\n" not in text, "comments and line ends belong in the files only"


def expressions_end_in_time(world):
    """Step Functions gives an expression one second; here a whole batch of long keys has three."""
    bodies = [samples.eventbridge("raw/" + "é" * 500 + f"{i}.jpg") for i in range(50)]
    for engine in world.engines:
        begin = time.monotonic()
        run_batch(world, bodies, engine)
        seconds = time.monotonic() - begin
        assert seconds < 3, f"{engine.name}: {seconds:.1f} s"
