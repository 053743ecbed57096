"""Rights of the roles and queues of a stack: evaluated as IAM does, and linted by parliament."""

import json

from parliament import analyze_policy_string

from patterns import policy_resource_matches


def listed(value):
    return value if isinstance(value, list) else [value]


def holds(condition, context):
    """Whether a statement's condition holds; only the operators that the module uses."""
    for operator, keys in (condition or {}).items():
        for key, wanted in keys.items():
            given = context.get(key)
            if given is None:
                return False
            compare = (
                policy_resource_matches
                if operator in ("ArnLike", "ArnEquals", "StringLike")
                else (lambda pattern, value: pattern == value)
            )
            if not any(compare(one, given) for one in listed(wanted)):
                return False
    return True


def allows(policy, action, resource, context):
    """Whether a policy allows this, in a request with this context."""
    allowed = False
    for statement in policy["Statement"]:
        applies = (
            any(policy_resource_matches(a, action) for a in listed(statement["Action"]))
            and any(policy_resource_matches(r, resource) for r in listed(statement["Resource"]))
            and holds(statement.get("Condition"), context)
        )
        if applies and statement["Effect"] == "Deny":
            return False
        allowed = allowed or applies
    return allowed


# Kinds of resources that parliament takes for kinds that must be there, while an action has one of several.
ONE_OF_SEVERAL = {
    ("states:ListExecutions", "mapRun"), ("states:DescribeExecution", "express"), ("states:StopExecution", "express"),
    ("states:RedriveExecution", "express"),
}  # fmt: skip


def lint(text):
    """Parliament's findings: unknown actions, and resources or conditions that an action does not support."""
    findings = analyze_policy_string(text, ignore_private_auditors=True).findings
    for finding in findings:
        if finding.issue == "RESOURCE_MISMATCH":
            finding.detail = [
                one for one in finding.detail
                if (one["action"], one["required_format"].split(":")[5].split("/")[0]) not in ONE_OF_SEVERAL
            ]  # fmt: skip
    return [f"{f.issue} {f.detail}" for f in findings if f.detail]


def policy_of(stack, role):
    """The policy of a role, as JSON; empty if it has none."""
    for address in (f"aws_iam_role_policy.{role}", f"aws_iam_role_policy.{role}[0]"):
        if address in stack:
            return json.loads(stack[address]["policy"])
    return {"Statement": []}
