"""The redrive of direct tasks: records of a killed task come back, counted, and no others do."""

import json

import api
import asl
import patterns
import samples
from executions import objects, run_redrive
from world import FAILED_QUEUE_URL, SOURCE_QUEUE_URL

ENDS = {
    "memory": {},
    "crash": {"exit_code": 1},
    "not handed back": {"exit_code": 75},
    "unreadable": {"exit_code": 65},
    "no image": {"exit_code": None, "stop_code": "TaskFailedToStart"},
    "spot, killed": {"exit_code": 137, "stop_code": "SpotInterruption"},
    "spot, before it ran": {"exit_code": None, "stop_code": "SpotInterruption"},
    "hardware": {"exit_code": None, "stop_code": "InfrastructureHealth"},
    "stopped by hand": {"exit_code": 137, "stop_code": "UserInitiated"},
    "beside a sidecar": {"sidecar": True},
    "never ran beside a sidecar": {"sidecar": True, "exit_code": None, "stop_code": "TaskFailedToStart"},
}
PHOTO = json.dumps(samples.notification("raw/a.jpg"))


def _tries(world, engine, key, shape, end):
    """The number of tasks for a photo that kills every one of them; checks each message on the way."""
    pipe = patterns.Pipe(api.create_pipe(world.stacks["direct"]))
    body, tries = json.dumps(shape(key)), 0
    while True:
        tries += 1
        sent = run_redrive(world, samples.stopped(body, **end), engine)
        assert len(sent) == 1, sent
        ((queue, delay_seconds, body),) = sent
        assert samples.objects_of(body) == [(samples.BUCKET, key, tries)], body
        assert pipe.takes(body), "the source queue's filter would drop it"
        assert json.loads(body)["Records"][0]["pixpipe"]["reason"] == "interrupted"
        if queue == FAILED_QUEUE_URL:
            return tries
        assert queue == SOURCE_QUEUE_URL and 60 <= delay_seconds <= 900


def records_of_killed_tasks_come_back_counted_and_at_last_as_failed(world):
    for engine in world.engines:
        for label, end in ENDS.items():
            for shape in (samples.notification, samples.eventbridge):
                for key in samples.NASTY_KEYS if label == "memory" else samples.NASTY_KEYS[:2]:
                    tries = _tries(world, engine, key, shape, end)
                    assert tries == 3, f"{engine.name}: {label}: {tries} tries"


def the_bound_on_attempts_is_the_variables(world):
    for engine in world.engines:
        for attempts, queue in ((0, SOURCE_QUEUE_URL), (1, FAILED_QUEUE_URL), (7, FAILED_QUEUE_URL)):
            event = samples.stopped(json.dumps(samples.handed_back("a.jpg", attempts)))
            (sent,) = run_redrive(world, event, engine, "direct_keys")
            assert sent[0] == queue, (attempts, sent)


def tasks_that_handed_back_themselves_are_left_alone(world):
    another_family = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp2:1"
    events = {
        "done": samples.stopped(PHOTO, exit_code=0),
        "spot, handed back": samples.stopped(PHOTO, exit_code=0, stop_code="SpotInterruption"),
        "done beside a sidecar": samples.stopped(PHOTO, exit_code=0, sidecar=True),
        "spot beside a sidecar": samples.stopped(PHOTO, exit_code=0, stop_code="SpotInterruption", sidecar=True),
        "still running": samples.stopped(PHOTO, status="DEPROVISIONING"),
        "another family": samples.stopped(PHOTO, task_definition=another_family),
        "another cluster": samples.stopped(PHOTO, cluster=samples.CLUSTER + "2"),
    }
    for engine in world.engines:
        for label, event in events.items():
            assert run_redrive(world, event, engine) == [], f"{engine.name}: {label}"


def wrong_settings_are_not_tried_again(world):
    for engine in world.engines:
        (sent,) = run_redrive(world, samples.stopped(PHOTO, exit_code=78), engine)
        assert sent[0] == FAILED_QUEUE_URL and samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/a.jpg", 1)]


def a_merged_notification_comes_back_record_by_record(world):
    body = json.dumps(samples.notification("raw/a b.jpg", "raw/c+.jpg"))
    for engine in world.engines:
        sent = run_redrive(world, samples.stopped(body), engine)
        assert objects(body for _, _, body in sent) == [
            (samples.BUCKET, "raw/a b.jpg", 1),
            (samples.BUCKET, "raw/c+.jpg", 1),
        ]


def json_in_a_string_and_the_short_shape_are_understood(world):
    for engine in world.engines:
        (sent,) = run_redrive(world, samples.stopped(json.dumps(PHOTO)), engine)
        assert samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/a.jpg", 1)]
        (sent,) = run_redrive(world, samples.stopped('{"bucket":"photos-in","key":"raw/+ %.jpg"}'), engine)
        assert sent[0] == SOURCE_QUEUE_URL and samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/+ %.jpg", 1)]


def a_batch_by_its_address_comes_back_counted(world):
    body = json.dumps({"batch": "s3://lists/handed-over/runs/1/new.json", "pixpipe": {"attempts": 1}})
    for engine in world.engines:
        (sent,) = run_redrive(world, samples.stopped(body), engine)
        told = json.loads(sent[2])
        assert sent[0] == SOURCE_QUEUE_URL and told["batch"] == "s3://lists/handed-over/runs/1/new.json", sent
        assert told["pixpipe"]["attempts"] == 2 and told["pixpipe"]["reason"] == "interrupted", sent
        (sent,) = run_redrive(world, samples.stopped(sent[2]), engine)
        assert sent[0] == FAILED_QUEUE_URL and json.loads(sent[2])["pixpipe"]["attempts"] == 3, sent
        assert patterns.Pipe(api.create_pipe(world.stacks["direct"])).takes(sent[2]), "lost when moved back"


def unreadable_bodies_are_kept_unchanged(world):
    for engine in world.engines:
        for text in ('{"Records": [', "hello", '{"some": "thing"}'):
            (sent,) = run_redrive(world, samples.stopped(text), engine)
            assert sent[0] == FAILED_QUEUE_URL, sent
            (record,) = json.loads(sent[2])["Records"]
            entry = record["pixpipe"]["entry"]
            assert entry in (text, json.loads(text) if text.startswith('{"some') else text), sent
            assert patterns.Pipe(api.create_pipe(world.stacks["direct"])).takes(sent[2]), "lost when moved back"


def the_rule_is_wide(world):
    """Any of three. AWS looks for a field that is absent in all containers together, so the arms are no doubles."""
    for stack in world.applied("direct", "direct_keys"):
        rule = json.loads(stack["aws_cloudwatch_event_rule.task_stopped[0]"]["event_pattern"])
        assert rule["detail"]["$or"] == [
            {"containers": {"exitCode": [{"anything-but": [0]}]}},
            {"containers": {"exitCode": [{"exists": False}]}},
            {"stopCode": [{"anything-but": ["EssentialContainerExited"]}]},
        ], rule


def an_event_without_the_body_fails_loudly(world):
    """That events carry the overrides is not seen on AWS; if they do not, nothing may look as if it had worked."""
    without = samples.stopped(PHOTO)
    del without["detail"]["overrides"]["containerOverrides"][0]["environment"]
    emptied = samples.stopped(PHOTO, exit_code=None, stop_code="TaskFailedToStart")
    emptied["detail"]["overrides"] = {"containerOverrides": []}
    for engine in world.engines:
        for event in (without, emptied):
            try:
                sent = run_redrive(world, event, engine)
            except asl.StatesError as error:
                assert error.name == "pixpipe.NoBody", error
            else:
                raise AssertionError(f"{engine.name}: the redrive succeeded and sent {sent}")


def the_envelopes_attempts_are_kept(world):
    body = json.dumps({**samples.notification("raw/a.jpg"), "pixpipe": {"attempts": 1}})
    for engine in world.engines:
        (sent,) = run_redrive(world, samples.stopped(body), engine)
        assert sent[0] == SOURCE_QUEUE_URL and samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/a.jpg", 2)], sent


def sending_is_tried_again(world):
    hiccup = asl.StatesError("SQS.SdkClientException", "")
    for engine in world.engines:
        assert len(run_redrive(world, samples.stopped(PHOTO), engine, send_faults=[hiccup] * 2)) == 1


def the_cause_names_how_the_task_ended(world):
    for engine in world.engines:
        (sent,) = run_redrive(world, samples.stopped(PHOTO), engine)
        cause = json.loads(sent[2])["Records"][0]["pixpipe"]["cause"]
        for part in ("EssentialContainerExited", "Essential container in task exited", "OutOfMemory", "exit code 137"):
            assert part in cause, cause
