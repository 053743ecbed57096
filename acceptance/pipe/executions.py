"""Runs of the module's state machines in an account of stand-ins."""

import json

import api
import asl
import botocore.session
import patterns
import samples
from account import Account
from world import FAILED_QUEUE_URL, SOURCE_QUEUE_URL, WORK_BUCKET


def run_batch(
    world, bodies, engine, ends=lambda body, nth: None, send_faults=(), scenario="batched", stored=None, faults=None
):
    """A batch through the pipe and its execution, and the executions that it starts. `stored`: the work bucket."""
    stack = world.stacks[scenario]
    pipe = patterns.Pipe(api.create_pipe(stack))
    texts = [json.dumps(body, ensure_ascii=False) for body in bodies]
    services = Account(engine, ends, send_faults)
    services.buckets[WORK_BUCKET] = {} if stored is None else stored
    services.faults.update(faults or {})
    execution = asl.Execution(stack.definition("batch"), engine, services)
    execution.run(pipe.hands_over([text for text in texts if pipe.takes(text)]))
    for number, (machine, given) in enumerate(services.started):
        assert machine == stack["aws_sfn_state_machine.batch[0]"]["arn"], machine
        alone = asl.Execution(stack.definition("batch"), engine, services, f"alone-{number}")
        alone.run(given)
        assert len(given) == 1, "an execution that was started for one message starts no others"
    return services, execution


def run_redrive(world, event, engine, scenario="direct", send_faults=()):
    """A stopped task's event through the rule and the state machine: [(queue, delay, body)]."""
    stack = world.stacks[scenario]
    rule = json.loads(stack["aws_cloudwatch_event_rule.task_stopped[0]"]["event_pattern"])
    if not patterns.matches(rule, event):
        return []
    services = Account(engine, send_faults=send_faults)
    asl.Execution(stack.definition("redrive"), engine, services).run(event)
    assert all(a["QueueUrl"] in (SOURCE_QUEUE_URL, FAILED_QUEUE_URL) for a in services.sent), services.sent
    return [(a["QueueUrl"], a.get("DelaySeconds", 0), a["MessageBody"]) for a in services.sent]


def objects(bodies):
    """(bucket, key, attempts) of every record, sorted."""
    return sorted(one for body in bodies for one in samples.objects_of(body))


def keys(bodies):
    """The key of every record, sorted."""
    return [key for _, key, _ in objects(bodies)]


def counted(records, more):
    """Records that were tried some times more."""
    return sorted((bucket, key, attempts + more) for bucket, key, attempts in records)


def task_failed(exit_code=1, reason="Essential container in task exited", stop_code="EssentialContainerExited"):
    """The error of a task that ended badly; exit_code None: its container never ran."""
    exited = {} if exit_code is None else {"ExitCode": exit_code}
    cause = {
        "Attachments": [], "Containers": [{**exited, "Name": "pixpipe"}], "Overrides": {}, "StopCode": stop_code,
        "StoppedReason": reason,
    }  # fmt: skip
    return asl.StatesError("States.TaskFailed", json.dumps(cause, separators=(",", ":")))


NO_CAPACITY = json.dumps([{"Arn": samples.CLUSTER, "Reason": "Capacity is unavailable at this time."}])
QUOTA = json.dumps([{"Reason": "You’ve reached the limit on the number of vCPUs you can run concurrently"}])
# Tasks that ran and ended badly.
ENDS = {
    "interrupted": task_failed(137, "Your Spot Task was interrupted.", "SpotInterruption"),
    "killed": task_failed(137, "OutOfMemory"),
    "left undone": task_failed(75),
    "timed out": asl.StatesError("States.Timeout", ""),
}
# Launches after which nothing ran: the errors of RunTask in AWS's model, and those that were seen in the field.
REFUSALS = {
    "no capacity": asl.StatesError("AmazonECS.Unknown", NO_CAPACITY),
    "the vCPU quota": asl.StatesError("AmazonECS.Unknown", QUOTA),
    "a right is missing": asl.StatesError("ECS.AccessDeniedException", "no identity-based policy allows it"),
    "no image": task_failed(None, "CannotPullContainerError: not found", "TaskFailedToStart"),
    **{
        name: asl.StatesError(f"ECS.{name}", "")
        for name in (
            *(s.name for s in botocore.session.get_session().get_service_model("ecs").operation_model("RunTask")
              .error_shapes),
            "ThrottlingException", "AmazonECSException", "SdkClientException", "a name that nobody knows",
        )
        if name != "AccessDeniedException"
    },
}  # fmt: skip
SWITCHED_OFF = asl.StatesError(
    "ECS.AccessDeniedException",
    "User: arn:aws:sts::123456789012:assumed-role/pp-eu-west-1-batch/x is not authorized to perform: ecs:RunTask on "
    "resource: arn:aws:ecs:eu-west-1:123456789012:task-definition/pp:7 with an explicit deny in an identity-based "
    "policy (Service: AmazonECS; Status Code: 400)",
)
