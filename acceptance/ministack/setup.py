"""Prepares a fresh ministack for the tests in acceptance/ministack/ministack.rs.

    setup.py ENDPOINT FILE

Buckets: `src`, `dest`, `notifying` (sends its events to a queue) and `publishing` (sends them to a topic with a queue).
Roles: `pixpipe` (reads src/* and dest/thumbs/*, writes dest/thumbs/*), `write-only` (the same, but cannot read dest),
`read-only` (cannot write). Each test that hands records back has its own queues.

FILE receives, as JSON: the endpoint, the credentials of every role, the messages received in the queues for events, and
the URLs of the queues for handed-back records.
"""

import json
import sys
import time
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

PHOTO = Path(__file__).resolve().parents[2] / "testdata" / "photos" / "astronaut.png"
REGION = "us-east-1"
ROOT = {"id": "test", "secret": "test", "token": None}  # ministack's name for the account's owner
TIME_LIMIT_SECONDS = 60

QUEUES = ("retry-1", "failed-1", "retry-2", "failed-2", "failed-3")
SOURCE = "arn:aws:s3:::src/*"
OUTPUTS = "arn:aws:s3:::dest/thumbs/*"
ROLES = {
    "pixpipe": [("s3:GetObject", SOURCE), ("s3:GetObject", OUTPUTS), ("s3:PutObject", OUTPUTS)],
    "write-only": [("s3:GetObject", SOURCE), ("s3:PutObject", OUTPUTS)],
    "read-only": [("s3:GetObject", SOURCE), ("s3:GetObject", OUTPUTS)],
}


def main(endpoint, file):
    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=ROOT["id"],
            aws_secret_access_key=ROOT["secret"],
        )

    s3 = client("s3")
    wait_until_it_answers(s3)
    for bucket in ("src", "dest", "notifying", "publishing"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="src", VersioningConfiguration={"Status": "Enabled"})

    setup = {
        "endpoint": endpoint,
        "region": REGION,
        "credentials": {"root": ROOT} | assumed_roles(client("iam"), client("sts")),
        "notifications": notifications(s3, client("sqs"), client("sns")),
        "queues": {name: client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in QUEUES},
    }
    with open(file, "w", encoding="utf-8") as out:
        json.dump(setup, out, indent=2)


def wait_until_it_answers(s3):
    """Waits until the server, which has just been started, answers a request."""
    give_up = time.monotonic() + TIME_LIMIT_SECONDS
    while True:
        try:
            s3.list_buckets()
            return
        except BotoCoreError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def assumed_roles(iam, sts):
    """Creates the roles and returns temporary credentials for each."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
        ],
    }
    credentials = {}
    for name, allowed in ROLES.items():
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy)
        given = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="tests")["Credentials"]
        credentials[name] = {
            "id": given["AccessKeyId"],
            "secret": given["SecretAccessKey"],
            "token": given["SessionToken"],
        }
    return credentials


def notifications(s3, sqs, sns):
    """Lets S3 and SNS send notifications. Returns the two bodies in each queue: a test event and one for a photo."""
    queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("from-s3", "from-sns")}
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in queues.items()
    }
    topic = sns.create_topic(Name="objects")["TopicArn"]
    for service, queue in (("s3", "from-s3"), ("sns", "from-sns")):
        policy = allow(service, "sqs:SendMessage", arns[queue])
        sqs.set_queue_attributes(QueueUrl=queues[queue], Attributes={"Policy": policy})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=allow("s3", "sns:Publish", topic))
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["from-sns"])

    events = ["s3:ObjectCreated:*"]
    to_queue = {"QueueConfigurations": [{"QueueArn": arns["from-s3"], "Events": events}]}
    to_topic = {"TopicConfigurations": [{"TopicArn": topic, "Events": events}]}
    s3.put_bucket_notification_configuration(Bucket="notifying", NotificationConfiguration=to_queue)
    s3.put_bucket_notification_configuration(Bucket="publishing", NotificationConfiguration=to_topic)
    for bucket in ("notifying", "publishing"):
        s3.put_object(Bucket=bucket, Key="two words + 100% ü.png", Body=PHOTO.read_bytes())

    return {name: received(sqs, url, count=2) for name, url in queues.items()}


def allow(service, action, resource):
    """Returns a resource policy that allows one AWS service one action."""
    principal = {"Service": f"{service}.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def received(sqs, url, count):
    """Waits for `count` messages and returns their bodies in the order of arrival."""
    bodies = []
    give_up = time.monotonic() + TIME_LIMIT_SECONDS
    while len(bodies) < count:
        if time.monotonic() > give_up:
            raise TimeoutError(f"{url} received {len(bodies)} of {count} messages: {bodies}")
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


if __name__ == "__main__":
    main(*sys.argv[1:])
