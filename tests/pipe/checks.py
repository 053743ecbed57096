#!/usr/bin/env python3
"""Checks on what the module makes, offline: requests against the services' models, rights, patterns, and runs of the state machines.

usage: checks.py --state APPLIED.json [--node-modules DIR] [--fast]
"""
import argparse
import inspect
import json
import random
import re
import subprocess
import sys
import time
import traceback

import api
import asl
import patterns
import policies
import samples
import state

ACCOUNT, REGION = "123456789012", "eu-west-1"
SOURCE_QUEUE, FAILED_QUEUE = (f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/pp-{name}" for name in ("source", "failed"))


def the_scenarios_are_the_four(world):
    scenarios = ["direct", "direct_keys", "batched", "batched_s3"]
    assert world.fast or list(world.stacks) == scenarios, list(world.stacks)
    assert world.stacks and set(world.stacks) <= set(scenarios), list(world.stacks)


def every_request_is_one_that_its_service_knows(world):
    for stack in world.stacks.values():
        for label, service, operation, parameters in api.all_requests(stack):
            found = api.faults(service, operation, parameters)
            assert not found, f"{stack.name}: {label}: {operation}: {found}"


def a_pipe_is_one_that_aws_takes_and_starts(world):
    """The rules that the model does not have."""
    for stack in world.stacks.values():
        request = api.create_pipe(stack)
        sqs, target = request["SourceParameters"]["SqsQueueParameters"], request["TargetParameters"]
        assert 1 <= len(request["SourceParameters"]["FilterCriteria"]["Filters"]) <= 5
        ecs = target.get("EcsTaskParameters")
        assert bool(ecs) == (":cluster/" in request["Target"]), "ECS parameters go with a cluster as target"
        assert bool(target.get("StepFunctionStateMachineParameters")) == (":stateMachine:" in request["Target"])
        if not ecs:
            continue
        assert sqs["BatchSize"] == 1 and sqs["MaximumBatchingWindowInSeconds"] == 0, f"{stack.name}: ECS is no batch target"
        assert not ("LaunchType" in ecs and "CapacityProviderStrategy" in ecs), "launch type and capacity providers exclude each other"
        assert re.fullmatch(r"arn:aws:ecs:[^:]+:\d+:task-definition/[^:]+", ecs["TaskDefinitionArn"]), "no revision"
        for override in ecs["Overrides"]["ContainerOverrides"]:
            assert override["Cpu"] > 0 and override["Memory"] > 0, "an override of 0 dies at its start"


def fargate_has_such_a_task(world):
    for stack in world.stacks.values():
        task = api.register_task_definition(stack)
        cpu, memory = int(task["cpu"]), int(task["memory"])
        assert {256: 512, 512: 1024, 1024: 2048, 2048: 4096, 4096: 8192}[cpu] <= memory <= max(2048, cpu * 8)
        container = task["containerDefinitions"][0]
        assert container["stopTimeout"] == 120 and container["readonlyRootFilesystem"] and container["user"].startswith("65532")
        assert "FARGATE" in task["requiresCompatibilities"] and task["networkMode"] == "awsvpc"
        # On Fargate only SYS_PTRACE may be added; dropping is free.
        assert set(container["linuxParameters"]) == {"capabilities"} and set(container["linuxParameters"]["capabilities"]) == {"drop"}
        assert int(stack.environment()["MEMORY_LIMIT_BYTES"]) == memory * 1024 * 1024
        assert container["name"] == "pixpipe" and stack.environment()["DEST_PREFIX"] == "train/"


def policies_pass_parliament(world):
    for stack in world.stacks.values():
        for address, policy in stack.of_type("aws_iam_role_policy").items():
            found = policies.lint(policy["policy"])
            assert not found, f"{stack.name}: {address}: {found}"


NEEDS = {
    # role: (action, resource, context), one a line, of what it must be able to do
    "task": lambda s: [
        ("s3:GetObject", f"arn:aws:s3:::photos-in/{world_prefix(s)}a.jpg", {}),
        ("s3:GetObject", "arn:aws:s3:::photos-out/train/224x224/a.jpg", {}),
        ("s3:PutObject", "arn:aws:s3:::photos-out/train/224x224/a.jpg", {}),
        ("s3:ListBucket", "arn:aws:s3:::photos-in", {}),
        ("s3:ListBucket", "arn:aws:s3:::photos-out", {}),
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-source", {}),
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-failed", {}),
    ],
    "execution": lambda s: [
        ("ecr:GetAuthorizationToken", "*", {}),
        ("ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/pixpipe", {}),
        ("ecr:GetDownloadUrlForLayer", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/pixpipe", {}),
        ("logs:CreateLogStream", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/pixpipe/pp/task:log-stream:pixpipe/pixpipe/1", {}),
        ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/pixpipe/pp/task:log-stream:pixpipe/pixpipe/1", {}),
    ],
    "pipe": lambda s: [
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-source", {}),
        ("sqs:DeleteMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-source", {}),
        ("sqs:GetQueueAttributes", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-source", {}),
    ] + (launching() if "aws_sfn_state_machine.batch[0]" not in s else [
        ("states:StartExecution", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:pp", {}),
    ]),
    "state_machine": lambda s: launching() + [
        ("ecs:DescribeTasks", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/pp/1", {"ecs:cluster": samples.CLUSTER}),
        ("ecs:StopTask", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/pp/1", {"ecs:cluster": samples.CLUSTER}),
        ("events:PutRule", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForECSTaskRule", {}),
        ("events:PutTargets", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForECSTaskRule", {}),
        ("events:DescribeRule", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForECSTaskRule", {}),
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-failed", {}),
    ],
    "redrive": lambda s: [
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-source", {}),
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-failed", {}),
    ],
    "task_stopped": lambda s: [("states:StartExecution", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:pp-redrive", {})],
}

KEYS_NEEDED = {
    "task": [("kms:Decrypt", "source", "s3"), ("kms:GenerateDataKey", "destination", "s3"), ("kms:Decrypt", "destination", "s3"),
             ("kms:GenerateDataKey", "queues", "sqs"), ("kms:Decrypt", "queues", "sqs")],
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
    ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:other", {}),
    ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-dlq", {}),
    ("sqs:PurgeQueue", f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-source", {}),
    ("ecs:RunTask", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/other:1", {"ecs:cluster": samples.CLUSTER}),
    ("ecs:RunTask", samples.TASK_DEFINITION, {"ecs:cluster": samples.CLUSTER + "2"}),
    ("ecs:TagResource", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/pp/1", {"ecs:CreateAction": "CreateService"}),
    ("ecs:StopTask", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/other/1", {"ecs:cluster": samples.CLUSTER + "2"}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-pipe", {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-task", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("states:StartExecution", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:other", {}),
    ("ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/other", {}),
    ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/other:log-stream:x", {}),
    ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/source", {}),
    ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/other", {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
]


def launching():
    to_ecs = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    return [
        ("ecs:RunTask", samples.TASK_DEFINITION, {"ecs:cluster": samples.CLUSTER}),
        ("ecs:TagResource", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/pp/1", {"ecs:CreateAction": "RunTask"}),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-task", to_ecs),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/pp-execution", to_ecs),
    ]


def world_prefix(stack):
    return "" if stack.name == "direct_keys" else "raw/"


def roles_may_do_what_they_need(world):
    for stack in world.stacks.values():
        for role, needs in NEEDS.items():
            policy = policies.policy_of(stack, role)
            if not policy["Statement"]:
                assert role in ("state_machine", "redrive", "task_stopped"), f"{stack.name}: {role} has no policy"
                continue
            for action, resource, context in needs(stack):
                assert policies.allows(policy, action, resource, context), f"{stack.name}: {role} may not {action} {resource} {context}"


def roles_may_use_the_keys_that_are_given(world):
    stack = world.stacks["direct_keys"]
    for role, needs in KEYS_NEEDED.items():
        for action, key, service in needs:
            context = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
            assert policies.allows(policies.policy_of(stack, role), action, f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}", context), f"{role} may not {action} with {key}"
    machine = policies.policy_of(world.stacks["batched_s3"], "state_machine")
    assert policies.allows(machine, "kms:GenerateDataKey", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/queues", {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"})


def roles_may_do_nothing_else(world):
    for stack in world.stacks.values():
        for role in NEEDS:
            policy = policies.policy_of(stack, role)
            for action, resource, context in FORBIDDEN:
                assert not policies.allows(policy, action, resource, context), f"{stack.name}: {role} may {action} {resource}"
            for statement in policy["Statement"]:
                for value in policies.listed(statement["Action"]):
                    assert "*" not in value, f"{stack.name}: {role}: {value}"
                    assert value == "ecr:GetAuthorizationToken" or "*" not in policies.listed(statement["Resource"]), f"{stack.name}: {role}: {value} on everything"


def roles_are_taken_by_exactly_one(world):
    takers = {
        "task": ("ecs-tasks", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/pp/1"), "execution": ("ecs-tasks", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/pp/1"),
        "pipe": ("pipes", f"arn:aws:pipes:{REGION}:{ACCOUNT}:pipe/pp"), "state_machine": ("states", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:pp"),
        "redrive": ("states", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:pp-redrive"), "task_stopped": ("events", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/pp-task-stopped"),
    }
    for stack in world.stacks.values():
        for address, role in stack.of_type("aws_iam_role").items():
            name = re.sub(r"aws_iam_role\.(\w+).*", r"\1", address)
            service, source = takers[name]
            (statement,) = json.loads(role["assume_role_policy"])["Statement"]
            assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"} and statement["Action"] == "sts:AssumeRole", name
            for account, arn, expected in ((ACCOUNT, source, True), ("999999999999", source, False), (ACCOUNT, source.replace(f":{ACCOUNT}:", ":999999999999:"), False)):
                held = policies.holds(statement["Condition"], {"aws:SourceAccount": account, "aws:SourceArn": arn})
                assert held == expected, f"{stack.name}: {name} taken for {arn} of {account}: {held}"


def queues_take_events_of_exactly_their_sender(world):
    rule = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/pp-"
    senders = {
        "direct": {"source": ("events", rule + "object-created"), "dlq": ("events", rule + "object-created"), "redrive_dlq": ("events", rule + "task-stopped"), "failed": None},
        "batched_s3": {"source": ("s3", "arn:aws:s3:::photos-in"), "dlq": None, "failed": None},
    }
    for name, queues in senders.items():
        if name not in world.stacks:
            continue
        stack = world.stacks[name]
        for queue, sender in queues.items():
            address = next(a for a in (f"aws_sqs_queue_policy.{queue}", f"aws_sqs_queue_policy.{queue}[0]") if a in stack)
            statements = json.loads(stack[address]["policy"])["Statement"]
            allowed = [s for s in statements if s["Effect"] == "Allow"]
            denied = [s for s in statements if s["Effect"] == "Deny"]
            assert len(denied) == 1 and denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and denied[0]["Principal"] == "*", f"{name}: {queue}: TLS"
            assert len(allowed) == (1 if sender else 0), f"{name}: {queue}: {allowed}"
            for statement in allowed:
                service, arn = sender
                assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"} and statement["Action"] == "sqs:SendMessage"
                assert statement["Resource"].endswith(":pp-" + queue.replace("_", "-")), f"{name}: {queue}: {statement['Resource']}"
                assert policies.holds(statement["Condition"], {"aws:SourceArn": arn, "aws:SourceAccount": ACCOUNT}), f"{name}: {queue} does not take from {arn}"
                assert not policies.holds(statement["Condition"], {"aws:SourceArn": arn + "2", "aws:SourceAccount": ACCOUNT})
                assert not policies.holds(statement["Condition"], {"aws:SourceArn": arn, "aws:SourceAccount": "999999999999"})


def queues_move_and_keep_messages_as_sqs_has_it(world):
    for stack in world.stacks.values():
        source = json.loads(stack["aws_sqs_queue.source"]["redrive_policy"])
        assert source == {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:pp-dlq", "maxReceiveCount": 5}, source
        # StartMessageMoveTask takes messages from some queue's dead-letter queue only.
        dead_letter_queues = {json.loads(q["redrive_policy"])["deadLetterTargetArn"] for q in stack.of_type("aws_sqs_queue").values() if (q["redrive_policy"] or "").startswith("{")}
        for name in ("dlq", "failed"):
            assert stack[f"aws_sqs_queue.{name}"]["arn"] in dead_letter_queues, f"messages of {name} cannot be moved back"
            allowed = json.loads(stack[f"aws_sqs_queue_redrive_allow_policy.{name}"]["redrive_allow_policy"])
            assert set(allowed) == {"redrivePermission", "sourceQueueArns"} and allowed["redrivePermission"] == "byQueue"
        for address, queue in stack.of_type("aws_sqs_queue").items():
            assert queue["message_retention_seconds"] == 14 * 86400, address
            assert bool(queue["kms_master_key_id"]) == (stack.name in ("direct_keys", "batched_s3")) and (queue["kms_master_key_id"] or queue["sqs_managed_sse_enabled"]), f"{address} is not encrypted"
        window = api.create_pipe(stack)["SourceParameters"]["SqsQueueParameters"]["MaximumBatchingWindowInSeconds"]
        assert stack["aws_sqs_queue.source"]["visibility_timeout_seconds"] >= 120 + window


def patterns_are_ones_that_eventbridge_takes(world):
    for stack in world.stacks.values():
        for address, rule in stack.of_type("aws_cloudwatch_event_rule").items():
            found = patterns.lint(json.loads(rule["event_pattern"]), patterns.RULE_OPERATORS, f"{stack.name}: {address}")
            assert not found, found
        for pattern in patterns.Pipe(api.create_pipe(stack)).filters:
            found = patterns.lint(pattern, patterns.PIPE_OPERATORS, f"{stack.name}: filter")
            assert not found, found


def new_objects_become_work_and_nothing_else_does(world):
    """An upload, as EventBridge has it, through the rule and through the pipe's filter."""
    rows = [
        # stack, event, is work
        ("direct", samples.eventbridge("raw/a.jpg"), True),
        ("direct", samples.eventbridge("raw/empty.jpg", size=0), True),
        ("direct", samples.eventbridge("raw/ends in a slash/", size=7), True),
        ("direct", samples.eventbridge("raw/folder/", size=0), False),
        ("direct", samples.eventbridge("other/a.jpg"), False),
        ("direct", samples.eventbridge("other/empty.jpg", size=0), False),
        ("direct", samples.eventbridge("raw/a.jpg", bucket="photos-in-2"), False),
        ("direct", samples.eventbridge("raw/a.jpg", account="999999999999"), False),
        ("direct", samples.eventbridge("raw/a.jpg", kind="Object Deleted"), False),
        ("direct", samples.eventbridge("raw/a.jpg", kind="Object Tags Added"), False),
        ("direct", samples.eventbridge("raw/a.jpg", kind="Object Restore Completed"), False),
        ("direct_keys", samples.eventbridge("anywhere/a.jpg"), True),
        ("direct_keys", samples.eventbridge("b.PNG"), True),
        ("direct_keys", samples.eventbridge("b.png"), False),
        ("direct_keys", samples.eventbridge("folder/", size=0), False),
        ("batched", samples.eventbridge("raw/a.jpg"), True),
        ("batched", samples.eventbridge("raw/a.jpg", size=0), True),
        ("batched", samples.eventbridge("raw/.jpg"), True),
        ("batched", samples.eventbridge("other/a.jpg"), False),
        ("batched", samples.eventbridge("raw/a.png"), False),
    ] + [("direct", samples.eventbridge(key), True) for key in samples.NASTY_KEYS]
    for name, event, work in rows:
        if name not in world.stacks:
            continue
        stack = world.stacks[name]
        rule = json.loads(stack["aws_cloudwatch_event_rule.object_created[0]"]["event_pattern"])
        through = patterns.matches(rule, event) and patterns.Pipe(api.create_pipe(stack)).takes(json.dumps(event))
        assert through == work, f"{name}: {event['detail-type']} {event['detail']['object']['key'][:60]!r}: {through}"


def the_rule_alone_keeps_out_what_creates_nothing(world):
    for stack in world.stacks.values():
        if "aws_cloudwatch_event_rule.object_created[0]" in stack:
            rule = json.loads(stack["aws_cloudwatch_event_rule.object_created[0]"]["event_pattern"])
            assert patterns.matches(rule, samples.eventbridge("raw/a.jpg"))
            for kind in ("Object Deleted", "Object Restore Initiated", "Object Restore Completed", "Object Storage Class Changed", "Object Tags Added", "Object ACL Updated"):
                assert not patterns.matches(rule, samples.eventbridge("raw/a.jpg", kind=kind)), f"{stack.name}: {kind}"
            target = stack["aws_cloudwatch_event_target.source_queue[0]"]
            assert target["arn"].endswith(":pp-source") and target["dead_letter_config"][0]["arn"].endswith(":pp-dlq") and not target["input_path"], stack.name


def tasks_hand_back_to_the_right_queues(world):
    for stack in world.stacks.values():
        environment = stack.environment()
        assert environment["RETRY_QUEUE_URL"] == SOURCE_QUEUE and environment["FAILED_QUEUE_URL"] == FAILED_QUEUE, stack.name


def the_pipe_drops_what_creates_nothing(world):
    rows = [
        (samples.notification("raw/a.jpg"), True),
        (samples.notification("raw/a.jpg", event="ObjectCreated:CompleteMultipartUpload"), True),
        (samples.notification("raw/a.jpg", "raw/b.jpg"), True),
        (samples.handed_back("raw/a.jpg", 1), True),
        (samples.TEST_EVENT, False),
        (samples.notification("raw/a.jpg", event="ObjectRemoved:Delete"), False),
        (samples.notification("raw/a.jpg", event="ObjectTagging:Put"), False),
        (samples.notification("raw/a.jpg", event="ObjectRestore:Completed"), False),
        (samples.eventbridge("raw/a.jpg", kind="Object Deleted"), False),
        ({"hello": "world"}, False),
        ("not JSON", False),
    ]
    for stack in world.stacks.values():
        pipe = patterns.Pipe(api.create_pipe(stack))
        for body, work in rows:
            assert pipe.takes(body if isinstance(body, str) else json.dumps(body)) == work, f"{stack.name}: {str(body)[:120]}"


def s3_itself_tells_of_what_is_created_only(world):
    queues = world.stacks["batched_s3"]["aws_s3_bucket_notification.source[0]"]["queue"]
    assert [(q["events"], q["filter_prefix"], q["filter_suffix"]) for q in queues] == [(["s3:ObjectCreated:*"], "raw/", ".jpg"), (["s3:ObjectCreated:*"], "raw/", ".png")]
    # An enum in the model, but one that botocore leaves open; this is its list.
    known = api.SESSION.get_service_model("s3").shape_for("Event").enum
    assert all(event in known for q in queues for event in q["events"])


def a_direct_task_gets_the_message_as_it_is(world):
    for name in {"direct", "direct_keys"} & set(world.stacks):
        request = api.create_pipe(world.stacks[name])
        pipe = patterns.Pipe(request)
        for key in samples.NASTY_KEYS:
            for event in (samples.notification(key), samples.eventbridge(key), samples.handed_back(key, 2)):
                body = json.dumps(event, ensure_ascii=False)
                overrides = pipe.hands_over([body])
                (override,) = overrides["containerOverrides"]
                assert [e["name"] for e in override["environment"]] == ["SQS_BODY"], "the first and only override"
                assert override["environment"][0]["value"] == body
                assert (samples.BUCKET, key) in [o[:2] for o in samples.objects_of(override["environment"][0]["value"])]
                assert not api.faults("ecs", "RunTask", api.run_task_of_pipe(request, overrides))


class Services:
    """ECS and SQS as a state machine sees them: RunTask ends as `ends` says, SendMessage keeps."""

    def __init__(self, ends=lambda arguments, nth: None):
        self.ends, self.tasks, self.sent = ends, [], []

    def __call__(self, resource, arguments):
        if resource.endswith(":ecs:runTask.sync"):
            found = api.faults("ecs", "RunTask", api.lower_first(arguments))
            assert not found, found
            (override,) = arguments["Overrides"]["ContainerOverrides"]
            (variable,) = override["Environment"]
            assert override["Name"] == "pixpipe" and variable["Name"] == "SQS_BODY" and "LaunchType" not in arguments
            length = samples.overrides_length(variable["Value"])
            if length > 8192:
                raise AssertionError(f"overrides of {length} characters")
            (strategy,) = arguments["CapacityProviderStrategy"]
            self.tasks.append((strategy["CapacityProvider"], variable["Value"]))
            error = self.ends(variable["Value"], len(self.tasks))
            if error:
                raise error
            return {"StopCode": "EssentialContainerExited"}
        if resource.endswith(":sqs:sendMessage"):
            found = api.faults("sqs", "SendMessage", arguments)
            assert not found, found
            assert len(arguments["MessageBody"].encode()) <= 262144
            self.sent.append(arguments)
            return {"MessageId": "m"}
        raise AssertionError(resource)

    def failed(self):
        """Bodies in the failed queue."""
        assert all(a["QueueUrl"] == FAILED_QUEUE for a in self.sent), self.sent
        return [a["MessageBody"] for a in self.sent]


def batch(world, bodies, engine, ends=lambda body, nth: None, stack="batched"):
    """A batch through the pipe and its execution."""
    pipe = patterns.Pipe(api.create_pipe(world.stacks[stack]))
    texts = [json.dumps(body, ensure_ascii=False) for body in bodies]
    taken = [text for text in texts if pipe.takes(text)]
    services = Services(ends)
    execution = asl.Execution(world.stacks[stack].definition("batch"), engine, services)
    execution.run(pipe.hands_over(taken))
    return services, execution


def objects(bodies):
    return sorted(one for body in bodies for one in samples.objects_of(body))


def every_record_of_a_batch_reaches_a_task_whatever_its_key(world):
    shapes = {
        "notification": samples.notification, "eventbridge": samples.eventbridge, "handed back": lambda key: samples.handed_back(key, 2),
    }
    for engine in world.engines:
        for label, shape in shapes.items():
            bodies = [shape(key) for key in samples.NASTY_KEYS]
            services, execution = batch(world, bodies, engine)
            got = objects(body for _, body in services.tasks)
            assert got == objects(bodies), f"{engine.name}: {label}: {set(objects(bodies)) ^ set(got)}"
            assert not services.sent and all(provider == "FARGATE_SPOT" for provider, _ in services.tasks)


def mixed_batches_lose_and_double_nothing(world):
    chance = random.Random(4)
    alphabet = 'ab/. +%&=?"\\\'<>{}[]é写🦊\x01\n\u2028'
    for engine in world.engines:
        for round_ in range(world.rounds):
            keys = ["raw/" + "".join(chance.choice(alphabet) for _ in range(chance.randint(1, chance.choice([5, 60, 250])))) + f"{i}.jpg" for i in range(chance.randint(1, 50))]
            bodies = [chance.choice([samples.notification, samples.eventbridge, lambda k: samples.handed_back(k, 1)])(key) for key in keys]
            services, execution = batch(world, bodies, engine)
            assert objects(body for _, body in services.tasks) == objects(bodies), f"{engine.name}, round {round_}"


def tasks_are_filled_to_the_limit_and_no_further(world):
    """50 keys of one length, for lengths of all kinds: each task but the last holds as much as fits."""
    for engine in world.engines:
        for length in (20, 60, 75, 80, 85, 100, 150, 300, 700, 1000):
            keys = [f"raw/{i:02}" + "x" * (length - 6) for i in range(50)]
            services, _ = batch(world, [samples.notification(key) for key in keys], engine)
            bodies = [json.loads(body) for _, body in services.tasks]
            assert objects(bodies) == objects([samples.notification(key) for key in keys])
            for body, following in zip(bodies, bodies[1:]):
                more = samples.overrides_length(json.dumps(body + following[:1], separators=(",", ":")))
                assert more > 8192 - 256 - 64, f"{engine.name}: keys of {length}: a task would have had room for one more ({more})"


def a_usual_batch_of_fifty_is_one_task(world):
    keys = [f"raw/2024/05/17/IMG_20240517_{i:06}.jpg" for i in range(50)]
    for engine in world.engines:
        for shape in (samples.notification, samples.eventbridge):
            services, execution = batch(world, [shape(key) for key in keys], engine)
            assert len(services.tasks) == 1 and execution.entered == ["Tasks", "Fits", "RunOnSpot"], execution.entered


def what_creates_nothing_is_left_out_of_a_merged_notification(world):
    merged = {"Records": samples.notification("raw/a.jpg")["Records"] + samples.notification("raw/gone.jpg", event="ObjectRemoved:Delete")["Records"]
              + samples.notification("raw/folder/", size=0)["Records"] + samples.notification("raw/b.jpg")["Records"]}
    for engine in world.engines:
        services, _ = batch(world, [merged], engine)
        assert [o[1] for o in objects(body for _, body in services.tasks)] == ["raw/a.jpg", "raw/b.jpg"]
        services, _ = batch(world, [samples.eventbridge("raw/folder/", size=0)], engine)
        assert not services.tasks and not services.sent


def attempts_are_carried(world):
    for engine in world.engines:
        services, _ = batch(world, [samples.handed_back("raw/a.jpg", 2)], engine)
        assert json.loads(services.tasks[0][1])[0]["pixpipe"]["attempts"] == 2


def a_record_that_cannot_fit_goes_to_the_failed_queue_and_its_neighbours_run(world):
    """No key of S3 is that long; something that is not S3's may be."""
    for engine in world.engines:
        long = samples.notification("raw/" + "é" * 3000)
        services, _ = batch(world, [samples.notification("raw/a.jpg"), long, samples.notification("raw/b.jpg")], engine)
        assert [o[1] for o in objects(body for _, body in services.tasks)] == ["raw/a.jpg", "raw/b.jpg"]
        assert [o[1] for o in objects(services.failed())] == ["raw/" + "é" * 3000]
        assert "longer" in json.loads(services.failed()[0])["Records"][0]["pixpipe"]["cause"]


def a_batch_that_cannot_be_read_is_handed_over_as_it_came(world):
    for engine in world.engines:
        services = Services()
        given = [{"messageId": "1", "body": "{\"Records\": ["}, {"messageId": "2", "body": samples.notification("raw/a.jpg")}]
        asl.Execution(world.stacks["batched"].definition("batch"), engine, services).run(given)
        assert not services.tasks and services.failed()[0] == "{\"Records\": [" and json.loads(services.failed()[1]) == samples.notification("raw/a.jpg")


def failure(exit_code=1, reason="Essential container in task exited"):
    cause = {"Attachments": [], "Containers": [{"ExitCode": exit_code, "Name": "pixpipe"}], "Overrides": {}, "StopCode": "EssentialContainerExited", "StoppedReason": reason}
    return asl.StatesError("States.TaskFailed", json.dumps(cause, separators=(",", ":")))


def spot_is_tried_first_then_fargate_then_the_records_are_handed_over(world):
    bodies = [samples.notification(f"raw/{i}.jpg") for i in range(3)] + [samples.handed_back("raw/é +.jpg", 2)]
    errors = {
        "no room": asl.StatesError("AmazonECS.Unknown", json.dumps({"Failures": [{"Reason": "Capacity is unavailable at this time."}]})),
        "interrupted": failure(137, "Your Spot Task was interrupted."), "killed": failure(137, "OutOfMemory"), "not handed back": failure(75),
        "timed out": asl.StatesError("States.Timeout", ""),
    }
    pipe = patterns.Pipe(api.create_pipe(world.stacks["batched"]))
    for engine in world.engines:
        for label, error in errors.items():
            # Comes back after one failure.
            services, execution = batch(world, bodies, engine, lambda body, nth, error=error: error if nth == 1 else None)
            assert [p for p, _ in services.tasks] == ["FARGATE_SPOT", "FARGATE_SPOT"] and not services.sent, label
            # Spot never works.
            services, execution = batch(world, bodies, engine, lambda body, nth, error=error: error if nth <= 3 else None)
            assert [p for p, _ in services.tasks] == ["FARGATE_SPOT"] * 3 + ["FARGATE"] and not services.sent, label
            # Each launch knows how many came before it, so that the task looks for the culprit.
            for tried, (_, body) in enumerate(services.tasks):
                assert objects([body]) == sorted((b, k, a + tried) for b, k, a in objects(bodies)), f"{label}: launch {tried}: {body}"
                assert samples.overrides_length(body) <= 8192 - 256, label
            assert [seconds for seconds, _ in execution.waits] == [30, 60], execution.waits
            # Nothing works: record by record, one attempt more, and the source queue's filter takes it again.
            services, execution = batch(world, bodies, engine, lambda body, nth, error=error: error)
            assert services.tasks[-1][0] == "FARGATE" and services.tasks[0][0] == "FARGATE_SPOT", label
            handed = objects(services.failed())
            assert handed == sorted((b, k, a + 1) for b, k, a in objects(bodies)), f"{engine.name}: {label}: {handed}"
            for text in services.failed():
                (record,) = json.loads(text)["Records"]
                assert record["eventSource"] == "aws:s3" and record["pixpipe"]["reason"] == "interrupted" and record["pixpipe"]["cause"], text
                assert pipe.takes(text), "a redrive of the failed queue would be dropped"
            again, _ = batch(world, [json.loads(text) for text in services.failed()], engine)
            assert objects(body for _, body in again.tasks) == handed


def only_the_task_that_failed_is_handed_over(world):
    bodies = [samples.eventbridge("raw/" + "é" * 400 + f"{i}.jpg") for i in range(12)]
    for engine in world.engines:
        services, _ = batch(world, bodies, engine, lambda body, nth: failure() if "%A90.jpg" in body else None)
        done = {body for _, body in services.tasks if "%A90.jpg" not in body}
        lost = [body for _, body in services.tasks if "%A90.jpg" in body][:1]
        assert len(done) >= 2
        assert objects(services.failed()) == [(b, k, a + 1) for b, k, a in objects(lost)] and objects([*done, *lost]) == objects(bodies)


def redrive(world, event, engine, stack="direct"):
    """A stopped task's event, through the rule and the state machine: [(queue, delay, body)]."""
    rule = json.loads(world.stacks[stack]["aws_cloudwatch_event_rule.task_stopped[0]"]["event_pattern"])
    if not patterns.matches(rule, event):
        return []
    services = Services()
    asl.Execution(world.stacks[stack].definition("redrive"), engine, services).run(event)
    return [(a["QueueUrl"], a.get("DelaySeconds", 0), a["MessageBody"]) for a in services.sent]


def killed_tasks_come_back_counted_and_in_the_end_as_failed(world):
    ends = {
        "memory": {}, "crash": {"exit_code": 1}, "not handed back": {"exit_code": 75}, "unreadable": {"exit_code": 65},
        "no image": {"exit_code": None, "stop_code": "TaskFailedToStart"}, "spot, killed": {"exit_code": 137, "stop_code": "SpotInterruption"},
        "spot, before it ran": {"exit_code": None, "stop_code": "SpotInterruption"}, "hardware": {"exit_code": None, "stop_code": "InfrastructureHealth"},
        "stopped by hand": {"exit_code": 137, "stop_code": "UserInitiated"}, "beside a sidecar": {"sidecar": True},
        "never ran beside a sidecar": {"sidecar": True, "exit_code": None, "stop_code": "TaskFailedToStart"},
    }
    pipe = patterns.Pipe(api.create_pipe(world.stacks["direct"]))
    for engine in world.engines:
        for label, end in ends.items():
            for shape in (samples.notification, samples.eventbridge):
                for key in samples.NASTY_KEYS if label == "memory" else samples.NASTY_KEYS[:2]:
                    body, tries = json.dumps(shape(key)), 0
                    while True:
                        tries += 1
                        sent = redrive(world, samples.stopped(body, **end), engine)
                        assert len(sent) == 1, f"{engine.name}: {label}: {sent}"
                        (queue, delay, body), = sent
                        assert samples.objects_of(body) == [(samples.BUCKET, key, tries)], f"{label}: {body}"
                        assert pipe.takes(body), "the source queue's filter would drop it"
                        assert json.loads(body)["Records"][0]["pixpipe"]["reason"] == "interrupted"
                        if queue == FAILED_QUEUE:
                            break
                        assert queue == SOURCE_QUEUE and 60 <= delay <= 900
                    assert tries == 3, f"{label}: {tries} tries"


def the_bound_on_attempts_is_the_variables(world):
    for engine in world.engines:
        for attempts, queue in ((0, SOURCE_QUEUE), (1, FAILED_QUEUE), (7, FAILED_QUEUE)):
            (sent,) = redrive(world, samples.stopped(json.dumps(samples.handed_back("a.jpg", attempts))), engine, "direct_keys")
            assert sent[0] == queue, (attempts, sent)


def tasks_that_handed_back_themselves_are_left_alone(world):
    body = json.dumps(samples.notification("raw/a.jpg"))
    for engine in world.engines:
        for label, event in {
            "done": samples.stopped(body, exit_code=0),
            "spot, handed back": samples.stopped(body, exit_code=0, stop_code="SpotInterruption"),
            "done beside a sidecar": samples.stopped(body, exit_code=0, sidecar=True),
            "spot beside a sidecar": samples.stopped(body, exit_code=0, stop_code="SpotInterruption", sidecar=True),
            "still running": samples.stopped(body, status="DEPROVISIONING"),
            "another family": samples.stopped(body, task_definition="arn:aws:ecs:eu-west-1:123456789012:task-definition/pp2:1"),
            "another cluster": samples.stopped(body, cluster=samples.CLUSTER + "2"),
        }.items():
            assert redrive(world, event, engine) == [], f"{engine.name}: {label}"


def odd_bodies_of_killed_tasks_are_not_lost(world):
    for engine in world.engines:
        # Wrong settings: trying again changes nothing.
        (sent,) = redrive(world, samples.stopped(json.dumps(samples.notification("raw/a.jpg")), exit_code=78), engine)
        assert sent[0] == FAILED_QUEUE and samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/a.jpg", 1)]
        # A merged notification comes back record by record.
        sent = redrive(world, samples.stopped(json.dumps(samples.notification("raw/a b.jpg", "raw/c+.jpg"))), engine)
        assert objects(body for _, _, body in sent) == [(samples.BUCKET, "raw/a b.jpg", 1), (samples.BUCKET, "raw/c+.jpg", 1)]
        # JSON in a string, as some forwarder may have it.
        (sent,) = redrive(world, samples.stopped(json.dumps(json.dumps(samples.notification("raw/a.jpg")))), engine)
        assert samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/a.jpg", 1)]
        # A task that a person started, with the shape for persons.
        (sent,) = redrive(world, samples.stopped('{"bucket":"photos-in","key":"raw/+ %.jpg"}'), engine)
        assert sent[0] == SOURCE_QUEUE and samples.objects_of(sent[2]) == [(samples.BUCKET, "raw/+ %.jpg", 1)]
        # What cannot be read is kept as it is.
        for text in ('{"Records": [', "hello", '{"some": "thing"}'):
            (sent,) = redrive(world, samples.stopped(text), engine)
            assert sent[0] == FAILED_QUEUE and sent[2].replace(" ", "") == text.replace(" ", ""), sent


def state_machines_pass_an_asl_validator(world):
    for name, machine in (("batched", "batch"), ("batched_s3", "batch"), ("direct", "redrive")):
        if name not in world.stacks:
            continue
        definition = world.stacks[name].definition(machine)
        assert len(json.dumps(definition)) < 1024 * 1024
        if world.node_modules:
            done = subprocess.run([f"{world.node_modules}/.bin/asl-validator", "--json-definition", json.dumps(definition)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def expressions_are_whole_and_short_lived(world):
    """Every JSONata expression is one line in its marks, and none comes near the second that Step Functions gives it."""
    for name, machine in (("batched", "batch"), ("direct", "redrive")):
        if name not in world.stacks:
            continue
        text = json.dumps(world.stacks[name].definition(machine))
        assert "/*" not in text and "\\n" not in text, "comments and line ends stay in the files"
    keys = ["raw/" + "é" * 500 + f"{i}.jpg" for i in range(50)]
    for engine in world.engines:
        begin = time.monotonic()
        batch(world, [samples.eventbridge(key) for key in keys], engine)
        assert time.monotonic() - begin < 3, f"{engine.name}: {time.monotonic() - begin:.1f} s"


def alarms_look_at_metrics_that_exist(world):
    known = {
        "AWS/SQS": ({"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "NumberOfMessagesReceived"}, {"QueueName"}),
        "AWS/EventBridge/Pipes": ({"ExecutionFailed", "ExecutionPartiallyFailed", "ExecutionTimeout", "ExecutionThrottled", "EventCount"}, {"PipeName"}),
        "AWS/States": ({"ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"}, {"StateMachineArn"}),
        "pixpipe": ({"written", "skipped", "failed", "handed_back", "source_bytes", "broken_profiles", "duration_ms"}, {"destination"}),
    }
    for stack in world.stacks.values():
        seen = []
        names = {q["name"] for q in stack.of_type("aws_sqs_queue").values()} | {stack["aws_pipes_pipe.this"]["name"], "s3://photos-out/train/"} \
            | {m["arn"] for m in stack.of_type("aws_sfn_state_machine").values()}
        for address, alarm in stack.of_type("aws_cloudwatch_metric_alarm").items():
            assert alarm["alarm_actions"] == ["arn:aws:sns:eu-west-1:123456789012:oncall"], address
            assert alarm["treat_missing_data"] == "notBreaching" and alarm["alarm_description"], address
            if alarm["metric_name"]:
                seen.append((alarm["namespace"], alarm["metric_name"], alarm["dimensions"]))
            ids = {q["id"] for q in alarm["metric_query"] if q["metric"]}
            for query in alarm["metric_query"]:
                if query["metric"]:
                    metric = query["metric"][0]
                    seen.append((metric["namespace"], metric["metric_name"], metric["dimensions"]))
                else:
                    used = set(re.findall(r"\b[a-z][a-z_]*\b", query["expression"]))
                    assert used == ids, f"{address}: {used} of {ids}"
        for widget in json.loads(stack["aws_cloudwatch_dashboard.this[0]"]["dashboard_body"])["widgets"]:
            for namespace, metric, dimension, value in widget["properties"]["metrics"]:
                seen.append((namespace, metric, {dimension: value}))
        for namespace, metric, dimensions in seen:
            metrics, dimension_names = known[namespace]
            assert metric in metrics and set(dimensions) == dimension_names and set(dimensions.values()) <= names, (stack.name, namespace, metric, dimensions)
        assert {m for n, m, _ in seen if n == "pixpipe"} == known["pixpipe"][0], "every metric of the task is shown"


def launch_and_redrive_never_both_watch_a_task(world):
    for stack in world.stacks.values():
        direct = stack.name.startswith("direct")
        assert ("aws_cloudwatch_event_rule.task_stopped[0]" in stack) == direct and ("aws_sfn_state_machine.batch[0]" in stack) == (not direct)
        for address in stack.of_type("aws_cloudwatch_event_target"):
            assert stack[address]["dead_letter_config"][0]["arn"].startswith("arn:aws:sqs:"), address
    target = world.stacks["direct"]["aws_cloudwatch_event_target.redrive[0]"]
    assert target["dead_letter_config"][0]["arn"].endswith(":pp-redrive-dlq") and target["input_path"] in (None, "") and target["role_arn"].endswith("/pp-task-stopped")


CHECKS = [value for value in list(globals().values()) if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["world"]]


class Absent(Exception):
    """A scenario that was not applied; the check is not for this run."""


class Stacks(dict):
    def __missing__(self, name):
        raise Absent(name)


class World:
    def __init__(self, arguments):
        self.stacks = Stacks(state.read(arguments.state))
        self.node_modules = arguments.node_modules
        self.engines = asl.engines(arguments.node_modules)
        self.fast, self.rounds = arguments.fast, 12
        if arguments.fast:
            self.engines, self.rounds = self.engines[-1:], 2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", required=True, help="output of terraform test -json -verbose with the scenarios")
    parser.add_argument("--node-modules", help="folder with jsonata and asl-validator")
    parser.add_argument("--fast", action="store_true", help="only the scenarios that are there, one engine, fewer random batches, stop at the first failure")
    arguments = parser.parse_args()
    world = World(arguments)
    print(f"engines: {', '.join(engine.name for engine in world.engines)}; asl-validator: {'yes' if world.node_modules else 'not there'}")
    passed = failed = 0
    for check in CHECKS:
        try:
            check(world)
            passed += 1
            print(f"ok    {check.__name__.replace('_', ' ')}")
        except Absent:
            assert world.fast, f"{check.__name__} has not run"
        except Exception as error:  # a check that breaks has failed
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAIL  {check.__name__.replace('_', ' ')}: {type(error).__name__} {str(error)[:600]} ({where.name}, line {where.lineno})")
            if arguments.fast:
                break
    print(f"checks: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
