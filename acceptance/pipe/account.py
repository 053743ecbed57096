"""An account as state machines with distributed Maps see it: buckets, a queue, executions, an alarm, a bus.

Every request is checked against the service's own model. Names of errors are those of the SDK that Step Functions uses.
"""

import datetime
import json
import urllib.parse

import api
import asl
from services import Services
from world import SOURCE_QUEUE_URL

RECEIVE_MAX_MESSAGES = 10
EPOCH = 1_767_312_000.0  # LastModified of every object, as a listing in an ItemReader has it: seconds


def shape(value):
    """A value of a state machine's request as its API takes it: the optimised integrations take JSON as text, too."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def address(text):
    """Bucket and key of s3://bucket/key; the key is raw."""
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return bucket, key


class Account(Services):
    """`Services`, and what drains and backfills use besides. A subclass or a test fills in:

    `buckets` {name: {key: bytes}}, `metadata` {(bucket, key): {name: text}}, `queue` [body], `machines` {arn: (kind,
    definition)} that may be started, `runs_of` {arn of an execution: asl.Execution} for its Map Runs, and `faults`
    {resource: function of the arguments that raises, or returns None}.
    """

    def __init__(self, engine, ends=lambda body, nth: None, send_faults=()):
        super().__init__(ends, send_faults)
        self.engine = engine
        self.buckets, self.metadata, self.machines, self.runs_of, self.faults = {}, {}, {}, {}, {}
        self.queue, self.in_flight, self.received = [], {}, 0
        self.running = {}  # arn of a machine: executions that run, as listExecutions has them
        self.events, self.alarms, self.calls = [], [], []

    def __call__(self, resource, arguments):
        action = resource.split(":::")[-1]
        self.calls.append((action, arguments))
        if action in self.faults:
            self.faults[action](arguments)
        method = getattr(self, action.removeprefix("aws-sdk:").replace(":", "_").replace(".", "_"), None)
        return method(arguments) if method else super().__call__(resource, arguments)

    @staticmethod
    def asked(service, operation, parameters):
        found = api.faults(service, operation, parameters)
        assert not found, found

    # --- ECS: tasks that read stored batches, and report

    def read(self, body):
        reference = json.loads(body)
        if not isinstance(reference, dict) or "batch" not in reference:
            return body
        batch = json.loads(self.object(*address(reference["batch"])))
        return json.dumps({**batch, **{name: reference[name] for name in reference if name == "pixpipe"}})

    def report(self, body):
        reference = json.loads(body)
        if isinstance(reference, dict) and "report" in reference:
            bucket, key = address(reference["report"])
            self.objects(bucket)[key] = b"lines"
            written = str(len(json.loads(self.read(body))["Records"]))
            self.metadata[bucket, key] = {"written": written, "skipped": "0", "failed": "0", "handed-back": "0"}

    # --- S3

    def objects(self, bucket):
        if bucket not in self.buckets:
            raise asl.StatesError("S3.NoSuchBucketException", f"The specified bucket does not exist: {bucket}")
        return self.buckets[bucket]

    def object(self, bucket, key):
        if key not in self.objects(bucket):
            raise asl.StatesError("S3.NoSuchKeyException", f"The specified key does not exist: {key}")
        return self.buckets[bucket][key]

    def s3_listObjectsV2(self, arguments):
        """For an ItemReader: all pages. An empty listing has no items."""
        self.asked("s3", "ListObjectsV2", arguments)
        prefix = arguments.get("Prefix", "")
        return {"Contents": [
            {"Etag": '"d41d8cd98f00b204e9800998ecf8427e"', "Key": key, "LastModified": EPOCH, "Size": len(body),
             "StorageClass": "STANDARD"}
            for key, body in sorted(self.objects(arguments["Bucket"]).items()) if key.startswith(prefix)
        ]}  # fmt: skip

    def s3_getObject(self, arguments):
        """For an ItemReader."""
        self.asked("s3", "GetObject", arguments)
        return {"Body": self.object(arguments["Bucket"], arguments["Key"])}

    def s3_putObject(self, arguments):
        """A body that is no text is written as JSON; a text is written as a JSON string."""
        body = json.dumps(arguments["Body"], separators=(",", ":"), ensure_ascii=False)
        self.asked("s3", "PutObject", {**arguments, "Body": body.encode(errors="surrogatepass")})
        self.objects(arguments["Bucket"])[arguments["Key"]] = body.encode(errors="surrogatepass")
        return {"ETag": '"e"'}

    def s3_headObject(self, arguments):
        self.asked("s3", "HeadObject", arguments)
        body = self.object(arguments["Bucket"], arguments["Key"])
        metadata = self.metadata.get((arguments["Bucket"], arguments["Key"]), {})
        return {"ContentLength": len(body), "ETag": '"e"', "Metadata": metadata}

    def s3_copyObject(self, arguments):
        self.asked("s3", "CopyObject", arguments)
        bucket, _, key = urllib.parse.unquote(arguments["CopySource"]).removeprefix("/").partition("/")
        self.objects(arguments["Bucket"])[arguments["Key"]] = self.object(bucket, key)
        return {"CopyObjectResult": {"ETag": '"e"'}}

    def s3_deleteObject(self, arguments):
        """Deletes nothing without an error if there is nothing."""
        self.asked("s3", "DeleteObject", arguments)
        self.objects(arguments["Bucket"]).pop(arguments["Key"], None)
        return {}

    # --- SQS: the source queue

    def sqs_receiveMessage(self, arguments):
        """Ten messages at most; no member Messages if there is none."""
        self.asked("sqs", "ReceiveMessage", arguments)
        assert arguments["QueueUrl"] == SOURCE_QUEUE_URL
        most = arguments.get("MaxNumberOfMessages", 1)
        assert most <= RECEIVE_MAX_MESSAGES
        taken, self.queue = self.queue[:most], self.queue[most:]
        messages = []
        for body in taken:
            self.received += 1
            handle = f"handle-{self.received}"
            self.in_flight[handle] = body
            messages.append({"MessageId": f"id-{self.received}", "ReceiptHandle": handle, "Body": body})
        return {"Messages": messages} if messages else {}

    def sqs_deleteMessageBatch(self, arguments):
        self.asked("sqs", "DeleteMessageBatch", arguments)
        entries = arguments["Entries"]
        assert 1 <= len(entries) <= 10 and len({entry["Id"] for entry in entries}) == len(entries), entries
        for entry in entries:
            self.in_flight.pop(entry["ReceiptHandle"])
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    def reappear(self):
        """What was received and not deleted, once its visibility timeout is over."""
        self.queue, self.in_flight = [*self.queue, *self.in_flight.values()], {}

    def sqs_getQueueAttributes(self, arguments):
        self.asked("sqs", "GetQueueAttributes", arguments)
        known = {
            "ApproximateNumberOfMessages": str(len(self.queue)),
            "ApproximateNumberOfMessagesNotVisible": str(len(self.in_flight)),
            "ApproximateNumberOfMessagesDelayed": "0",
        }
        return {"Attributes": {name: known[name] for name in arguments["AttributeNames"]}}

    # --- Step Functions

    def sfn_startSyncExecution(self, arguments):
        """Runs an Express machine to its end; a failure of it is an answer, not an error."""
        self.asked("stepfunctions", "StartSyncExecution", api.lower_first(arguments))
        kind, definition = self.machines[arguments["StateMachineArn"]]
        assert kind == "EXPRESS", "StartSyncExecution is for Express machines only"
        name = arguments.get("Name", f"express-{len(self.calls)}")
        execution = asl.Execution(definition, self.engine, self, name, machine=name, kind=kind)
        answer = {"ExecutionArn": execution.arn, "Name": name, "StateMachineArn": arguments["StateMachineArn"]}
        try:
            return {**answer, "Status": "SUCCEEDED", "Output": shape(execution.run(json.loads(arguments["Input"])))}
        except asl.StatesError as error:
            return {**answer, "Status": "FAILED", "Error": error.name, "Cause": error.cause}

    def sfn_listExecutions(self, arguments):
        """The executions of `running`, newest first."""
        self.asked("stepfunctions", "ListExecutions", api.lower_first(arguments))
        assert arguments.get("StatusFilter") == "RUNNING"
        return {"Executions": self.running.get(arguments["StateMachineArn"], [])[: arguments.get("MaxResults", 100)]}

    def sfn_listMapRuns(self, arguments):
        """The Map Runs of an execution, newest first."""
        self.asked("stepfunctions", "ListMapRuns", api.lower_first(arguments))
        runs = self.runs_of[arguments["ExecutionArn"]].map_runs
        return {"MapRuns": [
            {"ExecutionArn": arguments["ExecutionArn"], "MapRunArn": run["arn"], "StartDate": self.date(index),
             "StateMachineArn": "arn"}
            for index, run in reversed(list(enumerate(runs)))
        ]}  # fmt: skip

    def sfn_describeMapRun(self, arguments):
        """What is counted of a Map Run: children, and their items."""
        self.asked("stepfunctions", "DescribeMapRun", api.lower_first(arguments))
        (run,) = [
            run for execution in self.runs_of.values() for run in execution.map_runs
            if run["arn"] == arguments["MapRunArn"]
        ]  # fmt: skip
        failed = {index for index, _ in run["failed"]}
        items = [len(one["Items"]) if isinstance(one, dict) and "Items" in one else 1 for one in run["inputs"]]
        lost = sum(count for index, count in enumerate(items) if index in failed)
        none = {"Pending": 0, "Running": 0, "TimedOut": 0, "Aborted": 0, "ResultsWritten": 0}
        done = len(items) - len(failed)
        return {
            "MapRunArn": run["arn"], "Status": "SUCCEEDED", "MaxConcurrency": run["max_concurrency"],
            "ExecutionCounts": {**none, "Succeeded": done, "Failed": len(failed), "Total": len(items)},
            "ItemCounts": {**none, "Succeeded": sum(items) - lost, "Failed": lost, "Total": sum(items)},
        }  # fmt: skip

    @staticmethod
    def date(seconds):
        when = datetime.datetime(2026, 1, 2) + datetime.timedelta(seconds=seconds)
        return when.isoformat(timespec="milliseconds") + "Z"

    # --- EventBridge, CloudWatch

    def events_putEvents(self, arguments):
        """The optimised integration: a detail is JSON, and an entry that is refused fails the state."""
        entries = [{**entry, "Detail": shape(entry["Detail"])} for entry in arguments["Entries"]]
        self.asked("events", "PutEvents", {"Entries": entries})
        assert sum(len(entry["Detail"].encode()) for entry in entries) <= 256 * 1024
        self.events += [{**entry, "Detail": json.loads(entry["Detail"])} for entry in entries]
        return {"Entries": [{"EventId": "e"} for _ in entries], "FailedEntryCount": 0}

    def cloudwatch_setAlarmState(self, arguments):
        self.asked("cloudwatch", "SetAlarmState", arguments)
        self.alarms.append((arguments["AlarmName"], arguments["StateValue"]))
        return {}
