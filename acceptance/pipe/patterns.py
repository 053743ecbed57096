"""EventBridge patterns and pipes, as documented: whether a pattern matches, and the target's input of a pipe."""

import fnmatch
import json
import re

# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html, column "Pipe support"
PIPE_OPERATORS = {"prefix", "suffix", "numeric", "exists", "equals-ignore-case", "anything-but", "cidr"}
RULE_OPERATORS = PIPE_OPERATORS | {"wildcard"}

MISSING = object()


def matches(pattern, event):
    """Whether an event pattern matches an event."""
    for field, wanted in pattern.items():
        if field == "$or" and isinstance(wanted, list) and len(wanted) > 1:
            if not any(matches(arm, event) for arm in wanted):
                return False
            continue
        value = event.get(field, MISSING) if isinstance(event, dict) else MISSING
        if isinstance(wanted, dict):
            # Of an array of objects, one element must match the whole of the sub-pattern.
            elements = value if isinstance(value, list) else [value]
            if not any(matches(wanted, element if isinstance(element, dict) else {}) for element in elements):
                return False
        else:
            values = value if isinstance(value, list) else [value]
            if not any(leaf(one, v) for one in wanted for v in values):
                return False
    return True


def leaf(wanted, value):
    """Whether one alternative of a leaf matches one value."""
    if not isinstance(wanted, dict):
        return value is not MISSING and value == wanted and type(value) is type(wanted)
    ((operator, operand),) = wanted.items()
    if operator == "exists":
        return (value is not MISSING) == operand
    if value is MISSING:
        return False
    if operator in ("prefix", "suffix"):
        if isinstance(operand, dict):
            ((how, operand),) = operand.items()
            assert how == "equals-ignore-case", f"{operator} {how}"
            value, operand = (text.lower() if isinstance(text, str) else text for text in (value, operand))
        return isinstance(value, str) and (value.startswith if operator == "prefix" else value.endswith)(operand)
    if operator == "wildcard":
        return isinstance(value, str) and re.fullmatch(wildcard(operand), value, re.S) is not None
    if operator == "numeric":
        compare = {
            "=": lambda a, b: a == b,
            ">": lambda a, b: a > b,
            "<": lambda a, b: a < b,
            ">=": lambda a, b: a >= b,
            "<=": lambda a, b: a <= b,
        }
        pairs = zip(operand[::2], operand[1::2])
        return isinstance(value, (int, float)) and all(compare[o](value, n) for o, n in pairs)
    if operator == "anything-but":
        if isinstance(operand, dict):
            return not leaf(operand, value)
        return value not in (operand if isinstance(operand, list) else [operand])
    raise AssertionError(f"the operator {operator!r} is not supported here")


def wildcard(text):
    """A wildcard as a regular expression: * is any run, \\* a star, \\\\ a backslash."""
    out, i = "", 0
    while i < len(text):
        if text[i] == "\\":
            out, i = out + re.escape(text[i + 1]), i + 2
        else:
            out, i = out + (".*" if text[i] == "*" else re.escape(text[i])), i + 1
    return out


def operators(pattern):
    """Every operator that a pattern uses, nested ones as a path."""
    for value in pattern.values() if isinstance(pattern, dict) else pattern:
        if isinstance(value, dict):
            yield from operators(value)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    (name, operand), *more = one.items()
                    if more or isinstance(operand, (list, dict)) and name not in RULE_OPERATORS:
                        yield from operators(one)
                    else:
                        yield name
                        if isinstance(operand, dict):
                            yield f"{name} {next(iter(operand))}"


def lint(pattern, allowed, where):
    """The parts of a pattern that EventBridge would refuse."""
    found = []
    if len(json.dumps(pattern, separators=(",", ":"))) > 2048:
        found.append(f"{where}: longer than 2048 characters")
    for name in operators(pattern):
        if name.split()[0] not in allowed or (name.startswith("anything-but ") and allowed is PIPE_OPERATORS):
            found.append(f"{where}: the operator {name} is not supported there")
    arms = [set(paths(arm)) for arm in pattern.get("detail", {}).get("$or", [])]
    rest = set(paths({k: v for k, v in pattern.get("detail", {}).items() if k != "$or"}))
    for arm in arms:
        if arm & rest:
            found.append(f"{where}: {arm & rest} inside and outside of $or; only the last counts")
    return found


def paths(pattern, before=""):
    """The fields that a pattern looks at."""
    for field, wanted in pattern.items():
        if isinstance(wanted, dict):
            yield from paths(wanted, f"{before}{field}.")
        else:
            yield before + field


def takes(filters, body):
    """Whether a pipe's filters let a message through. A pattern for a JSON body matches no other body:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-filtering.html, "Filtering Amazon SQS"."""
    try:
        body = json.loads(body)
    except ValueError:
        return False
    return isinstance(body, dict) and any(matches(pattern, {"body": body}) for pattern in filters)


class Refused(Exception):
    """A fault for which AWS would refuse to create or run a pipe."""


class Pipe:
    """A pipe from SQS, from the parameters of CreatePipe."""

    def __init__(self, request):
        self.request = request
        self.filters = [json.loads(f["Pattern"]) for f in request["SourceParameters"]["FilterCriteria"]["Filters"]]
        self.target = request["TargetParameters"]
        self.batch_size = request["SourceParameters"]["SqsQueueParameters"]["BatchSize"]

    def takes(self, body):
        """Whether a message with this body gets through the filter; one that does not is deleted."""
        return takes(self.filters, body)

    def hands_over(self, bodies):
        """The target's input for a batch of bodies that passed the filter: an execution's input, or overrides."""
        messages = [
            {
                "messageId": f"00000000-0000-0000-0000-{i:012}",
                "receiptHandle": "r",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
            }
            for i, body in enumerate(bodies)
        ]
        if "EcsTaskParameters" in self.target:
            if len(messages) != 1:
                raise Refused("ECS is not a batch target")
            override = self.target["EcsTaskParameters"]["Overrides"]["ContainerOverrides"][0]
            return {
                "containerOverrides": [
                    {
                        "name": override["Name"],
                        "cpu": override.get("Cpu", 0),
                        "memory": override.get("Memory", 0),
                        "environment": [
                            {"name": e["name"], "value": self.path(e["value"], messages[0])}
                            for e in override["Environment"]
                        ],
                    }
                ]
            }
        template = self.target.get("InputTemplate")
        return [self.fill(template, m) if template else m for m in messages]

    @staticmethod
    def path(value, message):
        if not value.startswith("$"):
            return value
        if not re.fullmatch(r"\$(\.[\w/_-]+(\[(\d+|\*)\])*)*", value):
            raise Refused(f"{value} is not a dynamic path")
        return walk(value[2:], message, parse_last=False)

    @staticmethod
    def fill(template, message):
        def inside(match):
            found = walk(match[2], message, parse_last=True)
            quoted = match[1] == '"'
            if quoted and not isinstance(found, str):
                raise Refused(f"{match[0]}: an object or array in quotes")
            if quoted:
                return json.dumps(found, ensure_ascii=False)
            return json.dumps(found, ensure_ascii=False) if not isinstance(found, str) else found

        text = re.sub(r'("?)<\$\.([^>]+)>\1', inside, template)
        try:
            return json.loads(text)
        except ValueError as error:
            raise Refused(f"the template makes no JSON of this message: {error}: {text[:80]}") from error


def walk(path, message, parse_last):
    """The value at a path; `body` is JSON in a string, and is parsed if the path leads into it."""
    value = message
    steps = re.findall(r"[^.\[\]]+", path)
    for step in steps:
        if isinstance(value, str):
            value = json.loads(value)
        value = value[int(step)] if isinstance(value, list) else value[step]
    if parse_last and steps[-1] == "body" and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def policy_resource_matches(pattern, arn):
    """IAM's own wildcards."""
    return fnmatch.fnmatchcase(arn, pattern.replace("[", "[[]"))
