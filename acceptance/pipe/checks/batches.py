"""Batches: split into tasks that fit, every record exactly once, Spot first, and failed records handed over."""

import json
import random

import api
import asl
import patterns
import samples
from executions import (
    OVERRIDES_MAX_CHARACTERS, RESERVE_CHARACTERS, Services, counted, keys, objects, run_batch, task_failed,
)  # fmt: skip

SHAPES = {
    "notification": samples.notification,
    "eventbridge": samples.eventbridge,
    "handed back": lambda key: samples.handed_back(key, 2),
}
ALPHABET = "ab/. +%&=?\"\\'<>{}[]é写🦊\x01\n\u2028"

NO_CAPACITY = json.dumps({"Failures": [{"Reason": "Capacity is unavailable at this time."}]})
ERRORS = {
    "no capacity": asl.StatesError("AmazonECS.Unknown", NO_CAPACITY),
    "interrupted": task_failed(137, "Your Spot Task was interrupted."),
    "killed": task_failed(137, "OutOfMemory"),
    "not handed back": task_failed(75),
    "timed out": asl.StatesError("States.Timeout", ""),
}


def every_record_of_a_batch_reaches_a_task_whatever_its_key(world):
    for engine in world.engines:
        for label, shape in SHAPES.items():
            bodies = [shape(key) for key in samples.NASTY_KEYS]
            services, _ = run_batch(world, bodies, engine)
            wanted, got = objects(bodies), objects(services.bodies())
            assert got == wanted, f"{engine.name}: {label}: {set(wanted) ^ set(got)}"
            assert not services.sent and set(services.providers()) == {"FARGATE_SPOT"}


def mixed_batches_lose_and_double_nothing(world):
    chance = random.Random(4)

    def random_key(index):
        length = chance.randint(1, chance.choice([5, 60, 250]))
        return "raw/" + "".join(chance.choice(ALPHABET) for _ in range(length)) + f"{index}.jpg"

    for engine in world.engines:
        for number in range(world.random_batches):
            batch = [random_key(index) for index in range(chance.randint(1, 50))]
            bodies = [chance.choice(list(SHAPES.values()))(key) for key in batch]
            services, _ = run_batch(world, bodies, engine)
            assert objects(services.bodies()) == objects(bodies), f"{engine.name}, batch {number}"


def tasks_are_filled_to_the_limit_and_no_further(world):
    """50 keys of one length, for lengths of all kinds: each task but the last holds as much as fits."""
    full = OVERRIDES_MAX_CHARACTERS - RESERVE_CHARACTERS - 64
    for engine in world.engines:
        for length in (20, 60, 75, 80, 85, 100, 150, 300, 700, 1000):
            notifications = [samples.notification(f"raw/{i:02}" + "x" * (length - 6)) for i in range(50)]
            services, _ = run_batch(world, notifications, engine)
            tasks = [json.loads(body) for body in services.bodies()]
            assert objects(tasks) == objects(notifications)
            for records, following in zip(tasks, tasks[1:]):
                more = samples.overrides_length(json.dumps(records + following[:1], separators=(",", ":")))
                assert more > full, f"{engine.name}: keys of {length}: room for one more record ({more})"


def a_usual_batch_of_fifty_is_one_task(world):
    batch = [f"raw/2024/05/17/IMG_20240517_{i:06}.jpg" for i in range(50)]
    for engine in world.engines:
        for shape in (samples.notification, samples.eventbridge):
            services, execution = run_batch(world, [shape(key) for key in batch], engine)
            assert len(services.tasks) == 1, len(services.tasks)
            assert execution.entered == ["Tasks", "Fits", "RunOnSpot"], execution.entered


def records_that_create_nothing_are_left_out_of_a_merged_notification(world):
    merged = {"Records": [
        *samples.notification("raw/a.jpg")["Records"],
        *samples.notification("raw/gone.jpg", event="ObjectRemoved:Delete")["Records"],
        *samples.notification("raw/folder/", size=0)["Records"],
        *samples.notification("raw/b.jpg")["Records"],
    ]}  # fmt: skip
    for engine in world.engines:
        services, _ = run_batch(world, [merged], engine)
        assert keys(services.bodies()) == ["raw/a.jpg", "raw/b.jpg"]
        services, _ = run_batch(world, [samples.eventbridge("raw/folder/", size=0)], engine)
        assert not services.tasks and not services.sent


def attempts_are_carried(world):
    for engine in world.engines:
        services, _ = run_batch(world, [samples.handed_back("raw/a.jpg", 2)], engine)
        assert json.loads(services.bodies()[0])[0]["pixpipe"]["attempts"] == 2


def a_record_that_cannot_fit_goes_to_the_failed_queue_and_its_neighbours_run(world):
    """No key of S3 is that long; another sender's may be."""
    too_long = "raw/" + "é" * 3000
    bodies = [samples.notification(key) for key in ("raw/a.jpg", too_long, "raw/b.jpg")]
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine)
        assert keys(services.bodies()) == ["raw/a.jpg", "raw/b.jpg"]
        assert keys(services.failed()) == [too_long]
        assert "longer" in json.loads(services.failed()[0])["Records"][0]["pixpipe"]["cause"]


def a_batch_that_cannot_be_read_is_handed_over_unchanged(world):
    cut, whole = '{"Records": [', samples.notification("raw/a.jpg")
    given = [{"messageId": "1", "body": cut}, {"messageId": "2", "body": whole}]
    for engine in world.engines:
        services = Services()
        asl.Execution(world.stacks["batched"].definition("batch"), engine, services).run(given)
        assert not services.tasks and services.failed()[0] == cut and json.loads(services.failed()[1]) == whole


# --- tasks that fail

BODIES = [*[samples.notification(f"raw/{i}.jpg") for i in range(3)], samples.handed_back("raw/é +.jpg", 2)]


def _run_failing(world, engine, error, times):
    """The batch BODIES, of which the first launches fail."""
    return run_batch(world, BODIES, engine, lambda body, nth: error if nth <= times else None)


def a_task_that_fails_once_runs_on_spot_again(world):
    for engine in world.engines:
        for label, error in ERRORS.items():
            services, _ = _run_failing(world, engine, error, 1)
            assert services.providers() == ["FARGATE_SPOT"] * 2 and not services.sent, label


def spot_is_tried_with_growing_waits_and_then_fargate(world):
    for engine in world.engines:
        for label, error in ERRORS.items():
            services, execution = _run_failing(world, engine, error, 3)
            assert services.providers() == ["FARGATE_SPOT"] * 3 + ["FARGATE"] and not services.sent, label
            assert [seconds for seconds, _ in execution.waits] == [30, 60], execution.waits


def each_launch_says_how_often_its_records_were_tried(world):
    for engine in world.engines:
        for label, error in ERRORS.items():
            services, _ = _run_failing(world, engine, error, 3)
            for tried, body in enumerate(services.bodies()):
                assert objects([body]) == counted(objects(BODIES), tried), f"{label}: launch {tried}: {body}"
                assert samples.overrides_length(body) <= OVERRIDES_MAX_CHARACTERS - RESERVE_CHARACTERS, label


def records_that_no_launch_saves_are_handed_over_one_by_one_and_can_be_moved_back(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    for engine in world.engines:
        for label, error in ERRORS.items():
            services, _ = _run_failing(world, engine, error, 1000)
            assert services.providers()[0] == "FARGATE_SPOT" and services.providers()[-1] == "FARGATE", label
            handed = objects(services.failed())
            assert handed == counted(objects(BODIES), 1), f"{engine.name}: {label}: {handed}"
            for text in services.failed():
                (record,) = json.loads(text)["Records"]
                assert record["eventSource"] == "aws:s3", text
                assert record["pixpipe"]["reason"] == "interrupted" and record["pixpipe"]["cause"], text
                assert pipe.takes(text), "the filter would drop a record that is moved back"
            again, _ = run_batch(world, [json.loads(text) for text in services.failed()], engine)
            assert objects(again.bodies()) == handed


def only_the_task_that_failed_is_handed_over(world):
    bodies = [samples.eventbridge("raw/" + "é" * 400 + f"{i}.jpg") for i in range(12)]
    victim = "%A90.jpg"
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine, lambda body, nth: task_failed() if victim in body else None)
        done = {body for body in services.bodies() if victim not in body}
        lost = [body for body in services.bodies() if victim in body][:1]
        assert len(done) >= 2
        assert objects(services.failed()) == counted(objects(lost), 1)
        assert objects([*done, *lost]) == objects(bodies)
