"""The requests that the module makes of AWS: known to the services' models, and valid by rules that no model has."""

import re

import api

SCENARIOS = ["direct", "direct_keys", "batched", "batched_s3"]
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
LEAST_MEMORY_MIB = {256: 512, 512: 1024, 1024: 2048, 2048: 4096, 4096: 8192}


def the_scenarios_are_the_four(world):
    assert world.fast or list(world.stacks) == SCENARIOS, list(world.stacks)
    assert world.stacks and set(world.stacks) <= set(SCENARIOS), list(world.stacks)


def every_request_is_one_that_its_service_knows(world):
    for stack in world.stacks.values():
        for label, service, operation, parameters in api.all_requests(stack):
            found = api.faults(service, operation, parameters)
            assert not found, f"{stack.name}: {label}: {operation}: {found}"


def a_pipe_is_one_that_aws_accepts_and_starts(world):
    for stack in world.stacks.values():
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
        assert ("aws_sfn_state_machine.batch[0]" in stack) == (not direct)
        for address in stack.of_type("aws_cloudwatch_event_target"):
            assert stack[address]["dead_letter_config"][0]["arn"].startswith("arn:aws:sqs:"), address
    target = world.stacks["direct"]["aws_cloudwatch_event_target.redrive[0]"]
    assert target["dead_letter_config"][0]["arn"].endswith(":pp-redrive-dlq")
    assert target["input_path"] in (None, "") and target["role_arn"].endswith("/pp-task-stopped")
