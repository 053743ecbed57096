"""The requests that the module makes of AWS: known to the services' models, and valid by rules that no model has."""

import json
import re

import api
import patterns
import policies
import samples
from executions import run_batch
from world import REGION, arn, piped

SCENARIOS = [
    "direct", "direct_keys", "batched", "batched_s3", "defaults", "off", "backfill", "direct_backfill", "event",
    "drain",
]  # fmt: skip
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
LEAST_MEMORY_MIB = {256: 512, 512: 1024, 1024: 2048, 2048: 4096, 4096: 8192}


def the_scenarios_are_the_ones_that_the_checks_know(world):
    assert world.fast or list(world.stacks) == SCENARIOS, list(world.stacks)
    assert world.stacks and set(world.stacks) <= set(SCENARIOS), list(world.stacks)


def every_request_is_one_that_its_service_knows(world):
    for stack in world.stacks.values():
        for label, service, operation, parameters in api.all_requests(stack):
            found = api.faults(service, operation, parameters)
            assert not found, f"{stack.name}: {label}: {operation}: {found}"


def a_pipe_is_one_that_aws_accepts_and_starts(world):
    for stack in piped(world):
        request = api.create_pipe(stack)
        sqs = request["SourceParameters"]["SqsQueueParameters"]
        target = request["TargetParameters"]
        assert 1 <= len(request["SourceParameters"]["FilterCriteria"]["Filters"]) <= 5
        ecs = target.get("EcsTaskParameters")
        assert bool(ecs) == (":cluster/" in request["Target"]), "ECS parameters need a cluster as target"
        assert bool(target.get("StepFunctionStateMachineParameters")) == (":stateMachine:" in request["Target"])
        if not ecs:
            continue
        assert sqs["BatchSize"] == 1, f"{stack.name}: ECS is not a batch target"
        assert sqs["MaximumBatchingWindowInSeconds"] == 0, f"{stack.name}: a window gains nothing with ECS as target"
        assert not ("LaunchType" in ecs and "CapacityProviderStrategy" in ecs), "launch type beside a strategy"
        assert re.fullmatch(r"arn:aws:ecs:[^:]+:\d+:task-definition/[^:]+", ecs["TaskDefinitionArn"]), "a revision"
        for override in ecs["Overrides"]["ContainerOverrides"]:
            assert override["Cpu"] > 0 and override["Memory"] > 0, "a task with an override of 0 dies at its start"


def fargate_offers_such_a_task(world):
    for stack in world.stacks.values():
        task = api.register_task_definition(stack)
        cpu, memory = int(task["cpu"]), int(task["memory"])
        assert LEAST_MEMORY_MIB[cpu] <= memory <= max(2048, cpu * 8)
        assert "FARGATE" in task["requiresCompatibilities"] and task["networkMode"] == "awsvpc"
        assert int(stack.environment()["MEMORY_LIMIT_BYTES"]) == memory * 1024 * 1024


def every_launcher_asks_for_the_same_task(world):
    """Everything in RunTask but the batch, word by word, with and without a public address. A drain has run.tf's."""
    for stack in piped(world):
        direct, keys = stack.name.startswith("direct"), stack.name in ("direct_keys", "batched_s3")
        cluster = "shared" if stack.name == "off" else "pp"
        wanted = {
            "cluster": arn("ecs", f"cluster/{cluster}"),
            "taskDefinition": arn("ecs", "task-definition/pp"),
            "count": 1,
            "capacityProviderStrategy": [{
                "capacityProvider": "FARGATE" if direct and not keys else "FARGATE_SPOT",
                "weight": 1,
            }],
            "propagateTags": "TASK_DEFINITION",
            "enableECSManagedTags": True,
            "networkConfiguration": {"awsvpcConfiguration": {
                "subnets": ["subnet-0a", "subnet-0b"],
                "securityGroups": ["sg-0a"],
                "assignPublicIp": "ENABLED" if keys else "DISABLED",
            }},
        }  # fmt: skip
        photo = samples.notification("raw/a.jpg")
        if direct:
            request = api.create_pipe(stack)
            got = api.run_task_of_pipe(request, patterns.Pipe(request).hands_over([json.dumps(photo)]))
        else:
            services, _ = run_batch(world, [photo], world.engines[0], scenario=stack.name)
            (got,) = services.requests
        del got["overrides"]
        assert got == wanted, f"{stack.name}: {got}"


def a_task_uses_only_what_its_stack_has(world):
    """The log that its role may write, the providers of its cluster, the given image on the given architecture."""
    for stack in world.stacks.values():
        task = api.register_task_definition(stack)
        (container,) = task["containerDefinitions"]
        log = container["logConfiguration"]
        assert log["logDriver"] == "awslogs" and set(log["options"]) == {
            "awslogs-group", "awslogs-region", "awslogs-stream-prefix", "mode", "max-buffer-size",
        }, log  # fmt: skip
        group, prefix = log["options"]["awslogs-group"], log["options"]["awslogs-stream-prefix"]
        assert stack["aws_cloudwatch_log_group.task"]["name"] == group == "/pixpipe/pp/task", group
        assert log["options"]["mode"] == "non-blocking", "a slow CloudWatch holds up a task that is billed per second"
        stream = arn("logs", f"log-group:{group}:log-stream:{prefix}/pixpipe/0123456789abcdef")
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            assert policies.allows(policies.policy_of(stack, "execution"), action, stream, {}), f"{action} on {stream}"
        assert container["essential"] is True, "the task would go on without its only container"
        assert container["image"] == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test", container["image"]
        architecture = "X86_64" if stack.name == "off" else "ARM64"
        assert task["runtimePlatform"] == {"operatingSystemFamily": "LINUX", "cpuArchitecture": architecture}
        for cluster in stack.of_type("aws_ecs_cluster_capacity_providers").values():
            assert set(cluster["capacity_providers"]) == {"FARGATE", "FARGATE_SPOT"}, cluster
            assert cluster["cluster_name"] == "pp"


def every_region_is_the_stacks(world):
    for stack in world.stacks.values():
        for address, values in [*stack.resources.items(), ("outputs", stack.outputs)]:
            named = set(re.findall(r"\b(?:af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-[0-9]\b", json.dumps(values)))
            assert named <= {REGION}, f"{stack.name}: {address}: {named}"


def everything_carries_the_tags(world):
    for stack in world.stacks.values():
        for address, values in stack.resources.items():
            if "tags" in values and not address.startswith(("data.", "aws_ecs_cluster_capacity_providers")):
                assert values["tags"] == {"project": "photos"}, f"{stack.name}: {address}: {values['tags']}"


def a_pipe_logs_its_errors(world):
    for stack in piped(world):
        request = api.create_pipe(stack)
        log = request["LogConfiguration"]
        assert log["Level"] == "ERROR" and not log.get("IncludeExecutionData"), log
        destination = log["CloudwatchLogsLogDestination"]["LogGroupArn"]
        assert destination.startswith(arn("logs", "log-group:/aws/vendedlogs/pipes/pp")), destination
        assert request["DesiredState"] == ("STOPPED" if stack.name == "off" else "RUNNING"), stack.name


def machines_are_standard(world):
    """runTask.sync needs one, and a redrive takes minutes. StartSyncExecution needs an Express one."""
    for stack in world.stacks.values():
        for address, machine in stack.of_type("aws_sfn_state_machine").items():
            kind = "EXPRESS" if ".collect" in address else "STANDARD"
            assert machine["type"] == kind, f"{stack.name}: {address}"


def a_task_has_a_deadline_before_its_execution_gives_it_up(world):
    for stack in world.stacks.values():
        limit_seconds = int(stack.environment()["TIME_LIMIT_SECONDS"])
        assert limit_seconds == 3600, limit_seconds
        if "aws_sfn_state_machine.batch[0]" in stack:
            run = stack.definition("batch")["States"]["Tasks"]["ItemProcessor"]["States"]["Run"]
            assert limit_seconds + 600 <= run["TimeoutSeconds"] <= limit_seconds + 3600, run["TimeoutSeconds"]


def the_container_is_locked_down(world):
    for stack in world.stacks.values():
        (container,) = api.register_task_definition(stack)["containerDefinitions"]
        assert container["name"] == "pixpipe" and stack.environment()["DEST_PREFIX"] == "train/"
        assert container["stopTimeout"] == 120
        assert container["readonlyRootFilesystem"] and container["user"].startswith("65532")
        # On Fargate only SYS_PTRACE may be added; every capability may be dropped.
        assert set(container["linuxParameters"]) == {"capabilities"}
        assert set(container["linuxParameters"]["capabilities"]) == {"drop"}


def a_task_is_watched_by_its_execution_or_by_the_redrive_and_never_by_both(world):
    for stack in world.stacks.values():
        direct = stack.name.startswith("direct")
        assert ("aws_cloudwatch_event_rule.task_stopped[0]" in stack) == direct
        assert ("aws_sfn_state_machine.batch[0]" in stack) == (not direct and stack.name != "drain")
        for address in stack.of_type("aws_cloudwatch_event_target"):
            if "backfill_finished" in address:
                continue  # no record: what a topic is not told for a day is in the executions
            assert stack[address]["dead_letter_config"][0]["arn"].startswith("arn:aws:sqs:"), address
    for stack in world.applied("direct"):
        target = stack["aws_cloudwatch_event_target.redrive[0]"]
        assert target["role_arn"].endswith("/pp-eu-west-1-task-stopped")
