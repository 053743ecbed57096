"""The world that a check looks at: the applied scenarios, the JSONata engines, and names of the scenarios' account."""

import asl
import state

ACCOUNT, REGION = "123456789012", "eu-west-1"
OTHER_ACCOUNT = "999999999999"
SOURCE_QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/pp-source"
WORK_BUCKET = f"pp-work-{ACCOUNT}-{REGION.replace('-', '')}"
BACKFILLS = ("backfill", "direct_backfill", "off")  # scenarios with backfills
FAILED_QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/pp-failed"


def arn(service, resource):
    """An ARN in the account and region of the scenarios."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class Absent(Exception):
    """A scenario that was not applied, so that the check does not apply either."""


class Stacks(dict):
    """Stacks by scenario."""

    def __missing__(self, name):
        raise Absent(name)


def piped(world):
    """The stacks with a pipe."""
    return [stack for stack in world.stacks.values() if "aws_pipes_pipe.this[0]" in stack]


class World:
    """The applied scenarios, and the tools to run their state machines."""

    def __init__(self, state_path, node_modules, fast):
        self.stacks = Stacks(state.read(state_path))
        self.node_modules, self.fast = node_modules, fast
        self.engines = asl.engines(node_modules)[-1:] if fast else asl.engines(node_modules)
        self.random_batches = 2 if fast else 12

    def applied(self, *names):
        """The stacks of these scenarios, without those that were not applied."""
        return [self.stacks[name] for name in names if name in self.stacks]
