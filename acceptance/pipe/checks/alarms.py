"""Alarms and dashboard: they look at metrics that exist, of resources that exist, and notify the topic."""

import json
import re

TOPIC = "arn:aws:sns:eu-west-1:123456789012:oncall"
DESTINATION = "s3://photos-out/train/"

# namespace: (metrics, dimension)
KNOWN = {
    "AWS/SQS": (
        {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "NumberOfMessagesReceived"},
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
    "pixpipe": (
        {"written", "skipped", "failed", "handed_back", "source_bytes", "broken_profiles", "duration_ms"},
        "destination",
    ),
}


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
    return queues | machines | {stack["aws_pipes_pipe.this"]["name"], DESTINATION}


def alarms_and_graphs_look_at_metrics_that_exist(world):
    for stack in world.stacks.values():
        for namespace, metric, dimensions in [*_of_alarms(stack), *_of_dashboard(stack)]:
            metrics, dimension = KNOWN[namespace]
            label = (stack.name, namespace, metric, dimensions)
            assert metric in metrics and set(dimensions) == {dimension}, label
            assert set(dimensions.values()) <= _resources(stack), label


def every_metric_of_the_task_is_shown(world):
    for stack in world.stacks.values():
        shown = {metric for namespace, metric, _ in _of_dashboard(stack) if namespace == "pixpipe"}
        assert shown == KNOWN["pixpipe"][0], shown


def every_alarm_notifies_the_topic_and_says_what_it_is(world):
    for stack in world.stacks.values():
        for address, alarm in stack.of_type("aws_cloudwatch_metric_alarm").items():
            assert alarm["alarm_actions"] == [TOPIC], address
            assert alarm["treat_missing_data"] == "notBreaching" and alarm["alarm_description"], address


def expressions_of_alarms_use_all_of_their_metrics(world):
    for stack in world.stacks.values():
        for address, alarm in stack.of_type("aws_cloudwatch_metric_alarm").items():
            ids = {query["id"] for query in alarm["metric_query"] if query["metric"]}
            for query in alarm["metric_query"]:
                if not query["metric"]:
                    used = set(re.findall(r"\b[a-z][a-z_]*\b", query["expression"]))
                    assert used == ids, f"{address}: {used} of {ids}"
