"""Stand-in for EventBridge Pipes: the API that Terraform talks to, and the poller that no emulator has.

A pipe keeps all of its parameters, DescribePipe returns them, and the poller reads nothing else. The stand-in refuses
the same requests as AWS, and treats messages as AWS does: it deletes those that the filter stops and those that the
target has accepted, whatever happens to them later. A message that the target did not accept returns after its
visibility timeout.
"""

import json
import threading
import time

import api
import patterns
from botocore.exceptions import BotoCoreError, ClientError

INPUT_MAX_BYTES = 262_144  # StartExecution
MEMBERS_OF_CREATE = ("Description", "DesiredState", "Enrichment", "EnrichmentParameters", "LogConfiguration", "RoleArn",
                     "Source", "SourceParameters", "Tags", "Target", "TargetParameters")  # fmt: skip
MEMBERS_OF_UPDATE = {"Description", "DesiredState", "RoleArn", "Tags"}


class Refused(Exception):
    """A request that AWS would answer with ValidationException."""


class Pipes:
    """The pipes of the account, by name."""

    def __init__(self, aws, time_scale):
        self.aws, self.time_scale = aws, time_scale
        self.pipes, self.lock = {}, threading.Lock()
        self.log = []

    def handle(self, method, path, body):
        """Status and body of a request to the pipes API."""
        with self.lock:
            if path.startswith("/tags/"):
                arn = path.removeprefix("/tags/")
                return 200, {"tags": next((p.get("Tags", {}) for p in self.pipes.values() if p["Arn"] == arn), {})}
            name, _, verb = path.removeprefix("/v1/pipes/").partition("/")
            pipe = self.pipes.get(name)
            if method == "POST" and not verb:
                try:
                    check_create(name, body)
                except Refused as refused:
                    return 400, {"__type": "ValidationException", "message": str(refused)}
                pipe = self.create(name, body)
            elif pipe is None:
                return 404, {"__type": "NotFoundException", "message": f"Pipe {name} does not exist."}
            elif method == "DELETE":
                pipe["CurrentState"] = "DELETING"
                del self.pipes[name]
            elif verb in ("start", "stop"):
                pipe["DesiredState"] = pipe["CurrentState"] = "RUNNING" if verb == "start" else "STOPPED"
            elif method == "PUT":
                # An update replaces whole members; a poller that runs goes on with what the pipe was.
                pipe.update({k: v for k, v in body.items() if k in MEMBERS_OF_UPDATE})
                pipe["CurrentState"] = pipe["DesiredState"]
            return 200, dict(pipe)

    def create(self, name, body):
        state = body.get("DesiredState", "RUNNING")
        pipe = self.pipes[name] = {
            **{k: v for k, v in body.items() if k in MEMBERS_OF_CREATE}, "Name": name, "DesiredState": state,
            "CurrentState": state, "Arn": f"arn:aws:pipes:{self.aws.region}:{self.aws.account}:pipe/{name}",
            "CreationTime": int(time.time()), "LastModifiedTime": int(time.time()),
        }  # fmt: skip
        threading.Thread(target=self.poll, args=(pipe,), daemon=True, name=f"pipe {name}").start()
        return pipe

    def describe(self, name):
        return self.handle("GET", f"/v1/pipes/{name}", {})[1]

    # --- the poller

    def poll(self, pipe):
        """Takes batches from the source queue and hands them to the target, as long as the pipe exists."""
        poller = None
        while pipe["CurrentState"] != "DELETING":
            if pipe["CurrentState"] != "RUNNING":
                time.sleep(0.1)
                continue
            poller = poller or Poller(self.aws, self.describe(pipe["Name"]), self.time_scale)
            try:
                poller.once(self.log)
            except (BotoCoreError, ClientError) as error:
                self.log.append(f"{pipe['Name']}: {error}")


class Poller:
    """One pipe at work, with the rights of its role."""

    def __init__(self, aws, described, time_scale):
        self.described, self.target = described, described["TargetParameters"]
        source = described["SourceParameters"]
        self.filters = [json.loads(f["Pattern"]) for f in source["FilterCriteria"]["Filters"]]
        self.batch_size = source["SqsQueueParameters"]["BatchSize"]
        self.window_seconds = source["SqsQueueParameters"].get("MaximumBatchingWindowInSeconds", 0) / time_scale
        role = aws.role(described["RoleArn"], "pipes.amazonaws.com", described["Arn"])
        self.sqs, self.ecs, self.sfn = (role.client(service) for service in ("sqs", "ecs", "stepfunctions"))
        self.queue_url = aws.queue_url(described["Source"])

    def once(self, log):
        """One batch, if there is one."""
        batch = []
        for message in self.receive():
            if patterns.takes(self.filters, message["Body"]):
                batch.append(message)
            else:
                self.delete(message)
        if not batch:
            return
        try:
            self.launch([self.event(message) for message in batch])
        except (BotoCoreError, ClientError, patterns.Refused) as error:
            log.append(f"{self.described['Name']}: {len(batch)} messages come back later: {error}")
            return
        for message in batch:
            self.delete(message)

    def receive(self):
        """Up to a batch of messages, for as long as the window is open."""
        messages, give_up = [], None
        while len(messages) < self.batch_size and (give_up is None or time.monotonic() < give_up):
            answer = self.sqs.receive_message(
                QueueUrl=self.queue_url, MaxNumberOfMessages=min(10, self.batch_size - len(messages)),
                WaitTimeSeconds=20, MessageSystemAttributeNames=["All"],
            )  # fmt: skip
            messages += answer.get("Messages", [])
            if not messages:
                break
            give_up = give_up or time.monotonic() + self.window_seconds
        return messages

    def event(self, message):
        """A message in the shape of a pipe's event."""
        return {
            "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
            "attributes": message["Attributes"], "messageAttributes": {}, "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs", "eventSourceARN": self.described["Source"], "awsRegion": "us-east-1",
        }  # fmt: skip

    def launch(self, events):
        """Returns when the target has accepted the batch."""
        if "EcsTaskParameters" in self.target:
            (event,) = events  # ECS is not a batch target, and CreatePipe refuses any other batch size
            overrides = resolved(self.target["EcsTaskParameters"]["Overrides"], event)
            self.ecs.run_task(**api.run_task_of_pipe(self.described, overrides))
            return
        template = self.target.get("InputTemplate")
        given = json.dumps([patterns.Pipe.fill(template, e) if template else e for e in events], ensure_ascii=False)
        if len(given.encode()) > INPUT_MAX_BYTES:
            raise patterns.Refused(f"an input of {len(given.encode())} bytes")
        self.sfn.start_execution(stateMachineArn=self.described["Target"], input=given)

    def delete(self, message):
        self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])


def check_create(name, body):
    """Refuses a pipe that AWS would refuse, or whose tasks would die at their start."""
    faults = api.faults("pipes", "CreatePipe", {**body, "Name": name})
    sqs = body.get("SourceParameters", {}).get("SqsQueueParameters", {})
    ecs = body.get("TargetParameters", {}).get("EcsTaskParameters")
    if sqs.get("BatchSize", 10) > 10 and not sqs.get("MaximumBatchingWindowInSeconds"):
        faults.append("a batch size above 10 needs a batching window")
    if ecs and sqs.get("BatchSize", 10) > 1:
        faults.append("ECS is not a batch target: BatchSize must be 1")
    if ecs and ecs.get("LaunchType") and ecs.get("CapacityProviderStrategy"):
        faults.append("LaunchType and CapacityProviderStrategy exclude each other")
    for override in (ecs or {}).get("Overrides", {}).get("ContainerOverrides", []):
        # AWS accepts it, and every task dies at its start.
        faults += [f"{override.get('Name')}: {k} is 0" for k in ("Cpu", "Memory") if override.get(k) == 0]
    for filter_ in body.get("SourceParameters", {}).get("FilterCriteria", {}).get("Filters", []):
        faults += patterns.lint(json.loads(filter_["Pattern"]), patterns.PIPE_OPERATORS, "filter")
    if faults:
        raise Refused("; ".join(faults))


def resolved(overrides, event):
    """A pipe's overrides as RunTask has them, dynamic paths looked up in the event."""
    return {"containerOverrides": [
        api.present(
            name=c["Name"], cpu=c.get("Cpu"), memory=c.get("Memory"), command=c.get("Command"),
            environment=[
                {"name": e["name"], "value": patterns.Pipe.path(e["value"], event)} for e in c.get("Environment", [])
            ],
        )
        for c in overrides["ContainerOverrides"]
    ]}  # fmt: skip
