"""Batches: one task each, inline or by address, every record exactly once; waiting for room; handing over."""

import json
import random

import api
import asl
import patterns
import samples
from account import Account, address
from executions import ENDS, REFUSALS, SWITCHED_OFF, counted, keys, objects, run_batch, task_failed
from services import OVERRIDES_MAX_CHARACTERS, RESERVE_CHARACTERS
from world import WORK_BUCKET

SHAPES = {
    "notification": samples.notification,
    "eventbridge": samples.eventbridge,
    "written by hand": lambda key: {"bucket": samples.BUCKET, "key": key},
    "handed back": lambda key: samples.handed_back(key, 2),
}
ALPHABET = "ab/. +%&=?\"\\'<>{}[]é写🦊\x01\n\u2028"
DAY_SECONDS = 24 * 3600

# How often each of them counts: after 75 the task has ended by itself, and no record is under suspicion.
COUNTS = {label: 0 if label == "left undone" else 1 for label in ENDS}
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


def a_batch_is_one_task_inline_if_it_fits_and_else_by_address(world):
    """50 keys of one length, for lengths of all kinds around the limit."""
    limit = OVERRIDES_MAX_CHARACTERS - RESERVE_CHARACTERS - 64  # the number of attempts, as a retry writes it
    for engine in world.engines:
        for length in (20, 60, *range(70, 90), 150, 1000):
            for shape in (samples.notification, samples.eventbridge):
                bodies = [shape(f"raw/{i:02}" + "x" * (length - 6)) for i in range(50)]
                services, execution = run_batch(world, bodies, engine)
                (task,), (given,) = services.bodies(), services.given()
                assert objects([task]) == objects(bodies), f"{engine.name}: keys of {length}"
                inline = samples.overrides_length(task) <= limit
                assert (given == task) == inline, f"{engine.name}: keys of {length}: {given[:200]}"
                stored = [] if inline else ["Store", "RunStored", "Finished", "Clear"]
                assert execution.entered == ["Tasks", "Decide", *(stored or ["Run"])], execution.entered
                if not inline:
                    assert json.loads(given) == {"batch": f"s3://{WORK_BUCKET}/runs/run/new.json"}, given
                assert services.buckets == {WORK_BUCKET: {}}, "a batch that is done stays in the bucket"


def a_stored_batch_says_how_often_its_task_died_and_not_how_often_it_left_work_undone(world):
    """Records of a task that died run alone; those of one that ended by itself, in time, are no suspects."""
    bodies = [samples.notification("raw/" + "x" * 900 + f"{i}.jpg") for i in range(20)]
    ends = [ENDS["killed"], ENDS["left undone"], REFUSALS["no capacity"], ENDS["interrupted"]]
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine, lambda body, nth: dict(enumerate(ends, 1)).get(nth))
        told = [json.loads(given).get("pixpipe", {}).get("attempts", 0) for given in services.given()]
        assert told == [0, 1, 1, 1, 2], told
        for body, tried in zip(services.bodies(), told, strict=True):
            assert objects([body]) == counted(objects(bodies), tried), body


LONG_BODIES = [samples.eventbridge("raw/" + "é" * 400 + f"{i}.jpg") for i in range(12)]


def a_stored_batch_that_no_launch_saves_is_handed_over_by_its_address(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    for engine in world.engines:
        for label, attempts in (("killed", 4), ("left undone", 0)):
            services, _ = run_batch(world, LONG_BODIES, engine, lambda body, nth, end=ENDS[label]: end)
            (text,) = services.failed()
            told = json.loads(text)
            assert told["batch"] == f"s3://{WORK_BUCKET}/handed-over/runs/run/new.json", text
            assert told["pixpipe"]["attempts"] == attempts and told["pixpipe"]["reason"] == "interrupted", text
            assert told["pixpipe"]["cause"].startswith("States.TaskFailed"), text
            ((key, batch),) = services.buckets[WORK_BUCKET].items()
            assert ("", key) == ("", address(told["batch"])[1]), "the batch is elsewhere"
            assert objects([batch.decode()]) == objects(LONG_BODIES)
            assert pipe.takes(text), "the filter would drop a batch that is moved back"
            again, _ = run_batch(world, [told], engine, stored=services.buckets[WORK_BUCKET])
            assert json.loads(again.bodies()[0])["Records"] == [told], again.bodies()
            assert again.providers() == [FARGATE if attempts else SPOT]
            failed, _ = run_batch(world, [told], engine, lambda body, nth: ENDS["killed"])
            (text,) = failed.failed()
            assert json.loads(text)["batch"] == told["batch"], text
            assert json.loads(text)["pixpipe"]["attempts"] == attempts + 4, text


def an_execution_of_any_name_copies_the_right_batch(world):
    """Names of executions that are started by hand: no slash, but what a URL means otherwise."""
    definition = world.stacks["batched"].definition("batch")
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    given = pipe.hands_over([json.dumps(body) for body in LONG_BODIES])
    for engine in world.engines:
        for name in ("a+b", "größe 1=2@3", "100'(!)"):
            services = Account(engine, lambda body, nth: task_failed(78))
            services.buckets[WORK_BUCKET] = {}
            asl.Execution(definition, engine, services, name).run(given)
            assert list(services.buckets[WORK_BUCKET]) == [f"handed-over/runs/{name}/new.json"]


def what_s3_refuses_is_tried_again_and_never_loses_the_batch(world):
    """A batch that cannot be stored or copied stays in the input of an execution that fails; deleting may fail."""
    refused = asl.StatesError("S3.SdkClientException", "")

    def refuses(times):
        left = [refused] * times
        return lambda arguments: (_ for _ in ()).throw(left.pop()) if left else None

    for engine in world.engines:
        for call in ("putObject", "copyObject", "deleteObject"):
            for times, fails in ((3, False), (100, call != "deleteObject")):
                faults = {f"aws-sdk:s3:{call}": refuses(times)}
                end = task_failed(78) if call == "copyObject" else None
                try:
                    services, _ = run_batch(world, LONG_BODIES, engine, lambda body, nth, end=end: end, faults=faults)
                except asl.StatesError as error:
                    assert fails and error.name == refused.name, f"{call}: {error}"
                    continue
                assert not fails, f"{call}: the execution succeeded"
                assert bool(services.failed()) == bool(end) and len(services.tasks) == 1, call


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
    by_address = {"Records": [{"batch": "s3://lists/1.json", "pixpipe": {"attempts": 1}}], "pixpipe": {"attempts": 1}}
    enveloped = {**samples.notification("raw/a.jpg"), "pixpipe": {"attempts": 2}}
    nested = {**samples.handed_back("raw/a.jpg", 1), "pixpipe": {"attempts": "1"}}
    for engine in world.engines:
        for body in (samples.handed_back("raw/a.jpg", 2), enveloped, nested, by_address):
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


def a_record_of_any_length_runs_with_its_neighbours(world):
    """No key of S3 is that long; another sender's may be."""
    bodies = [samples.notification(key) for key in ("raw/a.jpg", "raw/" + "é" * 2500, "raw/b.jpg")]
    for engine in world.engines:
        services, _ = run_batch(world, bodies, engine)
        assert objects(services.bodies()) == objects(bodies) and len(services.tasks) == 1
        assert not services.sent


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
    for engine in world.engines:
        services = Account(engine, lambda body, nth: task_failed(78))
        given = [{"messageId": "1", "body": body} for body in ("a text", {"hello": "a text"}, ["a text", "a text"])]
        asl.Execution(definition, engine, services).run(given)
        assert len(services.failed()) == 4 and len(services.tasks) == 1
        for text in services.failed():
            (record,) = json.loads(text)["Records"]
            assert record["pixpipe"]["reason"] == "invalid-entry" and "a text" in json.dumps(record), text[:99]
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
            for body, ran in zip(services.bodies(), [0, 1, 1, 2, 2, 2, 3], strict=True):
                tried = ran * COUNTS[label]
                assert objects([body]) == counted(objects(BODIES), tried), f"{label}: {tried}: {body}"
                assert samples.overrides_length(body) <= OVERRIDES_MAX_CHARACTERS - RESERVE_CHARACTERS, label


def records_that_no_launch_saves_are_handed_over_one_by_one_and_can_be_moved_back(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    for engine in world.engines:
        for label, error in ENDS.items():
            services, _ = _run_failing(world, engine, error, 1000)
            assert services.providers() == [SPOT] * 3 + [FARGATE], label
            handed = objects(services.failed())
            assert handed == counted(objects(BODIES), 4 * COUNTS[label]), f"{engine.name}: {label}: {handed}"
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


def a_batch_refused_for_a_day_stays_within_the_history_of_an_execution(world):
    """New records and tried ones of the longest kind; each task also ends badly as often as it may."""
    longest = "raw/" + "é" * 508 + ".jp"
    bodies = [samples.eventbridge(longest), samples.handed_back(longest, 1)] * 8
    for engine in world.engines[-1:]:
        ran = {}

        def ends(body, nth, ran=ran):
            tried = "attempts" in json.loads(body)["Records"][0].get("pixpipe", {})
            ran[tried] = ran.get(tried, 0) + 1
            return ENDS["killed"] if ran[tried] <= 3 else REFUSALS["no capacity"]

        services, execution = run_batch(world, bodies, engine, ends)
        assert len(services.failed()) == 2, services.failed()
        print(f"      2 tasks, each refused for a day: {execution.events} of {asl.HISTORY_MAX_EVENTS} events")


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


def the_kill_switch_puts_a_stored_batch_back_by_its_address(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    for engine in world.engines:
        services, _ = run_batch(world, LONG_BODIES, engine, lambda body, nth: SWITCHED_OFF)
        (text,) = services.put_back()
        told = json.loads(text)
        assert told["batch"] == f"s3://{WORK_BUCKET}/runs/run/new.json" and told["pixpipe"]["attempts"] == 0, text
        assert not services.failed() and pipe.takes(text) and services.sent[0]["DelaySeconds"] >= 30
        assert list(services.buckets[WORK_BUCKET]) == ["runs/run/new.json"], "the address leads nowhere"


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
    bodies = [*LONG_BODIES, *[samples.handed_back(f"raw/{i}.jpg", 1) for i in range(3)]]
    for engine in world.engines:
        services, _ = run_batch(
            world, bodies, engine, lambda body, nth: task_failed() if "raw/0.jpg" in body else None
        )
        assert objects(services.failed()) == counted(objects(bodies[-3:]), 4)
        assert len(services.tasks) == 5 and objects(services.bodies()[:2]) == objects(bodies)
