"""The life of one stack: uploads, bad days, and the state that it must have at the end."""

import collections
import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import photos
from tasks import OVERRIDES_MAX_CHARACTERS, SIGKILLED, Fault, shown
from waiting import wait_until

SETTLED_SECONDS = 600
UNREADABLE = "nobody-can-read-this"
EXTENSIONS = {"png": ".png", "npy": ".npy", "jpeg": ".jpg"}
CONTENT_TYPES = {"png": "image/png", "npy": "application/octet-stream"}

# The exit code of a task that is struck by each of these faults; None: it has none.
EXIT_CODES = {
    "memory": SIGKILLED,
    "killed": SIGKILLED,
    "spot": 0,
    "spot without notice": SIGKILLED,
    "cannot start": None,
}


class Flow:
    """One stack under test. `problems` describes every deviation from the expected state."""

    def __init__(self, stack, pipes, ecs, album, uploads):
        self.stack, self.ecs, self.pipes, self.album, self.uploads = stack, ecs, pipes, album, uploads
        self.s3, self.sqs, self.sfn = (stack.aws.client(s) for s in ("s3", "sqs", "stepfunctions"))
        self.pipes_api = stack.aws.client("pipes")
        given = stack.outputs["pixpipe"]
        self.pipe_name, self.cluster_arn = given["pipe_name"], given["cluster_arn"]
        self.source, self.destination = stack.outputs["source_bucket"], stack.outputs["destination_bucket"]
        self.queues = {
            name: given[f"{name}_url"]
            for name in ("source_queue", "dlq", "failed_queue", "redrive_dlq")
            if given[f"{name}_url"]
        }
        self.machines = [arn for name, arn in given.items() if name.endswith("_state_machine_arn") and arn]
        self.extension = EXTENSIONS[stack.module_settings["format"]]
        self.good, self.bad, self.problems, self.faults = {}, {}, [], []
        self.checked_outputs = 0
        self.ended, self.stopped = [], []  # tasks that were ended, executions that were stopped

    def run(self):
        self.problems += [f"a second plan would change {address}" for address in self.stack.planned_again()]
        self.try_what_aws_refuses()
        self.pipes_api.stop_pipe(Name=self.pipe_name)
        self.upload_while_the_pipe_is_stopped()
        self.pipes_api.start_pipe(Name=self.pipe_name)
        self.settle("the first uploads")
        self.upload_again()
        self.settle("what was uploaded again")
        self.poison()
        self.settle("the poisonous photo")
        failed = self.check_failed_queue()
        self.heal_the_poison()
        self.move_back(failed)
        self.settle("what was moved back from the failed queue")
        self.check_failed_queue()
        self.check_other_queues()
        self.check_faults()
        self.check_outputs()
        self.check_executions()
        self.check_tasks()

    def summary(self):
        """The numbers of the run, in a few lines."""
        tasks = self.tasks()
        codes = collections.Counter(str(task["containers"][0].get("exitCode", "none")) for task in tasks)
        return (
            f"{len(self.good)} good objects, {len(self.bad)} bad ones, {self.checked_outputs} outputs compared\n"
            f"{len(tasks)} tasks, exit codes {dict(codes)}; {self.executions_count()} executions"
        )

    def all_logs(self):
        """Input and log of every task."""
        return "\n".join(f"{shown(task)}\n{task.get('log', '')}{task.get('error_log', '')}" for task in self.tasks())

    # --- events

    def try_what_aws_refuses(self):
        """Sends requests that AWS refuses: the stand-in for pipes must refuse them, too."""
        deployed = self.pipes_api.describe_pipe(Name=self.pipe_name)
        members = self.pipes_api.meta.service_model.operation_model("CreatePipe").input_shape.members
        request = {k: v for k, v in deployed.items() if k in members} | {"Name": f"{self.pipe_name}-refused"}
        container = {"Name": "pixpipe", "Cpu": 0, "Memory": 2048, "Environment": []}
        family_arn = f"arn:aws:ecs:us-east-1:{self.stack.aws.account}:task-definition/{self.pipe_name}"
        into_ecs = {"TaskDefinitionArn": family_arn, "Overrides": {"ContainerOverrides": [container]}}
        for wrong in (
            {"TargetParameters": {"EcsTaskParameters": into_ecs}, "Target": self.cluster_arn},
            {"SourceParameters": {"SqsQueueParameters": {"BatchSize": 10}}, "Target": self.cluster_arn,
             "TargetParameters": {"EcsTaskParameters": {"TaskDefinitionArn": into_ecs["TaskDefinitionArn"]}}},
            {"SourceParameters": {"SqsQueueParameters": {"BatchSize": 50}}},
        ):  # fmt: skip
            try:
                self.pipes_api.create_pipe(**request | wrong)
                self.problems.append(f"the stand-in for pipes accepted {wrong}")
                self.pipes_api.delete_pipe(Name=request["Name"])
            except self.pipes_api.exceptions.ValidationException:
                pass

    def upload_while_the_pipe_is_stopped(self):
        """Uploads good, bad and irrelevant objects at once, some twice, and prepares faults for some of them."""
        before = self.waiting("source_queue")
        album = self.album
        good, bad = album.good(self.uploads), album.bad()
        twice = self.album.random.sample(good, 5)
        for photo in twice:
            self.put(photo.key, album.body())
        self.faults = self.bad_days()
        self.ecs.faults += self.faults
        struck = [
            photos.Photo(fault.key, album.body(4000 if fault.kind == "memory" else None)) for fault in self.faults
        ]
        for photo in spread(struck, [*good, *bad]):
            self.put(photo.key, photo.body)
            (self.good if isinstance(photo, photos.Photo) else self.bad)[photo.key] = photo
        self.put("gone.jpg", album.body())
        self.s3.delete_object(Bucket=self.source, Key="gone.jpg")
        self.bad["gone.jpg"] = photos.Bad("gone.jpg", b"", "not-found")
        self.put("folder/", b"")
        self.s3.delete_object(Bucket=self.source, Key="was never there.jpg")
        by_hand = [
            *self.messages_that_are_no_work(),
            self.too_long(),
            self.unreadable(),
            *(minimal_notification(self.source, p.key) for p in good[:3]),
        ]
        for body in by_hand:
            self.sqs.send_message(QueueUrl=self.queues["source_queue"], MessageBody=body)
        puts = len(twice) + len(good) + len(bad) + len(self.faults) + 1
        wait_until(
            lambda: self.waiting("source_queue") >= before + puts + len(by_hand), "the events of all uploads", 60
        )

    def bad_days(self):
        """Faults, each for a photo of its own."""
        times = {
            "throttled": 2,
            "no room": 1 if self.stack.direct else 5,
            "cannot start": 1,
            "memory": 1,
            "killed": 1,
            "spot": 1,
            "spot without notice": 1,
        }
        return [Fault(self.source, f"fault/{kind.replace(' ', '-')}.jpg", kind, n) for kind, n in times.items()]

    def messages_that_are_no_work(self):
        """Messages that the filter must delete."""
        removed = json.loads(minimal_notification(self.source, "plain.jpg"))
        removed["Records"][0] |= {"eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete"}
        detail = {"bucket": {"name": self.source}, "object": {"key": "plain.jpg"}}
        tagged = {"source": "aws.s3", "detail-type": "Object Tags Added", "detail": detail}
        test = {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": "2026-01-01T00:00:00.000Z",
            "Bucket": self.source,
        }
        return [json.dumps(removed), json.dumps(tagged), json.dumps(test), "not JSON"]

    def unreadable(self):
        """An entry that names no object: it reaches the failed queue, and may be moved back from there."""
        return json.dumps({"hello": UNREADABLE})

    def too_long(self):
        """A record that is too long for the overrides of a task. S3 has no such keys, so a batched task reports it."""
        key = UNREADABLE * (OVERRIDES_MAX_CHARACTERS // len(UNREADABLE) + 1)
        self.long_record = minimal_notification(self.source, key)
        return self.long_record

    def upload_again(self):
        """Uploads new photos under old keys, deletes a processed one, and repeats messages of processed ones."""
        done = [key for key in self.good if not key.startswith("fault/")]
        for key in done[:5]:
            self.upload_good(key)
        self.s3.delete_object(Bucket=self.source, Key=done[5])
        for key in done[6:9]:
            self.sqs.send_message(
                QueueUrl=self.queues["source_queue"], MessageBody=minimal_notification(self.source, key)
            )
        if self.stack.direct:
            # AWS does not document what a pipe does with a message if RunTask has no capacity. This stand-in takes it
            # for accepted, so the record is lost. The runbook says: upload it again.
            (lost,) = [fault.key for fault in self.faults if fault.kind == "no room"]
            self.upload_good(lost)

    def poison(self):
        """Uploads a photo that kills each of its tasks. It comes alone, so that no neighbours are killed with it."""
        self.poisonous = Fault(self.source, "fault/poison.jpg", "memory", 1000)
        self.faults.append(self.poisonous)
        self.ecs.faults.append(self.poisonous)
        body = self.album.body(4000)
        self.put(self.poisonous.key, body)
        self.bad[self.poisonous.key] = photos.Bad(self.poisonous.key, body, "internal")

    def heal_the_poison(self):
        """Lets the poisonous photo pass, as if tasks had more memory."""
        self.poisonous.times = 0
        healed = self.bad.pop(self.poisonous.key)
        self.good[healed.key] = photos.Photo(healed.key, healed.body)

    def move_back(self, bodies):
        """Does the same as `aws sqs start-message-move-task`, which ministack does not have."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.queues["source_queue"], MessageBody=body)

    def upload_good(self, key, side_px=None):
        body = self.album.body(side_px)
        self.good[key] = photos.Photo(key, body)
        self.put(key, body)

    def put(self, key, body):
        self.s3.put_object(Bucket=self.source, Key=key, Body=body)

    # --- waiting

    def settle(self, what):
        """Returns when nothing is left to do. Looks at queue, tasks and executions in the order in which work moves."""

        def done_so_far():
            return len(self.tasks()), self.executions_count()

        def idle():
            before = done_so_far()
            queue = self.waiting("source_queue")
            tasks = sum(task["lastStatus"] != "STOPPED" for task in self.tasks())
            executions = sum(len(self.executions(arn, "RUNNING")) for arn in self.machines)
            self.state = f"{queue} messages in the source queue, {tasks} tasks and {executions} executions running"
            # Idle twice, with nothing new in between, so that work that moves meanwhile is not missed.
            return queue + tasks + executions + self.waiting("source_queue") == 0 and before == done_so_far()

        try:
            wait_until(idle, what, SETTLED_SECONDS, every=0.5)
        except TimeoutError as timeout:
            raise TimeoutError(f"{timeout}: {self.state}; the pipe says: {self.pipes.log[-3:]}") from timeout

    def waiting(self, queue):
        """The number of messages in a queue, hidden ones included."""
        names = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        got = self.sqs.get_queue_attributes(QueueUrl=self.queues[queue], AttributeNames=list(names))["Attributes"]
        return sum(int(got[name]) for name in names)

    def tasks(self):
        return [task for task in list(self.ecs.tasks.values()) if task["clusterArn"] == self.cluster_arn]

    def tasks_with(self, key):
        return [task for task in self.tasks() if key in task["text"]]

    def executions(self, machine_arn, status=None):
        pages = self.sfn.get_paginator("list_executions").paginate(
            stateMachineArn=machine_arn, **({"statusFilter": status} if status else {})
        )
        return [execution for page in pages for execution in page["executions"]]

    def executions_count(self):
        return sum(len(self.executions(arn)) for arn in self.machines)

    # --- the end state

    def expect(self, true, problem):
        if not true:
            self.problems.append(problem)

    def check_faults(self):
        """Checks that each fault has struck, that its task ended as it must, and how many tasks followed."""
        direct = self.stack.direct
        attempts = {
            "throttled": 1,
            "no room": 1,
            "cannot start": 2,
            "memory": 2,
            "killed": 2,
            "spot": 2,
            "spot without notice": 2,
        }
        for fault in self.faults:
            name = f"{fault.kind} ({fault.key})"
            self.expect(fault.tasks, f"{name}: has struck no task")
            for task in fault.tasks:
                if isinstance(task, str):
                    continue
                container = task["containers"][0]
                # A record that always takes too much memory dies in a process of its own when it comes back: that task
                # reports it, and exits with 0.
                named = fault is self.poisonous and task is not fault.tasks[0]
                wanted = 0 if named else EXIT_CODES[fault.kind]
                self.expect(
                    container.get("exitCode") == wanted, f"{name}: exit code {container.get('exitCode')}: {tail(task)}"
                )
                if fault.kind == "memory" and not named:
                    self.expect(
                        "OutOfMemoryError" in container.get("reason", ""),
                        f"{name}: not killed for its memory: {task['containers']}",
                    )
            poison = fault is self.poisonous
            # Killed, named, and once more after it was moved back: that one succeeds.
            wanted = 3 if poison else attempts[fault.kind]
            tasks = self.tasks_with(fault.key)
            self.expect(len(tasks) == wanted, f"{name}: {len(tasks)} tasks, not {wanted}")
            providers = [task["capacityProviderName"] for task in tasks]
            if not direct and fault.kind in ("no room", "spot"):
                # The sixth launch after five refusals, Spot and FARGATE in turn; and what Spot took back.
                self.expect(providers[-1:] == ["FARGATE"], f"{name}: ran on {providers}")

    def check_outputs(self):
        """Checks that every good photo has Pillow's outputs of its newest version, and that no other outputs exist."""
        settings = self.stack.module_settings
        wanted = {
            photos.output_key("train/", size, key, self.extension): (key, size)
            for key in self.good
            for size in settings["sizes"]
        }
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.destination)
        found = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
        for output in sorted(set(wanted) - found):
            key, _ = wanted[output]
            self.problems.append(f"{short(output)} is missing; {self.whereabouts(key)}")
        for output in sorted(found - set(wanted)):
            self.problems.append(f"{short(output)} should not be there")

        def check(output):
            key, size = wanted[output]
            got = self.s3.get_object(Bucket=self.destination, Key=output)
            wrong = photos.difference(self.good[key].body, got["Body"].read(), size, self.extension)
            if wrong:
                return f"{short(output)}: {wrong}"
            if got["ContentType"] != CONTENT_TYPES[settings["format"]]:
                return f"{short(output)}: its type is {got['ContentType']}"
            return None

        with ThreadPoolExecutor(4) as pool:
            self.problems += filter(None, pool.map(check, sorted(set(wanted) & found)))
        self.checked_outputs = len(set(wanted) & found)

    def check_failed_queue(self):
        """Checks that every bad object is in the queue, once, with its reason, and nothing else. Empties the queue."""
        failed, bodies, unreadable = {}, self.empty("failed_queue"), 0
        for body in bodies:
            for record in json.loads(body)["Records"]:
                if "s3" not in record:
                    told = record["pixpipe"]
                    self.expect(
                        told["reason"] == "invalid-entry" and UNREADABLE in json.dumps(told["entry"]),
                        f"an entry failed: {told}",
                    )
                    unreadable += 1
                    continue
                key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
                failed.setdefault(key, []).append(record["pixpipe"])
        wanted = 1 if self.stack.direct else 2  # the record that is too long lies in direct's dead-letter queue
        self.expect(unreadable == wanted, f"{unreadable} unreadable entries in the failed queue, not {wanted}")
        for key, bad in self.bad.items():
            self.expect(
                key in failed, f"{short(key)} ({bad.reason}) is not in the failed queue; {self.whereabouts(key)}"
            )
            for told in failed.get(key, []):
                self.expect(told["reason"] == bad.reason, f"{short(key)} failed because of {told}, not {bad.reason}")
            self.expect(
                len(failed.get(key, [1])) == 1, f"{short(key)} is {len(failed.get(key, []))} times in the failed queue"
            )
        for key in sorted(set(failed) - set(self.bad)):
            self.problems.append(f"{short(key)} is in the failed queue: {failed[key]}; {self.whereabouts(key)}")
        return bodies

    def check_other_queues(self):
        """Checks that the other queues are empty, but for the record that is too long if no execution could read it."""
        for queue in self.queues:
            left = self.empty(queue)
            if queue == "dlq" and self.stack.direct:
                self.expect(
                    left == [self.long_record],
                    f"the record that is too long is not alone in the DLQ: {len(left)} messages",
                )
            else:
                self.expect(not left, f"{len(left)} messages in {queue}, the first: {left[:1]}")

    def empty(self, queue):
        """Empties a queue and returns the bodies of its messages."""
        bodies = []
        while messages := self.sqs.receive_message(QueueUrl=self.queues[queue], MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                bodies.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def check_executions(self):
        for arn in self.machines:
            executions = self.executions(arn)
            self.expect(executions, f"{arn} was never run")
            for execution in executions:
                if execution["status"] != "SUCCEEDED" and execution["executionArn"] not in self.stopped:
                    said = self.sfn.describe_execution(executionArn=execution["executionArn"])
                    why = f"{said.get('error')} {said.get('cause')}"
                    self.problems.append(f"{execution['executionArn']} {said['status']}: {why}: {said['input'][:300]}")

    def check_tasks(self):
        """Checks that a task without a fault ends with 0."""
        struck = {task["taskArn"] for fault in self.faults for task in fault.tasks if isinstance(task, dict)}
        struck |= {task["taskArn"] for task in self.ended}
        for task in self.tasks():
            if task["taskArn"] not in struck:
                self.expect(
                    task["containers"][0].get("exitCode") == 0,
                    f"a task for {body_of(task)[:300]}: {task['stoppedReason']}: {tail(task)}",
                )

    def whereabouts(self, key):
        """The known facts of a record: its tasks, and the end of the last one's log."""
        form_encoded, percent_encoded = urllib.parse.quote_plus(key, safe="/"), urllib.parse.quote(key)
        written = (form_encoded, percent_encoded, json.dumps(key)[1:-1], json.dumps(key, ensure_ascii=False)[1:-1])
        tasks = [task for task in self.tasks() if any(form in task["text"] for form in written)]
        return f"{len(tasks)} tasks had it" + "".join(f"; {task['containers'][0]}: {tail(task)}" for task in tasks[-1:])


def spread(few, many):
    """Mixes few among many, so far apart that no two get into one batch."""
    distance, mixed = len(many) // len(few), list(many)
    for index, one in enumerate(few):
        mixed.insert(index * (distance + 1), one)
    return mixed


def minimal_notification(bucket, key):
    """The message that the runbook says to send by hand."""
    return json.dumps(
        {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": urllib.parse.quote_plus(key, safe="/")}}}]}
    )


def short(key):
    return repr(key) if len(key) < 80 else f"{key[:30]!r}… of {len(key)} characters"


def body_of(task):
    """SQS_BODY of a task."""
    return task["overrides"]["containerOverrides"][0]["environment"][0]["value"]


def tail(task):
    """The end of a task's log."""
    return (task.get("log", "") + task.get("error_log", ""))[-1500:]
