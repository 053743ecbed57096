"""Checks on the applied runs of delivery/tests/delivery.tftest.hcl: requests, rights, who takes them, what expires."""

import json
import re

import api
import policies

ACCOUNT, REGION = "123456789012", "eu-west-1"
REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/pixpipe"
BUCKET = f"arn:aws:s3:::pixpipe-release-{ACCOUNT}-{REGION}"
CONNECTION = f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/4a6c1b2d-0000-4000-8000-1234567890ab"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
PROJECTS = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/pixpipe-release-"
PIPELINE = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:pixpipe-release"

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
PUSH_NEEDS = [
    *[(f"ecr:{action}", REPOSITORY) for action in (
        "BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload", "InitiateLayerUpload", "PutImage",
        "UploadLayerPart",
    )],
    ("ecr:GetAuthorizationToken", "*"),
]  # fmt: skip
STEP_NEEDS = [
    ("logs:CreateLogStream", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/pixpipe/pixpipe-release:log-stream:x"),
    ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/pixpipe/pixpipe-release:log-stream:x"),
    *[(f"s3:{action}", f"{BUCKET}/source") for action in ("GetObject", "GetObjectVersion", "PutObject")],
    *[(f"s3:{action}", BUCKET) for action in ("GetBucketAcl", "GetBucketLocation", "GetBucketVersioning")],
    ("codeconnections:UseConnection", CONNECTION),
    ("codestar-connections:UseConnection", CONNECTION),
]
ROLES = {
    "push[0]": PUSH_NEEDS,
    "deploy[0]": [
        ("ecs:ListTaskDefinitions", "*"), ("ecs:DescribeTaskDefinition", "*"), ("ecr:DescribeImages", REPOSITORY),
    ],
    'build["push"]': PUSH_NEEDS + STEP_NEEDS,
    'build["test"]': STEP_NEEDS,
    "pipeline[0]": [
        *[(f"codebuild:{action}", f"{PROJECTS}{step}") for action in ("StartBuild", "BatchGetBuilds")
          for step in ("test", "build-arm64", "build-x86-64", "publish")],
        # https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html
        *[(f"s3:{action}", f"{BUCKET}/source")
          for action in ("GetObject", "GetObjectVersion", "PutObject", "PutObjectAcl")],
        *[(f"s3:{action}", BUCKET) for action in ("GetBucketAcl", "GetBucketLocation", "GetBucketVersioning")],
        ("codeconnections:UseConnection", CONNECTION), ("codestar-connections:UseConnection", CONNECTION),
    ],
}  # fmt: skip
TAKE_NO_RESOURCE = ("ecr:GetAuthorizationToken", "ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions")
EVERY_NEED = {need for needs in ROLES.values() for need in needs}
# Of nobody: other repositories, other projects, and whatever deletes or lets others in.
FORBIDDEN = [
    *[(action, resource.replace("repository/pixpipe", "repository/other")) for action, resource in PUSH_NEEDS[:-1]],
    ("ecr:BatchDeleteImage", REPOSITORY), ("ecr:DeleteRepository", REPOSITORY), ("ecr:SetRepositoryPolicy", REPOSITORY),
    ("ecr:PutImageTagMutability", REPOSITORY), ("ecr:PutLifecyclePolicy", REPOSITORY),
    ("codebuild:StartBuild", f"{PROJECTS}other"), ("codebuild:UpdateProject", f"{PROJECTS}publish"),
    ("s3:PutObject", "arn:aws:s3:::other/x"), ("s3:DeleteObject", f"{BUCKET}/arm64"),
    ("codeconnections:UseConnection", CONNECTION.replace("4a6c", "0000")),
    ("codeconnections:PassConnection", CONNECTION),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/x"), ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/x"),
]  # fmt: skip


def every_request_is_one_that_its_service_knows(stacks):
    for stack in stacks.values():
        seen = 0
        for service, operation, parameters in requests(stack):
            found = api.faults(service, operation, parameters)
            assert not found, f"{stack.name}: {operation}: {found}"
            seen += 1
        assert seen >= 2, stack.name


def the_repository_is_what_the_variables_say(stacks):
    for stack in stacks.values():
        repository = stack["aws_ecr_repository.this"]
        key = {"everything": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/images"}.get(stack.name)
        assert repository["image_tag_mutability"] == "IMMUTABLE", "a tag can move"
        assert repository["image_scanning_configuration"] == [{"scan_on_push": True}]
        [encryption] = repository["encryption_configuration"]
        assert encryption["encryption_type"] == ("KMS" if key else "AES256")
        assert not key or encryption["kms_key"] == key


def the_newest_releases_stay_and_what_no_release_took_up_goes(stacks):
    for name, kept, days in (("everything", 5, 7), ("defaults", 30, 14)):
        rules = json.loads(stacks[name]["aws_ecr_lifecycle_policy.this"]["policy"])["rules"]
        releases = [(f"v1.{age}.0", age) for age in range(kept + 10)]
        halves = [(None, age) for age in range(days + 10)]
        others = [("by-hand", 1000)]
        expired = expire(rules, releases + halves + others)
        wanted = [one for one in releases if one[1] >= kept] + [one for one in halves if one[1] > days]
        wrong = set(expired) ^ set(wanted)
        assert not wrong, f"{name}: {sorted(wrong, key=str)}"


def policies_pass_parliament(stacks):
    for stack in stacks.values():
        for address, policy in stack.of_type("aws_iam_role_policy").items():
            # Parliament does not know the newer of the two names of this service.
            text = policy["policy"].replace("codeconnections:UseConnection", "codestar-connections:UseConnection")
            found = policies.lint(text.replace(":codeconnections:", ":codestar-connections:"))
            assert not found, f"{stack.name}: {address}: {found}"


def a_role_may_do_what_it_needs_and_nothing_else(stacks):
    stack, faults = stacks["everything"], []
    for role, needs in ROLES.items():
        policy = json.loads(stack[f"aws_iam_role_policy.{role}"]["policy"])
        for action, resource in needs:
            if not policies.allows(policy, action, resource, {}):
                faults.append(f"{role} may not {action} {resource}")
        for action, resource in [*FORBIDDEN, *(EVERY_NEED - set(needs))]:
            if policies.allows(policy, action, resource, {}):
                faults.append(f"{role} may {action} {resource}")
        for statement in policy["Statement"]:
            for action in statement["Action"]:
                on_everything = "*" in statement["Resource"] and action not in TAKE_NO_RESOURCE
                if "*" in action or on_everything:
                    faults.append(f"{role} may {action} on everything")
    assert not faults, faults


def the_rights_to_deploy_are_the_given_ones(stacks):
    attached = stacks["everything"].of_type("aws_iam_role_policy_attachment").values()
    assert [one["policy_arn"] for one in attached] == [f"arn:aws:iam::{ACCOUNT}:policy/apply-photos"]


def a_run_on_github_takes_exactly_its_role(stacks):
    """https://docs.github.com/en/actions/reference/security/oidc has the forms of the claim `sub`."""
    faults = []
    for name, repository in (("everything", "octo-org/octo-repo"), ("github", "octo-org@123456/octo-repo@456789")):
        subjects = {
            f"repo:{repository}:ref:refs/tags/v1.2.3": "push",
            f"repo:{repository}:environment:production": "deploy",
            f"repo:{repository}:ref:refs/tags/nightly": None,
            f"repo:{repository}:ref:refs/heads/main": None,
            f"repo:{repository}:ref:refs/heads/refs/tags/v1": None,
            f"repo:{repository}:pull_request": None,
            f"repo:{repository}:environment:staging": None,
            f"repo:{repository}-fork:ref:refs/tags/v1.2.3": None,
            f"repo:somebody/{repository.split('/')[1]}:ref:refs/tags/v1.2.3": None,
            f"repo:{repository.split('/')[0]}/other:environment:production": None,
            f"x-repo:{repository}:ref:refs/tags/v1.2.3": None,
        }
        for role in ("push", "deploy"):
            address = f"aws_iam_role.{role}[0]"
            if role == "deploy" and name == "github":
                if address in stacks[name]:
                    faults.append("a role to deploy without rights to do so")
                continue
            [statement] = json.loads(stacks[name][address]["assume_role_policy"])["Statement"]
            assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
            assert statement["Principal"] == {"Federated": PROVIDER}
            for subject, taker in subjects.items():
                for audience in ("sts.amazonaws.com", "https://github.com/octo-org"):
                    context = {
                        "token.actions.githubusercontent.com:sub": subject,
                        "token.actions.githubusercontent.com:aud": audience,
                    }
                    held = policies.holds(statement["Condition"], context)
                    if held != (taker == role and audience == "sts.amazonaws.com"):
                        faults.append(f"{role}: {subject} for {audience}: {held}")
    assert not faults, faults


def a_service_takes_a_role_for_exactly_its_own_resource(stacks):
    faults = []
    steps = {"push": ("build-arm64", "build-x86-64", "publish"), "test": ("test",)}
    takers = {"pipeline[0]": ("codepipeline", [PIPELINE])}
    takers |= {f'build["{role}"]': ("codebuild", [PROJECTS + one for one in own]) for role, own in steps.items()}
    for role, (service, sources) in takers.items():
        [statement] = json.loads(stacks["everything"][f"aws_iam_role.{role}"]["assume_role_policy"])["Statement"]
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
        projects = [PROJECTS + step for step in (*steps["push"], *steps["test"], "other")]
        for source in [PIPELINE, PIPELINE + "2", *projects]:
            for account in (ACCOUNT, "999999999999"):
                context = {"aws:SourceAccount": account, "aws:SourceArn": source}
                held = policies.holds(statement["Condition"], context)
                if held != (account == ACCOUNT and source in sources):
                    faults.append(f"{role}: {source} of {account}: {held}")
    assert not faults, faults


def the_pipeline_releases_tags_by_the_same_script(stacks):
    stack = stacks["everything"]
    pipeline = stack["aws_codepipeline.this[0]"]
    assert (pipeline["pipeline_type"], pipeline["execution_mode"]) == ("V2", "QUEUED")
    [trigger] = pipeline["trigger"]
    [push] = trigger["git_configuration"][0]["push"]
    includes = [one["includes"] for one in push["tags"]]
    assert includes == [["v*"]] and not push["branches"], f"not the release tags: {push}"
    source, *stages = pipeline["stage"]
    [clone] = source["action"]
    assert clone["configuration"]["OutputArtifactFormat"] == "CODEBUILD_CLONE_REF", "the commit is not known"
    given = set(clone["output_artifacts"])
    for stage in stages:
        made = set()
        for action in stage["action"]:
            assert set(action["input_artifacts"]) <= given, f"{action['name']}: {action['input_artifacts']} of {given}"
            made |= set(action["output_artifacts"])
        given |= made
    [publish] = stages[-1]["action"]
    assert publish["configuration"]["PrimarySource"] == "source"
    commands = {
        name: "\n".join(json.loads(project["source"][0]["buildspec"])["phases"]["build"]["commands"])
        for name, project in ((p["name"], p) for p in stack.of_type("aws_codebuild_project").values())
    }
    assert "make test" in commands["pixpipe-release-test"]
    for step in ("build-arm64", "build-x86-64"):
        assert 'delivery/release.py build "$REPOSITORY"' in commands[f"pixpipe-release-{step}"], step
    last = commands["pixpipe-release-publish"]
    assert 'delivery/release.py publish "$REPOSITORY"' in last
    folders = set(re.findall(r"\$CODEBUILD_SRC_DIR_(\w+)", last))
    assert folders == set(publish["input_artifacts"]) - {"source"}, folders
    for project in stack.of_type("aws_codebuild_project").values():
        [environment] = project["environment"]
        variables = {one["name"]: one["value"] for one in environment["environment_variable"]}
        assert variables == {"REPOSITORY": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pixpipe"}
        assert environment["privileged_mode"] != project["name"].endswith("publish"), "docker needs it, and only docker"
        # https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html
        image = {"ARM_CONTAINER": "aws/codebuild/amazonlinux-aarch64-standard:3.0",
                 "LINUX_CONTAINER": "aws/codebuild/standard:7.0"}[environment["type"]]  # fmt: skip
        assert environment["image"] == image, f"{project['name']}: {environment['image']}"


def the_bucket_is_nobody_elses(stacks):
    stack = stacks["everything"]
    block = stack["aws_s3_bucket_public_access_block.pipeline[0]"]
    rules = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert all(block[rule] for rule in rules)
    policy = json.loads(stack["aws_s3_bucket_policy.pipeline[0]"]["policy"])
    everything_allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    for resource in (BUCKET, f"{BUCKET}/x"):
        for secure in ("true", "false"):
            context = {"aws:SecureTransport": secure}
            both = {"Statement": [everything_allowed, *policy["Statement"]]}
            allowed = policies.allows(both, "s3:GetObject", resource, context)
            assert allowed == (secure == "true"), f"{resource}: {context}: {allowed}"
    [rule] = stack["aws_s3_bucket_lifecycle_configuration.pipeline[0]"]["rule"]
    assert rule["status"] == "Enabled" and rule["expiration"][0]["days"] == 30
    assert rule["noncurrent_version_expiration"][0]["noncurrent_days"] == 1
    versioning = stack["aws_s3_bucket_versioning.pipeline[0]"]["versioning_configuration"]
    assert versioning[0]["status"] == "Enabled", "CodePipeline wants a versioned bucket"
    name = stack["aws_s3_bucket.pipeline[0]"]["bucket"]
    assert len(name) + 27 - len("pixpipe") + len("ap-southeast-1") - len(REGION) <= 63, "the longest name does not fit"


CHECKS = [
    every_request_is_one_that_its_service_knows,
    the_repository_is_what_the_variables_say,
    the_newest_releases_stay_and_what_no_release_took_up_goes,
    policies_pass_parliament,
    a_role_may_do_what_it_needs_and_nothing_else,
    the_rights_to_deploy_are_the_given_ones,
    a_run_on_github_takes_exactly_its_role,
    a_service_takes_a_role_for_exactly_its_own_resource,
    the_pipeline_releases_tags_by_the_same_script,
    the_bucket_is_nobody_elses,
]

# --- what AWS would make of it


def expire(rules, images):
    """The images, as (tag, age in days), that ECR would expire: in the order of priority, an image that matches the
    tags of a rule is left alone by all later ones.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html
    """
    expired, left = [], sorted(images, key=lambda image: image[1])
    for rule in sorted(rules, key=lambda rule: rule["rulePriority"]):
        selection = rule["selection"]
        if selection["tagStatus"] == "untagged":
            matching = [image for image in left if image[0] is None]
        else:
            patterns = selection["tagPatternList"]
            matching = [
                image for image in left
                if image[0] and all(policies.policy_resource_matches(one, image[0]) for one in patterns)
            ]  # fmt: skip
        if selection["countType"] == "imageCountMoreThan":
            expired += matching[int(selection["countNumber"]) :]
        else:
            assert (selection["countType"], selection["countUnit"]) == ("sinceImagePushed", "days")
            expired += [image for image in matching if image[1] > selection["countNumber"]]
        assert rule["action"] == {"type": "expire"}
        left = [image for image in left if image not in matching]
    assert len({rule["rulePriority"] for rule in rules}) == len(rules)
    return expired


def requests(stack):
    """(service, operation, parameters) of the requests with which the stack creates something."""
    def tags(resource, key="key", value="value"):
        return [{key: k, value: v} for k, v in (resource.get("tags") or {}).items()]

    repository = stack["aws_ecr_repository.this"]
    [encryption] = repository["encryption_configuration"]
    yield "ecr", "CreateRepository", api.present(
        repositoryName=repository["name"],
        imageTagMutability=repository["image_tag_mutability"],
        imageScanningConfiguration={"scanOnPush": repository["image_scanning_configuration"][0]["scan_on_push"]},
        encryptionConfiguration=api.present(
            encryptionType=encryption["encryption_type"],
            kmsKey=encryption["kms_key"] if encryption["encryption_type"] == "KMS" else None,
        ),
        tags=tags(repository, "Key", "Value"),
    )
    policy = stack["aws_ecr_lifecycle_policy.this"]
    yield "ecr", "PutLifecyclePolicy", {
        "repositoryName": policy["repository"], "lifecyclePolicyText": policy["policy"],
    }  # fmt: skip
    for provider in stack.of_type("aws_iam_openid_connect_provider").values():
        yield "iam", "CreateOpenIDConnectProvider", {"Url": provider["url"], "ClientIDList": provider["client_id_list"]}
    for role in stack.of_type("aws_iam_role").values():
        yield "iam", "CreateRole", {
            "RoleName": role["name"],
            "Description": role["description"],
            "AssumeRolePolicyDocument": role["assume_role_policy"],
            "Tags": tags(role, "Key", "Value"),
        }  # fmt: skip
    for policy in stack.of_type("aws_iam_role_policy").values():
        yield "iam", "PutRolePolicy", {
            "RoleName": policy["role"], "PolicyName": policy["name"], "PolicyDocument": policy["policy"],
        }  # fmt: skip
    for attachment in stack.of_type("aws_iam_role_policy_attachment").values():
        yield "iam", "AttachRolePolicy", {"RoleName": attachment["role"], "PolicyArn": attachment["policy_arn"]}
    for connection in stack.of_type("aws_codeconnections_connection").values():
        yield "codeconnections", "CreateConnection", {
            "ConnectionName": connection["name"], "ProviderType": connection["provider_type"],
        }  # fmt: skip
    for project in stack.of_type("aws_codebuild_project").values():
        [environment], [source], [logs] = project["environment"], project["source"], project["logs_config"]
        yield "codebuild", "CreateProject", {
            "name": project["name"],
            "description": project["description"],
            "serviceRole": project["service_role"],
            "timeoutInMinutes": api.whole(project["build_timeout"]),
            "queuedTimeoutInMinutes": api.whole(project["queued_timeout"]),
            "source": {"type": source["type"], "buildspec": source["buildspec"]},
            "artifacts": {"type": project["artifacts"][0]["type"]},
            "environment": {
                "type": environment["type"],
                "image": environment["image"],
                "computeType": environment["compute_type"],
                "privilegedMode": environment["privileged_mode"],
                "environmentVariables": [
                    {"name": one["name"], "value": one["value"]} for one in environment["environment_variable"]
                ],
            },
            "logsConfig": {"cloudWatchLogs": {
                "status": logs["cloudwatch_logs"][0]["status"] or "ENABLED",
                "groupName": logs["cloudwatch_logs"][0]["group_name"],
                "streamName": logs["cloudwatch_logs"][0]["stream_name"],
            }},
            "tags": tags(project),
        }  # fmt: skip
    for pipeline in stack.of_type("aws_codepipeline").values():
        yield "codepipeline", "CreatePipeline", {"pipeline": create_pipeline(pipeline), "tags": tags(pipeline)}
    for group in stack.of_type("aws_cloudwatch_log_group").values():
        yield "logs", "CreateLogGroup", api.present(logGroupName=group["name"], tags=group["tags"])
        yield "logs", "PutRetentionPolicy", {
            "logGroupName": group["name"], "retentionInDays": api.whole(group["retention_in_days"]),
        }  # fmt: skip


def create_pipeline(pipeline):
    return {
        "name": pipeline["name"],
        "roleArn": pipeline["role_arn"],
        "pipelineType": pipeline["pipeline_type"],
        "executionMode": pipeline["execution_mode"],
        "artifactStore": {
            "type": pipeline["artifact_store"][0]["type"], "location": pipeline["artifact_store"][0]["location"],
        },
        "triggers": [
            {
                "providerType": trigger["provider_type"],
                "gitConfiguration": {
                    "sourceActionName": trigger["git_configuration"][0]["source_action_name"],
                    "push": [
                        {"tags": {"includes": push["tags"][0]["includes"]}}
                        for push in trigger["git_configuration"][0]["push"]
                    ],
                },
            }
            for trigger in pipeline["trigger"]
        ],
        "stages": [
            {
                "name": stage["name"],
                "actions": [
                    api.present(
                        name=action["name"],
                        actionTypeId={key: action[key] for key in ("category", "owner", "provider", "version")},
                        configuration=action["configuration"],
                        namespace=action["namespace"] or None,
                        inputArtifacts=[{"name": name} for name in action["input_artifacts"] or []],
                        outputArtifacts=[{"name": name} for name in action["output_artifacts"] or []],
                    )
                    for action in stage["action"]
                ],
            }
            for stage in pipeline["stage"]
        ],
    }  # fmt: skip
