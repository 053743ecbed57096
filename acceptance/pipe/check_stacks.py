#!/usr/bin/env python3
"""Runs the checks in checks/ on the applied scenarios, offline.

usage: check_stacks.py --state APPLIED.json [--node-modules DIR] [--fast]
"""

import argparse
import inspect
import sys
import traceback

from checks import (
    alarms, backfill, batches, bursts, drains, engine, events, machines, queues, redrive, requests, roles, uploads,
    work,
)  # fmt: skip
from world import Absent, World

CONCERNS = (
    engine, requests, roles, queues, work, events, batches, uploads, drains, backfill, redrive, machines, alarms,
    bursts,
)  # fmt: skip


def checks_of(module):
    """The checks of a file: its own public functions."""
    return [
        value for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", required=True, help="output of terraform test -json -verbose with the scenarios")
    parser.add_argument("--node-modules", help="folder with jsonata and asl-validator")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="only the given scenarios, one engine, fewer random batches, stop at the first failure",
    )
    arguments = parser.parse_args()
    world = World(arguments.state, arguments.node_modules, arguments.fast)
    engines = ", ".join(engine.name for engine in world.engines)
    print(f"engines: {engines}; asl-validator: {'yes' if world.node_modules else 'missing'}")
    passed = failed = 0
    for check in [check for module in CONCERNS for check in checks_of(module)]:
        label = check.__name__.replace("_", " ")
        try:
            check(world)
            passed += 1
            print(f"ok    {label}")
        except Absent as scenario:
            assert world.fast, f"{label}: the scenario {scenario} was not applied"
        except Exception as error:  # a check that breaks has failed
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{where.name}, line {where.lineno}"
            print(f"FAIL  {label}: {type(error).__name__} {str(error)[:600]} ({place})")
            if arguments.fast:
                break
    print(f"checks: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
