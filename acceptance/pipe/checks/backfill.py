"""Backfills: every kind of list, every wanted object once, and what is left, told and brought back on bad days."""

import copy
import csv
import gzip
import io
import json
import time
import urllib.parse

import api
import asl
import patterns
import samples
from account import Account
from executions import QUOTA, SWITCHED_OFF, task_failed
from world import FAILED_QUEUE_URL, SOURCE_QUEUE_URL, WORK_BUCKET, arn

LISTS = "photos-lists"
FOUND = [key for key in samples.NASTY_KEYS if key.endswith(".jpg")]
LEFT_OUT = ["raw/folder/", "raw/notes.txt", "other/a.jpg", "raw/jpg", "RAW/a.jpg"]
ALSO_FOUND = ["raw/upper.JPG", "raw/b.png"]
MACHINE = arn("states", "stateMachine:pp-backfill")
HISTORY_MAX_EVENTS = 25_000


def _text(rows, header):
    file = io.StringIO(newline="")
    csv.writer(file).writerows([header, *rows])
    return file.getvalue()


def _inventory(account, rows, schema):
    """An inventory in the list bucket, as S3 writes it: two files, keys percent-encoded, a space as "+"."""
    half = len(rows) // 2
    for name, part in (("1", rows[:half]), ("2", rows[half:])):
        file = io.StringIO(newline="")
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(part)
        account.buckets[LISTS][f"lists/data/{name}.csv.gz"] = gzip.compress(file.getvalue().encode())
    account.buckets[LISTS]["lists/manifest.json"] = json.dumps({
        "sourceBucket": samples.BUCKET, "destinationBucket": f"arn:aws:s3:::{LISTS}", "version": "2016-11-30",
        "fileFormat": "CSV", "fileSchema": schema,
        "files": [{"key": f"lists/data/{name}.csv.gz", "size": 1, "MD5checksum": "m"} for name in "12"],
    }).encode()  # fmt: skip


def _account(engine, keys, **more):
    """An account with these objects, and with the same in a list of each kind."""
    account = Account(engine, **more)
    sizes = {key: 0 if key.endswith("/") else 2 for key in keys}
    account.buckets = {samples.BUCKET: {key: b"x" * size for key, size in sizes.items()}, LISTS: {}, WORK_BUCKET: {}}
    lists = account.buckets[LISTS]
    lists["lists/all.csv"] = _text([[key, samples.BUCKET] for key in keys], ["key", "bucket"]).encode()
    lists["lists/all.json"] = json.dumps([{"key": key, "size": sizes[key], "more": "x" * 100} for key in keys]).encode()
    lines = [{"key": key, "bucket": samples.BUCKET} if i % 2 else f"s3://{samples.BUCKET}/{key}" for i, key in
             enumerate(keys)]  # fmt: skip
    lists["lists/all.jsonl"] = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()
    rows = [[samples.BUCKET, samples.form_encoded(key), sizes[key]] for key in keys]
    _inventory(account, rows, "Bucket, Key, Size")
    return account


INPUTS = {
    "list": {"list": {}},
    "csv": {"csv": {"key": "lists/all.csv"}},
    "json": {"json": {"key": "lists/all.json"}},
    "jsonl": {"jsonl": {"key": "lists/all.jsonl"}},
    "inventory": {"inventory": {"key": "lists/manifest.json"}},
}


def _run(world, account, given, name="first", scenario="backfill", absorbed="described", change=None):
    """(execution, the StatesError with which it failed, or None)"""
    definition = world.stacks[scenario].definition("backfill")
    if change:
        definition = copy.deepcopy(definition)
        change(definition["States"])
    execution = asl.Execution(definition, account.engine, account, name, absorbed, "pp-backfill")
    account.runs_of[execution.arn] = execution
    try:
        execution.run(given)
    except asl.StatesError as error:
        return execution, error
    return execution, None


def _small_batches(states):
    """Ten objects a batch, so that a few objects are many batches."""
    for state in states.values():
        if "ItemBatcher" in state:
            state["ItemBatcher"]["MaxItemsPerBatch"] = 10


def _records(account):
    return [record for body in account.bodies() for record in json.loads(body)["Records"]]


def _told(account):
    """The detail of the only event."""
    (event,) = account.events
    assert event["Source"] == "pixpipe" and event["DetailType"] == "Backfill Finished", event
    return event["Detail"]


def _counts(account, *names):
    detail = _told(account)
    return [detail.get(name) for name in names]


def _waiting(account, folder="runs/"):
    return [key for key in account.buckets[WORK_BUCKET] if key.startswith(folder)]


def every_kind_of_list_gives_a_task_every_wanted_key_once(world):
    """Whatever is in the keys; a listing and its like carry the size, too."""
    wanted = FOUND + ALSO_FOUND
    for engine in world.engines:
        for kind, given in INPUTS.items():
            account = _account(engine, [*FOUND, *LEFT_OUT, *ALSO_FOUND])
            _, error = _run(world, account, given)
            assert error is None, f"{engine.name}: {kind}: {error}"
            got = sorted(record["key"] for record in _records(account))
            assert got == sorted(wanted), f"{engine.name}: {kind}: {set(got) ^ set(wanted)}"
            sizes = {record.get("size") for record in _records(account)}
            assert sizes == ({2} if kind in ("list", "json", "inventory") else {None}), f"{kind}: {sizes}"
            assert not _waiting(account), "what is done lies there no more"
            assert _counts(account, "objects", "written", "failedBatches") == [len(wanted), len(wanted), 0], kind


def suffixes_are_matched_as_the_events_are(world):
    """Exactly, if S3's own notifications are the source of events."""
    for engine in world.engines:
        account = _account(engine, ["a.jpg", "b.JPG", "c.jpg/"])
        account.buckets[samples.BUCKET]["d.jpg"] = b""
        _, error = _run(world, account, INPUTS["list"], scenario="direct_backfill")
        got = sorted(record["key"] for record in _records(account))
        assert error is None and got == ["a.jpg", "d.jpg"], f"{engine.name}: {got}"


def what_is_no_object_of_the_source_is_the_tasks_to_report(world):
    odd = [
        {"key": "raw/a.jpg", "bucket": "other"}, {"kye": "raw/a.jpg"}, 7, "raw/a.jpg", {"key": 7}, "s3://other/a.txt",
    ]  # fmt: skip
    for engine in world.engines:
        account = _account(engine, [])
        account.buckets[LISTS]["lists/all.json"] = json.dumps([*odd, {"key": "raw/a.txt"}]).encode()
        _, error = _run(world, account, INPUTS["json"])
        assert error is None and _records(account) == odd, f"{engine.name}: {_records(account)}"


def only_the_latest_version_of_an_inventory_counts(world):
    for engine in world.engines:
        account = _account(engine, [])
        rows = [
            [samples.BUCKET, "raw/a.jpg", "2", "true", "false"], [samples.BUCKET, "raw/a.jpg", "1", "false", "false"],
            [samples.BUCKET, "raw/gone.jpg", "", "true", "true"], ["other", "raw/b%2Bc.jpg", "1", "true", "false"],
        ]  # fmt: skip
        _inventory(account, rows, "Bucket, Key, Size, IsLatest, IsDeleteMarker")
        _, error = _run(world, account, INPUTS["inventory"])
        wanted = [{"key": "raw/a.jpg", "size": 2}, {"key": "raw/b+c.jpg", "bucket": "other", "size": 1}]
        assert error is None and sorted(_records(account), key=str) == sorted(wanted, key=str), _records(account)


def a_batch_has_as_many_objects_as_the_variable_and_as_many_bytes_as_a_state_takes(world):
    for engine in world.engines[-1:]:
        for keys, batches in (
            ([f"raw/{i:04}.jpg" for i in range(1100)], [1000, 100]),
            ([f"raw/{i:03}{'é' * 500}.jpg" for i in range(250)], None),
        ):
            account = _account(engine, keys)
            execution, error = _run(world, account, INPUTS["list"])
            assert error is None, error
            got = [len(json.loads(body)["Records"]) for body in account.bodies()]
            assert batches is None or sorted(got) == sorted(batches), got
            assert sum(got) == len(keys) and (batches or 1 < len(got) < 10), got
            assert _counts(account, "batches", "objects", "written") == [len(got), len(keys), len(keys)]
            assert all(run["max_concurrency"] == 12 for run in execution.map_runs if run["label"] == "Batches")


def a_task_is_as_large_as_its_batch_and_gets_the_address_only(world):
    for scenario in ("backfill", "direct_backfill"):
        account = _account(world.engines[0], ["raw/a.jpg"])
        _run(world, account, INPUTS["list"], scenario=scenario)
        (request,) = account.requests
        overrides = request["overrides"]
        (container,) = overrides["containerOverrides"]
        got = (overrides["cpu"], overrides["memory"], container["cpu"], container["memory"])
        assert got == ("1024", "2048", 1024, 2048), got
        variables = {one["name"]: one["value"] for one in container["environment"]}
        assert variables["MEMORY_LIMIT_BYTES"] == str(2048 * 1024 * 1024), variables
        body = json.loads(variables["SQS_BODY"])
        assert set(body) == {"batch", "report"}, body
        assert body["batch"].startswith(f"s3://{WORK_BUCKET}/runs/first/") and body["batch"].endswith("-1.json"), body
        assert body["report"].startswith(f"s3://{WORK_BUCKET}/reports/first/"), body
        assert _told(account)["reports"] == f"s3://{WORK_BUCKET}/reports/first/"
        assert request["group"] == "pp-backfill" and request["capacityProviderStrategy"][0]["capacityProvider"] == (
            "FARGATE_SPOT"
        )


def a_killed_task_of_a_backfill_is_watched_by_its_execution_and_never_by_the_redrive(world):
    rule = json.loads(world.stacks["direct_backfill"]["aws_cloudwatch_event_rule.task_stopped[0]"]["event_pattern"])
    event = samples.stopped(json.dumps(samples.notification("raw/a.jpg")))
    assert patterns.matches(rule, event), "a task of the pipe"
    event["detail"]["group"] = "pp-backfill"
    assert not patterns.matches(rule, event), "a task of a backfill"


def an_empty_list_starts_no_task_and_is_told(world):
    for engine in world.engines:
        for keys in ([], ["raw/notes.txt"]):
            account = _account(engine, keys)
            execution, error = _run(world, account, INPUTS["list"])
            assert error is None and not account.tasks and not _waiting(account), error
            assert _counts(account, "batches", "failedBatches", "objects", "written") == [0, 0, 0, 0]
            assert "Batches" not in execution.entered


def a_list_that_cannot_be_read_starts_no_task(world):
    unread = {
        "no such key": ({"csv": {"key": "lists/none.csv"}}, "States.ItemReaderFailed", "lists/none.csv"),
        "no list": ({"jsonl": {"key": "lists/bad.jsonl"}}, "States.ItemReaderFailed", ""),
        "no column": ({"csv": {"key": "lists/bad.csv"}}, "States.QueryEvaluationError", ""),
        "another column": ({"inventory": {"key": "lists/manifest.json"}}, "States.QueryEvaluationError", ""),
        "an odd encoding": ({"inventory": {"key": "lists/odd.json"}}, "States.ExceedToleratedFailureThreshold", ""),
    }
    for engine in world.engines:
        for label, (given, name, says) in unread.items():
            account = _account(engine, ["raw/a.jpg"])
            account.buckets[LISTS]["lists/bad.jsonl"] = b'{"key": "raw/a.jpg"}\n{"key"'
            account.buckets[LISTS]["lists/bad.csv"] = b"raw/a.jpg\nraw/b.jpg\n"
            if label == "an odd encoding":
                if engine is not world.engines[-1]:
                    continue  # the port of the reference decodes anything
                _inventory(account, [[samples.BUCKET, "raw/100%.jpg"]], "Bucket, Key")
                account.buckets[LISTS]["lists/odd.json"] = account.buckets[LISTS]["lists/manifest.json"]
            else:
                _inventory(account, [["a.jpg"]], "VersionId")
            _, error = _run(world, account, given)
            assert error and error.name == name and says in error.cause, f"{engine.name}: {label}: {error}"
            assert not account.tasks and not account.events, label


def an_input_that_is_not_known_word_by_word_is_refused_with_what_was_received(world):
    refused = {
        '{"list":{"prefx":"a"}}': {"list": {"prefx": "a"}},
        "[1]": [1],
        "{}": {},
        '{"list":{},"csv"': {"list": {}, "csv": {"key": "lists/a.csv"}},
        '"other/" does not begin with source_prefix, "raw/"': {"list": {"prefix": "other/"}},
        '"raw" does not begin with source_prefix': {"list": {"prefix": "raw"}},
        "prefix that is no text": {"list": {"prefix": 7}},
        '"a.csv" does not begin with list_prefix, "lists/"': {"csv": {"key": "a.csv"}},
        "has no key": {"csv": {"key": ""}},
        '{"json":{}}': {"json": {}},
        '{"xml":{"key"': {"xml": {"key": "lists/a.xml"}},
        "names no execution": {"run": "../batches"},
        '{"run":{}}': {"run": {}},
    }
    for engine in world.engines:
        for says, given in refused.items():
            account = _account(engine, ["raw/a.jpg"])
            _, error = _run(world, account, given)
            assert error and error.name == "pixpipe.Input" and says in error.cause, f"{engine.name}: {given}: {error}"
            assert "accepted" in error.cause or "does not begin" in error.cause, error.cause
            assert not account.calls, "nothing was asked for"


def a_prefix_narrows_the_list(world):
    for engine in world.engines:
        account = _account(engine, ["raw/2024/a.jpg", "raw/2025/b.jpg"])
        _run(world, account, {"list": {"prefix": "raw/2025/"}})
        assert [record["key"] for record in _records(account)] == ["raw/2025/b.jpg"]


def a_batch_that_cannot_be_written_ends_the_execution_before_any_task(world):
    def fails(arguments):
        raise asl.StatesError("S3.S3Exception", "slow down")

    account = _account(world.engines[0], ["raw/a.jpg"])
    account.faults["aws-sdk:s3:putObject"] = fails
    _, error = _run(world, account, INPUTS["list"])
    assert error.name == "States.ExceedToleratedFailureThreshold" and not account.tasks and not account.events


def tasks_that_fail_are_handed_over_by_address_and_counted(world):
    """Objects that are not there, or no images, are the task's to report, and its batch is done. Of a task that dies
    each time, the batch goes to the failed queue, as an address."""
    for engine in world.engines:
        account = _account(engine, [f"raw/{i}.jpg" for i in range(15)], ends=lambda body, nth: (
            task_failed(137, "OutOfMemory") if len(json.loads(body)["Records"]) == 5 else None
        ))  # fmt: skip
        _, error = _run(world, account, INPUTS["list"], change=_small_batches)
        assert error is None, error
        (body,) = map(json.loads, account.failed())
        address = body["batch"].removeprefix(f"s3://{WORK_BUCKET}/")
        assert address.startswith("handed-over/runs/first/") and body["pixpipe"]["attempts"] == 4, body
        assert len(json.loads(account.buckets[WORK_BUCKET][address])["Records"]) == 5
        assert not _waiting(account), "what was handed over is done"
        got = _counts(account, "batches", "failedBatches", "objects", "written", "handedOver")
        assert got == [2, 0, 15, 10, 5], f"{engine.name}: {got}"


def counts_are_those_of_the_reports(world):
    class Reporting(Account):
        def report(self, body):
            super().report(body)
            for place in self.metadata:
                self.metadata[place] = {"written": "1", "skipped": "2", "failed": "3", "handed-back": "3"}

    for engine in world.engines:
        account = _account(engine, [f"raw/{i}.jpg" for i in range(16)])
        account.__class__ = Reporting
        _run(world, account, INPUTS["list"], change=_small_batches)
        got = _counts(account, "batches", "objects", "written", "skipped", "failed", "unreported")
        assert got == [2, 16, 2, 4, 6, 0], got

        def fails(arguments):
            raise asl.StatesError("S3.NoSuchKeyException", "no report")

        account = _account(engine, [f"raw/{i}.jpg" for i in range(16)])
        account.faults["aws-sdk:s3:headObject"] = fails
        _, error = _run(world, account, INPUTS["list"], change=_small_batches)
        assert error is None and _counts(account, "objects", "written", "unreported") == [16, 0, 16], error


def a_child_that_cannot_hand_over_stays_and_the_next_run_takes_it(world):
    """A task dies and SQS takes no message: the others go on, the event tells, the execution fails, {"run"} goes on."""
    for absorbed in ("described", "left out"):
        account = _account(world.engines[0], [f"raw/{i}.jpg" for i in range(21)], ends=lambda body, nth: (
            task_failed(137) if len(json.loads(body)["Records"]) == 1 else None
        ), send_faults=[asl.StatesError("SQS.SqsException", "no answer")] * 9)  # fmt: skip
        _, error = _run(world, account, INPUTS["list"], absorbed=absorbed, change=_small_batches)
        assert error.name == "pixpipe.BatchesLeft" and '{"run":"first"}' in error.cause, error
        assert error.cause.startswith("1 of 3 batches"), error.cause
        got = _counts(account, "batches", "failedBatches", "objects", "written", "handedOver")
        assert got == [3, 1, 21, 20, 0], f"{absorbed}: {got}"
        assert len(_waiting(account, "runs/first/")) == 1, _waiting(account)
        account.events.clear()
        account.ends = lambda body, nth: None
        _, error = _run(world, account, {"run": "first"}, name="second")
        assert error is None and not _waiting(account), error
        detail = _told(account)
        assert detail["written"] == 1 and detail["batches"] == 1 and "objects" not in detail, detail
        assert detail["reports"].endswith("/reports/first/") and detail["execution"].endswith(":second"), detail


def refused_launches_are_waited_for_and_the_kill_switch_puts_addresses_back(world):
    account = _account(world.engines[0], ["raw/a.jpg"], ends=lambda body, nth: (
        asl.StatesError("AmazonECS.Unknown", QUOTA) if nth < 50 else None
    ))  # fmt: skip
    execution, error = _run(world, account, INPUTS["list"])
    assert error is None and not account.sent and _counts(account, "written") == [1], error
    assert all(child.events < HISTORY_MAX_EVENTS for child in execution.children())

    account = _account(world.engines[0], [f"raw/{i}.jpg" for i in range(11)], ends=lambda body, nth: SWITCHED_OFF)
    _, error = _run(world, account, INPUTS["list"], change=_small_batches)
    assert error is None and _counts(account, "putBack", "written", "handedOver") == [11, 0, 0], error
    pipe = patterns.Pipe(api.create_pipe(world.stacks["backfill"]))
    assert len(account.put_back()) == 2 and all(pipe.takes(body) for body in account.put_back())
    stored = {json.loads(body)["batch"].removeprefix(f"s3://{WORK_BUCKET}/") for body in account.put_back()}
    assert stored == set(_waiting(account)), "the addresses lead to the batches"


def what_is_handed_over_passes_the_pipes_filter_when_it_is_moved_back(world):
    account = _account(world.engines[0], ["raw/a.jpg"], ends=lambda body, nth: task_failed(137))
    _run(world, account, INPUTS["list"])
    for scenario in ("backfill", "direct_backfill"):
        pipe = patterns.Pipe(api.create_pipe(world.stacks[scenario]))
        assert all(pipe.takes(body) for body in account.failed()) and account.failed(), scenario


def twenty_thousand_batches_are_counted_and_more_are_done_all_the_same(world):
    """The output of a state holds the results of 20,000 full batches; of more, the event has the number alone."""
    account = _account(world.engines[-1], ["raw/a.jpg"])
    execution, _ = _run(world, account, INPUTS["list"])
    (batches,) = [run for run in execution.map_runs if run["label"] == "Batches"]
    assert batches["results"] == [{"w": 1}], batches["results"]
    full = {"w": 1000}

    def stubbed(states):
        states["Batches"]["ItemProcessor"].update(
            StartAt="Batch", States={"Batch": {"Type": "Pass", "Output": full, "End": True}}
        )
        states["Batches"]["ItemSelector"] = {}

    for count, known in ((20_000, True), (24_000, False)):
        account = _account(world.engines[-1], [])
        account.buckets[WORK_BUCKET] = {f"runs/large/{i}-1000.json": b"" for i in range(count)}
        begin = time.monotonic()
        execution, error = _run(world, account, {"run": "large"}, change=stubbed)
        assert error is None, error
        written = count * 1000 if known else None
        assert _counts(account, "batches", "failedBatches", "written") == [count, 0, written], count
        assert execution.events < 100, f"{execution.events} events, {time.monotonic() - begin:.0f} s"


def expressions_of_a_backfill_end_in_time(world):
    """Step Functions gives an expression one second. A child has 2,000 objects at most."""
    engine = world.engines[-1]
    definition = world.stacks["backfill"].definition("backfill")["States"]
    text = definition["Inventory"]["ItemProcessor"]["States"]["InventorySelect"]["Output"][2:-2]
    items = [{"key": f"raw/2024/05/17/{urllib.parse.quote('Ünser Bild')}+{i}.jpg", "size": 1} for i in range(2000)]
    states = {"input": {"Items": items, "BatchInput": {"run": "r"}}, "context": {"Execution": {"Name": "n"}}}
    begin = time.monotonic()
    assert engine.evaluate(text, states)["objects"] == 2000
    seconds = time.monotonic() - begin
    counts = definition["Batches"]["Output"][2:-2]
    begin = time.monotonic()
    engine.evaluate(counts, {"input": {"run": "r"}, "result": [{"w": 1000}] * 20_000})
    seconds = max(seconds, time.monotonic() - begin)
    assert seconds < 3, f"{engine.name}: {seconds:.1f} s"


def transitions_are_those_of_the_cost_table(world):
    """Of a batch: its writing (a child of 3 states), and its task (a child of 6)."""
    account = _account(world.engines[0], [f"raw/{i}.jpg" for i in range(25)])
    execution, _ = _run(world, account, INPUTS["list"], change=_small_batches)
    assert execution.transitions() == 10 + 3 * (1 + 3 + 1 + 6), execution.transitions()


def messages_go_to_the_two_queues_of_the_stack_only(world):
    account = _account(world.engines[0], ["raw/a.jpg"], ends=lambda body, nth: task_failed(137))
    _run(world, account, INPUTS["list"])
    assert {one["QueueUrl"] for one in account.sent} <= {FAILED_QUEUE_URL, SOURCE_QUEUE_URL}
