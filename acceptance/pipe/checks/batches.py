"""Batches: split into tasks that fit, every record exactly once, waiting for room, and failed records handed over."""

import json
import random

import api
import asl
import botocore.session
import patterns
import samples
from executions import (
    OVERRIDES_MAX_CHARACTERS, RESERVE_CHARACTERS, Services, counted, keys, objects, run_batch, task_failed,
)  # fmt: skip

SHAPES = {
    "notification": samples.notification,
    "eventbridge": samples.eventbridge,
    "written by hand": lambda key: {"bucket": samples.BUCKET, "key": key},
    "handed back": lambda key: samples.handed_back(key, 2),
}
ALPHABET = "ab/. +%&=?\"\\'<>{}[]é写🦊\x01\n\u2028"
DAY_SECONDS = 24 * 3600
HISTORY_MAX_EVENTS = 25_000

NO_CAPACITY = json.dumps([{"Arn": samples.CLUSTER, "Reason": "Capacity is unavailable at this time."}])
QUOTA = json.dumps([{"Reason": "You’ve reached the limit on the number of vCPUs you can run concurrently"}])
# Tasks that ran and ended badly.
ENDS = {
    "interrupted": task_failed(137, "Your Spot Task was interrupted.", "SpotInterruption"),
    "killed": task_failed(137, "OutOfMemory"),
    "not handed back": task_failed(75),
    "timed out": asl.StatesError("States.Timeout", ""),
}
# Launches after which nothing ran: the errors of RunTask in AWS's model, and those that were seen in the field.
REFUSALS = {
    "no capacity": asl.StatesError("AmazonECS.Unknown", NO_CAPACITY),
    "the vCPU quota": asl.StatesError("AmazonECS.Unknown", QUOTA),
    "a right is missing": asl.StatesError("ECS.AccessDeniedException", "no identity-based policy allows it"),
    "no image": task_failed(None, "CannotPullContainerError: not found", "TaskFailedToStart"),
    **{
        name: asl.StatesError(f"ECS.{name}", "")
        for name in (
            *(s.name for s in botocore.session.get_session().get_service_model("ecs").operation_model("RunTask")
              .error_shapes),
            "ThrottlingException", "AmazonECSException", "SdkClientException", "a name that nobody knows",
        )
        if name != "AccessDeniedException"
    },
}  # fmt: skip
SWITCHED_OFF = asl.StatesError(
    "ECS.AccessDeniedException",
    "User: arn:aws:sts::123456789012:assumed-role/pp-eu-west-1-batch/x is not authorized to perform: ecs:RunTask on "
    "resource: arn:aws:ecs:eu-west-1:123456789012:task-definition/pp:7 with an explicit deny in an identity-based "
    "policy (Service: AmazonECS; Status Code: 400)",
)
SPOT, FARGATE = "FARGATE_SPOT", "FARGATE"


def every_record_of_a_batch_reaches_a_task_whatever_its_key(world):
    for engine in world.engines:
        for label, shape in SHAPES.items():
            bodies = [shape(key) for key in samples.NASTY_KEYS]
            services, _ = run_batch(world, bodies, engine)
            wanted, got = objects(bodies), objects(services.bodies())
            assert got == wanted, f"{engine.name}: {label}: {set(wanted) ^ set(got)}"
            provider = FARGATE if label == "handed back" else SPOT
            assert not services.sent and set(services.providers()) == {provider}, label


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
            tasks = [json.loads(body)["Records"] for body in services.bodies()]
            assert objects(tasks) == objects(notifications)
            for records, following in zip(tasks, tasks[1:]):
                more = samples.overrides_length(
                    json.dumps({"Records": records + following[:1]}, separators=(",", ":"))
                )
                assert more > full, f"{engine.name}: keys of {length}: room for one more record ({more})"


def a_usual_batch_of_fifty_is_one_task(world):
    batch = [f"raw/2024/05/17/IMG_20240517_{i:06}.jpg" for i in range(50)]
    for engine in world.engines:
        for shape in (samples.notification, samples.eventbridge):
            services, execution = run_batch(world, [shape(key) for key in batch], engine)
            assert len(services.tasks) == 1, len(services.tasks)
            assert execution.entered == ["Tasks", "Decide", "Run"], execution.entered


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


def attempts_are_carried_also_from_an_envelope(world):
    enveloped = {**samples.notification("raw/a.jpg"), "pixpipe": {"attempts": 2}}
    nested = {**samples.handed_back("raw/a.jpg", 1), "pixpipe": {"attempts": "1"}}
    for engine in world.engines:
        for body in (samples.handed_back("raw/a.jpg", 2), enveloped, nested):
            services, _ = run_batch(world, [body], engine)
            assert json.loads(services.bodies()[0])["Records"][0]["pixpipe"]["attempts"] == 2, body


def records_that_were_tried_go_to_fargate_and_their_neighbours_to_spot(world):
    bodies = [samples.notification("raw/new.jpg"), samples.handed_back("raw/taken back by spot.jpg", 1)]
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine)
        assert [(p, keys([body])) for p, body in services.tasks] == [
            (SPOT, ["raw/new.jpg"]),
            (FARGATE, ["raw/taken back by spot.jpg"]),
        ]
        services, _ = run_batch(
            world, bodies[1:], engine, lambda body, nth: REFUSALS["no capacity"] if nth < 4 else None
        )
        assert services.providers() == [FARGATE] * 4, services.providers()


def a_record_that_cannot_fit_goes_to_the_failed_queue_and_its_neighbours_run(world):
    """No key of S3 is that long; another sender's may be."""
    too_long = "raw/" + "é" * 2500
    bodies = [samples.notification(key) for key in ("raw/a.jpg", too_long, "raw/b.jpg")]
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine)
        assert keys(services.bodies()) == ["raw/a.jpg", "raw/b.jpg"]
        assert keys(services.failed()) == [too_long]
        told = json.loads(services.failed()[0])["Records"][0]["pixpipe"]
        assert "longer" in told["cause"] and told["attempts"] == 0, told


def a_record_that_cannot_be_read_never_takes_its_batch_with_it(world):
    """Whatever is wrong with one record, its neighbours run, and it reaches a task or the failed queue."""

    def changed(**members):
        (record,) = samples.notification("raw/odd.jpg")["Records"]
        return {"Records": [{**record, **members}]}

    def of_size(size):
        event = samples.eventbridge("raw/odd.jpg")
        event["detail"]["object"]["size"] = size
        return event

    odd = {
        "eventName is a number": {"Records": [*samples.notification("raw/c.jpg")["Records"],
                                              *changed(eventName=7)["Records"]]},
        "the size is a text": of_size("12"),
        "attempts are a list": changed(pixpipe={"attempts": [1]}),
        "attempts are a text": changed(pixpipe={"attempts": "often"}),
        "the key is a number": {"bucket": "photos-in", "key": 5},
        "a key that is no UTF-8": samples.eventbridge("raw/\ud800.jpg"),
        "a reference": {"batch": "s3://lists/batches/1.json", "pixpipe": {"attempts": 1}},
        "an envelope of SNS": {"Type": "Notification", "Message": json.dumps(samples.notification("raw/d.jpg"))},
        "an entry that was handed back": {"Records": [{"pixpipe": {"attempts": 1, "entry": {"hello": 1}}}]},
        "nothing at all": {},
    }  # fmt: skip
    neighbours = [samples.notification("raw/a.jpg"), samples.notification("raw/b.jpg")]
    for engine in world.engines:
        for label, body in odd.items():
            services, _ = run_batch(world, [neighbours[0], body, neighbours[1]], engine)
            given = "".join(services.bodies())
            assert "raw/a.jpg" in given and "raw/b.jpg" in given, f"{engine.name}: {label}: {services.bodies()}"
            assert len(services.failed()) + given.count("odd") + given.count("hello") + given.count("Type") > 0 or any(
                text in given for text in ('"key":5', "batches/1.json", "{}")
            ), f"{engine.name}: {label}: {given} {services.failed()}"
            pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
            assert all(pipe.takes(text) for text in services.failed()), services.failed()


def what_was_handed_over_passes_the_filter_when_it_is_moved_back(world):
    """Texts, arrays and entries too, that nobody could read."""
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    definition = world.stacks["batched"].definition("batch")
    long_text = "x" * 9000
    for engine in world.engines:
        services = Services()
        given = [{"messageId": "1", "body": body} for body in (long_text, {"hello": long_text}, [long_text, long_text])]
        asl.Execution(definition, engine, services).run(given)
        assert len(services.failed()) == 4 and not services.tasks
        for text in services.failed():
            (record,) = json.loads(text)["Records"]
            assert record["pixpipe"]["reason"] == "invalid-entry" and long_text in json.dumps(record), text[:99]
            assert pipe.takes(text), text[:99]


# --- tasks that fail, and launches that are refused

BODIES = [samples.notification(f"raw/{i} é+.jpg") for i in range(3)]


def _run_failing(world, engine, error, times):
    """The batch BODIES, of which the first launches fail."""
    return run_batch(world, BODIES, engine, lambda body, nth: error if nth <= times else None)


def _within_a_fifth(waits, wanted):
    return len(waits) == len(wanted) and all(0.8 * w - 1 <= wait <= 1.2 * w for wait, w in zip(waits, wanted))


def a_task_that_failed_runs_on_spot_again_and_at_last_on_fargate(world):
    for engine in world.engines:
        for label, error in ENDS.items():
            services, execution = _run_failing(world, engine, error, 3)
            assert services.providers() == [SPOT] * 3 + [FARGATE] and not services.sent, label
            assert _within_a_fifth([s for s, _ in execution.waits], [30, 60, 120]), execution.waits


def each_launch_says_how_often_its_task_ran_and_ended_badly(world):
    refused = REFUSALS["no capacity"]
    for engine in world.engines:
        for label, error in ENDS.items():
            # Refused launches in between change nothing.
            ends = [error, refused, error, refused, refused, error]
            services, _ = run_batch(world, BODIES, engine, lambda body, nth: dict(enumerate(ends, 1)).get(nth))
            for body, tried in zip(services.bodies(), [0, 1, 1, 2, 2, 2, 3], strict=True):
                assert objects([body]) == counted(objects(BODIES), tried), f"{label}: {tried}: {body}"
                assert samples.overrides_length(body) <= OVERRIDES_MAX_CHARACTERS - RESERVE_CHARACTERS, label


def records_that_no_launch_saves_are_handed_over_one_by_one_and_can_be_moved_back(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    for engine in world.engines:
        for label, error in ENDS.items():
            services, _ = _run_failing(world, engine, error, 1000)
            assert services.providers() == [SPOT] * 3 + [FARGATE], label
            handed = objects(services.failed())
            assert handed == counted(objects(BODIES), 4), f"{engine.name}: {label}: {handed}"
            for text in services.failed():
                (record,) = json.loads(text)["Records"]
                assert record["eventSource"] == "aws:s3", text
                assert record["pixpipe"]["reason"] == "interrupted" and record["pixpipe"]["cause"], text
                assert pipe.takes(text), "the filter would drop a record that is moved back"
                told = record["pixpipe"]["cause"]
                assert label != "killed" or told == "States.TaskFailed OutOfMemory", told
            again, _ = run_batch(world, [json.loads(text) for text in services.failed()], engine)
            assert objects(again.bodies()) == handed


def wrong_settings_are_launched_once(world):
    for engine in world.engines:
        services, execution = _run_failing(world, engine, task_failed(78), 1000)
        assert services.providers() == [SPOT], services.providers()
        assert objects(services.failed()) == counted(objects(BODIES), 1)
        assert [seconds for seconds, _ in execution.waits] == [0]


def a_refused_launch_is_waited_for_on_spot_and_fargate_and_is_no_attempt(world):
    for engine in world.engines:
        for label, error in REFUSALS.items():
            services, execution = _run_failing(world, engine, error, 5)
            assert services.providers() == [SPOT, FARGATE] * 3 and not services.sent, f"{label}: {services.providers()}"
            assert set(services.bodies()) == {services.bodies()[0]}, f"{label}: a refusal counted as an attempt"
            assert objects(services.bodies()[:1]) == objects(BODIES), label
            assert _within_a_fifth([s for s, _ in execution.waits], [30, 60, 120, 240, 480]), execution.waits


def waits_are_spread(world):
    """Not all of a burst come back at once."""
    (engine, *_) = world.engines
    firsts = {_run_failing(world, engine, REFUSALS["no capacity"], 6)[1].waits[-1][0] for _ in range(8)}
    assert len(firsts) > 4, firsts


def refused_for_a_day_is_handed_over_uncounted(world):
    for engine in world.engines:
        for label in ("no capacity", "no image") if not world.fast else ("no capacity",):
            services, execution = _run_failing(world, engine, REFUSALS[label], 100_000)
            waited = sum(seconds for seconds, _ in execution.waits)
            assert DAY_SECONDS <= waited <= 2 * DAY_SECONDS, f"{engine.name}: {label}: {waited} s"
            assert set(services.providers()) == {SPOT, FARGATE}
            assert objects(services.failed()) == objects(BODIES), "a launch that was refused counted as an attempt"


def the_longest_batch_refused_for_a_day_stays_within_the_history_of_an_execution(world):
    """50 of the longest records are 25 tasks; each also ends badly as often as it may, before it is handed over."""
    bodies = [samples.eventbridge("raw/" + "é" * 508 + ".jp") for _ in range(50)]
    for engine in world.engines[-1:]:
        ran = {}

        def ends(body, nth, ran=ran):
            ran[body] = ran.get(body, 0) + 1
            return ENDS["killed"] if len(ran) <= 25 and ran[body] == 1 else REFUSALS["no capacity"]

        services, execution = run_batch(world, bodies, engine, ends)
        assert len(services.failed()) == 50, len(services.failed())
        tasks = execution.entered.count("HandBack")
        assert tasks == 25, tasks
        print(f"      {tasks} tasks, each refused for a day: {execution.events} of {HISTORY_MAX_EVENTS} events")
        assert execution.events < HISTORY_MAX_EVENTS, execution.events


def the_kill_switch_puts_records_back_uncounted(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    bodies = [*BODIES, samples.handed_back("raw/b.jpg", 2)]
    for engine in world.engines:
        for before, tries in (([], 0), ([REFUSALS["no capacity"]] * 2, 0), ([ENDS["killed"]] * 2, 2)):
            ends = [*before]
            services, _ = run_batch(
                world, bodies, engine, lambda body, nth, ends=ends: ends.pop() if ends else SWITCHED_OFF
            )
            assert not services.failed(), services.failed()
            wanted = sorted([*counted(objects(BODIES), tries), *objects(bodies[3:])])
            assert objects(services.put_back()) == wanted, services.put_back()
            assert len(services.put_back()) == 4, "a message for each record: several in one may be too long together"
            for text in services.put_back():
                assert pipe.takes(text), "the filter would drop a record that was put back"
            assert all(a["DelaySeconds"] >= 30 for a in services.sent), "it would run in circles while IAM learns of it"


def sending_is_tried_again(world):
    hiccup = asl.StatesError("SQS.SdkClientException", "")
    for engine in world.engines:
        services, _ = run_batch(world, BODIES, engine, lambda body, nth: task_failed(78), send_faults=[hiccup] * 2)
        assert objects(services.failed()) == counted(objects(BODIES), 1), services.failed()
        services, execution = run_batch(
            world, BODIES, engine, lambda body, nth: SWITCHED_OFF, send_faults=[hiccup] * 2
        )
        assert objects(services.put_back()) == objects(BODIES)
        assert len([w for w in execution.waits if w[1] == "SendRecord"]) == 2


def only_the_task_that_failed_is_handed_over(world):
    bodies = [samples.eventbridge("raw/" + "é" * 400 + f"{i}.jpg") for i in range(12)]
    victim = "%A90.jpg"
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine, lambda body, nth: task_failed() if victim in body else None)
        done = {body for body in services.bodies() if victim not in body}
        lost = [body for body in services.bodies() if victim in body][:1]
        assert len(done) >= 2
        assert objects(services.failed()) == counted(objects(lost), 4)
        assert objects([*done, *lost]) == objects(bodies)
