"""Step Functions of the local AWS: what ministack's interpreter ignores, or does otherwise than AWS.

* A task is a request to the real API, with the credentials of the state machine's role, so that IAM is enforced: SDK
  integrations with their names of parameters, members and errors, and the optimized ones that the module uses.
  `ecs:runTask.sync` goes to the ECS stand-in and fails if a task ends badly. (ministack calls its services' functions
  directly, and takes every ended task for a success.)
* A Distributed Map takes expressions in its fields, reads its items with the role's rights, fills batches by number and
  by size, and runs each child as an execution of its own that sees no variables of its parent.
* What is larger than 256 KiB ends an execution.
* StopExecution reaches the children and the task that runs.
* Only an Express machine can be started synchronously.
* An expression may take a minute: AWS gives it a second on a machine that does nothing else.

An accident loses the answer of a request that was done, or ends an execution right after a request.
"""

import contextvars
import csv
import dataclasses
import functools
import gzip
import io
import json
import random
import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore
import botocore.config
import jsonata
from botocore.exceptions import ClientError
from ministack.services import stepfunctions
from rights import ACCOUNT, REGION, Refused, authorize, credentials_of

LIMIT_BYTES = 262_144  # of what goes into a state, a task or an execution, and of what comes out
TASK_RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForECSTaskRule"
COUNTS = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten")
CHILDREN_AT_ONCE = 64  # AWS starts up to 10,000

# The SDK's name of a service in a resource: boto3's name, and how errors begin.
SDK_SERVICES = {
    "cloudwatch": ("cloudwatch", "CloudWatch"),
    "ecs": ("ecs", "Ecs"),
    "eventbridge": ("events", "EventBridge"),
    "s3": ("s3", "S3"),
    "sfn": ("stepfunctions", "Sfn"),
    "sqs": ("sqs", "Sqs"),
}
OPTIMIZED = {"sqs:sendMessage": ("sqs", "SQS"), "events:putEvents": ("events", "EventBridge")}

Failure = stepfunctions._ExecutionError
running = contextvars.ContextVar("the execution that runs here")
endpoints = {}


def install(gateway, tasks_endpoint):
    """Puts this in the place of ministack's functions."""
    endpoints.update(gateway=gateway, ecs=tasks_endpoint)
    given = jsonata.Jsonata.jsonata
    jsonata.Jsonata.jsonata = staticmethod(lambda text, timeout=0: given(text, timeout=60_000))
    stepfunctions._execute_task = execute_task
    stepfunctions._invoke_resource = invoke_resource
    stepfunctions._run_distributed_map = run_distributed_map
    stepfunctions._start_sync_execution = start_sync_execution
    stepfunctions._fail_execution = fail_execution


# --- tasks -----------------------------------------------------------------------------------------------------------

ministacks_execute_task = stepfunctions._execute_task
ministacks_start_sync_execution = stepfunctions._start_sync_execution
ministacks_fail_execution = stepfunctions._fail_execution


class Stopped(Exception):
    """The end of an execution that no Retry and no Catch sees."""


def execute_task(state, given, execution, context):
    running.set(execution)
    stop_if_stopped()
    output, following = ministacks_execute_task(state, given, execution, context)
    within_limit(output, "The state's output")
    return output, following


def fail_execution(execution, error, cause):
    """Ends an execution that has not been stopped before."""
    if execution["status"] == "RUNNING":
        ministacks_fail_execution(execution, error, cause)


def stop_if_stopped():
    execution = running.get()
    if any(one["status"] != "RUNNING" for one in (execution, execution.get("parent", execution))):
        raise Stopped("StopExecution")


def within_limit(value, what):
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > LIMIT_BYTES:
        raise Failure("States.DataLimitExceeded", f"{what} exceeds the maximum number of bytes, {LIMIT_BYTES}")
    return value


def machine_of(execution):
    """The ARN of the state machine, for a child of a Distributed Map, too."""
    return re.sub(r"(:stateMachine:[^/]+)/.*", r"\1", execution["stateMachineArn"])


def credentials():
    """Credentials of the role of the state machine that is running."""
    machine = machine_of(running.get())
    return credentials_of(stepfunctions._state_machines[machine]["roleArn"], "states.amazonaws.com", machine)


def client(service):
    """A client with the rights of the state machine that is running."""
    return client_with(service, **credentials())


@functools.cache
def client_with(service, AccessKeyId, SecretAccessKey, Token, **_):  # noqa: N803 the names of the credentials
    return boto3.client(
        service,
        endpoint_url=endpoints["ecs" if service == "ecs" else "gateway"],
        region_name=REGION,
        aws_access_key_id=AccessKeyId,
        aws_secret_access_key=SecretAccessKey,
        aws_session_token=Token,
        # No host prefix: StartSyncExecution would go to sync-127.0.0.1.
        config=botocore.config.Config(
            retries={"total_max_attempts": 1}, read_timeout=300, max_pool_connections=50, inject_host_prefix=False
        ),
    )


def invoke_resource(resource, arguments):
    """Does a task, and lets its accident happen."""
    within_limit(arguments, "The task's input")
    name = resource.partition(":::")[2]
    answer = run_task_sync(arguments) if name == "ecs:runTask.sync" else request(name, arguments)
    return within_limit(after_accident(name, answer), "The task's output")


def request(name, arguments):
    """The answer of an SDK integration, or of an optimized one."""
    sdk = name.startswith("aws-sdk:")
    service, _, action = name.removeprefix("aws-sdk:").partition(":")
    known = SDK_SERVICES.get(service) if sdk else OPTIMIZED.get(name)
    if known is None:
        raise Failure("States.Runtime", f"{name} is not supported here")
    service, prefix = known
    there = client(service)
    operation = there.meta.service_model.operation_model(action[:1].upper() + action[1:])
    sent = as_request(arguments, operation.input_shape, lenient=not sdk)
    try:
        answer = getattr(there, botocore.xform_name(operation.name))(**sent)
    except ClientError as error:
        raise as_failure(prefix, error, operation if sdk else None) from error
    if name == "events:putEvents" and answer["FailedEntryCount"]:
        raise Failure("EventBridge.FailedEntry", json.dumps(answer["Entries"]))
    return as_answer(answer, operation.output_shape)


def as_failure(prefix, error, operation):
    """An error's name: that of the exception in AWS's SDK for Java, and the service's own if the API has no such."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if operation is None:
        return Failure(f"{prefix}.{code}", message)
    code = {"404": "NoSuchKey"}.get(code, code)  # a HEAD has no body that could say it
    known = {shape.name for shape in operation.error_shapes} | {"NoSuchKey"}
    return Failure(f"{prefix}.{(code if code in known else prefix).removesuffix('Exception')}Exception", message)


def as_request(value, shape, lenient):
    """Arguments with the API's names. Text may be given as an object to an optimized integration, and to a blob."""
    match shape.type_name:
        case "structure":
            names = {name[:1].upper() + name[1:]: name for name in shape.members}
            unknown = sorted(set(value) - set(names))
            if unknown:
                raise Failure("States.Runtime", f"The field {unknown[0]} is not supported: {sorted(names)}")
            return {names[k]: as_request(v, shape.members[names[k]], lenient) for k, v in value.items()}
        case "list":
            return [as_request(v, shape.member, lenient) for v in value]
        case "map":
            return {k: as_request(v, shape.value, lenient) for k, v in value.items()}
        case "blob" | "string" if not isinstance(value, str):
            if shape.type_name == "string" and not lenient:
                raise Failure("States.Runtime", f"{shape.name}: not a string: {json.dumps(value)[:200]}")
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def as_answer(value, shape):
    """An answer with Step Functions' names."""
    match shape and shape.type_name:
        case "structure":
            return {
                name[:1].upper() + name[1:]: as_answer(value[name], member)
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case "list":
            return [as_answer(v, shape.member) for v in value]
        case "map":
            return {k: as_answer(v, shape.value) for k, v in value.items()}
        case "timestamp":
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "blob":
            return value.read().decode() if hasattr(value, "read") else value.decode()
        case None:
            return {}
    return value


def run_task_sync(arguments):
    """ecs:runTask.sync: launch, wait for the end, fail with the task's description unless every container exited 0."""
    ecs = client("ecs")
    sent = lower_first(arguments)
    try:
        # Step Functions learns of the end by this rule.
        for action in ("events:DescribeRule", "events:PutRule", "events:PutTargets"):
            authorize(credentials()["AccessKeyId"], action, TASK_RULE, {})
        answer = ecs.run_task(**sent)
        if answer["failures"]:
            # The name of this error is not documented.
            raise Failure("AmazonECS.Unknown", json.dumps(upper_first(answer["failures"])))
        task = answer["tasks"][0]
        while task["lastStatus"] != "STOPPED":
            time.sleep(0.2)
            try:
                stop_if_stopped()
            except Stopped:
                ecs.stop_task(cluster=sent["cluster"], task=task["taskArn"], reason="The execution was stopped")
                raise
            (task,) = ecs.describe_tasks(cluster=sent["cluster"], tasks=[task["taskArn"]])["tasks"]
    except Refused as refused:
        raise Failure("ECS.AccessDeniedException", str(refused)) from refused
    except ClientError as error:
        raise as_failure("ECS", error, None) from error
    description = json.loads(json.dumps(upper_first(task), default=str, separators=(",", ":")))
    if any(container.get("exitCode") != 0 for container in task["containers"]):
        raise Failure("States.TaskFailed", json.dumps(description, separators=(",", ":")))
    return description


def lower_first(value):
    if isinstance(value, dict):
        return {
            "enableECSManagedTags" if k == "EnableECSManagedTags" else k[:1].lower() + k[1:]: lower_first(v)
            for k, v in value.items()
        }
    return [lower_first(v) for v in value] if isinstance(value, list) else value


def upper_first(value):
    if isinstance(value, dict):
        return {k[:1].upper() + k[1:]: upper_first(v) for k, v in value.items()}
    return [upper_first(v) for v in value] if isinstance(value, list) else value


def start_sync_execution(data):
    """StartSyncExecution, of Express machines only."""
    machine = stepfunctions._state_machines.get(data.get("stateMachineArn"))
    if machine and machine.get("type") != "EXPRESS":
        message = "This operation is not supported by this type of state machine"
        return stepfunctions.error_response_json("StateMachineTypeNotSupported", message, 400)
    return ministacks_start_sync_execution(data)


# --- accidents -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Accident:
    """Something that happens right after a request of a state machine was done."""

    machine: str
    """The name of the machine."""
    request: str
    """The resource's last part, such as s3:putObject."""
    kind: str
    """
    answer lost: the state machine sees an error
    killed: the execution ends, and nothing in it learns of it
    sees nobody: a list of executions has none but the one that asks
    """
    share: float = 1
    """The share of such requests that it strikes, at random."""
    times: int = 1
    """How often it may strike."""
    seed: str = ""
    struck: int = 0

    def __post_init__(self):
        self.random = random.Random(self.seed)

    def strikes(self, name):
        machine = machine_of(running.get()).rsplit(":", 1)[-1]
        if self.machine != machine or not name.endswith(self.request) or self.struck >= self.times:
            return False
        if self.random.random() >= self.share:
            return False
        self.struck += 1
        return True


accidents = []


def after_accident(name, answer):
    for accident in list(accidents):
        if accident.strikes(name):
            match accident.kind:
                case "answer lost":
                    raise Failure("Sfn.SdkClientException", "Unable to execute HTTP request: Read timed out")
                case "killed":
                    raise Stopped("an accident")
                case "sees nobody":
                    mine = running.get()["executionArn"]
                    return {"Executions": [one for one in answer["Executions"] if one["ExecutionArn"] == mine]}
    return answer


# --- Distributed Map -------------------------------------------------------------------------------------------------


def run_distributed_map(state, given, _effective, processor, execution, context):
    """Runs the items, or batches of them, as child executions; the output is the array of what they gave back."""
    running.set(execution)
    stop_if_stopped()

    def field(name, kind, default):
        return stepfunctions._jsonata_state_field(state, name, kind, given, context) if name in state else default

    if "ResultWriter" in state:
        raise Failure("States.Runtime", "ResultWriter is not supported here")
    reader = state.get("ItemReader")
    items = read_items(reader, evaluated(reader["Arguments"], given, context)) if reader else field("Items", "array", 0)
    inputs = batches(selected(items, state, given, context), state.get("ItemBatcher"), given, context)
    machine, label = machine_of(execution), state.get("Label") or uuid.uuid4().hex
    authorize_start(machine)
    run_arn = machine.replace(":stateMachine:", ":mapRun:") + f"/{label}:{uuid.uuid4()}"
    run = stepfunctions._map_runs[run_arn] = {
        "mapRunArn": run_arn,
        "executionArn": execution["executionArn"],
        "status": "RUNNING",
        "startDate": stepfunctions.now_iso(),
        "itemCounts": dict.fromkeys(COUNTS, 0) | {"total": len(items)},
        "executionCounts": dict.fromkeys(COUNTS, 0) | {"total": len(inputs), "pending": len(inputs)},
        "_stateMachineArn": f"{machine}/{label}",
        "_lock": threading.Lock(),
    }
    at_once = int(field("MaxConcurrency", "number", 0)) or CHILDREN_AT_ONCE
    with ThreadPoolExecutor(min(at_once, CHILDREN_AT_ONCE)) as pool:
        children = [
            pool.submit(contextvars.copy_context().run, run_child, processor, one, execution, run) for one, _ in inputs
        ]
        ended = [child.result() for child in children]
    stop_if_stopped()
    failed = sum(count for (_, count), child in zip(inputs, ended, strict=True) if child["status"] != "SUCCEEDED")
    tolerated = field("ToleratedFailurePercentage", "number", 0) * len(items) / 100
    too_many = failed > max(tolerated, field("ToleratedFailureCount", "number", 0))
    run["itemCounts"] |= {"failed": failed, "succeeded": len(items) - failed}
    run.update(status="FAILED" if too_many else "SUCCEEDED", stopDate=stepfunctions.now_iso())
    if too_many:
        raise Failure("States.ExceedToleratedFailureThreshold", f"{failed} of {len(items)} items failed")
    results = [json.loads(child["output"]) for child in ended if child["status"] == "SUCCEEDED"]
    within_limit(results, "The result of the Map Run")
    output = stepfunctions._apply_jsonata_output(state, given, context, result=results, default=results)
    stepfunctions._apply_state_assign(state, given, context, result=results)
    return within_limit(output, "The state's output"), stepfunctions._next_or_end(state)


def evaluated(template, given, context):
    return stepfunctions._apply_jsonata_template(template, given, context)


def authorize_start(machine):
    """A Map Run starts its children with the right of the machine's role."""
    try:
        authorize(credentials()["AccessKeyId"], "states:StartExecution", machine, {})
    except Refused as refused:
        raise Failure("States.Runtime", str(refused)) from refused


def run_child(processor, given, parent, run):
    """One child execution, from its start to its end."""
    assert processor["ProcessorConfig"]["ExecutionType"] == "STANDARD"
    machine, name = run["_stateMachineArn"], str(uuid.uuid4())
    arn = machine.replace(":stateMachine:", ":execution:") + f":{name}"
    child = {
        **{"executionArn": arn, "stateMachineArn": machine, "name": name, "status": "RUNNING", "output": None},
        **{"startDate": stepfunctions.now_iso(), "stopDate": None, "mapRunArn": run["mapRunArn"], "events": []},
        **{"input": json.dumps(given), "testCase": "", "mockAttempts": {}, "parent": parent},
    }
    stepfunctions._executions[arn] = child
    count(run, "pending", "running")
    context = {
        "QueryLanguage": "JSONata",
        "Execution": {"Id": arn, "Input": given, "Name": name, "StartTime": child["startDate"]},
        "StateMachine": {"Id": machine, "Name": machine.rsplit(":", 1)[-1]},
        "variables": {},
    }
    try:
        within_limit(given, "The input of an execution")
        output = stepfunctions._run_sub_machine(processor["States"], processor["StartAt"], given, child, context)
        child.update(status="SUCCEEDED", output=json.dumps(within_limit(output, "The output of an execution")))
    except Stopped as stopped:
        child.update(status="ABORTED" if parent["status"] != "RUNNING" else "FAILED", cause=str(stopped))
    except Failure as failure:
        child.update(status="FAILED", error=failure.error, cause=failure.cause)
    except Exception as error:  # noqa: BLE001 an execution that ends in an unexpected way has failed
        child.update(status="FAILED", error="States.Runtime", cause=repr(error))
    child["stopDate"] = stepfunctions.now_iso()
    count(run, "running", child["status"].lower())
    return child


def count(run, before, after):
    """Moves a child from one of the Map Run's counts to another one."""
    with run["_lock"]:
        run["executionCounts"][before] -= 1
        run["executionCounts"][after] += 1


def selected(items, state, given, context):
    """The items as the children get them."""
    if "ItemSelector" not in state:
        return items
    return [
        evaluated(state["ItemSelector"], given, {**context, "Map": {"Item": {"Index": index, "Value": item}}})
        for index, item in enumerate(items)
    ]


def batches(items, batcher, given, context):
    """Inputs of children, each with the number of its items."""
    if batcher is None:
        return [(item, 1) for item in items]
    batcher = evaluated(batcher, given, context)
    most, most_bytes = batcher.get("MaxItemsPerBatch") or len(items), batcher.get("MaxInputBytesPerBatch", LIMIT_BYTES)
    beside = {"BatchInput": batcher["BatchInput"]} if "BatchInput" in batcher else {}

    def size(value):
        return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    made, batch, batch_bytes = [], [], 0
    for item in items:
        item_bytes = size(item) + 1
        if batch and (len(batch) >= most or size({**beside, "Items": []}) + batch_bytes + item_bytes > most_bytes):
            made.append(batch)
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item_bytes
    made += [batch] if batch else []
    return [({**beside, "Items": batch}, len(batch)) for batch in made]


def read_items(reader, arguments):
    """The items of a listing, or of a file with a list of them."""
    config = reader.get("ReaderConfig", {})
    try:
        if reader["Resource"].endswith(":s3:listObjectsV2"):
            return listing(arguments)[: config.get("MaxItems")]
        if reader["Resource"].endswith(":s3:getObject"):
            return file_items(content(arguments["Bucket"], arguments["Key"]), config)[: config.get("MaxItems")]
    except (ClientError, KeyError, ValueError) as error:
        raise Failure("States.ItemReaderFailed", f"{type(error).__name__}: {error}") from error
    raise Failure("States.Runtime", f"{reader['Resource']} is not supported here")


def listing(arguments):
    pages = client("s3").get_paginator("list_objects_v2").paginate(**arguments)
    return [
        {
            "Etag": entry["ETag"],
            "Key": entry["Key"],
            "LastModified": int(entry["LastModified"].timestamp()),
            "Size": entry["Size"],
            "StorageClass": entry.get("StorageClass", "STANDARD"),
        }
        for page in pages
        for entry in page.get("Contents", [])
    ]


def content(bucket, key):
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def file_items(file, config):
    match config["InputType"]:
        case "CSV":
            rows = [row for row in csv.reader(io.StringIO(file.decode(), newline="")) if row]
            given = config["CSVHeaderLocation"] == "GIVEN"
            header, rows = (config["CSVHeaders"], rows) if given else (rows[0], rows[1:])
            return [dict(zip(header, [*row, *[""] * len(header)], strict=False)) for row in rows]
        case "JSONL":
            return [json.loads(line) for line in file.decode().split("\n") if line.strip()]
        case "JSON":
            items = json.loads(file)
            for part in config.get("ItemsPointer", "").split("/")[1:]:
                items = items[part]
            if not isinstance(items, list):
                raise ValueError("not an array")
            return items
        case "MANIFEST":
            manifest = json.loads(file)
            if manifest["fileFormat"] != "CSV":
                raise ValueError(f"an inventory in {manifest['fileFormat']}")
            header = [name.strip() for name in manifest["fileSchema"].split(",")]
            bucket = manifest["destinationBucket"].rsplit(":", 1)[-1]
            return [
                dict(zip(header, row, strict=True))
                for part in manifest["files"]
                for row in csv.reader(io.StringIO(gzip.decompress(content(bucket, part["key"])).decode(), newline=""))
            ]
    raise ValueError(f"InputType {config['InputType']}")
