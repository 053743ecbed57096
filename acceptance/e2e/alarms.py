"""CloudWatch alarms of the local AWS on the depth and the age of queues, by metric math; ministack evaluates none.

Such an alarm is evaluated once a minute of the scaled time, as AWS does it. Its changes of state, those by
SetAlarmState included, are told on EventBridge: nothing else is, so an alarm that stays in its state says nothing.
"""

import datetime
import json
import re
import threading
import time

from ministack.services import cloudwatch, eventbridge, sqs

MINUTE_SECONDS = 60
OPERATORS = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
}
METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): lambda them, now: sum(m["visible_at"] <= now for m in them),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): lambda them, now: max([0, *(now - m["sent_at"] for m in them)]),
}  # of a queue, from its messages

watched = {}  # name of an alarm -> its metric queries
ministacks_put_metric_alarm = cloudwatch._put_metric_alarm
ministacks_set_alarm_state = cloudwatch._set_alarm_state


def install(time_scale):
    """Puts this in the place of ministack's functions, and begins to watch."""
    cloudwatch._put_metric_alarm = put_metric_alarm
    cloudwatch._set_alarm_state = set_alarm_state
    threading.Thread(target=watch, args=(MINUTE_SECONDS / time_scale,), daemon=True, name="alarms").start()


def watch(every_seconds):
    while True:
        time.sleep(every_seconds)
        for name, queries in list(watched.items()):
            try:
                evaluate(name, queries)
            except Exception as error:  # noqa: BLE001 a thread's exception would end all alarms
                print(f"alarm {name}: {error!r}", flush=True)


def put_metric_alarm(params, cbor_data, is_cbor, is_json=False):
    given = cbor_data if is_cbor or is_json else unflattened(params)
    watched.pop(given["AlarmName"], None)
    queries = given.get("Metrics") or []
    expressions = [query["Expression"] for query in queries if "Expression" in query]
    metrics = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]
    if len(expressions) == 1 and set(re.findall(r"(\w+) ?\(", expressions[0])) <= {"IF", "FILL", "AND", "OR"}:
        if all((one["Namespace"], one["MetricName"]) in METRICS for one in metrics):
            watched[given["AlarmName"]] = queries
    return ministacks_put_metric_alarm(params, cbor_data, is_cbor, is_json)


def unflattened(params):
    """The structure behind names such as Metrics.member.1.Id."""
    tree = {}
    for name, value in params.items():
        *path, last = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value[0] if isinstance(value, list) else value

    def listed(node):
        if not isinstance(node, dict):
            return node
        if set(node) == {"member"}:
            return [listed(node["member"][index]) for index in sorted(node["member"], key=int)]
        return {name: listed(inner) for name, inner in node.items()}

    return listed(tree)


def set_alarm_state(params, cbor_data, is_cbor, is_json=False):
    given = cbor_data if is_cbor or is_json else unflattened(params)
    alarm = cloudwatch._alarms.get(given["AlarmName"])
    before = alarm and alarm["StateValue"]
    answer = ministacks_set_alarm_state(params, cbor_data, is_cbor, is_json)
    if alarm and alarm["StateValue"] != before:
        tell(alarm, before)
    return answer


def evaluate(name, queries):
    alarm = cloudwatch._alarms.get(name)
    if alarm is None:
        del watched[name]
        return
    values = {query["Id"]: metric(query["MetricStat"]) for query in queries if "MetricStat" in query}
    (expression,) = (query["Expression"] for query in queries if "Expression" in query)
    state = "ALARM" if OPERATORS[alarm["ComparisonOperator"]](math(expression, values), alarm["Threshold"]) else "OK"
    before = alarm["StateValue"]
    if state != before:
        alarm.update(StateValue=state, StateReason=f"{expression} of {values}")
        tell(alarm, before)


def math(expression, values):
    """The value of an expression in metric math: comparisons, AND, OR, IF, FILL."""
    functions = {
        "IF": lambda condition, then, otherwise=None: then if condition else otherwise,
        "FILL": lambda value, otherwise: otherwise if value is None else value,
        "__builtins__": {},
    }
    operators = {"&&": "and", "||": "or", "AND": "and", "OR": "or"}
    python = re.sub(r"\b(AND|OR)\b|&&|\|\|", lambda found: f" {operators[found[0]]} ", expression)
    return float(eval(python, functions, values))  # noqa: S307 the module's own text


def metric(stat):
    """What CloudWatch would have of a queue: the newest value of its metric."""
    named = stat["Metric"]
    (queue,) = (d["Value"] for d in named["Dimensions"] if d["Name"] == "QueueName")
    named_so = (q for q in sqs._queues.values() if q["attributes"]["QueueArn"].rsplit(":", 1)[-1] == queue)
    messages = [message for q in named_so for message in list(q["messages"])]
    now = sqs.time.time()
    return METRICS[named["Namespace"], named["MetricName"]](messages, now)


def tell(alarm, before):
    """The event of a change of state."""
    at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    detail = {
        "alarmName": alarm["AlarmName"],
        "state": {"value": alarm["StateValue"], "reason": alarm["StateReason"], "timestamp": at},
        "previousState": {"value": before, "timestamp": at},
        "configuration": {"description": alarm["AlarmDescription"]},
    }
    entry = {"Source": "aws.cloudwatch", "DetailType": "CloudWatch Alarm State Change", "Detail": json.dumps(detail)}
    eventbridge._put_events({"Entries": [{**entry, "Resources": [alarm["AlarmArn"]]}]}, allow_aws_source=True)
