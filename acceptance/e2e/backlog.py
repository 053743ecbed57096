"""What drains and backfills have in common: a work bucket, an end that is told, tasks that are ended in their midst."""

import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import photos
from flow import UNREADABLE, Flow, short
from tasks import Kills
from waiting import wait_until

IN_FLIGHT = ("batches/", "runs/")  # folders of the work bucket in which nothing is left at the end


class Backlog(Flow):
    """A stack whose state machines run batches that lie in its work bucket."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        given = self.stack.outputs["pixpipe"]
        self.work = given["work_bucket"]
        self.drain_machine, self.backfill_machine = (
            given.get(f"{m}_state_machine_arn") for m in ("drain", "backfill")
        )
        self.told, self.queues["told"] = {}, self.listen()
        self.said, self.unread = [], {}  # what the summary says; batches that nobody can read, and why

    def summary(self):
        return f"{super().summary()}\n{'; '.join(self.said)}"

    def upload(self, keys):
        """Uploads a good photo under each key, many at once."""
        made = [photos.Photo(key, self.album.body()) for key in keys]
        self.good |= {photo.key: photo for photo in made}
        self.put_all(made)

    def put_all(self, objects):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda one: self.put(one.key, one.body), objects))

    # --- bad days

    def kill(self, share, kinds=("killed", "spot")):
        """Ends a share of the tasks in their midst from now on, by these faults."""
        self.leave_alone()
        self.ecs.kills[self.cluster_arn] = Kills(self.album.random, share, kinds)

    def leave_alone(self):
        """Ends no more tasks. Returns the number of those that were."""
        kills = self.ecs.kills.pop(self.cluster_arn, None)
        self.ended += kills.struck if kills else []
        return len(kills.struck) if kills else 0

    # --- executions

    def start(self, machine, given):
        """Starts an execution by hand; its ARN."""
        return self.sfn.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]

    def wait_for_end(self, execution, seconds=300):
        """The description of an execution that has ended."""

        def ended():
            said = self.sfn.describe_execution(executionArn=execution)
            return said if said["status"] != "RUNNING" else None

        return wait_until(ended, f"the end of {execution}", seconds, every=0.2)

    def map_runs(self, execution):
        return self.sfn.list_map_runs(executionArn=execution)["mapRuns"]

    # --- what a stack tells

    def listen(self):
        """A queue for all events that the stack sends; its URL."""
        name, events = f"{self.stack.name}-told", self.stack.aws.client("events")
        queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:{self.stack.aws.region}:{self.stack.aws.account}:{name}"
        allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [{**allow, "Resource": arn}]}
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        pattern = {"source": ["pixpipe"], "detail": {"stack": [self.stack.name]}}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        return queue

    def heard(self):
        """The events by now: (detail type, name of the execution) -> detail."""
        for event in map(json.loads, self.empty("told")):
            told = self.told.setdefault((event["detail-type"], event["detail"]["execution"].rsplit(":", 1)[-1]), [])
            told.append(event["detail"])
        return self.told

    def told_by(self, execution, detail_type):
        """What an execution told at its end, which must be once."""
        key = detail_type, execution.rsplit(":", 1)[-1]
        wait_until(lambda: key in self.heard(), f"the event {key}", 60)
        (told,) = self.told[key]
        return told

    # --- the work bucket

    def lying(self, folder):
        """The keys below a folder of the work bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.work, Prefix=folder)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def check_nothing_in_flight(self, when):
        for folder in IN_FLIGHT:
            left = self.lying(folder)
            self.expect(not left, f"{when}: {len(left)} objects are left below {folder}, the first: {left[:1]}")

    def failed_messages(self):
        """Empties the failed queue: messages with records, and those with the address of a batch."""
        bodies = self.empty("failed_queue")
        batches = [body for body in bodies if "batch" in json.loads(body)]
        return [body for body in bodies if body not in batches], batches

    def check_failed_records(self, bad_ran, strange=False):
        """
        Checks that the bad records are in the failed queue, each with its reason, if they ran, and no good one. Empties
        it.

        Where everything goes wrong, a batch may be done twice, and a bad record be told twice; one whose tasks died
        several times is moved back. On the day of the strange messages, there are those that nobody can read, and a
        batch that two drains ran is told as not found by the later one.
        """
        records, batches = self.failed_messages()
        told = {}
        for body in records:
            for record in json.loads(body)["Records"]:
                key = urllib.parse.unquote_plus(record["s3"]["object"]["key"]) if "s3" in record else UNREADABLE
                told.setdefault(key, []).append(record["pixpipe"])
        wanted = {key: bad.reason for key, bad in self.bad.items()} if bad_ran else {}
        if strange:
            wanted[UNREADABLE] = "invalid-entry"
        for key in sorted(set(wanted) - set(told)):
            self.problems.append(f"{short(key)} is not in the failed queue; {self.whereabouts(key)}")
        for key, ones in told.items():
            fits = {one["reason"] for one in ones} == {wanted.get(key)}
            self.expect(fits, f"{short(key)} failed: {ones}; {self.whereabouts(key)}")
        interrupted, unread = [], set()
        for body in batches:
            batch = json.loads(body)
            name, reason = batch["batch"].rsplit("/", 1)[-1], batch["pixpipe"]["reason"]
            if strange and name in self.unread:
                unread.add(name)
                self.expect(self.unread[name] == reason, f"{name} failed: {batch}")
            elif reason == "interrupted" and bad_ran:
                interrupted.append(body)
            else:
                self.expect(strange and reason == "not-found", f"a batch failed: {batch}")
        missing = set(self.unread) - unread if strange else ()
        self.expect(not missing, f"not in the failed queue: {missing}")
        if interrupted:
            self.move_back(interrupted)
            self.settle("the batches that the bad day interrupted")
            self.check_failed_records(bad_ran=False)
