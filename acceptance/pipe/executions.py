"""Runs of the module's state machines with stand-ins for ECS and SQS."""

import json

import api
import asl
import patterns
import samples
from world import FAILED_QUEUE_URL, SOURCE_QUEUE_URL

OVERRIDES_MAX_CHARACTERS = 8192
RESERVE_CHARACTERS = 256
SQS_MAX_BYTES = 262_144
QUEUE_MAX_BYTES = 16_384  # of the source queue


class Services:
    """AWS as a state machine sees it: `ends` returns the error of a launch or None, what is sent or started is kept."""

    def __init__(self, ends=lambda body, nth: None, send_faults=()):
        self.ends, self.send_faults = ends, list(send_faults)
        self.tasks, self.requests, self.sent, self.started = [], [], [], []

    def __call__(self, resource, arguments):
        if resource.endswith(":ecs:runTask.sync"):
            return self.run_task(arguments)
        if resource.endswith(":sqs:sendMessage"):
            return self.send_message(arguments)
        if resource.endswith(":aws-sdk:sfn:startExecution"):
            found = api.faults("stepfunctions", "StartExecution", api.lower_first(arguments))
            assert not found, found
            self.started.append((arguments["StateMachineArn"], json.loads(arguments["Input"])))
            return {"ExecutionArn": "e"}
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
        self.requests.append(api.lower_first(arguments))
        error = self.ends(variable["Value"], len(self.tasks))
        if error:
            raise error
        return {"StopCode": "EssentialContainerExited"}

    def send_message(self, arguments):
        found = api.faults("sqs", "SendMessage", arguments)
        assert not found, found
        most = QUEUE_MAX_BYTES if arguments["QueueUrl"] == SOURCE_QUEUE_URL else SQS_MAX_BYTES
        assert len(arguments["MessageBody"].encode(errors="surrogatepass")) <= most
        if self.send_faults:
            raise self.send_faults.pop(0)
        self.sent.append(arguments)
        return {"MessageId": "m"}

    def bodies(self):
        """SQS_BODY of every task."""
        return [body for _, body in self.tasks]

    def providers(self):
        """The capacity provider of every task."""
        return [provider for provider, _ in self.tasks]

    def failed(self):
        """Bodies in the failed queue."""
        return [a["MessageBody"] for a in self.sent if a["QueueUrl"] == FAILED_QUEUE_URL]

    def put_back(self):
        """Bodies in the source queue."""
        return [a["MessageBody"] for a in self.sent if a["QueueUrl"] == SOURCE_QUEUE_URL]


def run_batch(world, bodies, engine, ends=lambda body, nth: None, send_faults=(), scenario="batched"):
    """A batch through the pipe and its execution, and the executions that it starts."""
    stack = world.stacks[scenario]
    pipe = patterns.Pipe(api.create_pipe(stack))
    texts = [json.dumps(body, ensure_ascii=False) for body in bodies]
    services = Services(ends, send_faults)
    execution = asl.Execution(stack.definition("batch"), engine, services)
    execution.run(pipe.hands_over([text for text in texts if pipe.takes(text)]))
    for machine, given in services.started:
        assert machine == stack["aws_sfn_state_machine.batch[0]"]["arn"], machine
        alone = asl.Execution(stack.definition("batch"), engine, services)
        alone.run(given)
        assert len(given) == 1, "an execution that was started for one message starts no others"
    return services, execution


def run_redrive(world, event, engine, scenario="direct", send_faults=()):
    """A stopped task's event through the rule and the state machine: [(queue, delay, body)]."""
    stack = world.stacks[scenario]
    rule = json.loads(stack["aws_cloudwatch_event_rule.task_stopped[0]"]["event_pattern"])
    if not patterns.matches(rule, event):
        return []
    services = Services(send_faults=send_faults)
    asl.Execution(stack.definition("redrive"), engine, services).run(event)
    assert all(a["QueueUrl"] in (SOURCE_QUEUE_URL, FAILED_QUEUE_URL) for a in services.sent), services.sent
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


def task_failed(exit_code=1, reason="Essential container in task exited", stop_code="EssentialContainerExited"):
    """The error of a task that ended badly; exit_code None: its container never ran."""
    exited = {} if exit_code is None else {"ExitCode": exit_code}
    cause = {
        "Attachments": [], "Containers": [{**exited, "Name": "pixpipe"}], "Overrides": {}, "StopCode": stop_code,
        "StoppedReason": reason,
    }  # fmt: skip
    return asl.StatesError("States.TaskFailed", json.dumps(cause, separators=(",", ":")))
