"""The queues: who may send to them, how long they keep messages, and where messages go from them."""

import json

import api
import policies
from world import ACCOUNT, FAILED_QUEUE_URL, OTHER_ACCOUNT, SOURCE_QUEUE_URL, arn, piped

# scenario: queue: (service that may send, resource that it acts for), or None for none
SENDERS = {
    "direct": {
        "source": ("events", arn("events", "rule/pp-object-created")),
        "dlq": ("events", arn("events", "rule/pp-object-created")),
        "redrive_dlq": ("events", arn("events", "rule/pp-task-stopped")),
        "failed": None,
    },
    "batched_s3": {"source": ("s3", "arn:aws:s3:::photos-in"), "dlq": None, "failed": None},
}
FOURTEEN_DAYS_SECONDS = 14 * 86400


def _statements(stack, queue):
    """The statements of a queue's policy that allow, and those that deny."""
    addresses = (f"aws_sqs_queue_policy.{queue}", f"aws_sqs_queue_policy.{queue}[0]")
    policy = json.loads(stack[next(a for a in addresses if a in stack)]["policy"])
    return tuple([s for s in policy["Statement"] if s["Effect"] == effect] for effect in ("Allow", "Deny"))


def nobody_uses_a_queue_without_tls(world):
    for stack in world.applied(*SENDERS):
        for queue in SENDERS[stack.name]:
            _, denied = _statements(stack, queue)
            assert len(denied) == 1 and denied[0]["Principal"] == "*", f"{stack.name}: {queue}: {denied}"
            assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}, f"{stack.name}: {queue}"


def queues_take_events_of_exactly_their_sender(world):
    for stack in world.applied(*SENDERS):
        for queue, sender in SENDERS[stack.name].items():
            allowed, _ = _statements(stack, queue)
            assert len(allowed) == (1 if sender else 0), f"{stack.name}: {queue}: {allowed}"
            for statement in allowed:
                service, source = sender
                assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
                assert statement["Action"] == "sqs:SendMessage"
                resource = statement["Resource"]
                assert resource.endswith(":pp-" + queue.replace("_", "-")), f"{stack.name}: {queue}: {resource}"
                for account, source_arn, expected in (
                    (ACCOUNT, source, True),
                    (ACCOUNT, source + "2", False),
                    (OTHER_ACCOUNT, source, False),
                ):
                    context = {"aws:SourceArn": source_arn, "aws:SourceAccount": account}
                    held = policies.holds(statement["Condition"], context)
                    assert held == expected, f"{stack.name}: {queue} takes from {source_arn} of {account}: {held}"


def a_drains_dead_letter_queue_takes_starts_that_were_not_delivered(world):
    for stack in world.applied("drain"):
        allowed, _ = _statements(stack, "dlq")
        assert [(s["Principal"], s["Condition"]["ArnEquals"]["aws:SourceArn"]) for s in allowed] == [
            ({"Service": "events.amazonaws.com"}, arn("events", "rule/pp-object-created")),
            ({"Service": "events.amazonaws.com"}, arn("events", "rule/pp-drain-start")),
        ], allowed


def a_policy_is_that_of_its_own_queue(world):
    """On the wrong queue no event is let in, and whoever reads only the policy does not see it."""
    for stack in world.stacks.values():
        for kind in ("aws_sqs_queue_policy", "aws_sqs_queue_redrive_allow_policy"):
            for address, policy in stack.of_type(kind).items():
                queue = stack[address.replace(kind, "aws_sqs_queue")]
                assert policy["queue_url"] == queue["url"], f"{stack.name}: {address} is on {policy['queue_url']}"
                for statement in json.loads(policy.get("policy") or '{"Statement": []}')["Statement"]:
                    assert statement["Resource"] == queue["arn"], f"{stack.name}: {address}: {statement['Resource']}"


def a_dead_letter_queue_allows_exactly_those_that_use_it(world):
    for stack in world.stacks.values():
        queues = stack.of_type("aws_sqs_queue")
        targets = {}
        for queue in queues.values():
            policy = queue["redrive_policy"] or ""
            if policy.startswith("{"):
                targets.setdefault(json.loads(policy)["deadLetterTargetArn"], []).append(queue["arn"])
        for address, policy in stack.of_type("aws_sqs_queue_redrive_allow_policy").items():
            dead_letter_arn = stack[address.replace("_redrive_allow_policy", "")]["arn"]
            allowed = json.loads(policy["redrive_allow_policy"])["sourceQueueArns"]
            assert allowed == targets[dead_letter_arn], f"{stack.name}: {address}: {allowed}"


def queues_are_the_table(world):
    """name: (receives before the dead-letter queue, the largest message)"""
    wanted = {"source": (5, 16_384), "dlq": (1000, None), "failed": (None, None), "redrive_dlq": (None, None)}
    for stack in world.stacks.values():
        for address, queue in stack.of_type("aws_sqs_queue").items():
            receives, largest = wanted[address.split(".")[1].split("[")[0]]
            policy = queue["redrive_policy"] or ""
            got = json.loads(policy)["maxReceiveCount"] if policy.startswith("{") else None
            assert got == receives, f"{address}: {got} receives"
            assert not queue["delay_seconds"], f"{address}: {queue['delay_seconds']} s of delay"
            assert largest is None or queue["max_message_size"] == largest, address
            assert not queue["fifo_queue"], address


def messages_go_to_the_dead_letter_queue_and_can_be_moved_back(world):
    for stack in world.stacks.values():
        source = json.loads(stack["aws_sqs_queue.source"]["redrive_policy"])
        assert source == {"deadLetterTargetArn": arn("sqs", "pp-dlq"), "maxReceiveCount": 5}, source
        # StartMessageMoveTask takes messages only from the dead-letter queue of another queue.
        redrive_policies = [queue["redrive_policy"] or "" for queue in stack.of_type("aws_sqs_queue").values()]
        dead_letter_queues = {json.loads(p)["deadLetterTargetArn"] for p in redrive_policies if p.startswith("{")}
        for name in ("dlq", "failed"):
            assert stack[f"aws_sqs_queue.{name}"]["arn"] in dead_letter_queues, f"messages of {name} cannot be moved"
            allowed = json.loads(stack[f"aws_sqs_queue_redrive_allow_policy.{name}"]["redrive_allow_policy"])
            assert set(allowed) == {"redrivePermission", "sourceQueueArns"}
            assert allowed["redrivePermission"] == "byQueue"


def queues_keep_messages_for_14_days_and_are_encrypted(world):
    for stack in world.stacks.values():
        has_key = stack.name in ("direct_keys", "batched_s3", "drain")
        for address, queue in stack.of_type("aws_sqs_queue").items():
            assert queue["message_retention_seconds"] == FOURTEEN_DAYS_SECONDS, address
            assert bool(queue["kms_master_key_id"]) == has_key, f"{stack.name}: {address}: the key"
            assert has_key or queue["sqs_managed_sse_enabled"], f"{stack.name}: {address} is not encrypted"


def the_source_queue_hides_a_message_for_as_long_as_a_launch_takes(world):
    for stack in piped(world):
        sqs = api.create_pipe(stack)["SourceParameters"]["SqsQueueParameters"]
        window_seconds = sqs["MaximumBatchingWindowInSeconds"]
        assert stack["aws_sqs_queue.source"]["visibility_timeout_seconds"] >= 120 + window_seconds
    for stack in world.applied("drain"):
        seconds = stack.definition("collect")["TimeoutSeconds"]
        assert stack["aws_sqs_queue.source"]["visibility_timeout_seconds"] >= seconds + 60


def tasks_hand_back_to_the_right_queues(world):
    for stack in world.stacks.values():
        environment = stack.environment()
        assert environment["RETRY_QUEUE_URL"] == SOURCE_QUEUE_URL, stack.name
        assert environment["FAILED_QUEUE_URL"] == FAILED_QUEUE_URL, stack.name
