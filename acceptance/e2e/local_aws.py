"""ministack, corrected in those points in which it differs from AWS and the flow depends on it.

Usage: local_aws.py TASKS_ENDPOINT TIME_SCALE (and ministack's own environment: BIND_HOST, GATEWAY_PORT, AUTH)

* Requests count as having come over TLS: the queues' policies refuse anything else.
* IAM checks sqs:SendMessage for sqs:SendMessageBatch, and its wildcards match line ends, too.
* PutEvents accepts `aws.*` sources: the ECS stand-in reports stopped tasks.
* A rule delivers only the events that its role, or the queue's policy, allows.
* Step Functions runs its tasks with the credentials of the state machine's role, on the real API, so that IAM is
  enforced; `ecs:runTask.sync` goes to the ECS stand-in and fails if a task ends badly. (ministack's own calls its
  services' functions directly, and takes every ended task for a success.)
* An expression of Step Functions may take a minute: AWS gives it a second on a machine that does nothing else.
* SQS's clock, and the waits and retries of Step Functions, run TIME_SCALE times as fast as in reality.
* `/_e2e/assume` gives an AWS service the credentials of a role, if its trust policy trusts that service, acting
  for that resource. `/_e2e/authorize` says whether credentials allow an action, with the request's condition keys.
* `/_e2e/hold` makes the next GET of an object hang until the client has gone: a task is then known to be in its midst.
"""

import contextvars
import functools
import json
import os
import re
import sys
import time
import types

TASKS_ENDPOINT, TIME_SCALE = sys.argv[1], float(sys.argv[2])
GATEWAY = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
os.environ["SFN_WAIT_SCALE"] = str(1 / TIME_SCALE)

import boto3  # noqa: E402
import jsonata  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from ministack import app as gateway  # noqa: E402
from ministack.core import iam_actions, iam_evaluator  # noqa: E402
from ministack.services import eventbridge, iam, sqs, stepfunctions, sts  # noqa: E402

ACCOUNT, REGION = "000000000000", "us-east-1"
TASK_RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForECSTaskRule"


class Refused(Exception):
    """A request that AWS would refuse."""


# --- credentials and rights ------------------------------------------------------------------------------------------


def assume(role_arn, service, source_arn):
    """Temporary credentials of a role for an AWS service that acts for a resource of this account."""
    role = iam._roles.get_scoped(ACCOUNT, None, role_arn.rsplit("/", 1)[-1])
    if role is None:
        raise Refused(f"there is no role {role_arn}")
    trust = json.loads(role["AssumeRolePolicyDocument"])
    for statement in trust["Statement"]:
        statement["Resource"] = "*"  # a trust policy has no resource, but the evaluator needs one
    request = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=ACCOUNT,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=REGION,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": ACCOUNT},
    )
    if iam_evaluator.evaluate_resource_policy(trust, request, service=service).decision != "Allow":
        raise Refused(f"{service} for {source_arn} may not assume {role_arn}")
    name = role_arn.rsplit("/", 1)[-1]
    access_key, expires = iam._gen_session_access_key(), time.time() + 3600
    session = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{service.split('.')[0]}",
        "UserId": f"{sts._role_id(role_arn)}:{service}",
        "SecretAccessKey": iam._gen_secret(),
        "SessionToken": iam._gen_session_token(),
        "Expiration": expires,
        "AccountId": ACCOUNT,
        "PrincipalType": "AssumedRole",
        "SourceAccessKeyId": "test",
        "SourcePrincipalArn": f"arn:aws:iam::{ACCOUNT}:root",
        "SessionTags": [],
        "SessionPolicies": None,
    }
    sts.register_session(access_key, session)
    return {
        "AccessKeyId": access_key,
        "SecretAccessKey": session["SecretAccessKey"],
        "Token": session["SessionToken"],
        "RoleArn": role_arn,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
    }


@functools.cache
def credentials_of(role_arn, service, source_arn):
    """`assume`, once: they last for longer than anything here."""
    return assume(role_arn, service, source_arn)


def authorize(access_key, action, resource, context):
    """Whether the principal behind an access key may do this; by its policies, with the request's condition keys."""
    principal = iam_evaluator.resolve_principal(access_key, ACCOUNT)
    if isinstance(principal, iam_evaluator.AuthError):
        raise Refused(principal.message)
    if principal.policies is None:
        return {}
    request = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={k.lower(): v for k, v in context.items()},
    )
    decision = iam_evaluator.evaluate(request, principal.policies).decision
    if decision != "Allow":
        why = (
            "with an explicit deny in an identity-based policy"
            if decision == "Deny"
            else f"because no identity-based policy allows the {action} action"
        )
        raise Refused(f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} {why}")
    return {}


def names_of_actions_as_in_iam():
    """Batches of SQS are allowed by the right to the single action."""
    ministacks = iam_actions.extract_iam_action

    def extract_iam_action(*arguments, **named):
        action = ministacks(*arguments, **named)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = extract_iam_action


def wildcards_as_in_iam():
    """A * stands for anything, in keys with line breaks too."""
    ministacks = iam_evaluator._fnmatch_compile

    def compiled(pattern, ignore_case):
        found = ministacks(pattern, ignore_case)
        return re.compile(found.pattern, found.flags | re.DOTALL)

    iam_evaluator._fnmatch_compile = compiled


# --- EventBridge -----------------------------------------------------------------------------------------------------

ministacks_invoke_target = eventbridge._invoke_target


def invoke_target(target, event, rule, view=None):
    """Delivers an event if the rule may; AWS would try for a day and then give up."""
    arn = target["Arn"]
    try:
        if ":sqs:" in arn and not sqs.queue_policy_allows(arn, "events.amazonaws.com", rule["Arn"], ACCOUNT):
            raise Refused(f"the policy of {arn} does not let {rule['Arn']} send")
        if ":states:" in arn:
            given = credentials_of(target["RoleArn"], "events.amazonaws.com", rule["Arn"])
            authorize(given["AccessKeyId"], "states:StartExecution", arn, {})
    except Refused as refused:
        print(f"not delivered: {refused}", flush=True)
    else:
        ministacks_invoke_target(target, event, rule, view)


# --- Step Functions --------------------------------------------------------------------------------------------------

running_machine = contextvars.ContextVar("the state machine of the execution that runs here")
ministacks_execute_task = stepfunctions._execute_task


def execute_task(state_def, raw_input, execution, ctx):
    running_machine.set(execution["stateMachineArn"])
    return ministacks_execute_task(state_def, raw_input, execution, ctx)


def expressions_may_take_a_minute():
    given = jsonata.Jsonata.jsonata
    jsonata.Jsonata.jsonata = staticmethod(lambda text, timeout=0: given(text, timeout=60_000))


def credentials_of_the_machine():
    """Credentials of the role of the state machine that is running."""
    machine_arn = running_machine.get()
    return credentials_of(stepfunctions._state_machines[machine_arn]["roleArn"], "states.amazonaws.com", machine_arn)


def client_of_the_machine(service, endpoint):
    given = credentials_of_the_machine()
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    )


def as_execution_error(service, error):
    code = error.response["Error"]["Code"]
    return stepfunctions._ExecutionError(f"{service}.{code}", error.response["Error"]["Message"])


def run_task_sync(_resource, arguments):
    """ecs:runTask.sync: launch, wait for the end, fail with the task's description unless every container exited 0."""
    ecs = client_of_the_machine("ecs", TASKS_ENDPOINT)
    request = lower_first(arguments)
    try:
        # Step Functions learns of the end by this rule.
        for action in ("events:DescribeRule", "events:PutRule", "events:PutTargets"):
            authorize(credentials_of_the_machine()["AccessKeyId"], action, TASK_RULE, {})
        answer = ecs.run_task(**request)
        if answer["failures"]:
            # The name of this error is not documented.
            raise stepfunctions._ExecutionError("AmazonECS.Unknown", json.dumps(upper_first(answer["failures"])))
        task = answer["tasks"][0]
        while task["lastStatus"] != "STOPPED":
            time.sleep(0.2)
            (task,) = ecs.describe_tasks(cluster=request["cluster"], tasks=[task["taskArn"]])["tasks"]
    except Refused as refused:
        raise stepfunctions._ExecutionError("ECS.AccessDeniedException", str(refused)) from refused
    except ClientError as error:
        raise as_execution_error("ECS", error) from error
    description = json.loads(json.dumps(upper_first(task), default=str, separators=(",", ":")))
    if any(container.get("exitCode") != 0 for container in task["containers"]):
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(description, separators=(",", ":")))
    return description


def send_message(_resource, arguments):
    """sqs:sendMessage."""
    try:
        answer = client_of_the_machine("sqs", GATEWAY).send_message(**arguments)
    except ClientError as error:
        raise as_execution_error("SQS", error) from error
    return {k: v for k, v in answer.items() if k != "ResponseMetadata"}


def start_execution(_resource, arguments):
    """aws-sdk:sfn:startExecution."""
    client = client_of_the_machine("stepfunctions", GATEWAY)
    try:
        answer = client.start_execution(stateMachineArn=arguments["StateMachineArn"], input=arguments["Input"])
    except ClientError as error:
        raise as_execution_error("Sfn", error) from error
    return {"ExecutionArn": answer["executionArn"]}


def lower_first(value):
    if isinstance(value, dict):
        return {
            "enableECSManagedTags" if k == "EnableECSManagedTags" else k[:1].lower() + k[1:]: lower_first(v)
            for k, v in value.items()
        }
    return [lower_first(v) for v in value] if isinstance(value, list) else value


def upper_first(value):
    if isinstance(value, dict):
        return {k[:1].upper() + k[1:]: upper_first(v) for k, v in value.items()}
    return [upper_first(v) for v in value] if isinstance(value, list) else value


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
        if what == "held":
            return 200, {"hangs": held[f"/{request['bucket']}/{request['key']}"]}
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
    sqs.time = types.SimpleNamespace(**{**vars(time), "time": lambda: started + (time.time() - started) * TIME_SCALE})
    names_of_actions_as_in_iam()
    wildcards_as_in_iam()
    expressions_may_take_a_minute()
    ministacks_put_events = eventbridge._put_events
    eventbridge._put_events = lambda data, **_: ministacks_put_events(data, allow_aws_source=True)
    eventbridge._invoke_target = invoke_target
    stepfunctions._execute_task = execute_task
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::ecs:runTask"] = run_task_sync
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::sqs:sendMessage"] = send_message
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::aws-sdk:sfn:startExecution"] = start_execution
    gateway.app = app
    sys.argv[1:] = []
    gateway.main()


if __name__ == "__main__":
    main()
