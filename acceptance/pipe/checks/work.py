"""The work bucket: whose it is, who gets in, what it keeps and for how long."""

import json

import api
from world import BACKFILLS, WORK_BUCKET

CONFIGURED = (
    "public_access_block", "ownership_controls", "server_side_encryption_configuration", "lifecycle_configuration",
    "policy",
)  # fmt: skip
KEPT_DAYS = 30
QUEUE_KEEPS_DAYS = 14


def it_is_made_for_every_launcher_but_direct_unless_one_is_given(world):
    for stack in world.stacks.values():
        works = not stack.name.startswith("direct") or stack.name in BACKFILLS
        makes = works and stack.name != "batched_s3"
        made = stack.of_type("aws_s3_bucket").values()
        assert [bucket["bucket"] for bucket in made] == [WORK_BUCKET] * makes, f"{stack.name}: {made}"
        configured = [kind for kind in CONFIGURED if stack.of_type(f"aws_s3_bucket_{kind}")]
        assert len(configured) == len(CONFIGURED) * makes, f"{stack.name}: {configured}"


def it_is_private_over_tls_only_encrypted_and_the_owners(world):
    for stack in world.applied("batched", "defaults", "off"):
        requests = {operation: parameters for _, _, operation, parameters in api.bucket_requests(stack)}
        assert all(requests["PutPublicAccessBlock"]["PublicAccessBlockConfiguration"].values())
        assert requests["PutBucketOwnershipControls"]["OwnershipControls"] == {
            "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
        }
        (rule,) = requests["PutBucketEncryption"]["ServerSideEncryptionConfiguration"]["Rules"]
        key = "arn:aws:kms:eu-west-1:123456789012:key/work" if stack.name == "batched" else None
        wanted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
        assert rule["ApplyServerSideEncryptionByDefault"] == wanted, f"{stack.name}: {rule}"
        (denied,) = json.loads(requests["PutBucketPolicy"]["Policy"])["Statement"]
        assert denied == {
            "Sid": "OnlyOverTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{WORK_BUCKET}", f"arn:aws:s3:::{WORK_BUCKET}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }, denied  # fmt: skip


def batches_never_expire_and_all_else_does(world):
    """What is handed over outlives the message with its address, also one that is moved back on its last day."""
    assert KEPT_DAYS > 2 * QUEUE_KEEPS_DAYS
    for stack in world.applied("batched", "defaults", "off"):
        (lifecycle,) = [
            parameters["LifecycleConfiguration"]["Rules"] for _, _, operation, parameters in api.bucket_requests(stack)
            if operation == "PutBucketLifecycleConfiguration"
        ]  # fmt: skip
        rules = [rule for rule in lifecycle if "Expiration" in rule]
        expiring = {rule["Filter"].get("Prefix"): rule["Expiration"]["Days"] for rule in rules}
        assert expiring == dict.fromkeys(["handed-over/", "reports/", "runs/"], KEPT_DAYS), expiring
        assert {rule["Status"] for rule in lifecycle} == {"Enabled"}
