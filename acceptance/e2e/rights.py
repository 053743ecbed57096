"""IAM of the local AWS: credentials of roles for services, and whether they allow an action."""

import functools
import json
import re
import time

from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam, sts

ACCOUNT, REGION = "000000000000", "us-east-1"


class Refused(Exception):
    """A request that AWS would refuse."""


def assume(role_arn, service, source_arn):
    """Temporary credentials of a role for an AWS service that acts for a resource of this account."""
    role = iam._roles.get_scoped(ACCOUNT, None, role_arn.rsplit("/", 1)[-1])
    if role is None:
        raise Refused(f"there is no role {role_arn}")
    trust = json.loads(role["AssumeRolePolicyDocument"])
    for statement in trust["Statement"]:
        statement["Resource"] = "*"  # a trust policy has no resource, but the evaluator needs one
    request = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=ACCOUNT,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=REGION,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": ACCOUNT},
    )
    if iam_evaluator.evaluate_resource_policy(trust, request, service=service).decision != "Allow":
        raise Refused(f"{service} for {source_arn} may not assume {role_arn}")
    name = role_arn.rsplit("/", 1)[-1]
    access_key, expires = iam._gen_session_access_key(), time.time() + 3600
    session = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{service.split('.')[0]}",
        "UserId": f"{sts._role_id(role_arn)}:{service}",
        "SecretAccessKey": iam._gen_secret(),
        "SessionToken": iam._gen_session_token(),
        "Expiration": expires,
        "AccountId": ACCOUNT,
        "PrincipalType": "AssumedRole",
        "SourceAccessKeyId": "test",
        "SourcePrincipalArn": f"arn:aws:iam::{ACCOUNT}:root",
        "SessionTags": [],
        "SessionPolicies": None,
    }
    sts.register_session(access_key, session)
    return {
        "AccessKeyId": access_key,
        "SecretAccessKey": session["SecretAccessKey"],
        "Token": session["SessionToken"],
        "RoleArn": role_arn,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
    }


@functools.cache
def credentials_of(role_arn, service, source_arn):
    """`assume`, once: they last for longer than anything here."""
    return assume(role_arn, service, source_arn)


def authorize(access_key, action, resource, context):
    """Whether the principal behind an access key may do this; by its policies, with the request's condition keys."""
    principal = iam_evaluator.resolve_principal(access_key, ACCOUNT)
    if isinstance(principal, iam_evaluator.AuthError):
        raise Refused(principal.message)
    if principal.policies is None:
        return {}
    request = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={k.lower(): v for k, v in context.items()},
    )
    decision = iam_evaluator.evaluate(request, principal.policies).decision
    if decision != "Allow":
        why = (
            "with an explicit deny in an identity-based policy"
            if decision == "Deny"
            else f"because no identity-based policy allows the {action} action"
        )
        raise Refused(f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} {why}")
    return {}


def names_of_actions_as_in_iam():
    """Batches of SQS are allowed by the right to the single action."""
    ministacks = iam_actions.extract_iam_action

    def extract_iam_action(*arguments, **named):
        action = ministacks(*arguments, **named)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = extract_iam_action


def wildcards_as_in_iam():
    """A * stands for anything, in keys with line breaks too."""
    ministacks = iam_evaluator._fnmatch_compile

    def compiled(pattern, ignore_case):
        found = ministacks(pattern, ignore_case)
        return re.compile(found.pattern, found.flags | re.DOTALL)

    iam_evaluator._fnmatch_compile = compiled


def resources_as_in_iam():
    """DescribeMapRun is about a Map Run, and PutEvents has the source of its events as a condition key."""
    ministacks_resource, ministacks_context = iam_actions.extract_resource_arn, iam_actions.request_tag_context

    def extract_resource_arn(service, method, path, headers, body, *others):
        if service == "states" and headers.get("x-amz-target", "").endswith(".DescribeMapRun"):
            return json.loads(body)["mapRunArn"]
        return ministacks_resource(service, method, path, headers, body, *others)

    def request_tag_context(service, iam_action, body, params):
        context = ministacks_context(service, iam_action, body, params)
        if iam_action == "events:PutEvents":
            sources = {entry.get("Source", "") for entry in json.loads(body)["Entries"]}
            context = {**context, "events:source": sources.pop() if len(sources) == 1 else ""}
        return context

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context
