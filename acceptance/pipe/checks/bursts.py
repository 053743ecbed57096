"""Bursts of uploads against ECS's launch rate and vCPU quotas: nothing may reach the failed queue. Discrete events.

What a launch that is refused or a task that ended leads to is asked of the applied state machine, once for each
situation; the pipe's batch size, window and the size of a task are the stack's, unless a row says otherwise.
"""

import dataclasses
import heapq
import json
import random

import api
import asl
from executions import task_failed

LAUNCHES_PER_SECOND, LAUNCHES_AT_ONCE = 20, 100
TASK_SECONDS = 40  # pull, start, work and stop, as in a run of 10 or 50 photos
TRANSITION_DOLLARS = 25e-6
THROTTLED = asl.StatesError("ECS.ThrottlingException", "Rate exceeded.")
NO_ROOM = asl.StatesError(
    "AmazonECS.Unknown", json.dumps([{"Reason": "You’ve reached the limit on the number of vCPUs"}])
)
SPOT_TAKES_BACK = task_failed(137, "Your Spot Task was interrupted.", "SpotInterruption")


@dataclasses.dataclass(frozen=True)
class Burst:
    uploads: int
    seconds: int
    vcpu_quota: int
    """Of FARGATE_SPOT and of FARGATE, each."""
    batch: int | None = None
    cpu_units: int | None = None
    interrupted: float = 0
    """The share of the tasks on Spot that is taken back without handing over."""


# Quotas: 6 is that of a new account. The rows are those that failed when a refused launch was an attempt: 10, 47, 88,
# 55, 57, 81 and 67 % of the records; with the module's defaults besides.
BURSTS = [
    Burst(1_000, 60, 6, batch=10, cpu_units=1024),
    Burst(2_000, 60, 6, batch=10, cpu_units=1024),
    Burst(10_000, 60, 6, batch=10, cpu_units=1024),
    Burst(10_000, 60, 6, batch=10, cpu_units=256),
    Burst(10_000, 60, 6),
    Burst(10_000, 60, 6, interrupted=0.3),
    Burst(100_000, 600, 100, batch=10, cpu_units=1024),
    Burst(100_000, 600, 6),
    Burst(1_000_000, 3600, 100, batch=10, cpu_units=1024),
    Burst(1_000_000, 3600, 100),
    Burst(1_000_000, 1200, 4_000, batch=10, cpu_units=1024),
    Burst(1_000_000, 1200, 4_000),
]


class Situation:
    """A task as the applied state machine sees it, and what follows its launch."""

    MEMBERS = ("next", "provider", "spot", "tries", "attempts", "refused", "stored")

    def __init__(self, machine, members):
        self.machine, self.members = machine, members
        self.next, self.provider = members[:2]
        self.following = {}

    @classmethod
    def of(cls, machine, task):
        members = tuple(task.get(name) for name in cls.MEMBERS)
        return machine.situations.setdefault(members, cls(machine, members))

    def after(self, error):
        """The next situation, and the shortest and the longest wait before it."""
        if error.name not in self.following:
            self.following[error.name] = self.machine.follows(self, error)
        return self.following[error.name]


class Machine:
    """The applied state machine, asked once for each situation."""

    def __init__(self, definition, engine):
        self.tasks = definition["States"]["Tasks"]
        self.states = self.tasks["ItemProcessor"]["States"]
        self.engine, self.situations = engine, {}
        assert "Retry" not in self.states["Run"], "the simulation does not know retriers of the launch"
        (self.catch,) = self.states["Run"]["Catch"]
        assert self.catch["ErrorEquals"] == ["States.ALL"] and self.catch["Next"] == "Pause"
        assert self.states["Pause"]["Next"] == "Decide"

    def first(self, message):
        """The situation of a new task."""
        states = {"input": [message], "context": {"Execution": {"Name": "e"}}}
        (task,) = self.engine.evaluate(self.tasks["Items"][2:-2], states)
        return Situation.of(self, task)

    def follows(self, situation, error):
        given = {**dict(zip(Situation.MEMBERS, situation.members)), "records": [{}]}
        seen = {"input": given, "context": {}, "errorOutput": {"Error": error.name, "Cause": error.cause}}
        text = self.catch["Output"][2:-2]
        assert text.count("$random()") == 1
        low, high = (self.engine.evaluate(text.replace("$random()", luck), seen) for luck in ("0", "0.999999999"))
        wait = self.states["Pause"]["Seconds"][2:-2]
        seconds = [self.engine.evaluate(wait, {"input": output, "context": {}}) for output in (low, high)]
        return Situation.of(self, low), *seconds


def _drained(burst, stack, machine, chance):
    """(records in the failed queue, seconds until all is done, tasks, launches, transitions) after a burst."""
    sqs = api.create_pipe(stack)["SourceParameters"]["SqsQueueParameters"]
    batch = burst.batch or sqs["BatchSize"]
    cpu_units = burst.cpu_units or int(stack["aws_ecs_task_definition.this"]["cpu"])
    room = dict.fromkeys(("FARGATE_SPOT", "FARGATE"), burst.vcpu_quota * 1024 // cpu_units)
    first = machine.first({"body": {"bucket": "photos-in", "key": "a.jpg"}})
    assert burst.uploads / burst.seconds * sqs["MaximumBatchingWindowInSeconds"] >= batch, "batches are full"
    batches = burst.uploads // batch
    queue = [((i + 1) * burst.seconds / batches, i, first) for i in range(batches)]
    ends = []  # (second, provider) of running tasks
    tokens, at = float(LAUNCHES_AT_ONCE), 0.0
    failed, done, launches, transitions, order = 0, 0.0, 0, 2 * batches, batches
    heapq.heapify(queue)
    pop, push, luck = heapq.heappop, heapq.heappush, chance.random
    while queue:
        now, _, situation = pop(queue)
        if situation.next != "Run":
            failed += situation.next == "HandOver"
            done = max(done, now)
            continue
        while ends and ends[0][0] <= now:
            room[pop(ends)[1]] += 1
        tokens, at = min(LAUNCHES_AT_ONCE, tokens + (now - at) * LAUNCHES_PER_SECOND), now
        launches, transitions, takes = launches + 1, transitions + 3, 0
        if tokens < 1:
            error = THROTTLED
        elif not room[situation.provider]:
            tokens, error = tokens - 1, NO_ROOM
        else:
            tokens -= 1
            room[situation.provider] -= 1
            push(ends, (now + TASK_SECONDS, situation.provider))
            if situation.provider == "FARGATE" or luck() >= burst.interrupted:
                done = max(done, now + TASK_SECONDS)
                transitions -= 2  # no wait and no choice after it
                continue
            takes, error = TASK_SECONDS, SPOT_TAKES_BACK
        following, shortest, longest = situation.after(error)
        order += 1
        push(queue, (now + takes + shortest + luck() * (longest - shortest), order, following))
    return failed * batch, done, batches, launches, transitions


def a_burst_waits_and_nothing_of_it_fails(world):
    for stack in world.applied("defaults"):
        machine = Machine(stack.definition("batch"), world.engines[0])
        chance = random.Random(7)
        head = ("uploads", "in", "batch", "cpu", "quota", "failed", "drained", "tasks", "launches", "dollars")
        print("      " + "".join(f"{title:>11}" for title in head))
        for burst in BURSTS[:3] if world.fast else BURSTS:
            failed, seconds, tasks, launches, transitions = _drained(burst, stack, machine, chance)
            share = failed / burst.uploads
            cells = (
                f"{burst.uploads:,}", f"{burst.seconds // 60} min", burst.batch or "default",
                burst.cpu_units or "default", burst.vcpu_quota, f"{share:.0%}", f"{seconds / 3600:.2f} h", f"{tasks:,}",
                f"{launches:,}", f"{transitions * TRANSITION_DOLLARS:.2f}",
            )  # fmt: skip
            print("      " + "".join(f"{cell:>11}" for cell in cells))
            assert failed == 0, f"{burst}: {share:.1%} in the failed queue"
