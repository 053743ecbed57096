"""AWS as a state machine sees it: ECS, the queues that it sends to, and executions that it starts."""

import json

import api
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
        variable, *more = override["Environment"]
        assert override["Name"] == "pixpipe" and variable["Name"] == "SQS_BODY" and "LaunchType" not in arguments
        assert [one["Name"] for one in more] in ([], ["MEMORY_LIMIT_BYTES"]), more
        length = samples.overrides_length(variable["Value"]) + len(json.dumps(more))
        assert length <= OVERRIDES_MAX_CHARACTERS, f"overrides of {length} characters"
        (strategy,) = arguments["CapacityProviderStrategy"]
        batch = self.read(variable["Value"])
        self.tasks.append((strategy["CapacityProvider"], batch))
        self.requests.append(api.lower_first(arguments))
        error = self.ends(batch, len(self.tasks))
        if error:
            raise error
        self.report(variable["Value"])
        return {"StopCode": "EssentialContainerExited"}

    def read(self, body):
        """The batch that a task finds with this SQS_BODY."""
        return body

    def report(self, body):
        """What a task writes at its end."""

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
        """The batch of every task, also where SQS_BODY has its address only."""
        return [body for _, body in self.tasks]

    def providers(self):
        """The capacity provider of every task."""
        return [provider for provider, _ in self.tasks]

    def given(self):
        """SQS_BODY of every task."""
        return [
            request["overrides"]["containerOverrides"][0]["environment"][0]["value"] for request in self.requests
        ]  # fmt: skip

    def failed(self):
        """Bodies in the failed queue."""
        return [a["MessageBody"] for a in self.sent if a["QueueUrl"] == FAILED_QUEUE_URL]

    def put_back(self):
        """Bodies in the source queue."""
        return [a["MessageBody"] for a in self.sent if a["QueueUrl"] == SOURCE_QUEUE_URL]
