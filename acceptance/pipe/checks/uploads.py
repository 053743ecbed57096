"""The launcher "event": the rule hands each upload to the state machine, as it is."""

import json

import api
import asl
import patterns
import samples
from account import Account
from executions import ENDS, SWITCHED_OFF, counted, objects
from world import WORK_BUCKET


def _run(world, engine, event, ends=lambda body, nth: None):
    """An upload through the rule and its execution; None if the rule does not match."""
    stack = world.stacks["event"]
    pattern = json.loads(stack["aws_cloudwatch_event_rule.object_created[0]"]["event_pattern"])
    if not patterns.matches(pattern, event):
        return None
    account = Account(engine, ends)
    account.buckets[WORK_BUCKET] = {}
    asl.Execution(stack.definition("batch"), engine, account).run(event)
    return account


def an_upload_is_one_task_whatever_its_key(world):
    for engine in world.engines:
        for key in samples.NASTY_KEYS:
            event = samples.eventbridge(key[:300] + ".jpg")
            account = _run(world, engine, event)
            assert objects(account.bodies()) == objects([event]), f"{engine.name}: {key[:80]!r}"
            assert account.providers() == ["FARGATE_SPOT"] and not account.sent


def what_the_rule_cannot_tell_apart_costs_no_task(world):
    """With suffixes, the rule cannot look at the prefix; there is no pipe behind it that would."""
    for engine in world.engines:
        for key in ("other/a.jpg", "Raw/a.jpg", "raw.jpg"):
            account = _run(world, engine, samples.eventbridge(key))
            assert not account.tasks and not account.sent, key
        assert _run(world, engine, samples.eventbridge("raw/a.png")) is None


def an_upload_that_fails_is_handed_over_or_put_back_and_runs_again_by_the_pipe(world):
    pipe = patterns.Pipe(api.create_pipe(world.stacks["event"]))
    event = samples.eventbridge("raw/é+.jpg")
    for engine in world.engines:
        account = _run(world, engine, event, lambda body, nth: ENDS["killed"])
        assert objects(account.failed()) == counted(objects([event]), 4) and all(map(pipe.takes, account.failed()))
        account = _run(world, engine, event, lambda body, nth: SWITCHED_OFF)
        assert objects(account.put_back()) == objects([event]) and all(map(pipe.takes, account.put_back()))


def an_event_that_no_expression_can_read_is_handed_over_as_it_is(world):
    event = samples.eventbridge("raw/\ud800.jpg")
    pipe = patterns.Pipe(api.create_pipe(world.stacks["event"]))
    for engine in world.engines:
        account = _run(world, engine, event)
        given = account.bodies() + account.failed()
        assert len(given) == 1 and "ud800" in json.dumps(json.loads(given[0])), given
        assert pipe.takes(given[0])
