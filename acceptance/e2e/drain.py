"""The life of a stack that drains its queue: everything goes wrong, and nothing is lost."""

import json

from backlog import Backlog
from flow import UNREADABLE, minimal_notification
from tasks import Quota
from waiting import wait_until

FINISHED = "Drain Finished"
QUOTA_TASKS, LAUNCHES_PER_SECOND, LAUNCHES_AT_ONCE = 2, 5, 10
MOST_MESSAGE_BYTES = 1_048_576


class Drain(Backlog):
    """Uploads that wait in a queue until a drain takes them."""

    def run(self):
        self.problems += [f"a second plan would change {address}" for address in self.stack.planned_again()]
        self.collector = f"{self.stack.name}-collect"
        self.quota = self.ecs.quotas[self.cluster_arn] = Quota(QUOTA_TASKS, LAUNCHES_PER_SECOND, LAUNCHES_AT_ONCE)
        self.bad_day()
        self.all_killed()
        self.stopped_by_hand()
        self.more()
        del self.queues["told"]
        self.check_other_queues()
        self.check_outputs()
        self.check_executions()
        self.check_tasks()
        self.expect(self.quota.over > 0, "the quota refused nothing")

    def more(self):
        """What another life does besides."""

    # --- a third of everything goes wrong

    def bad_day(self):
        """Uploads while tasks and the collector are killed, answers are lost, and drains meet."""
        aws, album = self.stack.aws, self.album
        self.kill(share=0.3)
        aws.accident(self.collector, "s3:putObject", "killed", times=2)
        aws.accident(self.name_of(self.drain_machine), "sfn:startSyncExecution", "answer lost", times=1000, share=0.3)
        good, bad = album.good(self.uploads), album.bad()
        self.put_all([*good, *bad])
        self.good, self.bad = {photo.key: photo for photo in good}, {photo.key: photo for photo in bad}
        self.send_strange_messages()
        first = self.running_drain()
        self.second_ends_alone(first)
        self.two_drains_meet()
        self.settle("the bad day")
        ended = self.leave_alone()
        killed, lost = aws.struck(self.collector)[0], aws.struck(self.name_of(self.drain_machine))[0]
        self.expect(ended > 0 and killed == 2 and lost > 0, f"{ended} tasks, {killed} collectors, {lost} answers")
        self.said.append(f"{ended} tasks ended in their midst, {killed} collectors killed, {lost} answers lost")
        self.check_nothing_in_flight("after the bad day")
        self.check_told(drains_met=True)
        self.check_failed_records(bad_ran=True, strange=True)

    def send_strange_messages(self):
        """Messages that are no notification: batches by reference that cannot be read, and what is no work."""
        self.upload_good("inside/a reference.jpg")
        inner = {"batch": f"s3://{self.work}/handed-over/inner.json"}
        for name, body in {
            "inner.json": minimal_notification(self.source, "inside/a reference.jpg"),
            "outer.json": json.dumps([inner]),
            "not-json.json": '{"Records": [',
        }.items():
            self.s3.put_object(Bucket=self.work, Key=f"handed-over/{name}", Body=body)
        largest = json.dumps({"hello": UNREADABLE, "more": "x" * (self.most_message_bytes() - 100)})
        self.unread = {"not-json.json": "invalid-entry", "not-there.json": "not-found"}
        for body in (
            largest,
            *self.messages_that_are_no_work()[:3],
            *(json.dumps({"batch": f"s3://{self.work}/handed-over/{name}"}) for name in ("outer.json", *self.unread)),
        ):
            self.sqs.send_message(QueueUrl=self.queues["source_queue"], MessageBody=body)

    def most_message_bytes(self):
        asked = self.sqs.get_queue_attributes(QueueUrl=self.queues["source_queue"], AttributeNames=["All"])
        return min(MOST_MESSAGE_BYTES, int(asked["Attributes"]["MaximumMessageSize"]))

    def name_of(self, machine):
        return machine.rsplit(":", 1)[-1]

    def running_drain(self):
        """A drain that runs: one is started by the alarm, nobody else."""
        running = wait_until(lambda: self.executions(self.drain_machine, "RUNNING"), "the alarm to start a drain", 120)
        return running[0]["executionArn"]

    def second_ends_alone(self, first):
        """A drain that sees another one ends at once."""
        second = self.start(self.drain_machine, {})
        self.wait_for_end(second)
        still = self.sfn.describe_execution(executionArn=first)["status"] == "RUNNING"
        self.expect(not still or not self.map_runs(second), f"{second} did not leave the queue to {first}")

    def two_drains_meet(self):
        """Drains that do not see each other share the queue, and each other's files."""
        self.upload([f"meet/{index}.jpg" for index in range(100)])
        name = self.name_of(self.drain_machine)
        self.stack.aws.accident(name, "sfn:listExecutions", "sees nobody", times=8)  # others may look, too
        both = [self.start(self.drain_machine, {}) for _ in range(2)]
        wait_until(lambda: all(self.map_runs(drain) for drain in both), f"{both} to work", 120)

    def check_told(self, drains_met):
        """What the drains have told by now is what the logs of the tasks that ended well say."""
        told = [detail for (kind, _), details in self.heard().items() if kind == FINISHED for detail in details]
        logs = "".join(task["log"] for task in self.tasks() if task["containers"][0].get("exitCode") == 0)
        for count in ("written", "skipped", "failed"):
            in_logs, in_events = logs.count(f'"status":"{count}"'), sum(detail[count] for detail in told)
            self.expect(in_logs == in_events, f"{in_logs} records {count} by the logs, {in_events} by the events")
        for detail in told:
            parts = sum(detail[name] for name in ("written", "skipped", "failed", "handedOver"))
            # A batch that the other drain had done by then is one failed record, whatever its number of objects.
            adds_up = parts <= detail["objects"] if drains_met else parts == detail["objects"]
            self.expect(adds_up and not detail["uncounted"], f"an event does not add up: {detail}")

    # --- every task is killed

    def all_killed(self):
        """Each task dies, whatever runs it: batches are handed over by reference, and moved back."""
        self.kill(share=1, kinds=("killed",))
        self.upload([f"killed/{index} +é.jpg" for index in range(25)])
        self.settle("batches whose tasks all die")
        self.said.append(f"{self.leave_alone()} tasks killed of all that ran")
        self.check_nothing_in_flight("after all tasks were killed")
        records, batches = self.failed_messages()
        self.expect(batches and not records, f"handed over: {len(batches)} batches, {len(records)} records")
        for body in batches:
            told = json.loads(body)["pixpipe"]
            self.expect(told["reason"] == "interrupted" and told["attempts"] > 1, f"a batch was handed over: {told}")
        self.move_back(batches)
        self.settle("the batches that were moved back")
        self.check_failed_records(bad_ran=False)

    # --- a drain is stopped

    def stopped_by_hand(self):
        """A drain is stopped while its tasks run: what it has is in its files and in the queue."""
        self.upload([f"stopped/{index}.jpg" for index in range(60)])
        before = len(self.tasks())
        wait_until(lambda: len(self.tasks()) > before, "a task of the next drain", 120)
        running = self.executions(self.drain_machine, "RUNNING")
        for execution in running:
            self.sfn.stop_execution(executionArn=execution["executionArn"])
            self.stopped.append(execution["executionArn"])
        self.expect(running, "no drain was running")
        wait_until(lambda: all(t["lastStatus"] == "STOPPED" for t in self.tasks()), "the tasks to stop", 120)
        self.ended += [t for t in self.tasks() if t.get("stopCode") == "UserInitiated"]
        self.said.append(f"{len(self.lying('batches/'))} batches lay there after a drain was stopped")
        # The schedule starts the next one.
        wait_until(lambda: self.executions(self.drain_machine, "RUNNING"), "the schedule to start a drain", 120)
        self.settle("what the stopped drain had left")
        self.check_nothing_in_flight("after a drain was stopped")
        self.check_failed_records(bad_ran=False)
