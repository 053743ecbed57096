"""ministack, corrected in those points in which it differs from AWS and the flow depends on it.

Usage: local_aws.py TASKS_ENDPOINT TIME_SCALE (and ministack's own environment: BIND_HOST, GATEWAY_PORT, AUTH)

* Requests count as having come over TLS: the queues' policies refuse anything else.
* IAM checks sqs:SendMessage for sqs:SendMessageBatch, and its wildcards match line ends, too; it knows the resource
  of DescribeMapRun and the source of events (`rights.py`).
* PutEvents accepts `aws.*` sources: the ECS stand-in reports stopped tasks.
* A rule or a schedule delivers only what its role, or the queue's policy, allows.
* Step Functions: `states.py` has its list.
* Alarms on the depth of a queue are evaluated, and say so on EventBridge (`alarms.py`).
* The clocks of SQS, alarms and schedules, and the waits and retries of Step Functions, run TIME_SCALE times as fast as
  in reality.
* `/_e2e/assume` gives an AWS service the credentials of a role, if its trust policy trusts that service, acting
  for that resource. `/_e2e/authorize` says whether credentials allow an action, with the request's condition keys.
* `/_e2e/hold` makes the next GET of an object hang until the client has gone: a task is then known to be in its midst.
  `/_e2e/release` takes that back.
* `/_e2e/accident` adds an accident of `states.py`; `/_e2e/struck` says how often each has struck, and forgets them.
"""

import json
import os
import sys
import time
import types

TASKS_ENDPOINT, TIME_SCALE = sys.argv[1], float(sys.argv[2])
GATEWAY = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
os.environ["SFN_WAIT_SCALE"] = str(1 / TIME_SCALE)

import alarms  # noqa: E402
import states  # noqa: E402
from ministack import app as gateway  # noqa: E402
from ministack.services import eventbridge, scheduler, sqs  # noqa: E402
from rights import (  # noqa: E402
    ACCOUNT,
    Refused,
    assume,
    authorize,
    credentials_of,
    names_of_actions_as_in_iam,
    resources_as_in_iam,
    wildcards_as_in_iam,
)

# --- EventBridge -----------------------------------------------------------------------------------------------------

GROUP = ":schedule-group/"
ministacks_invoke_target = eventbridge._invoke_target


def invoke_target(target, event, rule, view=None):
    """Delivers an event if the rule, or the schedule, may; AWS would try for a day and then give up."""
    arn = target["Arn"]
    try:
        if ":sqs:" in arn and not sqs.queue_policy_allows(arn, "events.amazonaws.com", rule["Arn"], ACCOUNT):
            raise Refused(f"the policy of {arn} does not let {rule['Arn']} send")
        if ":states:" in arn:
            if ":scheduler:" in rule["Arn"]:
                # The Scheduler acts for the group of the schedule.
                service, actor = "scheduler.amazonaws.com", rule["Arn"].rpartition("/")[0].replace(":schedule/", GROUP)
            else:
                service, actor = "events.amazonaws.com", rule["Arn"]
            given = credentials_of(target["RoleArn"], service, actor)
            authorize(given["AccessKeyId"], "states:StartExecution", arn, {})
    except Refused as refused:
        print(f"not delivered: {refused}", flush=True)
    else:
        ministacks_invoke_target(target, event, rule, view)


# --- the gateway -----------------------------------------------------------------------------------------------------

ministacks_app = gateway.app
held = {}  # "/bucket/key" that is to hang -> whether a GET of it hangs already


async def app(scope, receive, send):
    if scope["type"] != "http":
        return await ministacks_app(scope, receive, send)
    path = scope["path"]
    if path.startswith("/_e2e/"):
        return await answer(send, *control(path.removeprefix("/_e2e/"), json.loads(await body_of(receive) or b"{}")))
    if scope["method"] == "GET" and held.get(path) is False:
        held[path] = True
        while (await receive())["type"] != "http.disconnect":
            pass
        return None
    scope["headers"] = [*scope["headers"], (b"x-forwarded-proto", b"https")]
    return await ministacks_app(scope, receive, send)


def control(what, request):
    """Status and body of a request to `/_e2e/…`."""
    try:
        if what == "assume":
            return 200, assume(**request)
        if what == "authorize":
            return 200, authorize(**request)
        if what == "hold":
            held[f"/{request['bucket']}/{request['key']}"] = False
            return 200, {}
        if what == "release":
            held.pop(f"/{request['bucket']}/{request['key']}", None)
            return 200, {}
        if what == "accident":
            states.accidents.append(states.Accident(**request))
            return 200, {}
        if what == "struck":
            struck = [accident.struck for accident in states.accidents if accident.machine == request["machine"]]
            states.accidents[:] = [one for one in states.accidents if one.machine != request["machine"]]
            return 200, {"struck": struck}
        if what == "held":
            return 200, {"hangs": held.get(f"/{request['bucket']}/{request['key']}")}
    except Refused as refused:
        return 403, {"message": str(refused)}
    return 404, {}


async def body_of(receive):
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            return body


async def answer(send, status, value):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


def main():
    started = time.time()
    fast = {**vars(time), "time": lambda: started + (time.time() - started) * TIME_SCALE}
    sqs.time = scheduler.time = types.SimpleNamespace(**fast)
    scheduler._SCHEDULE_TICK_INTERVAL /= TIME_SCALE
    names_of_actions_as_in_iam()
    resources_as_in_iam()
    wildcards_as_in_iam()
    ministacks_put_events = eventbridge._put_events
    eventbridge._put_events = lambda data, **_: ministacks_put_events(data, allow_aws_source=True)
    eventbridge._invoke_target = invoke_target
    states.install(GATEWAY, TASKS_ENDPOINT)
    alarms.install(TIME_SCALE)
    gateway.app = app
    sys.argv[1:] = []
    gateway.main()


if __name__ == "__main__":
    main()
