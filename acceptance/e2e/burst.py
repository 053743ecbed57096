"""A burst against a small quota, the kill switch in its midst, and the end of the stack: nothing is lost."""

import time
from concurrent.futures import ThreadPoolExecutor

from flow import Flow
from photos import output_key
from tasks import Quota
from waiting import wait_until

UPLOADS = 500
QUOTA_TASKS, LAUNCHES_PER_SECOND, LAUNCHES_AT_ONCE = 2, 1, 2


class Burst(Flow):
    """500 uploads at once, at a quota of two tasks and a launch a second."""

    def run(self):
        self.problems += [f"a second plan would change {address}" for address in self.stack.planned_again()]
        self.quota = self.ecs.quotas[self.cluster_arn] = Quota(QUOTA_TASKS, LAUNCHES_PER_SECOND, LAUNCHES_AT_ONCE)
        began = time.monotonic()
        self.upload_at_once()
        self.switch_off_and_on()
        self.settle("the burst")
        self.drained_seconds = time.monotonic() - began
        self.check_nothing_failed()
        self.check_outputs()
        self.check_executions()
        self.check_tasks()
        self.check_quota()
        self.end()

    def summary(self):
        return (
            f"{self.told}\n{UPLOADS} uploads at {QUOTA_TASKS} tasks at a time, drained in "
            f"{self.drained_seconds:.0f} s; {self.quota.over} launches over the quota, {self.quota.throttled} "
            f"throttled; {self.waited} messages waited while the kill switch was on"
        )

    def upload_at_once(self):
        self.faults, self.told, self.waited, self.drained_seconds = [], "it has not ended", 0, 0
        photos = self.album.good(UPLOADS)
        self.good = {photo.key: photo for photo in photos}
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda photo: self.put(photo.key, photo.body), photos))

    def switch_off_and_on(self):
        """`enabled = false` in the midst of the burst: tasks and executions end, and all that is left waits."""
        wait_until(lambda: len(self.tasks()) >= QUOTA_TASKS, "the first tasks", 120)
        self.stack.enable(False)
        off = len(self.tasks())
        running = lambda: sum(len(self.executions(arn, "RUNNING")) for arn in self.machines)  # noqa: E731
        wait_until(lambda: running() == 0, "the executions to put back what they have", 300, every=0.5)
        self.waited = self.waiting("source_queue")
        self.expect(self.waited > 0, "the kill switch came too late: nothing was left to wait")
        # A task that was accepted while the switch was being applied may have begun.
        self.expect(len(self.tasks()) <= off + QUOTA_TASKS, f"{len(self.tasks()) - off} tasks began after the switch")
        self.expect(self.waiting("failed_queue") == 0, "the kill switch sent records to the failed queue")
        self.stack.enable(True)

    def check_outputs(self):
        """Every output is there, and no other. (The other stacks compare the pixels.)"""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.destination)
        found = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
        sizes = self.stack.module_settings["sizes"]
        wanted = {output_key("train/", size, key, self.extension) for key in self.good for size in sizes}
        missing = sorted(wanted - found)
        self.expect(not missing, f"{len(missing)} outputs are missing, the first: {missing[:3]}")
        self.expect(found <= wanted, f"outputs that should not be there: {sorted(found - wanted)[:3]}")
        self.checked_outputs = len(wanted & found)

    def check_nothing_failed(self):
        for queue in self.queues:
            left = self.empty(queue)
            self.expect(not left, f"{len(left)} messages in {queue}, the first: {left[:1]}")

    def empty_buckets(self):
        """`force_destroy` lists versions, and ministack leaves their keys as they are although they must be encoded."""
        for bucket in (self.source, self.destination):
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for entry in page.get("Contents", []):
                    self.s3.delete_object(Bucket=bucket, Key=entry["Key"])

    def check_quota(self):
        self.expect(self.quota.over > 0 and self.quota.throttled > 0, "the quota and the launch rate refused nothing")

    def end(self):
        """As docs/changing.md says: off, nothing running, nothing waiting, then destroy."""
        self.told = super().summary()
        self.stack.enable(False)
        self.empty_buckets()
        left = self.stack.destroy()
        self.expect(not left, f"terraform destroy left {left}")
