"""The life of a stack that drains its queue and backfills its bucket, and a backfill that is measured."""

import csv
import gzip
import io
import json
import time
import urllib.parse

import photos
from backlog import Backlog
from drain import LAUNCHES_AT_ONCE, LAUNCHES_PER_SECOND, QUOTA_TASKS, Drain
from tasks import Quota

FINISHED = "Backfill Finished"


class Backfills(Backlog):
    """Lists of every kind, the bad days of a backfill, and counts that are true."""

    def backfills(self):
        self.counted = []
        self.listing_while_tasks_are_killed()
        self.again()
        for kind in ("csv", "jsonl", "json", "inventory"):
            self.from_a_file(kind)
        self.all_killed_of_a_backfill()
        self.lists_that_cannot_be_read()
        self.said.append("backfills: " + ", ".join(self.counted))

    def backfill(self, given, what):
        """Runs a backfill to its end; what it told."""
        execution = self.start(self.backfill_machine, given)
        said = self.wait_for_end(execution)
        if said["status"] != "SUCCEEDED":
            raise RuntimeError(f"{execution} {said['status']}: {said.get('error')} {said.get('cause')}")
        told = self.told_by(execution, FINISHED)
        self.check_nothing_in_flight(f"after the backfill of {what}")
        self.expect(told["failedBatches"] == 0, f"the backfill of {what} told {told}")
        counts = {name: told[name] for name in ("written", "skipped", "failed", "handedOver")}
        self.expect(sum(counts.values()) == told["objects"], f"the counts of {what} do not add up: {told}")
        self.counted.append(f"{what} {told['objects']}")
        return told

    def delete_outputs(self, keys=None):
        """Deletes the outputs of these sources, or all."""
        sizes = self.stack.module_settings["sizes"]
        wanted = {photos.output_key("train/", size, key, self.extension) for key in keys or () for size in sizes}
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.destination)
        for entry in [entry for page in pages for entry in page.get("Contents", [])]:
            if keys is None or entry["Key"] in wanted:
                self.s3.delete_object(Bucket=self.destination, Key=entry["Key"])

    def listing_while_tasks_are_killed(self):
        """All outputs are made again, from a listing, while a third of the tasks die or are taken back."""
        self.delete_outputs()
        self.kill(share=0.3)
        told = self.backfill({"list": {"prefix": ""}}, "a listing")
        self.said.append(f"{self.leave_alone()} tasks ended in the midst of a backfill")
        objects = len(self.good) + len(self.bad)
        self.expect(told["objects"] == objects, f"{objects} objects, and the backfill told {told}")
        self.check_failed_records(bad_ran=True)

    def again(self):
        """A second backfill finds everything as it must be. Its reports are the index of the bucket."""
        told = self.backfill({"list": {"prefix": ""}}, "the same")
        wanted = {"written": 0, "skipped": len(self.good), "failed": len(self.bad), "handedOver": 0}
        self.expect({name: told[name] for name in wanted} == wanted, f"the second backfill told {told}, not {wanted}")
        lines = [
            json.loads(line)
            for key in self.lying(told["reports"].removeprefix(f"s3://{self.work}/"))
            for line in self.s3.get_object(Bucket=self.work, Key=key)["Body"].read().decode().strip().split("\n")
        ]
        indexed = sorted(line["key"] for line in lines if line.get("status") == "skipped")
        self.expect(indexed == sorted(self.good), f"the reports have {len(indexed)} of {len(self.good)} photos")
        self.check_failed_records(bad_ran=True)

    def from_a_file(self, kind):
        """Some objects with nasty keys, one that is not there, and one that is no image, by a list of this kind."""
        keys = self.album.random.sample(sorted(self.good), 12)
        bad = next(iter(self.bad))
        self.delete_outputs(keys)
        given = self.write_list(kind, [*keys, "not there +é.jpg", bad])
        told = self.backfill({kind: {"key": given}}, kind)
        wanted = {"written": len(keys), "skipped": 0, "failed": 2, "handedOver": 0}
        self.expect({name: told[name] for name in wanted} == wanted, f"the backfill of {kind} told {told}")
        reasons = {}
        records, batches = self.failed_messages()
        for record in (record for body in records for record in json.loads(body)["Records"]):
            reasons[urllib.parse.unquote_plus(record["s3"]["object"]["key"])] = record["pixpipe"]["reason"]
        wanted = {"not there +é.jpg": "not-found", bad: self.bad[bad].reason}
        self.expect(reasons == wanted and not batches, f"after {kind}, the failed queue had {reasons} and {batches}")

    def write_list(self, kind, keys):
        """Puts a list of keys into the bucket of lists; its key there."""
        put = lambda name, body: self.s3.put_object(Bucket=self.lists, Key=name, Body=body)  # noqa: E731
        match kind:
            case "csv":
                put("keys.csv", table([["key"], *([key] for key in keys)]))
                return "keys.csv"
            case "jsonl":
                put("keys.jsonl", "".join(json.dumps({"key": key}, ensure_ascii=False) + "\n" for key in keys))
                return "keys.jsonl"
            case "json":
                put("keys.json", json.dumps([{"key": key} for key in keys]))
                return "keys.json"
            case "inventory":
                rows = [[self.source, urllib.parse.quote(key), "1"] for key in keys]
                put("inventory/data/1.csv.gz", gzip.compress(table(rows).encode()))
                manifest = {
                    "sourceBucket": self.source, "destinationBucket": f"arn:aws:s3:::{self.lists}",
                    "version": "2016-11-30", "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size",
                    "files": [{"key": "inventory/data/1.csv.gz", "size": 1, "MD5checksum": "0" * 32}],
                }  # fmt: skip
                put("inventory/manifest.json", json.dumps(manifest))
                return "inventory/manifest.json"
        raise ValueError(kind)

    @property
    def lists(self):
        return self.stack.module_settings["list_bucket"]

    def all_killed_of_a_backfill(self):
        """Each task dies: the batch is handed over by reference, and the drain does it when it is moved back."""
        keys = sorted(self.good)[:12]
        self.delete_outputs(keys)
        self.kill(share=1, kinds=("killed",))
        told = self.backfill({"jsonl": {"key": self.write_list("jsonl", keys)}}, "killed tasks")
        self.leave_alone()
        self.expect(told["handedOver"] == len(keys), f"all tasks of {len(keys)} objects died, and the event is {told}")
        records, batches = self.failed_messages()
        self.expect(len(records) + len(batches) > 0, "nothing is in the failed queue after all tasks died")
        self.move_back([*records, *batches])
        self.settle("what a backfill handed over")
        self.check_failed_records(bad_ran=False)

    def lists_that_cannot_be_read(self):
        """A backfill without a list it can read fails before any task."""
        before = len(self.tasks())
        for given in ({"csv": {"key": "not there.csv"}}, {"jsonl": {"key": "not there.jsonl"}}, {}):
            execution = self.start(self.backfill_machine, given)
            self.expect(self.wait_for_end(execution)["status"] == "FAILED", f"a backfill of {given} did not fail")
            self.stopped.append(execution)
        self.expect(len(self.tasks()) == before, "a list that cannot be read started a task")


class DrainAndBackfill(Drain, Backfills):
    """A stack that lives through the bad days of a drain, and then of a backfill."""

    def more(self):
        self.backfills()


class Backfill(Backfills):
    """Backfills beside a launcher that takes a batch of messages at a time."""

    def run(self):
        self.problems += [f"a second plan would change {address}" for address in self.stack.planned_again()]
        self.ecs.quotas[self.cluster_arn] = Quota(QUOTA_TASKS, LAUNCHES_PER_SECOND, LAUNCHES_AT_ONCE)
        good, bad = self.album.good(self.uploads), self.album.bad()
        self.put_all([*good, *bad])
        self.good, self.bad = {photo.key: photo for photo in good}, {photo.key: photo for photo in bad}
        self.settle("the uploads")
        self.check_failed_records(bad_ran=True)
        self.backfills()
        del self.queues["told"]
        self.check_other_queues()
        self.check_outputs()
        self.check_executions()
        self.check_tasks()


class Measured(Backlog):
    """How long a backfill takes here: all uploads of the bucket, 1,000 a task."""

    def run(self):
        self.ecs.quotas[self.cluster_arn] = Quota(self.stack.module_settings["max_tasks"], 100, 100)
        self.upload([f"photos/{index:05}.jpg" for index in range(self.uploads)])
        self.empty("source_queue")
        began = time.monotonic()
        execution = self.start(self.backfill_machine, {"list": {"prefix": "photos/"}})
        said = self.wait_for_end(execution, 3600)
        seconds = time.monotonic() - began
        self.expect(said["status"] == "SUCCEEDED", f"{execution} {said['status']}: {said.get('cause')}")
        told = self.told_by(execution, FINISHED)
        self.expect(told["written"] == self.uploads, f"{self.uploads} uploads, and the backfill told {told}")
        in_tasks = sum(float(task["seconds"]) for task in self.tasks())
        self.said.append(
            f"{self.uploads} objects in {seconds:.0f} s, {self.uploads / seconds:.0f} a second; {len(self.tasks())} "
            f"tasks ran for {in_tasks:.0f} s in all"
        )
        self.check_tasks()


def table(rows):
    """A CSV file."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
