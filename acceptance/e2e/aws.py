"""The local AWS as the test and the stand-ins see it: clients of the owner and of roles, and local_aws.py's extras."""

import json
import urllib.error
import urllib.request

import boto3
import botocore.config

from waiting import wait_until

ACCOUNT, REGION = "000000000000", "us-east-1"
OWNER = {"AccessKeyId": "test", "SecretAccessKey": "test", "Token": None}  # ministack's name for the account's owner


class Aws:
    """An account. `endpoint` is the emulator's, `stand_in_endpoint` that of pipes and of running tasks."""

    account, region = ACCOUNT, REGION

    def __init__(self, endpoint, stand_in_endpoint, credentials=None):
        self.endpoint, self.stand_in_endpoint = endpoint, stand_in_endpoint
        self.credentials = credentials or OWNER

    def client(self, service, emulated=False):
        """A client; ECS is the stand-in's unless the emulator's is asked for."""
        stood_in = service == "pipes" or (service == "ecs" and not emulated)
        return boto3.client(
            service, endpoint_url=self.stand_in_endpoint if stood_in else self.endpoint, region_name=REGION,
            aws_access_key_id=self.credentials["AccessKeyId"],
            aws_secret_access_key=self.credentials["SecretAccessKey"],
            aws_session_token=self.credentials["Token"],
            config=botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=50, read_timeout=60),
        )  # fmt: skip

    def assume(self, role_arn, service, source_arn):
        """Credentials of a role, if its trust policy trusts this service, acting for that resource."""
        return self.ask("assume", PermissionError, role_arn=role_arn, service=service, source_arn=source_arn)

    def role(self, role_arn, service, source_arn):
        """The account with the role's rights only."""
        return Aws(self.endpoint, self.stand_in_endpoint, self.assume(role_arn, service, source_arn))

    def authorize(self, access_key, action, resource, context, refusal):
        """Raises `refusal` unless these credentials allow that."""

        def denied(message):
            return refusal("AccessDeniedException", message)

        self.ask("authorize", denied, access_key=access_key, action=action, resource=resource, context=context)

    def hold(self, bucket, key):
        """The next GET of the object will hang."""
        self.ask("hold", PermissionError, bucket=bucket, key=key)

    def wait_until_held(self, bucket, key, process):
        """Returns when a GET of the object hangs: True. False if the process that should send it has ended before."""

        def state():
            if self.ask("held", PermissionError, bucket=bucket, key=key)["hangs"]:
                return "hangs"
            return "ended" if process.poll() is not None else None

        if wait_until(state, f"a task to read {key}", seconds=60) == "hangs":
            return True
        self.ask("release", PermissionError, bucket=bucket, key=key)
        return False

    def accident(self, machine, request, kind, times=1, share=1.0, seed=""):
        """An accident of `states.py`, for a state machine."""
        self.ask("accident", PermissionError, machine=machine, request=request, kind=kind, times=times, share=share,
                 seed=seed)  # fmt: skip

    def struck(self, machine):
        """How often each accident of the state machine has struck. They are over then."""
        return self.ask("struck", PermissionError, machine=machine)["struck"]

    def ask(self, what, denied, **parameters):
        request = urllib.request.Request(
            f"{self.endpoint}/_e2e/{what}", data=json.dumps(parameters).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise denied(json.load(error).get("message", what)) from error

    def queue_url(self, arn):
        return self.client("sqs").get_queue_url(QueueName=arn.rsplit(":", 1)[-1])["QueueUrl"]
