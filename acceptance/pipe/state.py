"""The applied scenarios in the output of `terraform test -json -verbose`: resources by address, per run."""

import json


class Stack:
    """One applied scenario."""

    def __init__(self, name, test_state):
        self.name = name
        module = test_state["root_module"] if "root_module" in test_state else test_state["values"]["root_module"]
        self.resources = {r["address"]: r["values"] for r in module["resources"]}
        self.outputs = {k: v.get("value") for k, v in test_state.get("outputs", {}).items()}

    def __contains__(self, address):
        return address in self.resources

    def __getitem__(self, address):
        return self.resources[address]

    def of_type(self, kind):
        """All resources of a type, by address."""
        return {a: v for a, v in self.resources.items() if a.startswith(kind + ".")}

    def definition(self, machine):
        """The state machine's definition, as JSON."""
        return json.loads(self[f"aws_sfn_state_machine.{machine}[0]"]["definition"])

    def environment(self):
        """The task's environment."""
        container = json.loads(self["aws_ecs_task_definition.this"]["container_definitions"])[0]
        return {e["name"]: e["value"] for e in container["environment"]}


def read(path):
    """All scenarios in the output of one `terraform test`."""
    stacks = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            if message.get("type") == "test_state":
                stacks[message["@testrun"]] = Stack(message["@testrun"], message["test_state"])
    return stacks
