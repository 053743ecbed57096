"""Runs of the module's state machines with stand-ins for ECS and SQS."""

import json

import api
import asl
import patterns
import samples
from world import FAILED_QUEUE_URL

OVERRIDES_MAX_CHARACTERS = 8192
RESERVE_CHARACTERS = 256
SQS_MAX_BYTES = 262_144


class Services:
    """ECS and SQS as a state machine sees them: `ends` raises or returns an error of a task, SendMessage keeps."""

    def __init__(self, ends=lambda body, nth: None):
        self.ends, self.tasks, self.sent = ends, [], []

    def __call__(self, resource, arguments):
        if resource.endswith(":ecs:runTask.sync"):
            return self.run_task(arguments)
        if resource.endswith(":sqs:sendMessage"):
            return self.send_message(arguments)
        raise AssertionError(f"no stand-in for {resource}")

    def run_task(self, arguments):
        found = api.faults("ecs", "RunTask", api.lower_first(arguments))
        assert not found, found
        (override,) = arguments["Overrides"]["ContainerOverrides"]
        (variable,) = override["Environment"]
        assert override["Name"] == "pixpipe" and variable["Name"] == "SQS_BODY" and "LaunchType" not in arguments
        length = samples.overrides_length(variable["Value"])
        assert length <= OVERRIDES_MAX_CHARACTERS, f"overrides of {length} characters"
        (strategy,) = arguments["CapacityProviderStrategy"]
        self.tasks.append((strategy["CapacityProvider"], variable["Value"]))
        error = self.ends(variable["Value"], len(self.tasks))
        if error:
            raise error
        return {"StopCode": "EssentialContainerExited"}

    def send_message(self, arguments):
        found = api.faults("sqs", "SendMessage", arguments)
        assert not found, found
        assert len(arguments["MessageBody"].encode()) <= SQS_MAX_BYTES
        self.sent.append(arguments)
        return {"MessageId": "m"}

    def bodies(self):
        """SQS_BODY of every task."""
        return [body for _, body in self.tasks]

    def providers(self):
        """The capacity provider of every task."""
        return [provider for provider, _ in self.tasks]

    def failed(self):
        """Bodies in the failed queue, the only one that a batch sends to."""
        assert all(a["QueueUrl"] == FAILED_QUEUE_URL for a in self.sent), self.sent
        return [a["MessageBody"] for a in self.sent]


def run_batch(world, bodies, engine, ends=lambda body, nth: None):
    """A batch through the pipe and its execution."""
    stack = world.stacks["batched"]
    pipe = patterns.Pipe(api.create_pipe(stack))
    texts = [json.dumps(body, ensure_ascii=False) for body in bodies]
    services = Services(ends)
    execution = asl.Execution(stack.definition("batch"), engine, services)
    execution.run(pipe.hands_over([text for text in texts if pipe.takes(text)]))
    return services, execution


def run_redrive(world, event, engine, scenario="direct"):
    """A stopped task's event through the rule and the state machine: [(queue, delay, body)]."""
    stack = world.stacks[scenario]
    rule = json.loads(stack["aws_cloudwatch_event_rule.task_stopped[0]"]["event_pattern"])
    if not patterns.matches(rule, event):
        return []
    services = Services()
    asl.Execution(stack.definition("redrive"), engine, services).run(event)
    return [(a["QueueUrl"], a.get("DelaySeconds", 0), a["MessageBody"]) for a in services.sent]


def objects(bodies):
    """(bucket, key, attempts) of every record, sorted."""
    return sorted(one for body in bodies for one in samples.objects_of(body))


def keys(bodies):
    """The key of every record, sorted."""
    return [key for _, key, _ in objects(bodies)]


def counted(records, more):
    """Records that were tried some times more."""
    return sorted((bucket, key, attempts + more) for bucket, key, attempts in records)


def task_failed(exit_code=1, reason="Essential container in task exited"):
    """The error of a task that ended badly."""
    cause = {
        "Attachments": [], "Containers": [{"ExitCode": exit_code, "Name": "pixpipe"}], "Overrides": {},
        "StopCode": "EssentialContainerExited", "StoppedReason": reason,
    }  # fmt: skip
    return asl.StatesError("States.TaskFailed", json.dumps(cause, separators=(",", ":")))
