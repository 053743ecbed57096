"""Messages of S3, EventBridge, ECS and earlier hand-backs."""

import json
import urllib.parse

BUCKET = "photos-in"
CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/pp"
TASK_DEFINITION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp:7"

# Raw keys, not as an event encodes them.
NASTY_KEYS = [
    "raw/a.jpg",
    "raw/with space and+plus.jpg",
    "raw/100%.jpg",
    "raw/%2B is not a plus.jpg",
    "raw/quote\"and'backslash\\.jpg",
    "raw/naïve Bäume/写真/🦊.jpg",
    "raw/new\nline\ttab\x01.jpg",
    "raw/{curly: brace}, <tag> & ${dollar}.jpg",
    "raw/[0].jpg",
    "raw//double//slash.jpg",
    "raw/" + "x" * 1016 + ".jpg",
    "raw/" + "é" * 508 + ".jp",
    "raw/" + "🦊" * 254 + ".jp",
    "raw/" + '"' * 1016 + ".jpg",
    "raw/" + "\\" * 1016 + ".jpg",
    "raw/" + "\x01" * 1016 + ".jpg",
]
assert all(len(key.encode()) <= 1024 for key in NASTY_KEYS)


def form_encoded(key):
    """As S3 writes a key in a notification."""
    return urllib.parse.quote_plus(key, safe="/*")


def notification(*keys, event="ObjectCreated:Put", size=2_345_678, bucket=BUCKET, **more):
    """S3's own notification, with every member that it has."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-1",
                "eventTime": "2026-01-02T03:04:05.678Z",
                "eventName": event,
                "userIdentity": {"principalId": "AWS:AROAEXAMPLEEXAMPLEEXAM:uploader"},
                "requestParameters": {"sourceIPAddress": "203.0.113.7"},
                "responseElements": {
                    "x-amz-request-id": "EXAMPLE123456789",
                    "x-amz-id-2": "EXAMPLE123/5678abcdefghijklambdaisawesome/mnopqrstuvwxyzABCDEFGH",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "pp-0",
                    "bucket": {
                        "name": bucket,
                        "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                        "arn": f"arn:aws:s3:::{bucket}",
                    },
                    "object": {
                        "key": form_encoded(key),
                        "size": size,
                        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                        "sequencer": "0A1B2C3D4E5F678901",
                    },
                },
                **more,
            }
            for key in keys
        ]
    }


def handed_back(key, attempts, bucket=BUCKET):
    """A record as a task sends it to a queue: a minimal notification."""
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": bucket}, "object": {"key": form_encoded(key)}},
                "pixpipe": {"attempts": attempts, "reason": "store-unavailable"},
            }
        ]
    }


def eventbridge(key, kind="Object Created", size=2_345_678, bucket=BUCKET, account="123456789012"):
    """S3's event through EventBridge: the key is raw."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": account,
        "time": "2026-01-02T03:04:05Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": size,
                "etag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0A1B2C3D4E5F678901",
            },
            "request-id": "EXAMPLE123456789",
            "requester": "123456789012",
            "source-ip-address": "203.0.113.7",
            "reason": "PutObject",
        },
    }


TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-01-02T03:04:05.678Z",
    "Bucket": BUCKET,
    "RequestId": "EXAMPLE",
    "HostId": "EXAMPLE",
}


def stopped(
    body,
    exit_code=137,
    stop_code="EssentialContainerExited",
    reason="Essential container in task exited",
    container="pixpipe",
    sidecar=False,
    cluster=CLUSTER,
    task_definition=TASK_DEFINITION,
    status="STOPPED",
):
    """ECS's event of a task; exit_code None: the container never ran."""
    main = {
        "name": container,
        "containerArn": "arn:aws:ecs:eu-west-1:123456789012:container/pp/1/2",
        "lastStatus": "STOPPED",
        "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/pp/1",
    }
    if exit_code is not None:
        main["exitCode"] = exit_code
    if exit_code == 137:
        main["reason"] = "OutOfMemoryError: Container killed due to memory usage"
    containers = [main]
    if sidecar:
        containers.insert(0, {"name": "aws-guardduty-agent-AbCd", "lastStatus": "STOPPED", "exitCode": 143})
    return {
        "version": "0",
        "id": "3317b2af-7005-947d-b652-f55e762e571a",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "123456789012",
        "time": "2026-01-02T03:05:05Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:ecs:eu-west-1:123456789012:task/pp/1"],
        "detail": {
            "clusterArn": cluster,
            "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/pp/1",
            "taskDefinitionArn": task_definition,
            "group": "family:pp",
            "lastStatus": status,
            "desiredStatus": "STOPPED",
            "stopCode": stop_code,
            "stoppedReason": reason,
            "containers": containers,
            "overrides": {
                "containerOverrides": ([{"name": "aws-guardduty-agent-AbCd"}] if sidecar else [])
                + [
                    {
                        "name": container,
                        "cpu": 1024,
                        "memory": 2048,
                        "environment": [{"name": "SQS_BODY", "value": body}],
                    }
                ]
            },
        },
    }


def objects_of(value, pixpipe=None):
    """(bucket, key, attempts) of every record of a batch, as the task reads it (docs/contract.md)."""
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        return [one for element in value for one in objects_of(element)]
    attempts = value.get("pixpipe", {}).get("attempts", 0)
    if "Records" in value:
        return [(bucket, key, tried + attempts) for bucket, key, tried in objects_of(value["Records"])]
    if "s3" in value:
        key = urllib.parse.unquote_plus(value["s3"]["object"]["key"], errors="strict")
        return [(value["s3"]["bucket"]["name"], key, attempts)]
    if "body" in value:
        return objects_of(value["body"])
    if value.get("source") == "aws.s3":
        return [(value["detail"]["bucket"]["name"], value["detail"]["object"]["key"], attempts)]
    return [(value["bucket"], value["key"], attempts)]


def overrides_length(body):
    """The greatest length of the overrides of a RunTask: without spaces, with or without \\u escapes."""
    overrides = {"containerOverrides": [{"name": "pixpipe", "environment": [{"name": "SQS_BODY", "value": body}]}]}
    return max(len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=plain)) for plain in (True, False))
