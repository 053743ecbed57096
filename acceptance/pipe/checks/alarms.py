"""Alarms and dashboard: they look at metrics that exist, of resources that exist, and notify the topic."""

import json
import re

import api
from world import BACKFILLS, WORK_BUCKET, arn

TOPIC = "arn:aws:sns:eu-west-1:123456789012:oncall"
DESTINATION = "s3://photos-out/train/"

# namespace: (metrics, dimension)
KNOWN = {
    "AWS/SQS": (
        {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "NumberOfMessagesReceived",
         "NumberOfMessagesSent", "NumberOfMessagesDeleted"},
        "QueueName",
    ),
    "AWS/EventBridge/Pipes": (
        {"ExecutionFailed", "ExecutionPartiallyFailed", "ExecutionTimeout", "ExecutionThrottled", "EventCount"},
        "PipeName",
    ),
    "AWS/States": (
        {"ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"},
        "StateMachineArn",
    ),
    "AWS/S3": ({"NumberOfObjects"}, None),
    "pixpipe": (
        {"written", "skipped", "failed", "failed_for_good", "handed_back", "source_bytes", "broken_profiles",
         "duration_ms"},
        "destination",
    ),
}


QUEUE_GROWS = ("DIFF(FILL(there, 0))", 1, 300, {"there": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum")})
MACHINE_FAILS = (
    "FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)", 1, 300, {
        "failed": ("AWS/States", "ExecutionsFailed", "Sum"),
        "timed_out": ("AWS/States", "ExecutionsTimedOut", "Sum"),
        "aborted": ("AWS/States", "ExecutionsAborted", "Sum"),
    },
)  # fmt: skip
# alarm on one metric: (namespace, metric, statistic, comparison, threshold, dimension)
METRIC_ALARMS = {
    "oldest-message": ("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", "GreaterThanOrEqualToThreshold", 1800,
                       "pp-source"),
    "failed-for-good": ("pixpipe", "failed_for_good", "Sum", "GreaterThanThreshold", 0, DESTINATION),
}  # fmt: skip
# alarm on an expression above 0: ((expression, periods, seconds of each, metrics), dimension of each metric)
EXPRESSION_ALARMS = {
    "pipe-failing": (("FILL(failed, 0) + FILL(partially_failed, 0) + FILL(timed_out, 0)", 1, 300, {
        "failed": ("AWS/EventBridge/Pipes", "ExecutionFailed", "Sum"),
        "partially_failed": ("AWS/EventBridge/Pipes", "ExecutionPartiallyFailed", "Sum"),
        "timed_out": ("AWS/EventBridge/Pipes", "ExecutionTimeout", "Sum"),
    }), {"pp"}),
    "pipe-stopped": (("IF(FILL(waiting, 0) > 0 AND FILL(taken, 0) == 0, 1, 0)", 3, 300, {
        "waiting": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Minimum"),
        "taken": ("AWS/SQS", "NumberOfMessagesReceived", "Sum"),
    }), {"pp-source"}),
    "dlq-growing": (QUEUE_GROWS, {"pp-dlq"}),
    "failed-growing": (QUEUE_GROWS, {"pp-failed"}),
}  # fmt: skip
OF_DIRECT = {
    "redrive-dlq-growing": (QUEUE_GROWS, {"pp-redrive-dlq"}),
    "redrive-executions-failed": (MACHINE_FAILS, {arn("states", "stateMachine:pp-redrive")}),
}
OF_BATCHED = {
    "batch-executions-failed": (MACHINE_FAILS, {arn("states", "stateMachine:pp")}),
    "nothing-finishes": (("IF(FILL(started, 0) > 0 AND FILL(reported, 0) == 0, 1, 0)", 2, 3600, {
        "started": ("AWS/States", "ExecutionsStarted", "Sum"),
        "reported": ("pixpipe", "duration_ms", "SampleCount"),
    }), {arn("states", "stateMachine:pp"), DESTINATION}),
}  # fmt: skip
OF_BACKFILLS = {
    "backfill-executions-failed": (MACHINE_FAILS, {arn("states", "stateMachine:pp-backfill")}),
}  # fmt: skip
OF_DRAIN = {
    "drain-executions-failed": (MACHINE_FAILS, {arn("states", "stateMachine:pp-drain")}),
    "collect-executions-failed": (MACHINE_FAILS, {arn("states", "stateMachine:pp-collect")}),
    "nothing-finishes": (("IF(FILL(started, 0) > 0 AND FILL(reported, 0) == 0, 1, 0)", 2, 3600, {
        "started": ("AWS/SQS", "NumberOfMessagesDeleted", "Sum"),
        "reported": ("pixpipe", "duration_ms", "SampleCount"),
    }), {"pp-source", DESTINATION}),
}  # fmt: skip
STARTS_A_DRAIN = "IF(FILL(waiting, 0) >= 500 OR (FILL(waiting, 0) > 0 AND FILL(age, 0) >= 900), 1, 0)"
OF_WHOLE_BUCKETS = {
    "no-events": (("IF(DIFF(objects) > 0 AND FILL(sent, 0) == 0, 1, 0)", 1, 86400, {
        "objects": ("AWS/S3", "NumberOfObjects", "Average"),
        "sent": ("AWS/SQS", "NumberOfMessagesSent", "Sum"),
    }), {"photos-in", "AllStorageTypes", "pp-source"}),
}  # fmt: skip
# expression: ({metric: samples, oldest first; None: no data}, whether the alarm rings at the last one)
SAMPLES = {
    QUEUE_GROWS[0]: [
        ({"there": [None, None]}, False), ({"there": [None, 1]}, True), ({"there": [1, 1]}, False),
        ({"there": [3, 1]}, False), ({"there": [1, 2]}, True),
    ],
    EXPRESSION_ALARMS["pipe-stopped"][0][0]: [
        ({"waiting": [5], "taken": [0]}, True), ({"waiting": [5], "taken": [None]}, True),
        ({"waiting": [5], "taken": [3]}, False), ({"waiting": [0], "taken": [0]}, False),
        ({"waiting": [None], "taken": [None]}, False),
    ],
    OF_BATCHED["nothing-finishes"][0][0]: [
        ({"started": [5], "reported": [None]}, True), ({"started": [5], "reported": [1]}, False),
        ({"started": [None], "reported": [None]}, False), ({"started": [None], "reported": [4]}, False),
    ],
    OF_WHOLE_BUCKETS["no-events"][0][0]: [
        ({"objects": [5, 9], "sent": [3, None]}, True), ({"objects": [5, 9], "sent": [0, 4]}, False),
        ({"objects": [9, 9], "sent": [0, 0]}, False), ({"objects": [9, 5], "sent": [0, 0]}, False),
    ],
    STARTS_A_DRAIN: [
        ({"waiting": [500], "age": [1]}, True), ({"waiting": [499], "age": [899]}, False),
        ({"waiting": [1], "age": [900]}, True), ({"waiting": [None], "age": [None]}, False),
        ({"waiting": [0], "age": [5000]}, False),  # messages that are hidden or delayed: a drain would find none
    ],
    MACHINE_FAILS[0]: [
        ({"failed": [1], "timed_out": [None], "aborted": [None]}, True),
        ({"failed": [None], "timed_out": [1], "aborted": [0]}, True),
        ({"failed": [0], "timed_out": [0], "aborted": [2]}, True),
        ({"failed": [None], "timed_out": [None], "aborted": [None]}, False),
    ],
    EXPRESSION_ALARMS["pipe-failing"][0][0]: [
        ({"failed": [1], "partially_failed": [None], "timed_out": [None]}, True),
        ({"failed": [None], "partially_failed": [2], "timed_out": [None]}, True),
        ({"failed": [0], "partially_failed": [0], "timed_out": [3]}, True),
        ({"failed": [0], "partially_failed": [None], "timed_out": [0]}, False),
    ],
}  # fmt: skip


def _rings(expression, samples):
    """Whether metric math is above 0 at the last of the samples."""
    filled = {f"FILL({name}, 0)": [one or 0 for one in given] for name, given in samples.items()}
    if difference := re.fullmatch(r"DIFF\((.*)\)", expression):
        before, now = filled[difference[1]]
        return now - before > 0
    text = expression
    for name, given in samples.items():
        text = text.replace(f"DIFF({name})", str((given[-1] or 0) - (given[-2:][0] or 0)))
    for call, values in filled.items():
        text = text.replace(call, str(values[-1]))
    text = re.sub(r"IF\((.*), 1, 0\)", r"(1 if \1 else 0)", text).replace(" AND ", " and ").replace(" OR ", " or ")
    assert re.fullmatch(r"[-0-9 ()<>=+]*(?:if|and|or|else|[-0-9 ()<>=+])*", text), text
    return eval(text) > 0  # noqa: S307 digits and operators only


def _of_trouble(stack):
    """The alarms but the one that starts a drain, which notifies nobody (drains.py looks at it)."""
    alarms = stack.of_type("aws_cloudwatch_metric_alarm").items()
    return [(address, alarm) for address, alarm in alarms if ".drain_start" not in address]


def _of_alarms(stack):
    """(namespace, metric, dimensions) of every alarm."""
    for alarm in stack.of_type("aws_cloudwatch_metric_alarm").values():
        if alarm["metric_name"]:
            yield alarm["namespace"], alarm["metric_name"], alarm["dimensions"]
        for query in alarm["metric_query"]:
            for metric in query["metric"] or []:
                yield metric["namespace"], metric["metric_name"], metric["dimensions"]


def _of_dashboard(stack):
    """(namespace, metric, dimensions) of every graph."""
    body = json.loads(stack["aws_cloudwatch_dashboard.this[0]"]["dashboard_body"])
    for widget in body["widgets"]:
        for namespace, metric, dimension, value in widget["properties"]["metrics"]:
            yield namespace, metric, {dimension: value}


def _resources(stack):
    """The values that a dimension may have."""
    queues = {queue["name"] for queue in stack.of_type("aws_sqs_queue").values()}
    machines = {machine["arn"] for machine in stack.of_type("aws_sfn_state_machine").values()}
    pipes = {pipe["name"] for pipe in stack.of_type("aws_pipes_pipe").values()}
    return queues | machines | pipes | {DESTINATION}


def alarms_and_graphs_look_at_metrics_that_exist(world):
    for stack in world.stacks.values():
        for namespace, metric, dimensions in [*_of_alarms(stack), *_of_dashboard(stack)]:
            metrics, dimension = KNOWN[namespace]
            label = (stack.name, namespace, metric, dimensions)
            assert metric in metrics, label
            if namespace == "AWS/S3":
                assert dimensions == {"BucketName": "photos-in", "StorageType": "AllStorageTypes"}, label
                continue
            assert set(dimensions) == {dimension}, label
            assert set(dimensions.values()) <= _resources(stack), label


def every_metric_of_the_task_is_shown(world):
    for stack in world.stacks.values():
        shown = {metric for namespace, metric, _ in _of_dashboard(stack) if namespace == "pixpipe"}
        assert shown == KNOWN["pixpipe"][0], shown


def every_alarm_notifies_the_topic_and_says_what_it_is(world):
    for stack in world.stacks.values():
        for address, alarm in _of_trouble(stack):
            assert alarm["alarm_actions"] == [TOPIC], address
            assert alarm["treat_missing_data"] == "notBreaching" and alarm["alarm_description"], address


def alarms_are_the_tables(world):
    for stack in world.stacks.values():
        direct = stack.name.startswith("direct")
        wanted_expressions = EXPRESSION_ALARMS | (OF_DIRECT if direct else OF_BATCHED)
        wanted_expressions |= OF_WHOLE_BUCKETS if stack.name in ("defaults", "off") else {}
        if stack.name == "drain":
            of_queues = ("dlq-growing", "failed-growing")
            wanted_expressions = OF_DRAIN | {name: EXPRESSION_ALARMS[name] for name in of_queues}
        wanted_expressions |= OF_BACKFILLS if stack.name in BACKFILLS else {}
        seen = set()
        for address, alarm in _of_trouble(stack):
            name = alarm["alarm_name"].removeprefix("pp-")
            assert alarm["alarm_name"].startswith("pp-") and f'["{name}"]' in address, address
            seen.add(name)
            silent = stack.name == "off" and name in ("pipe-stopped", "nothing-finishes")
            assert (alarm["actions_enabled"] is False) == silent, f"{stack.name}: {name}"
            label = f"{stack.name}: {name}"
            if name in METRIC_ALARMS:
                namespace, metric, statistic, comparison, threshold, dimension = METRIC_ALARMS[name]
                got = [alarm[key] for key in ("namespace", "metric_name", "statistic", "comparison_operator",
                                              "threshold", "period", "evaluation_periods")]  # fmt: skip
                assert got == [namespace, metric, statistic, comparison, threshold, 300, 1], f"{label}: {got}"
                assert list(alarm["dimensions"].values()) == [dimension], label
                continue
            (expression, periods, seconds, metrics), dimensions = wanted_expressions[name]
            (query,) = [query for query in alarm["metric_query"] if query["expression"]]
            got = (query["expression"], alarm["evaluation_periods"], alarm["comparison_operator"], alarm["threshold"])
            assert got == (expression, periods, "GreaterThanThreshold", 0) and query["return_data"], f"{label}: {got}"
            got = {q["id"]: q["metric"][0] for q in alarm["metric_query"] if q["metric"]}
            looked_at = {i: (m["namespace"], m["metric_name"], m["stat"]) for i, m in got.items()}
            assert looked_at == metrics, f"{label}: {looked_at}"
            assert {api.whole(m["period"]) for m in got.values()} == {seconds}, label
            assert {value for m in got.values() for value in m["dimensions"].values()} == dimensions, label
        assert seen == set(METRIC_ALARMS) | set(wanted_expressions), f"{stack.name}: {seen}"


def expressions_ring_when_they_should(world):
    tried = set()
    for stack in world.stacks.values():
        for address, alarm in stack.of_type("aws_cloudwatch_metric_alarm").items():
            for query in alarm["metric_query"]:
                if query["expression"]:
                    tried.add(query["expression"])
                    for given, rings in SAMPLES[query["expression"]]:
                        assert _rings(query["expression"], given) == rings, f"{address}: {given}"
    assert world.fast or tried == set(SAMPLES), set(SAMPLES) - tried


def outputs_are_the_table(world):
    sqs = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
    role = "arn:aws:iam::123456789012:role/pp-eu-west-1-"
    for stack in world.stacks.values():
        direct, cluster = stack.name.startswith("direct"), "shared" if stack.name == "off" else "pp"
        drain = stack.name == "drain"
        # A name that the mocked provider makes up is the resource's.
        wanted = {
            "pipe_name": None if drain else "pp",
            "launch_role_name": f"pp-eu-west-1-{'pipe' if direct else 'drain' if drain else 'batch'}",
            "source_queue_url": sqs + "pp-source",
            "source_queue_arn": arn("sqs", "pp-source"),
            "dlq_url": sqs + "pp-dlq",
            "dlq_arn": arn("sqs", "pp-dlq"),
            "failed_queue_url": sqs + "pp-failed",
            "failed_queue_arn": arn("sqs", "pp-failed"),
            "redrive_dlq_url": sqs + "pp-redrive-dlq" if direct else None,
            "work_bucket": (
                None if direct and stack.name not in BACKFILLS else
                "given-work" if stack.name == "batched_s3" else WORK_BUCKET
            ),
            "cluster_arn": arn("ecs", f"cluster/{cluster}"),
            "task_definition_arn": arn("ecs", "task-definition/pp"),
            "task_role_arn": role + "task",
            "execution_role_arn": role + "execution",
            "batch_state_machine_arn": None if direct or drain else arn("states", "stateMachine:pp"),
            "drain_state_machine_arn": arn("states", "stateMachine:pp-drain") if drain else None,
            "redrive_state_machine_arn": arn("states", "stateMachine:pp-redrive") if direct else None,
            "backfill_state_machine_arn": (
                arn("states", "stateMachine:pp-backfill") if stack.name in BACKFILLS else None
            ),
            "task_log_group_name": "/pixpipe/pp/task",
            "pipe_log_group_name": None if drain else "/aws/vendedlogs/pipes/pp",
            "metrics_destination": DESTINATION,
            "dashboard_name": "pp-eu-west-1",
            "assign_public_ip": stack.name in ("direct_keys", "batched_s3"),
            "cpu_architecture": "X86_64" if stack.name == "off" else "ARM64",
        }
        got = {name: stack.outputs.get(name) for name in {*stack.outputs, *wanted}}
        assert got == wanted, {k: (got.get(k), wanted.get(k)) for k in got if got.get(k) != wanted.get(k)}


def expressions_of_alarms_use_all_of_their_metrics(world):
    for stack in world.stacks.values():
        for address, alarm in stack.of_type("aws_cloudwatch_metric_alarm").items():
            ids = {query["id"] for query in alarm["metric_query"] if query["metric"]}
            for query in alarm["metric_query"]:
                if not query["metric"]:
                    used = set(re.findall(r"\b[a-z][a-z_]*\b", query["expression"]))
                    assert used == ids, f"{address}: {used} of {ids}"
