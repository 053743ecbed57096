"""The rights of the roles: everything they need, nothing else, and taken by exactly one service for one resource."""

import json
import re

import policies
import samples
from world import ACCOUNT, BACKFILLS, OTHER_ACCOUNT, REGION, WORK_BUCKET, arn

IN_CLUSTER = {"ecs:cluster": samples.CLUSTER}
IN_ANOTHER_CLUSTER = {"ecs:cluster": samples.CLUSTER + "2"}
TO_ECS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
TASK = arn("ecs", "task/pp/1")
TASK_LOG = arn("logs", "log-group:/pixpipe/pp/task:log-stream:pixpipe/pixpipe/1")
RULE_OF_STEP_FUNCTIONS = arn("events", "rule/StepFunctionsGetEventsForECSTaskRule")

# Actions, resources and contexts of roles, as (action, resource, context).
LAUNCH = [
    ("ecs:RunTask", samples.TASK_DEFINITION, IN_CLUSTER),
    ("ecs:TagResource", TASK, {"ecs:CreateAction": "RunTask"}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-eu-west-1-task", TO_ECS),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-eu-west-1-execution", TO_ECS),
]
TASK_NEEDS = [
    ("s3:GetObject", "arn:aws:s3:::photos-out/train/224x224/a.jpg", {}),
    ("s3:PutObject", "arn:aws:s3:::photos-out/train/224x224/a.jpg", {}),
    ("s3:ListBucket", "arn:aws:s3:::photos-in", {}),
    ("s3:ListBucket", "arn:aws:s3:::photos-out", {}),
    ("sqs:SendMessage", arn("sqs", "pp-source"), {}),
    ("sqs:SendMessage", arn("sqs", "pp-failed"), {}),
]
WORK = f"arn:aws:s3:::{WORK_BUCKET}"
TASK_NEEDS_BESIDES_DIRECT = [
    *[("s3:GetObject", f"{WORK}/{folder}/1/a.json", {}) for folder in ("batches", "runs", "handed-over")],
    ("s3:PutObject", f"{WORK}/reports/1/a.jsonl", {}),
    ("s3:ListBucket", WORK, {}),
]
EXECUTION_NEEDS = [
    ("ecr:GetAuthorizationToken", "*", {}),
    ("ecr:BatchCheckLayerAvailability", arn("ecr", "repository/pixpipe"), {}),
    ("ecr:BatchGetImage", arn("ecr", "repository/pixpipe"), {}),
    ("ecr:GetDownloadUrlForLayer", arn("ecr", "repository/pixpipe"), {}),
    ("logs:CreateLogStream", TASK_LOG, {}),
    ("logs:PutLogEvents", TASK_LOG, {}),
]
PIPE_NEEDS = [
    ("sqs:ReceiveMessage", arn("sqs", "pp-source"), {}),
    ("sqs:DeleteMessage", arn("sqs", "pp-source"), {}),
    ("sqs:GetQueueAttributes", arn("sqs", "pp-source"), {}),
]
STATE_MACHINE_NEEDS = LAUNCH + [
    ("ecs:DescribeTasks", TASK, IN_CLUSTER),
    ("ecs:StopTask", TASK, IN_CLUSTER),
    ("events:PutRule", RULE_OF_STEP_FUNCTIONS, {}),
    ("events:PutTargets", RULE_OF_STEP_FUNCTIONS, {}),
    ("events:DescribeRule", RULE_OF_STEP_FUNCTIONS, {}),
    ("sqs:SendMessage", arn("sqs", "pp-failed"), {}),
    ("sqs:SendMessage", arn("sqs", "pp-source"), {}),
    ("states:StartExecution", arn("states", "stateMachine:pp"), {}),
    *[(f"s3:{action}Object", f"{WORK}/runs/1/new.json", {}) for action in ("Put", "Get", "Delete")],
    ("s3:PutObject", f"{WORK}/handed-over/runs/1/new.json", {}),
    ("s3:GetObject", f"{WORK}/reports/1/new.jsonl", {}),
]
REDRIVE_NEEDS = [
    ("sqs:SendMessage", arn("sqs", "pp-source"), {}),
    ("sqs:SendMessage", arn("sqs", "pp-failed"), {}),
]
BACKFILL_EXECUTION = arn("states", "execution:pp-backfill:first")
BACKFILL_CHILD = arn("states", "execution:pp-backfill/Batches:0123")
LISTING = {"s3:prefix": "raw/2025/"}
BACKFILL_NEEDS = [need for need in STATE_MACHINE_NEEDS if need[0] != "states:StartExecution"] + [
    ("s3:ListBucket", "arn:aws:s3:::photos-in", LISTING),
    ("s3:ListBucket", WORK, {"s3:prefix": "runs/first/"}),
    ("states:StartExecution", arn("states", "stateMachine:pp-backfill"), {}),
    ("states:DescribeExecution", BACKFILL_CHILD, {}),
    ("states:StopExecution", BACKFILL_CHILD, {}),
    ("states:RedriveExecution", BACKFILL_CHILD, {}),
    ("states:ListMapRuns", BACKFILL_EXECUTION, {}),
    ("states:DescribeMapRun", arn("states", "mapRun:pp-backfill/Batches:0123"), {}),
    ("events:PutEvents", arn("events", "event-bus/default"), {"events:source": "pixpipe"}),
]
LISTS_OF = {"backfill": "photos-lists/lists/", "direct_backfill": "photos-in/", "off": "photos-in/"}
ROLES = (
    "task", "execution", "pipe", "state_machine", "uploads", "redrive", "task_stopped", "collect", "drain",
    "drain_start", "drain_schedule", "backfill", "backfill_schedule",
)  # fmt: skip
ROLES_OF_ONE_LAUNCHER = ROLES[2:]

# role: (action, name of the key, service that uses it)
KEYS_NEEDED = {
    "task": [
        ("kms:Decrypt", "source", "s3"),
        ("kms:GenerateDataKey", "destination", "s3"),
        ("kms:Decrypt", "destination", "s3"),
        ("kms:GenerateDataKey", "queues", "sqs"),
        ("kms:Decrypt", "queues", "sqs"),
    ],
    "pipe": [("kms:Decrypt", "queues", "sqs")],
    "redrive": [("kms:GenerateDataKey", "queues", "sqs"), ("kms:Decrypt", "queues", "sqs")],
}

FORBIDDEN = [
    ("s3:GetObject", "arn:aws:s3:::photos-in-2/raw/a.jpg", {}),
    ("s3:PutObject", "arn:aws:s3:::photos-in/raw/a.jpg", {}),
    ("s3:PutObject", "arn:aws:s3:::photos-out/elsewhere/a.jpg", {}),
    ("s3:GetObject", "arn:aws:s3:::photos-out/elsewhere/a.jpg", {}),
    ("s3:DeleteObject", "arn:aws:s3:::photos-out/train/a.jpg", {}),
    ("s3:ListBucket", "arn:aws:s3:::other", {}),
    *[("s3:DeleteObject", f"{WORK}/{folder}/a.json", {}) for folder in ("handed-over", "reports")],
    ("s3:PutObject", f"{WORK}/elsewhere/a.json", {}),
    ("s3:GetObject", f"{WORK}-2/runs/a.json", {}),
    ("sqs:SendMessage", arn("sqs", "other"), {}),
    ("sqs:PurgeQueue", arn("sqs", "pp-source"), {}),
    ("ecs:RunTask", arn("ecs", "task-definition/other:1"), IN_CLUSTER),
    ("ecs:RunTask", samples.TASK_DEFINITION, IN_ANOTHER_CLUSTER),
    ("ecs:TagResource", TASK, {"ecs:CreateAction": "CreateService"}),
    ("ecs:StopTask", arn("ecs", "task/other/1"), IN_ANOTHER_CLUSTER),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", TO_ECS),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-eu-west-1-pipe", TO_ECS),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-eu-west-1-task", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("states:StartExecution", arn("states", "stateMachine:other"), {}),
    ("ecr:BatchGetImage", arn("ecr", "repository/other"), {}),
    ("logs:PutLogEvents", arn("logs", "log-group:/other:log-stream:x"), {}),
    ("kms:Decrypt", arn("kms", "key/source"), {}),
    ("kms:Decrypt", arn("kms", "key/other"), {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
]

# role: (service that takes it, resource that it acts for)
TAKERS = {
    "task": ("ecs-tasks", TASK),
    "execution": ("ecs-tasks", TASK),
    "pipe": ("pipes", arn("pipes", "pipe/pp")),
    "state_machine": ("states", arn("states", "stateMachine:pp")),
    "redrive": ("states", arn("states", "stateMachine:pp-redrive")),
    "task_stopped": ("events", arn("events", "rule/pp-task-stopped")),
    "backfill": ("states", arn("states", "stateMachine:pp-backfill")),
    "backfill_schedule": ("scheduler", arn("scheduler", "schedule-group/pp")),
    "uploads": ("events", arn("events", "rule/pp-object-created")),
    "collect": ("states", arn("states", "stateMachine:pp-collect")),
    "drain": ("states", arn("states", "stateMachine:pp-drain")),
    "drain_start": ("events", arn("events", "rule/pp-drain-start")),
    "drain_schedule": ("scheduler", arn("scheduler", "schedule-group/pp")),
}


def _work(stack):
    """The ARN of the work bucket."""
    return "arn:aws:s3:::given-work" if stack.name == "batched_s3" else WORK


def _needs(stack, role):
    if role == "task":
        prefix = {"direct_keys": "", "batched_s3": "raw/größe +1/"}.get(stack.name, "raw/")
        needs = [("s3:GetObject", f"arn:aws:s3:::photos-in/{prefix}a.jpg", {}), *TASK_NEEDS]
        works = not stack.name.startswith("direct") or stack.name in BACKFILLS
        return needs + (TASK_NEEDS_BESIDES_DIRECT if works else [])
    if role == "backfill":
        return [("s3:GetObject", f"arn:aws:s3:::{LISTS_OF[stack.name]}a.csv", {}), *BACKFILL_NEEDS]
    if role == "pipe":
        start = [("states:StartExecution", arn("states", "stateMachine:pp"), {})]
        return PIPE_NEEDS + (start if "aws_sfn_state_machine.batch[0]" in stack else LAUNCH)
    return {
        "execution": EXECUTION_NEEDS,
        "state_machine": STATE_MACHINE_NEEDS,
        "redrive": REDRIVE_NEEDS,
        "task_stopped": [("states:StartExecution", arn("states", "stateMachine:pp-redrive"), {})],
        "backfill_schedule": [("states:StartExecution", arn("states", "stateMachine:pp-backfill"), {})],
        "uploads": [("states:StartExecution", arn("states", "stateMachine:pp"), {})],
        "collect": [],  # these four are looked at in drains.py
        "drain": [need for need in STATE_MACHINE_NEEDS if not need[0].startswith(("s3:", "states:"))],
        "drain_start": [],
        "drain_schedule": [],
    }[role]


def policies_pass_parliament(world):
    for stack in world.stacks.values():
        for address, policy in stack.of_type("aws_iam_role_policy").items():
            found = policies.lint(policy["policy"])
            assert not found, f"{stack.name}: {address}: {found}"


def roles_may_do_everything_they_need(world):
    for stack in world.stacks.values():
        for role in ROLES:
            policy = policies.policy_of(stack, role)
            if not policy["Statement"]:
                assert role in ROLES_OF_ONE_LAUNCHER, f"{stack.name}: {role} has no policy"
                continue
            for action, resource, context in _needs(stack, role):
                resource = resource.replace(WORK, _work(stack))
                if stack.name == "off":
                    if action == "ecs:RunTask":
                        continue  # the kill switch
                    resource = resource.replace(":task/pp/", ":task/shared/")
                    context = {k: v.replace("cluster/pp", "cluster/shared") for k, v in context.items()}
                allowed = policies.allows(policy, action, resource, context)
                assert allowed, f"{stack.name}: {role} may not {action} {resource} {context}"


def roles_may_use_the_given_keys(world):
    stack = world.stacks["direct_keys"]
    for role, needs in KEYS_NEEDED.items():
        policy = policies.policy_of(stack, role)
        for action, key, service in needs:
            context = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
            allowed = policies.allows(policy, action, arn("kms", f"key/{key}"), context)
            assert allowed, f"{role} may not {action} with {key}"
    machine = policies.policy_of(world.stacks["batched_s3"], "state_machine")
    context = {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}
    assert policies.allows(machine, "kms:GenerateDataKey", arn("kms", "key/queues"), context)
    context = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    for role in ("state_machine", "task"):
        policy = policies.policy_of(world.stacks["batched_s3"], role)
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            assert policies.allows(policy, action, arn("kms", "key/work"), context), f"{role} may not {action}"


def tasks_delete_nothing_and_write_no_batch(world):
    """Whoever gives a task the address of a batch deletes it, once it is done."""
    for stack in world.stacks.values():
        policy = policies.policy_of(stack, "task")
        for folder in ("batches", "runs", "handed-over", "reports"):
            place = f"{_work(stack)}/{folder}/a.json"
            assert not policies.allows(policy, "s3:DeleteObject", place, {}), stack.name
            written = policies.allows(policy, "s3:PutObject", place, {})
            works = not stack.name.startswith("direct") or stack.name in BACKFILLS
            assert written == (folder == "reports" and works), f"{stack.name}: {folder}"


def roles_may_do_nothing_else(world):
    for stack in world.stacks.values():
        for role in ROLES:
            policy = policies.policy_of(stack, role)
            dlq = [("sqs:SendMessage", arn("sqs", "pp-dlq"), {})] if role != "drain_schedule" else []
            for action, resource, context in FORBIDDEN + dlq:
                allowed = policies.allows(policy, action, resource, context)
                assert not allowed, f"{stack.name}: {role} may {action} {resource}"
            for statement in policy["Statement"]:
                on_everything = "*" in policies.listed(statement["Resource"])
                for action in policies.listed(statement["Action"]):
                    if statement["Effect"] == "Deny":
                        continue
                    assert "*" not in action, f"{stack.name}: {role}: {action}"
                    takes_no_resource = action == "ecr:GetAuthorizationToken"
                    assert takes_no_resource or not on_everything, f"{stack.name}: {role}: {action} on everything"


def a_backfill_lists_and_reads_no_more_than_its_prefixes(world):
    for stack in world.applied(*BACKFILLS):
        policy = policies.policy_of(stack, "backfill")
        narrow = stack.name == "backfill"
        for action, resource, context, allowed in (
            ("s3:ListBucket", "arn:aws:s3:::photos-in", {"s3:prefix": "other/"}, not narrow),
            ("s3:ListBucket", "arn:aws:s3:::photos-out", {"s3:prefix": "raw/"}, False),
            ("s3:ListBucket", WORK, {"s3:prefix": "batches/"}, False),
            ("s3:ListBucket", WORK, {}, False),
            ("s3:GetObject", "arn:aws:s3:::photos-lists/elsewhere/a.csv", {}, False),
            ("s3:GetObject", "arn:aws:s3:::photos-in/raw/a.jpg", {}, not narrow),
            ("s3:GetObject", f"{WORK}/batches/a.json", {}, False),
            ("s3:PutObject", f"{WORK}/reports/a.jsonl", {}, False),
            ("events:PutEvents", arn("events", "event-bus/default"), {"events:source": "aws.s3"}, False),
            ("events:PutEvents", arn("events", "event-bus/other"), {"events:source": "pixpipe"}, False),
            ("states:StartExecution", arn("states", "stateMachine:pp"), {}, False),
            ("states:StopExecution", arn("states", "execution:pp:1"), {}, False),
            ("states:DescribeMapRun", arn("states", "mapRun:other/Batches:1"), {}, False),
        ):
            got = policies.allows(policy, action, resource, context)
            assert got == allowed, f"{stack.name}: {action} on {resource} {context}: {got}"


def the_kill_switch_forbids_every_launch_and_nothing_else_does(world):
    launchers = [
        (stack, "pipe" if stack.name.startswith("direct") else "drain" if stack.name == "drain" else "state_machine")
        for stack in world.stacks.values()
    ] + [(stack, "backfill") for stack in world.applied(*BACKFILLS)]  # fmt: skip
    for stack, role in launchers:
        denied = [s for s in policies.policy_of(stack, role)["Statement"] if s["Effect"] == "Deny"]
        assert len(denied) == (stack.name == "off"), f"{stack.name}: {denied}"
        cluster = {"ecs:cluster": samples.CLUSTER.replace("/pp", "/shared" if stack.name == "off" else "/pp")}
        for revision in ("", ":7"):
            allowed = policies.allows(
                policies.policy_of(stack, role), "ecs:RunTask", arn("ecs", f"task-definition/pp{revision}"), cluster
            )
            assert allowed == (stack.name != "off"), f"{stack.name}: pp{revision}: {allowed}"


def names_of_roles_and_dashboards_have_the_region(world):
    """Both are global in an account, so that a second region would take the first one's."""
    for stack in world.stacks.values():
        for address, role in stack.of_type("aws_iam_role").items():
            assert role["name"].startswith(f"pp-{REGION}-") and len(role["name"]) + 30 <= 64, address
        for dashboard in stack.of_type("aws_cloudwatch_dashboard").values():
            assert dashboard["dashboard_name"] == f"pp-{REGION}", dashboard["dashboard_name"]


def a_role_is_taken_by_exactly_one_service_for_one_resource(world):
    for stack in world.stacks.values():
        for address, role in stack.of_type("aws_iam_role").items():
            name = re.sub(r"aws_iam_role\.(\w+).*", r"\1", address)
            service, source = TAKERS[name]
            (statement,) = json.loads(role["assume_role_policy"])["Statement"]
            assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}, name
            assert statement["Action"] == "sts:AssumeRole", name
            for account, resource, expected in (
                (ACCOUNT, source, True),
                (ACCOUNT, source + "2", service == "ecs-tasks"),  # any task of the account, any other resource not
                (OTHER_ACCOUNT, source, False),
                (ACCOUNT, source.replace(f":{ACCOUNT}:", f":{OTHER_ACCOUNT}:"), False),
            ):
                context = {"aws:SourceAccount": account, "aws:SourceArn": resource}
                held = policies.holds(statement["Condition"], context)
                assert held == expected, f"{stack.name}: {name} taken for {resource} of {account}: {held}"
