"""Drains: the queue is emptied, every record exactly once, and on bad days nothing is in no place at all."""

import json

import asl
import policies
import samples
from account import Account, address
from executions import ENDS, REFUSALS, SWITCHED_OFF, objects, task_failed
from world import FAILED_QUEUE_URL, REGION, WORK_BUCKET, arn

DRAIN, COLLECT = arn("states", "stateMachine:pp-drain"), arn("states", "stateMachine:pp-collect")
START = "2026-01-02T03:04:05.678Z"  # of every execution here
SPOT, FARGATE = "FARGATE_SPOT", "FARGATE"
LONGEST_HANDLE = 1024


class Drained(Account):
    """An account with the machines of a drain, and a queue."""

    def __init__(self, world, engine, bodies, ends=lambda body, nth: None, scenario="drain"):
        super().__init__(engine, ends)
        self.stack = world.stacks[scenario]
        self.buckets[WORK_BUCKET] = {}
        self.queue = [body if isinstance(body, str) else json.dumps(body, ensure_ascii=False) for body in bodies]
        self.machines[COLLECT] = ("EXPRESS", self.stack.definition("collect"))
        self.lost_answers, self.handle_characters, self.collected = 0, 0, []

    def sfn_startSyncExecution(self, arguments):
        answer = super().sfn_startSyncExecution(arguments)
        self.collected.append(answer)
        if self.lost_answers:
            self.lost_answers -= 1
            raise asl.StatesError("States.Timeout", "")
        return answer

    def sqs_receiveMessage(self, arguments):
        answer = super().sqs_receiveMessage(arguments)
        for message in answer.get("Messages", []):
            longer = message["ReceiptHandle"].ljust(self.handle_characters, "=")
            self.in_flight[longer] = self.in_flight.pop(message["ReceiptHandle"])
            message["ReceiptHandle"] = longer
        return answer

    def drain(self, name="run"):
        """Runs a drain to its end."""
        self.running.setdefault(DRAIN, [{"ExecutionArn": f"{DRAIN}:{name}", "Name": name, "StartDate": START}])
        execution = asl.Execution(self.stack.definition("drain"), self.engine, self, name, machine="pp-drain")
        self.running[DRAIN][-1]["ExecutionArn"] = execution.arn
        self.runs_of[execution.arn] = execution
        try:
            execution.run({})
        finally:
            del self.running[DRAIN]
        return execution

    def left(self):
        """Keys of the batches that are not done."""
        return [key for key in self.buckets[WORK_BUCKET] if key.startswith("batches/")]

    def told(self):
        """The detail of the only event."""
        (event,) = self.events
        assert (event["Source"], event["DetailType"], event["EventBusName"]) == ("pixpipe", "Drain Finished", "default")
        return event["Detail"]


def _photos(number, first=0):
    return [samples.eventbridge(f"raw/{first + index:04}.jpg") for index in range(number)]


def a_drain_empties_the_queue_tells_the_truth_and_rearms_its_alarm(world):
    bodies = [samples.eventbridge(key) for key in samples.NASTY_KEYS] + [
        samples.notification("raw/one.jpg", "raw/two.jpg"), {"bucket": samples.BUCKET, "key": "raw/by hand.jpg"},
        samples.handed_back("raw/back.jpg", 1),
    ]  # fmt: skip
    for engine in world.engines:
        account = Drained(world, engine, bodies)
        execution = account.drain()
        assert objects(account.bodies()) == objects(bodies), f"{engine.name}: {len(account.tasks)} tasks"
        assert not account.queue and not account.in_flight and not account.left() and not account.sent
        assert len(account.tasks) == 2 and account.told() == {
            "stack": "pp", "execution": execution.arn, "batches": 2, "objects": 20, "written": 20, "skipped": 0,
            "failed": 0, "uncounted": 0, "handedOver": 0, "reports": f"s3://{WORK_BUCKET}/reports/run/",
        }, account.told()  # fmt: skip
        assert account.alarms == [("pp-drain-start", "OK")] and execution.entered[-2:] == ["Rearm", "Ended"]
        reports = [key for key in account.buckets[WORK_BUCKET] if key.startswith("reports/run/")]
        assert len(reports) == 2 and all(key.endswith(".jsonl") for key in reports), reports


def an_empty_queue_costs_no_task(world):
    nothing = [
        samples.TEST_EVENT, samples.notification("raw/a.jpg", event="ObjectRemoved:Delete"),
        samples.eventbridge("raw/a.jpg", kind="Object Deleted"), samples.eventbridge("raw/folder/", size=0),
        samples.eventbridge("other/a.jpg"),
        {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change"},
    ]  # fmt: skip
    for engine in world.engines:
        for bodies in ([], nothing):
            account = Drained(world, engine, bodies)
            account.drain()
            assert not account.tasks and not account.queue and not account.in_flight, account.bodies()
            assert account.buckets[WORK_BUCKET] == {} and account.told()["objects"] == 0


def what_no_one_can_read_never_takes_its_neighbours_with_it(world):
    strange = ["not JSON", '{"Records": [', '"a text"', "[1, null]", json.dumps("s3://photos-in/raw/in a text.jpg"),
               json.dumps({"hello": "world"}), json.dumps({"batch": "s3://lists/1.json"})]  # fmt: skip
    for engine in world.engines:
        account = Drained(world, engine, [*_photos(3), *strange, *_photos(3, 3)])
        account.drain()
        given = json.dumps([json.loads(body) for body in account.bodies()])
        for number in range(6):
            assert f"raw/{number:04}.jpg" in given, f"{engine.name}: {number}: {given[:500]}"
        for text in ("not JSON", "a text", "in a text.jpg", "hello", "s3://lists/1.json"):
            assert text in given, f"{engine.name}: {text}: {given[:500]}"
        assert not account.queue and not account.in_flight and not account.left()


def the_collector_keeps_every_limit_of_a_state(world):
    """Messages of 16 KiB, of every kind that grows when it is read or written; the longest receipt handles."""
    sixteen_kib = 16 * 1024
    kinds = {
        "quotes": '"' * sixteen_kib,
        "line ends": "\n" * sixteen_kib,
        "short entries": json.dumps([{"bucket": "b", "key": "k"}] * 560, separators=(",", ":")),
        "long keys": json.dumps({"bucket": samples.BUCKET, "key": "é" * 8000}, ensure_ascii=False),
        "many records": json.dumps(samples.notification(*["raw/a.jpg"] * 17)),
    }
    for engine in world.engines:
        for label, body in kinds.items():
            assert len(body.encode()) <= sixteen_kib, f"{label}: {len(body.encode())}"
            account = Drained(world, engine, [body] * 12, scenario="drain")
            account.handle_characters = LONGEST_HANDLE
            account.drain()
            failures = {answer["Error"] + answer["Cause"] for answer in account.collected if "Error" in answer}
            assert not failures, f"{engine.name}: {label}: {failures}"
            assert not account.queue and not account.left() and account.tasks, label


def five_hundred_messages_with_usual_handles_are_one_batch(world):
    definition = json.dumps(world.stacks["drain"].definition("collect"))
    definition = definition.replace("< 10 and", "< 500 and").replace("10, 10 - ", "10, 500 - ")
    for engine in world.engines[-1:]:
        account = Drained(world, engine, _photos(520))
        account.handle_characters = 412  # as SQS hands them out
        account.machines[COLLECT] = ("EXPRESS", json.loads(definition))
        answer = account.sfn_startSyncExecution({"StateMachineArn": COLLECT, "Input": "{}"})
        assert answer["Status"] == "SUCCEEDED", answer
        (batch,) = account.buckets[WORK_BUCKET].values()
        assert len(json.loads(batch)["Records"]) == 500, len(json.loads(batch)["Records"])
        assert not account.in_flight and len(account.queue) == 20


def on_demand_workers_begin_on_fargate_and_the_others_on_spot(world):
    for engine in world.engines:
        account = Drained(world, engine, _photos(30), lambda body, nth: None)
        execution = account.drain()
        (run,) = execution.map_runs
        assert run["max_concurrency"] == 3 and run["items"] == 3
        assert [child["provider"] for child in run["inputs"]] == [FARGATE, SPOT, SPOT]
        assert [child["spot"] for child in run["inputs"]] == [False, True, True]
        few = Drained(world, engine, _photos(11)).drain()
        assert few.map_runs[0]["items"] == 2, "more workers than the messages need"


# --- bad days


def tasks_that_die_are_run_again_and_at_last_their_batches_are_handed_over(world):
    for engine in world.engines:
        for label, end in ENDS.items():
            bodies, ran = _photos(25), {}

            def ends(body, nth, end=end, ran=ran):
                ran[body] = ran.get(body, 0) + 1
                return end if "raw/0000.jpg" in body or ran[body] == 1 and nth % 3 == 0 else None

            account = Drained(world, engine, bodies, ends)
            account.drain()
            (text,) = account.failed()
            bucket, key = address(json.loads(text)["batch"])
            handed = account.buckets[bucket][key].decode()
            assert key.startswith("handed-over/batches/") and "raw/0000.jpg" in handed
            done = [body for body in account.bodies() if "raw/0000.jpg" not in body]
            assert {k for _, k, _ in [*objects(done), *objects([handed])]} == {k for _, k, _ in objects(bodies)}, label
            assert account.told()["handedOver"] == 10 and not account.left() and not account.queue, account.told()
            again = Drained(world, engine, [json.loads(text)])
            again.buckets = account.buckets
            again.drain()
            (body,) = again.bodies()
            assert json.loads(body)["Records"] == [json.loads(text)] and not again.left(), body


def a_lost_answer_leaves_nothing_behind(world):
    for engine in world.engines:
        for lost in (1, 4):
            account = Drained(world, engine, _photos(30))
            account.lost_answers = lost
            execution = account.drain()
            assert len(execution.map_runs) >= 2, "the batch that nobody heard of was found in the same round"
            assert objects(account.bodies()) == objects(_photos(30)), f"{engine.name}: {lost} lost"
            assert not account.left() and account.told()["objects"] == 30


def a_worker_that_dies_leaves_its_batch_to_the_next_round(world):
    """Handing over fails for half an hour, and the execution with it."""
    for engine in world.engines:
        for absorbed in ("described", "left out"):
            account = Drained(world, engine, _photos(30), lambda body, nth: task_failed(78) if nth == 1 else None)
            account.send_faults = [asl.StatesError("SQS.SdkClientException", "")] * 9
            execution = asl.Execution(
                account.stack.definition("drain"), engine, account, "run", absorbed=absorbed, machine="pp-drain"
            )
            account.running[DRAIN] = [{"ExecutionArn": execution.arn, "Name": "run", "StartDate": START}]
            execution.run({})
            assert len(execution.map_runs[0]["failed"]) == 1 and len(execution.map_runs) == 2
            assert not account.left() and not account.queue and not account.failed(), absorbed
            assert {k for _, k, _ in objects(account.bodies())} == {k for _, k, _ in objects(_photos(30))}


def a_collector_that_cannot_write_deletes_nothing_and_stops_the_drain_loudly(world):
    denied = asl.StatesError("S3.AccessDeniedException", "no identity-based policy allows the s3:PutObject action")

    def refuse(arguments):
        raise denied

    for engine in world.engines:
        account = Drained(world, engine, _photos(5))
        account.faults["aws-sdk:s3:putObject"] = refuse
        account.faults["aws-sdk:sqs:getQueueAttributes"] = lambda arguments, account=account: account.reappear()
        try:
            account.drain()
        except asl.StatesError as error:
            assert error.name == "pixpipe.NoProgress" and "AccessDenied" in error.cause, error
        else:
            raise AssertionError("a drain that can do nothing succeeded")
        account.reappear()
        assert len(account.queue) == 5 and not account.tasks and not account.alarms, "it would start again at once"
        account.faults.clear()
        account.drain("repaired")
        assert objects(account.bodies()) == objects(_photos(5))


def what_cannot_be_deleted_from_the_queue_is_done_again(world):
    def refuse(arguments):
        raise asl.StatesError("Sqs.SqsException", "")

    for engine in world.engines:
        account = Drained(world, engine, _photos(5))
        account.faults["aws-sdk:sqs:deleteMessageBatch"] = refuse
        account.drain()
        assert objects(account.bodies()) == objects(_photos(5)) and len(account.in_flight) == 5
        account.reappear()
        account.faults.clear()
        account.events.clear()
        account.drain("next")
        assert objects(account.bodies()) == sorted(objects(_photos(5)) * 2) and not account.queue


def a_launch_that_is_refused_for_a_day_is_handed_over_by_its_address(world):
    for engine in world.engines[-1:]:
        account = Drained(world, engine, _photos(5), lambda body, nth: REFUSALS["no capacity"])
        execution = account.drain()
        (text,) = account.failed()
        assert json.loads(text)["pixpipe"]["attempts"] == 0
        (child,) = execution.children()
        assert sum(seconds for seconds, name in child.waits if name == "Pause") >= 24 * 3600
        assert child.events < asl.HISTORY_MAX_EVENTS


def the_kill_switch_leaves_batches_where_the_next_drain_finds_them(world):
    for engine in world.engines:
        account = Drained(world, engine, _photos(25), lambda body, nth: SWITCHED_OFF)
        account.drain()
        assert not account.sent and len(account.left()) == 3 and account.told()["batches"] == 0
        account.ends = lambda body, nth: None
        account.tasks, account.requests, account.events = [], [], []
        account.drain("next")
        assert objects(account.bodies()) == objects(_photos(25)) and not account.left()
        assert account.told()["objects"] == 25, "a batch that was left has lost its number of records"


def only_one_drain_works(world):
    """The earlier one; of two at the same millisecond, the one with the lesser ARN."""
    mine = arn("states", "execution:pp-drain:run")
    others = [
        ("2026-01-02T03:04:05.677Z", "zzz", False), ("2026-01-02T03:04:05.679Z", "aaa", True), (START, "aaa", False),
        (START, "zzz", True), (1767323045.677, "zzz", False), (1767323045.679, "aaa", True),  # in seconds
    ]  # fmt: skip
    for engine in world.engines:
        for start, name, works in others:
            account = Drained(world, engine, _photos(5))
            other = {"ExecutionArn": arn("states", f"execution:pp-drain:{name}"), "Name": name, "StartDate": start}
            account.running[DRAIN] = [other, {"ExecutionArn": mine, "Name": "run", "StartDate": START}]
            execution = account.drain()
            assert bool(account.tasks) == works, f"{engine.name}: {start} {name}"
            assert works or execution.entered[-1] == "Another" and not account.events and not account.alarms
        account = Drained(world, engine, _photos(5))
        seen = [[], [{"ExecutionArn": mine + "-0", "Name": "run-0", "StartDate": "2026-01-02T03:04:00.000Z"}]]
        account.faults["aws-sdk:sfn:listExecutions"] = lambda arguments, account=account, seen=seen: (
            account.running.update({DRAIN: seen.pop(0)})
        )
        account.running[DRAIN] = [{"ExecutionArn": mine, "Name": "run", "StartDate": START}]
        execution = account.drain()
        assert not account.tasks and execution.waits == [(5, "Moment")], "a list that is seconds old was believed"


def a_number_that_is_a_minute_old_is_waited_for_and_stops_nothing(world):
    """Workers that find nothing although messages are said to wait, and then do not."""
    for engine in world.engines:
        account, said = Drained(world, engine, []), ["7", "7", "0"]
        account.sqs_getQueueAttributes = lambda arguments, said=said: {
            "Attributes": {"ApproximateNumberOfMessages": said.pop(0)}
        }
        execution = account.drain()
        assert [seconds for seconds, name in execution.waits if name == "Breath"] == [30, 30], execution.waits
        assert account.told()["batches"] == 0 and not said


def telling_and_rearming_may_fail(world):
    def refuse(arguments):
        raise asl.StatesError("Some.Exception", "")

    for engine in world.engines:
        account = Drained(world, engine, _photos(5))
        account.faults["events:putEvents"] = account.faults["aws-sdk:cloudwatch:setAlarmState"] = refuse
        execution = account.drain()
        assert objects(account.bodies()) == objects(_photos(5)) and execution.entered[-1] == "Ended"


# --- what it takes


def a_worker_and_a_drain_stay_within_their_histories(world):
    """Events of a batch, of a refusal and of a round, as they run here, times the most that each may be."""
    stack = world.stacks["drain"]
    conditions = json.dumps(stack.definition("drain")["States"])
    for engine in world.engines[-1:]:
        one, two = (Drained(world, engine, _photos(10 * n)).drain() for n in (1, 2))
        refused = Drained(world, engine, _photos(5), lambda body, nth: REFUSALS["no capacity"] if nth < 11 else None)
        refusal = (refused.drain().children()[0].events - one.children()[0].events) / 10
        batch = two.children()[0].events - one.children()[0].events
        assert "rounds >= 300 or $states.input.waits >= 1300" in conditions
        most = 300 * batch + (1300 + 96 + 4) * refusal
        print(f"      a batch is {batch} events of a worker's history, a refusal {refusal:.0f}: {most:.0f} at most")
        assert most < asl.HISTORY_MAX_EVENTS, most
        assert one.events * 300 < asl.HISTORY_MAX_EVENTS, f"{one.events} events of a drain of one round"


def a_batch_costs_few_transitions(world):
    """Nine a batch, four a worker, and some twenty a drain."""
    for engine in world.engines[-1:]:
        execution = Drained(world, engine, _photos(10)).drain()
        (child,) = execution.children()
        assert child.entered == [
            "Choose", "Collect", "Choose", "Batch", "Decide", "RunStored", "Finished", "Count", "Clear", "Choose",
            "Collect", "Choose", "Done",
        ], child.entered  # fmt: skip
        assert execution.transitions() <= 32, execution.entered


def every_call_of_a_drain_is_one_that_its_role_allows(world):
    """Calls of a day with everything in it, against the policies."""
    queue, work = arn("sqs", "pp-source"), f"arn:aws:s3:::{WORK_BUCKET}"
    bus, workers = arn("events", "event-bus/default"), arn("states", "execution:pp-drain/Workers:1")

    def needs(call, arguments):
        name = call.removeprefix("aws-sdk:")
        place = f"{work}/{arguments.get('Key')}"
        return {
            "sqs:receiveMessage": [("sqs:ReceiveMessage", queue, {})],
            "sqs:deleteMessageBatch": [("sqs:DeleteMessage", queue, {})],
            "sqs:getQueueAttributes": [("sqs:GetQueueAttributes", queue, {})],
            "s3:putObject": [("s3:PutObject", place, {})],
            "s3:headObject": [("s3:GetObject", place, {})],
            "s3:deleteObject": [("s3:DeleteObject", place, {})],
            "s3:copyObject": [("s3:PutObject", place, {}),
                              ("s3:GetObject", f"arn:aws:s3:::{arguments.get('CopySource')}", {})],
            "s3:listObjectsV2": [("s3:ListBucket", work, {"s3:prefix": arguments.get("Prefix")})],
            "sfn:startSyncExecution": [("states:StartSyncExecution", COLLECT, {})],
            "sfn:listExecutions": [("states:ListExecutions", DRAIN, {})],
            "sqs:sendMessage": [("sqs:SendMessage", arn("sqs", "pp-failed"), {})],
            "events:putEvents": [("events:PutEvents", bus, {"events:source": "pixpipe"})],
            "cloudwatch:setAlarmState": [("cloudwatch:SetAlarmState", arn("cloudwatch", "alarm:pp-drain-start"), {})],
            "ecs:runTask.sync": [("ecs:RunTask", samples.TASK_DEFINITION, {"ecs:cluster": samples.CLUSTER})],
        }[name]  # fmt: skip

    of_collector = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "s3:PutObject"}
    for engine in world.engines[-1:]:
        account = Drained(world, engine, _photos(15), lambda body, nth: task_failed(78) if nth == 1 else None)
        account.drain()
        collector = policies.policy_of(account.stack, "collect")
        drain = policies.policy_of(account.stack, "drain")
        tried = set()
        for call, arguments in account.calls:
            for action, resource, context in needs(call, arguments):
                collects = action in of_collector and "handed-over" not in resource
                policy = collector if collects else drain
                tried.add(action)
                assert policies.allows(policy, action, resource, context), f"{call}: {action} {resource} {context}"
        assert len(tried) == 13, tried
        children = arn("states", "execution:pp-drain:abc")
        for action, resource in (
            ("states:StartExecution", DRAIN), ("states:DescribeExecution", children),
            ("states:StopExecution", children), ("states:RedriveExecution", workers),
        ):  # fmt: skip
            assert policies.allows(drain, action, resource, {}), f"{action} {resource}"
        for policy, action, resource, context in (
            (drain, "sqs:ReceiveMessage", queue, {}),
            (drain, "events:PutEvents", bus, {"events:source": "aws.s3"}),
            (drain, "s3:ListBucket", work, {"s3:prefix": ""}),
            (drain, "states:StartSyncExecution", DRAIN, {}),
            (drain, "s3:PutObject", f"{work}/reports/1.jsonl", {}),
            (collector, "s3:PutObject", f"{work}/handed-over/1.json", {}),
            (collector, "s3:DeleteObject", f"{work}/batches/1.json", {}),
            (collector, "ecs:RunTask", samples.TASK_DEFINITION, {"ecs:cluster": samples.CLUSTER}),
        ):  # fmt: skip
            assert not policies.allows(policy, action, resource, context), f"{action} {resource} {context}"


# --- what starts it


def its_alarm_and_its_schedule_start_it_and_nothing_else_does(world):
    stack = world.stacks["drain"]
    alarm = stack["aws_cloudwatch_metric_alarm.drain_start[0]"]
    assert alarm["alarm_name"] == "pp-drain-start" and not alarm["alarm_actions"] and not alarm["ok_actions"]
    metrics = {q["id"]: q["metric"][0] for q in alarm["metric_query"] if q["metric"]}
    assert {i: (m["metric_name"], m["stat"], m["period"], m["dimensions"]) for i, m in metrics.items()} == {
        "waiting": ("ApproximateNumberOfMessagesVisible", "Maximum", 60, {"QueueName": "pp-source"}),
        "age": ("ApproximateAgeOfOldestMessage", "Maximum", 60, {"QueueName": "pp-source"}),
    }, metrics
    pattern = json.loads(stack["aws_cloudwatch_event_rule.drain_start[0]"]["event_pattern"])
    assert pattern == {
        "source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"], "account": ["123456789012"],
        "resources": [arn("cloudwatch", "alarm:pp-drain-start")], "detail": {"state": {"value": ["ALARM"]}},
    }, pattern  # fmt: skip
    target = stack["aws_cloudwatch_event_target.drain[0]"]
    schedule = stack["aws_scheduler_schedule.drain[0]"]
    assert target["arn"] == schedule["target"][0]["arn"] == DRAIN and target["input"] == schedule["target"][0]["input"]
    assert schedule["schedule_expression"] == "cron(0 3 * * ? *)" and schedule["group_name"] == "pp"
    assert schedule["schedule_expression_timezone"] == "Europe/Berlin" and schedule["state"] == "ENABLED"
    for role, machine in (("drain_start", DRAIN), ("drain_schedule", DRAIN)):
        policy = policies.policy_of(stack, role)
        assert policies.allows(policy, "states:StartExecution", machine, {}), role
        assert not policies.allows(policy, "states:StartExecution", COLLECT, {}), role
    policy = policies.policy_of(stack, "drain_schedule")
    assert policies.allows(policy, "sqs:SendMessage", arn("sqs", "pp-dlq"), {})
    assert not policies.allows(policy, "sqs:SendMessage", FAILED_QUEUE_URL, {})
    context = {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}
    assert policies.allows(policy, "kms:GenerateDataKey", arn("kms", "key/queues"), context)
