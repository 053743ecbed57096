"""The events on their way to a task: the rule's pattern, the bucket's notification and the pipe's filter."""

import json

import api
import patterns
import samples
from world import OTHER_ACCOUNT, piped

RULE = "aws_cloudwatch_event_rule.object_created[0]"

# (scenario, event, whether a task must get it)
UPLOADS = [
    ("direct", samples.eventbridge("raw/a.jpg"), True),
    ("direct", samples.eventbridge("raw/empty.jpg", size=0), True),
    ("direct", samples.eventbridge("raw/ends in a slash/", size=7), True),
    ("direct", samples.eventbridge("raw/folder/", size=0), False),
    ("direct", samples.eventbridge("other/a.jpg"), False),
    ("direct", samples.eventbridge("other/empty.jpg", size=0), False),
    ("direct", samples.eventbridge("raw/a.jpg", bucket="photos-in-2"), False),
    ("direct", samples.eventbridge("raw/a.jpg", account=OTHER_ACCOUNT), False),
    ("direct", samples.eventbridge("raw/a.jpg", kind="Object Deleted"), False),
    ("direct", samples.eventbridge("raw/a.jpg", kind="Object Tags Added"), False),
    ("direct", samples.eventbridge("raw/a.jpg", kind="Object Restore Completed"), False),
    ("direct_keys", samples.eventbridge("anywhere/a.jpg"), True),
    ("direct_keys", samples.eventbridge("b.PNG"), True),
    ("direct_keys", samples.eventbridge("b.png"), True),
    ("direct_keys", samples.eventbridge("IMG_0001.JPG"), True),
    ("direct_keys", samples.eventbridge("b.gif"), False),
    ("direct_keys", samples.eventbridge("folder/", size=0), False),
    ("batched", samples.eventbridge("raw/a.jpg"), True),
    ("batched", samples.eventbridge("raw/a.jpg", size=0), True),
    ("batched", samples.eventbridge("raw/.jpg"), True),
    ("batched", samples.eventbridge("other/a.jpg"), False),
    ("batched", samples.eventbridge("raw/a.png"), False),
    ("batched", samples.eventbridge("raw/IMG_0001.JPG"), True),
    ("batched", samples.eventbridge("Raw/a.jpg"), False),
    # A drain has no pipe: its collector looks at the prefix.
    ("drain", samples.eventbridge("raw/IMG_0001.JPG"), True),
    ("drain", samples.eventbridge("raw/a.png"), False),
    *[("direct", samples.eventbridge(key), True) for key in samples.NASTY_KEYS],
]

# (body of a message in the source queue, whether a task must get it)
MESSAGES = [
    (samples.notification("raw/a.jpg"), True),
    (samples.notification("raw/a.jpg", event="ObjectCreated:CompleteMultipartUpload"), True),
    (samples.notification("raw/a.jpg", "raw/b.jpg"), True),
    (samples.handed_back("raw/a.jpg", 1), True),
    # Every shape of docs/contract.md that is an object.
    (samples.notification("raw/a.jpg")["Records"][0], True),
    ({"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]}, True),
    ({"Type": "Notification", "Message": json.dumps(samples.notification("raw/a.jpg"))}, True),
    ({"messageId": "1", "body": samples.notification("raw/a.jpg")}, True),
    ({"Records": [{"eventSource": "aws:sqs", "body": json.dumps(samples.notification("raw/a.jpg"))}]}, True),
    ({"bucket": "b", "key": "k"}, True),
    ({"Key": "k", "Size": 1, "Etag": "e"}, True),
    ({"Items": [{"Key": "k"}], "BatchInput": {"bucket": "b"}}, True),
    ({"batch": "s3://lists/batches/1.json"}, True),
    # What the failed queue gives back: an entry that no task could read.
    ({"Records": [{"pixpipe": {"attempts": 1, "reason": "invalid-entry", "entry": {"hello": "world"}}}]}, True),
    # A task reports it; here it would vanish.
    ({"hello": "world"}, True),
    (samples.notification("raw/a.jpg", event="ObjectRemoved:Delete")["Records"][0], False),
    (samples.TEST_EVENT, False),
    (samples.notification("raw/a.jpg", event="ObjectRemoved:Delete"), False),
    (samples.notification("raw/a.jpg", event="ObjectTagging:Put"), False),
    (samples.notification("raw/a.jpg", event="ObjectRestore:Completed"), False),
    (samples.eventbridge("raw/a.jpg", kind="Object Deleted"), False),
    ({"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": {}}, False),
    ("not JSON", False),
]

KINDS_THAT_CREATE_NOTHING = (
    "Object Deleted", "Object Restore Initiated", "Object Restore Completed", "Object Storage Class Changed",
    "Object Tags Added", "Object ACL Updated",
)  # fmt: skip


def _pattern(stack, address=RULE):
    return json.loads(stack[address]["event_pattern"])


def patterns_are_ones_that_eventbridge_accepts(world):
    for stack in world.stacks.values():
        for address in stack.of_type("aws_cloudwatch_event_rule"):
            found = patterns.lint(_pattern(stack, address), patterns.RULE_OPERATORS, f"{stack.name}: {address}")
            assert not found, found
    for stack in piped(world):
        for pattern in patterns.Pipe(api.create_pipe(stack)).filters:
            found = patterns.lint(pattern, patterns.PIPE_OPERATORS, f"{stack.name}: filter")
            assert not found, found


def new_objects_become_work_and_nothing_else_does(world):
    for name, event, is_work in UPLOADS:
        for stack in world.applied(name):
            through = patterns.matches(_pattern(stack), event)
            if stack in piped(world):
                through = through and patterns.Pipe(api.create_pipe(stack)).takes(json.dumps(event))
            key = event["detail"]["object"]["key"]
            assert through == is_work, f"{name}: {event['detail-type']} {key[:60]!r}: {through}"


def the_rule_alone_keeps_out_everything_that_creates_nothing(world):
    for stack in world.stacks.values():
        if RULE not in stack:
            continue
        assert patterns.matches(_pattern(stack), samples.eventbridge("raw/a.jpg"))
        for kind in KINDS_THAT_CREATE_NOTHING:
            matched = patterns.matches(_pattern(stack), samples.eventbridge("raw/a.jpg", kind=kind))
            assert not matched, f"{stack.name}: {kind}"


def rules_are_on_and_deliver_everything_for_a_day(world):
    """Rule by rule: target, dead-letter queue, and AWS's own patience. A disabled rule drops its events."""
    targets = {
        "source_queue": (":pp-source", ":pp-dlq"),
        "redrive": (":stateMachine:pp-redrive", ":pp-redrive-dlq"),
        "backfill_finished": (":oncall", None),  # no record: an event that is lost is in the executions
        "state_machine": (":stateMachine:pp", ":pp-dlq"),
        "drain": (":stateMachine:pp-drain", ":pp-dlq"),
    }
    for stack in world.stacks.values():
        for address, rule in stack.of_type("aws_cloudwatch_event_rule").items():
            assert rule["state"] in (None, "ENABLED") and rule["is_enabled"] in (None, True), f"{stack.name}: {address}"
        for address, target in stack.of_type("aws_cloudwatch_event_target").items():
            arn, dead_letter_arn = targets[address.split(".")[1].split("[")[0]]
            assert target["arn"].endswith(arn), f"{stack.name}: {address}: {target['arn']}"
            assert not target["input_path"] and not target["input_transformer"], address
            if dead_letter_arn:
                assert target["dead_letter_config"][0]["arn"].endswith(dead_letter_arn), address
            (retry,) = target["retry_policy"]
            patience = (retry["maximum_event_age_in_seconds"], retry["maximum_retry_attempts"])
            assert patience == (86400, 185), f"{stack.name}: {address}: {patience}"


def the_pipe_drops_everything_that_creates_nothing(world):
    for stack in piped(world):
        pipe = patterns.Pipe(api.create_pipe(stack))
        for body, is_work in MESSAGES:
            text = body if isinstance(body, str) else json.dumps(body)
            assert pipe.takes(text) == is_work, f"{stack.name}: {text[:120]}"


def s3_notifies_of_created_objects_only(world):
    notification = world.stacks["batched_s3"]["aws_s3_bucket_notification.source[0]"]
    queues = notification["queue"]
    # S3 compares with the encoded key, so its filters are encoded: raw/größe +1/.
    assert [(q["events"], q["filter_prefix"], q["filter_suffix"]) for q in queues] == [
        (["s3:ObjectCreated:*"], "raw/gr%C3%B6%C3%9Fe+%2B1/", ".jpg"),
        (["s3:ObjectCreated:*"], "raw/gr%C3%B6%C3%9Fe+%2B1/", ".png"),
    ]
    assert not notification["eventbridge"] and all(q["queue_arn"].endswith(":pp-source") for q in queues)
    # The model has these names as an enum, but botocore does not enforce it.
    known = api.SESSION.get_service_model("s3").shape_for("Event").enum
    assert all(event in known for q in queues for event in q["events"])


def a_direct_task_gets_the_message_unchanged(world):
    for stack in world.applied("direct", "direct_keys"):
        request = api.create_pipe(stack)
        pipe = patterns.Pipe(request)
        for key in samples.NASTY_KEYS:
            for event in (samples.notification(key), samples.eventbridge(key), samples.handed_back(key, 2)):
                body = json.dumps(event, ensure_ascii=False)
                overrides = pipe.hands_over([body])
                (override,) = overrides["containerOverrides"]
                assert [e["name"] for e in override["environment"]] == ["SQS_BODY"], "the first and only variable"
                given = override["environment"][0]["value"]
                assert given == body
                assert (samples.BUCKET, key) in [o[:2] for o in samples.objects_of(given)]
                assert not api.faults("ecs", "RunTask", api.run_task_of_pipe(request, overrides))
