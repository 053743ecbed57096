"""Stand-in for ECS on Fargate: RunTask runs the real image in podman, within the limits of its task definition.

Clusters and task definitions are ministack's. Here are RunTask, DescribeTasks and StopTask (with the rights of the
caller, role passing included), the credentials endpoint, and the event on EventBridge when a task has stopped. A
`Fault` is an accident of a bad day, and so is `Kills`.
"""

import dataclasses
import datetime
import json
import os
import secrets
import subprocess
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

import api
from botocore.exceptions import ClientError

OVERRIDES_MAX_CHARACTERS = 8192
SIGKILLED = 137
NAME_PREFIX = f"pixpipe-e2e-{os.getpid()}-"
PODMAN = ["podman", "--cgroup-manager=cgroupfs", "--runtime=runc"]
# An engine that raises limits cannot start a container if its caller may not raise them.
ULIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]


@dataclasses.dataclass
class Fault:
    """Something that goes wrong with the first `times` tasks that are given an object."""

    bucket: str
    key: str
    kind: str
    """
    throttled: RunTask is answered with an error
    no room: RunTask is answered with failures
    cannot start: the image cannot be pulled
    memory: the container may use less than its definition says, and is killed for more
    killed: SIGKILL while it reads the object
    spot: SIGTERM while it reads the object, two minutes, SIGKILL
    spot without notice: SIGKILL while it reads the object
    """
    times: int = 1
    tasks: list = dataclasses.field(default_factory=list)
    """The tasks that it struck, or the answers of RunTask."""


class Kills:
    """The end of a share of a cluster's tasks, each while it reads one of its objects."""

    def __init__(self, random, share, kinds):
        self.random, self.share, self.kinds = random, share, kinds
        self.due = 1 - share  # the first task is struck, and then so many that the share comes out
        self.struck = []  # the tasks that were ended

    def fault_of(self, batch, source_bucket):
        """The fault of a new task with this batch; None if it has none."""
        objects = objects_of(batch, source_bucket)
        self.due += self.share if objects else 0
        if self.due < 1 or not objects:
            return None
        self.due -= 1
        return Fault(*self.random.choice(objects), self.random.choice(self.kinds))


def objects_of(batch, source_bucket):
    """Bucket and key of each object of a batch, as far as it is one of a launcher."""
    try:
        records = json.loads(batch)["Records"]
    except (ValueError, KeyError, TypeError):
        return []
    objects = []
    for record in records:
        match record:
            case {"s3": {"bucket": {"name": bucket}, "object": {"key": key}}}:
                objects.append((bucket, urllib.parse.unquote_plus(key)))
            case {"key": key}:
                objects.append((record.get("bucket", source_bucket), key))
    return objects


class Quota:
    """How many tasks of a cluster may exist at one time, and how fast it may launch them."""

    def __init__(self, tasks, per_second, at_once):
        self.tasks, self.per_second, self.at_once = tasks, per_second, at_once
        self.tokens, self.at = float(at_once), time.monotonic()
        self.throttled = self.over = 0

    def throttles(self):
        """Whether this launch comes too fast."""
        now = time.monotonic()
        self.tokens, self.at = min(self.at_once, self.tokens + (now - self.at) * self.per_second), now
        if self.tokens < 1:
            self.throttled += 1
            return True
        self.tokens -= 1
        return False


class Refusal(Exception):
    """An error that ECS answers with."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Ecs:
    """The tasks of the account, by ARN."""

    def __init__(self, aws, image, own_endpoint, at_a_time, work):
        self.aws, self.image, self.own_endpoint, self.work = aws, image, own_endpoint, work
        self.client, self.events = aws.client("ecs", emulated=True), aws.client("events")
        self.ec2, self.logs = aws.client("ec2"), aws.client("logs")
        self.s3 = aws.client("s3")
        self.quotas, self.kills = {}, {}  # by the ARN of the cluster; none by default
        self.tasks, self.credentials, self.definitions = {}, {}, {}
        self.faults, self.lock = [], threading.Lock()
        self.workers = ThreadPoolExecutor(at_a_time, thread_name_prefix="task")

    def handle(self, operation, request, access_key):
        """Status and body of a request to the ECS API."""
        try:
            faults = api.faults("ecs", operation, request)
            if faults:
                raise Refusal("ClientException", "; ".join(faults))
            answers = {"RunTask": self.run_task, "DescribeTasks": self.describe_tasks, "StopTask": self.stop_task}
            return 200, answers[operation](request, access_key)
        except Refusal as refusal:
            return 400, {"__type": refusal.code, "message": str(refusal)}

    def close(self):
        """Starts no more tasks, and removes the containers of those that run."""
        self.workers.shutdown(wait=False, cancel_futures=True)
        names = self.podman("ps", "--all", "--format={{.Names}}").stdout.split()
        ours = [name for name in names if name.startswith(NAME_PREFIX)]
        if ours:
            self.podman("rm", "--force", "--time=0", *ours)

    def podman(self, *arguments, check=False):
        """Runs podman to its end. (Its monitor may leave a file "oom" in the working directory.)"""
        return subprocess.run([*PODMAN, *arguments], cwd=self.work, check=check, capture_output=True, text=True)

    # --- the API

    def run_task(self, request, access_key):
        definition = self.definition(request["taskDefinition"])
        self.check(request, definition, access_key)
        overrides = request["overrides"]["containerOverrides"]
        body = next(e["value"] for o in overrides for e in o["environment"] if e["name"] == "SQS_BODY")
        batch = self.batch_of(body)
        text = body + batch
        fault = self.fault_of(text)
        if fault and fault.kind == "throttled":
            fault.tasks.append("ThrottlingException")
            raise Refusal("ThrottlingException", "Rate exceeded")
        if fault and fault.kind == "no room":
            fault.tasks.append("failures")
            return {
                "tasks": [],
                "failures": [{"arn": request["cluster"], "reason": "Capacity is unavailable at this time."}],
            }
        with self.lock:
            quota = self.quotas.get(request["cluster"])
            if quota and quota.throttles():
                raise Refusal("ThrottlingException", "Rate exceeded")
            running = sum(
                task["clusterArn"] == request["cluster"] and task["lastStatus"] != "STOPPED"
                for task in self.tasks.values()
            )
            if quota and running >= quota.tasks:
                quota.over += 1
                reason = "You’ve reached the limit on the number of vCPUs you can run concurrently"
                return {"tasks": [], "failures": [{"arn": request["cluster"], "reason": reason}]}
            tasks = [self.new_task(request, definition, text) for _ in range(request.get("count", 1))]
            self.tasks |= {task["taskArn"]: task for task in tasks}
        kills = self.kills.get(request["cluster"])
        if kills and not fault:
            environment = {e["name"]: e["value"] for e in definition["containerDefinitions"][0]["environment"]}
            fault = kills.fault_of(batch or body, environment.get("SOURCE_BUCKET"))
        for task in tasks:
            if fault:
                fault.tasks.append(task)
            self.workers.submit(self.run, task, definition, fault, kills)
        return {"tasks": [shown(task) for task in tasks], "failures": []}

    def describe_tasks(self, request, access_key):
        for arn in request["tasks"]:
            self.aws.authorize(access_key, "ecs:DescribeTasks", arn, {"ecs:cluster": request["cluster"]}, Refusal)
        return {"tasks": [shown(self.tasks[arn]) for arn in request["tasks"]], "failures": []}

    def stop_task(self, request, access_key):
        task = self.tasks[request["task"]]
        self.aws.authorize(
            access_key, "ecs:StopTask", task["taskArn"], {"ecs:cluster": request["cluster"]}, Refusal
        )
        task.update(desiredStatus="STOPPED", stopCode="UserInitiated", stoppedReason=request.get("reason", ""))
        self.podman("stop", name_of(task))
        return {"task": shown(task)}

    def definition(self, arn):
        """The task definition; its newest revision if none is named."""
        with self.lock:
            if arn not in self.definitions:
                self.definitions[arn] = self.client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
            return self.definitions[arn]

    def check(self, request, definition, access_key):
        """Refuses a RunTask that AWS would refuse: for its size, its numbers, or the rights of the caller."""
        length = len(json.dumps(request["overrides"], separators=(",", ":")))
        if length > OVERRIDES_MAX_CHARACTERS:
            raise Refusal(
                "InvalidParameterException", f"Container Overrides length must be at most 8192 (it is {length})"
            )
        if request.get("launchType") and request.get("capacityProviderStrategy"):
            raise Refusal("InvalidParameterException", "launchType and capacityProviderStrategy exclude each other")
        for override in request["overrides"]["containerOverrides"]:
            for what in ("cpu", "memory"):
                has = int(request["overrides"].get(what, definition[what]))
                wants = override.get(what, definition["containerDefinitions"][0][what])
                if not 0 < wants <= has:
                    raise Refusal("ClientException", f"{what} of {wants} in a task that has {has}")
        (cluster,) = self.client.describe_clusters(clusters=[request["cluster"]])["clusters"]
        for use in request["capacityProviderStrategy"]:
            if use["capacityProvider"] not in cluster["capacityProviders"]:
                raise Refusal("InvalidParameterException", f"the cluster has no {use['capacityProvider']}")
        if not any(use.get("weight") or use.get("base") for use in request["capacityProviderStrategy"]):
            raise Refusal("InvalidParameterException", "at least one capacity provider must have a weight above 0")
        if not any(container.get("essential", True) for container in definition["containerDefinitions"]):
            raise Refusal("ClientException", "a task needs an essential container")
        network = request["networkConfiguration"]["awsvpcConfiguration"]
        known = (
            ("subnets", "subnet-", self.ec2.describe_subnets, "Subnets", "SubnetId"),
            ("securityGroups", "sg-", self.ec2.describe_security_groups, "SecurityGroups", "GroupId"),
        )
        for member, prefix, describe, answer, key in known:
            there = {one[key] for one in describe()[answer]}
            if not network[member] or not set(network[member]) <= there or prefix not in network[member][0]:
                raise Refusal("InvalidParameterException", f"{member}: {network[member]} are not there")
        cluster = {"ecs:cluster": request["cluster"]}
        self.aws.authorize(access_key, "ecs:RunTask", definition["taskDefinitionArn"], cluster, Refusal)
        if request.get("propagateTags") or request.get("tags") or request.get("enableECSManagedTags"):
            any_task = request["cluster"].replace(":cluster/", ":task/") + "/x"
            self.aws.authorize(access_key, "ecs:TagResource", any_task, {"ecs:CreateAction": "RunTask"}, Refusal)
        for role in (definition["executionRoleArn"], definition["taskRoleArn"]):
            self.aws.authorize(
                access_key, "iam:PassRole", role, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}, Refusal
            )

    def batch_of(self, body):
        """The text of the batch that SQS_BODY refers to; empty if there is none."""
        try:
            bucket, _, key = json.loads(body)["batch"].removeprefix("s3://").partition("/")
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        except (ValueError, KeyError, TypeError, ClientError):
            return ""

    def new_task(self, request, definition, text):
        cluster_name = request["cluster"].rsplit("/", 1)[-1]
        arn = f"arn:aws:ecs:{self.aws.region}:{self.aws.account}:task/{cluster_name}/{uuid.uuid4().hex}"
        return {
            "taskArn": arn,
            "clusterArn": request["cluster"],
            "taskDefinitionArn": definition["taskDefinitionArn"],
            "overrides": request["overrides"],
            "text": text,
            "network": request["networkConfiguration"]["awsvpcConfiguration"],
            "launchType": "FARGATE",
            "lastStatus": "PROVISIONING",
            "desiredStatus": "RUNNING",
            "capacityProviderName": request["capacityProviderStrategy"][0]["capacityProvider"],
            "cpu": request["overrides"].get("cpu", definition["cpu"]),
            "memory": request["overrides"].get("memory", definition["memory"]),
            "group": request.get("group", f"family:{definition['family']}"),
            "createdAt": now(),
            "version": 1,
            "containers": [
                {"name": c["name"], "taskArn": arn, "lastStatus": "PENDING", "image": c["image"]}
                for c in definition["containerDefinitions"]
            ],
        }

    def cannot_start(self, task, definition):
        """Why a task that was accepted would never start on Fargate: no way to the image, or to its log; else None."""
        network = task["network"]
        route_tables = self.ec2.describe_route_tables()["RouteTables"]
        for table in route_tables:
            mine = {one.get("SubnetId") for one in table.get("Associations", [])} & set(network["subnets"])
            public = any(route.get("GatewayId", "").startswith("igw-") for route in table["Routes"])
            if mine and public and network.get("assignPublicIp") != "ENABLED":
                return "CannotPullContainerError: a public subnet, and no public address"
        options = definition["containerDefinitions"][0]["logConfiguration"]["options"]
        group, region = options["awslogs-group"], options["awslogs-region"]
        groups = self.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        if region != self.aws.region or group not in {one["logGroupName"] for one in groups}:
            return f"ResourceInitializationError: no log group {group} in {region}"
        stream = f"{options['awslogs-stream-prefix']}/{definition['containerDefinitions'][0]['name']}/x"
        arn = f"arn:aws:logs:{region}:{self.aws.account}:log-group:{group}:log-stream:{stream}"
        role = self.aws.assume(definition["executionRoleArn"], "ecs-tasks.amazonaws.com", task["taskArn"])
        try:
            self.aws.authorize(role["AccessKeyId"], "logs:CreateLogStream", arn, {}, Refusal)
        except Refusal as refusal:
            return f"ResourceInitializationError: {refusal}"
        return None

    def fault_of(self, body):
        """The fault of this task; None if it has none."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.bucket in body and fault.key in body:
                    fault.times -= 1
                    return fault
        return None

    # --- the task

    def run(self, task, definition, fault, kills):
        """Runs a task from its launch to the event of its end, which is sent whatever happens in between."""
        kind, began = fault.kind if fault else None, time.monotonic()
        try:
            why_not = self.cannot_start(task, definition)
            if kind == "cannot start":
                why_not = "CannotPullContainerError: pull image manifest: not found"
            if why_not:
                task.update(stopCode="TaskFailedToStart", stoppedReason=why_not)
            else:
                self.run_container(task, definition, fault, kills)
        except Exception as error:  # noqa: BLE001 nobody would see a thread's exception
            task.update(stopCode="InfrastructureHealth", stoppedReason=f"{type(error).__name__}: {error}")
        task["containers"][0]["lastStatus"] = "STOPPED"
        task["seconds"] = time.monotonic() - began
        event = {**shown(task), "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stoppedAt": now()}
        self.events.put_events(
            Entries=[
                {
                    "Source": "aws.ecs",
                    "DetailType": "ECS Task State Change",
                    "Resources": [task["taskArn"]],
                    "Detail": json.dumps(event),
                }
            ]
        )
        # Last, so that a task that is seen as stopped has had its event delivered.
        task.update(lastStatus="STOPPED", desiredStatus="STOPPED", stoppedAt=event["stoppedAt"])

    def run_container(self, task, definition, fault, kills):
        (container,) = definition["containerDefinitions"]
        (override,) = task["overrides"]["containerOverrides"]
        kind = fault.kind if fault else None
        in_its_midst = kind in ("killed", "spot", "spot without notice")
        task["lastStatus"], name = "RUNNING", name_of(task)
        environment = {e["name"]: e["value"] for e in container["environment"] + override["environment"]}
        source = (fault.bucket, fault.key) if in_its_midst else None
        token = self.give_credentials(definition["taskRoleArn"], task["taskArn"])
        environment |= {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.own_endpoint}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        }
        memory = f"--memory={16 if kind == 'memory' else override.get('memory', container['memory'])}m"
        command = [
            *PODMAN,
            "run",
            "--rm",
            f"--name={name}",
            *limits({**container, **override}),
            memory,
            "--pull=never",
            "--network=host",
            *ULIMITS,
        ]
        command += [f"--env={variable}" for variable in environment]
        if source:
            self.aws.hold(*source)
        process = subprocess.Popen(
            [*command, self.image], cwd=self.work, env={**os.environ, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if source and self.aws.wait_until_held(*source, process):
            self.podman(*(["stop"] if kind == "spot" else ["kill", "--signal=KILL"]), name, check=True)
            if kills:
                kills.struck.append(task)
        elif source and not kills:
            raise RuntimeError(f"the task ended with {process.returncode} and never read {fault.key}")
        elif source:
            kind = None  # it had nothing to read: all was done
        task["log"], task["error_log"] = process.communicate()
        exit_code = process.returncode
        # Nobody else has sent SIGKILL, so it was the kernel.
        short_of_memory = kind == "memory" and exit_code == SIGKILLED
        reason = {"reason": "OutOfMemoryError: Container killed due to memory usage"} if short_of_memory else {}
        task["containers"][0].update(exitCode=exit_code, **reason)
        if task["desiredStatus"] == "STOPPED":
            return  # StopTask said why
        if kind in ("spot", "spot without notice"):
            task.update(stopCode="SpotInterruption", stoppedReason="Your Spot Task was interrupted.")
        else:
            task.update(stopCode="EssentialContainerExited", stoppedReason="Essential container in task exited")

    def give_credentials(self, role_arn, task_arn):
        """A token for the credentials endpoint."""
        token = secrets.token_urlsafe()
        self.credentials[token] = self.aws.assume(role_arn, "ecs-tasks.amazonaws.com", task_arn)
        return token


def limits(container):
    """A container definition's hardening and limits as podman's options."""
    options = [
        f"--user={container['user']}",
        f"--stop-timeout={container['stopTimeout']}",
        f"--cpus={container['cpu'] / 1024}",
    ]
    options += ["--read-only", "--read-only-tmpfs=false"] if container["readonlyRootFilesystem"] else []
    return options + [f"--cap-drop={c}" for c in container["linuxParameters"]["capabilities"]["drop"]]


def shown(task):
    """A task as the API shows it, without the members of this stand-in."""
    return {k: v for k, v in task.items() if k not in ("log", "error_log", "network", "text")}


def name_of(task):
    """The name of a task's container."""
    return NAME_PREFIX + task["taskArn"].rsplit("/", 1)[-1]


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
