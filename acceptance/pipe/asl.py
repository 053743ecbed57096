"""Runs a state machine written in the Amazon States Language with JSONata, against given answers of the services.

It supports only the features that this module's machines use: Map (inline and distributed), Choice, Task, Pass, Wait,
Succeed, Fail, Retry, Catch, Output, Assign, ItemReader, ItemSelector, ItemBatcher. Waits are recorded and do not take
time. Events of the history are counted. An error of an expression is States.QueryEvaluationError, and so is an
undefined result.

What CreateStateMachine would refuse is an AssertionError here, before the first state: an expression in a field that
takes none, a field of a distributed Map in an inline one, a variable of the parent inside a distributed Map.
"""

import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess

import jsonata
from jsonata.utils import Utils

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
PAYLOAD_MAX_BYTES = 262_144  # of the input or output of a state, of an execution, and of a variable
HISTORY_MAX_EVENTS = 25_000  # of a Standard execution; each child of a distributed Map has a history of its own
LABEL_MAX_CHARACTERS = 40

# Fields that may be or hold expressions; everything else is taken as it stands.
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html and states-language.net
EXPRESSIONS = {
    "Task": {"Arguments", "Output", "Assign", "TimeoutSeconds", "HeartbeatSeconds"},
    "Map": {
        "Items", "ItemSelector", "MaxConcurrency", "ToleratedFailurePercentage", "ToleratedFailureCount", "Output",
        "Assign",
    },
    "Pass": {"Output", "Assign"},
    "Choice": {"Output", "Assign"},
    "Wait": {"Seconds", "Timestamp", "Output", "Assign"},
    "Succeed": {"Output"},
    "Fail": {"Error", "Cause"},
}  # fmt: skip
# The same for what such a field holds.
PARTS = {
    "ItemReader": {"Arguments"},
    "ReaderConfig": {"MaxItems"},
    "ItemBatcher": {"MaxItemsPerBatch", "MaxInputBytesPerBatch", "BatchInput"},
    "Choices": {"Condition", "Output", "Assign"},
    "Catch": {"Output", "Assign"},
    "Retry": set(),
    "ProcessorConfig": set(),
}
ONLY_DISTRIBUTED = {
    "ItemReader", "ItemBatcher", "Label", "ToleratedFailurePercentage", "ToleratedFailureCount",
}  # fmt: skip
FIELDS = {
    "Task": {"Resource", "Retry", "Catch", "Next", "End"},
    "Map": {"ItemProcessor", "Retry", "Catch", "Next", "End"} | ONLY_DISTRIBUTED,
    "Pass": {"Next", "End"},
    "Choice": {"Choices", "Default"},
    "Wait": {"Next", "End"},
    "Succeed": set(),
    "Fail": set(),
}
READERS = {"s3:getObject": {"CSV", "JSON", "JSONL", "MANIFEST"}, "s3:listObjectsV2": {None}}


class StatesError(Exception):
    """An error with a name, as Retry and Catch see it."""

    def __init__(self, name, cause=""):
        super().__init__(f"{name}: {cause}")
        self.name, self.cause = name, cause


class HistoryFull(Exception):
    """The end of an execution whose history is full: nothing in it can catch this."""


class PythonEngine:
    """jsonata-python, a port of the reference, which local emulators of Step Functions use."""

    name = "jsonata-python"

    def evaluate(self, text, states, variables=None):
        try:
            # Step Functions stops after a second; here a slow machine must not fail the expression.
            expression = jsonata.Jsonata.jsonata(text, timeout=60_000)
            expression.register_lambda("parse", json.loads)
            value = expression.evaluate(None, {**(variables or {}), "states": states})
        except Exception as error:  # a state machine sees only one kind of error
            raise StatesError("States.QueryEvaluationError", repr(error)) from error
        if value is None or value is Utils.NULL_VALUE:
            raise StatesError("States.QueryEvaluationError", "undefined")
        return json.loads(json.dumps(value, default=list))


class NodeEngine:
    """The reference implementation in the version that Step Functions documents, as one process for all expressions."""

    name = "jsonata 2.0.6"

    def __init__(self, modules):
        self.process = subprocess.Popen(
            ["node", os.path.join(os.path.dirname(__file__), "evaluate.cjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "NODE_PATH": modules},
        )

    def evaluate(self, text, states, variables=None):
        line = {"text": text, "bindings": {**(variables or {}), "states": states}}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise StatesError("States.QueryEvaluationError", answer["error"])
        return answer["value"]


def engines(node_modules):
    """The available engines: always the one in Python, and the reference if node is installed."""
    found = [PythonEngine()]
    if node_modules and shutil.which("node") and os.path.isdir(os.path.join(node_modules, "jsonata")):
        found.append(NodeEngine(node_modules))
    return found


# --- what CreateStateMachine refuses


def is_expression(value):
    return isinstance(value, str) and value.startswith("{%")


def expressions(value):
    """Every expression in a part of a definition."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for one in value for text in expressions(one)]
    return [value] if is_expression(value) else []


def names(machine):
    """The names of all states, those inside Maps included."""
    return [name for key, state in machine["States"].items()
            for name in (key, *(names(state["ItemProcessor"]) if "ItemProcessor" in state else ()))]  # fmt: skip


def check(machine, standard=True, outer=frozenset()):
    """Asserts that Step Functions would take the states of a machine, or of a Map. `outer`: variables of the parents of
    a distributed Map, which its children must not name."""
    states = machine["States"]
    twice = {name for name in names(machine) if names(machine).count(name) > 1}
    assert not twice, f"names of states are unique in a state machine: {sorted(twice)}"
    assert machine["StartAt"] in states, f"StartAt: there is no state {machine['StartAt']}"
    own = {name for state in states.values() for name in assigned(state)}
    labels = [state["Label"] for state in states.values() if "Label" in state]
    assert len(labels) == len(set(labels)), f"Label: {labels} are not all different"
    for name, state in states.items():
        kind = state["Type"]
        known = EXPRESSIONS[kind] | FIELDS[kind] | {"Type", "Comment", "QueryLanguage"}
        assert set(state) <= known, f"{name}: a {kind} has no {sorted(set(state) - known)}"
        following = [one["Next"] for one in parts(state) if "Next" in one]
        following += [state["Default"]] if "Default" in state else []
        assert set(following) <= set(states), f"{name}: there is no state {sorted(set(following) - set(states))}"
        if kind in ("Task", "Map", "Pass", "Wait"):
            assert ("Next" in state) != (state.get("End") is True), f"{name}: needs one of Next and End"
        takes_expressions(name, {k: v for k, v in state.items() if k not in PARTS}, EXPRESSIONS[kind])
        for part, allowed in PARTS.items():
            given = state.get(part, {})
            for one in given if isinstance(given, list) else [given]:
                takes_expressions(f"{name}.{part}", {k: v for k, v in one.items() if k not in PARTS}, allowed)
        text = " ".join(expressions({k: v for k, v in state.items() if k != "ItemProcessor"}))
        foreign = set(re.findall(r"\$(\w+)", text)) & outer - own - local(text)
        assert not foreign, f"{name}: a distributed Map does not see the variable {sorted(foreign)} of its parent"
        if kind == "Task":
            waits = state["Resource"].endswith((".sync", ".waitForTaskToken"))
            assert standard or not waits, f"{name}: an Express execution cannot wait for {state['Resource']}"
        if kind == "Map":
            check_map(name, state, standard, outer | own)


def takes_expressions(name, given, allowed):
    for field, value in given.items():
        if field not in allowed and field not in ("ItemProcessor", "Choices", "Catch", "Retry"):
            assert not expressions(value), f"{name}: {field} takes no expression"


def parts(state):
    """A state, and its parts that lead to another one."""
    return [state, *state.get("Choices", []), *state.get("Catch", [])]


def assigned(state):
    """The variables that a state assigns."""
    return [name for part in parts(state) for name in part.get("Assign", {})]


def local(text):
    """The names that expressions bind themselves."""
    parameters = " ".join(re.findall(r"function\(([^)]*)\)", text))
    return {*re.findall(r"\$(\w+) *:=", text), *re.findall(r"\$(\w+)", parameters)}


def check_map(name, state, standard, variables):
    processor = state["ItemProcessor"]
    config = processor.get("ProcessorConfig", {"Mode": "INLINE"})
    if config["Mode"] == "INLINE":
        found = ONLY_DISTRIBUTED & set(state)
        assert not found, f"{name}: {sorted(found)} is only for a distributed Map"
        assert "ExecutionType" not in config, f"{name}: an inline Map has no ExecutionType"
        check(processor, standard)
        return
    assert config["Mode"] == "DISTRIBUTED", f"{name}: Mode: {config['Mode']}"
    assert standard, f"{name}: an Express execution cannot run a distributed Map"
    assert config.get("ExecutionType") in ("STANDARD", "EXPRESS"), f"{name}: ExecutionType must be given"
    assert ("Items" in state) + ("ItemReader" in state) <= 1, f"{name}: Items beside an ItemReader"
    label = state.get("Label", "")
    plain = not re.search(r"[\s?*<>{}\[\]:;,\\|^~$#%&`\"/]", label)
    assert len(label) <= LABEL_MAX_CHARACTERS and plain, f"{name}: Label: {label!r}"
    if "ItemReader" in state:
        reader = state["ItemReader"]
        takes_expressions(f"{name}.ReaderConfig", reader.get("ReaderConfig", {}), PARTS["ReaderConfig"])
        resource = reader["Resource"].split(":::")[-1]
        assert resource in READERS, f"{name}: ItemReader: {reader['Resource']}"
        kind = reader.get("ReaderConfig", {}).get("InputType")
        assert kind in READERS[resource], f"{name}: InputType {kind} of {resource}"
        config_fields = {"InputType", "MaxItems", "CSVHeaderLocation", "CSVHeaders", "CSVDelimiter"}
        assert set(reader.get("ReaderConfig", {})) <= config_fields, f"{name}: ReaderConfig"
        assert kind != "CSV" or reader["ReaderConfig"].get("CSVHeaderLocation") in ("FIRST_ROW", "GIVEN"), name
        assert set(reader) <= {"Resource", "Arguments", "ReaderConfig"}, f"{name}: ItemReader has no Parameters"
    if "ItemBatcher" in state:
        batcher = state["ItemBatcher"]
        assert set(batcher) <= PARTS["ItemBatcher"], f"{name}: ItemBatcher"
        assert {"MaxItemsPerBatch", "MaxInputBytesPerBatch"} & set(batcher), f"{name}: an ItemBatcher without a limit"
        check_number(f"{name}: MaxInputBytesPerBatch", batcher.get("MaxInputBytesPerBatch", 1), 1, PAYLOAD_MAX_BYTES)
    check(processor, config["ExecutionType"] == "STANDARD", outer=variables)


def check_number(name, value, least, most):
    assert is_expression(value) or isinstance(value, int) and least <= value <= most, f"{name}: {value!r}"


# --- executions


def size(value):
    """Bytes of a value as a payload: JSON without spaces, in UTF-8."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass"))


class Execution:
    """One execution. `service(resource, arguments)` answers a Task or an ItemReader, or raises StatesError.

    `absorbed` says what the result of a distributed Map holds for a child that failed and was tolerated. Of a file of
    results AWS says that it has all that is known of such a child, its input included. Of the result of the state it
    says nothing; an emulator that was compared with AWS leaves the child out. A machine has to get along with both:
    "described" (the default here) and "left out".
    """

    def __init__(self, definition, engine, service, name="run", absorbed="described", machine="pp", kind="STANDARD"):
        assert definition["QueryLanguage"] == "JSONata"
        check(definition, kind == "STANDARD")
        self.definition, self.engine, self.service = definition, engine, service
        self.name, self.absorbed, self.machine, self.kind = name, absorbed, machine, kind
        self.entered = []  # states, in order: AWS bills for each
        self.waits = []  # (seconds at most, state)
        self.events = 2  # of the history, as AWS writes it: the start and the end of the execution
        self.map_runs = []  # one a run of a distributed Map

    @property
    def arn(self):
        return f"arn:aws:states:eu-west-1:123456789012:execution:{self.machine}:{self.name}"

    def run(self, given):
        """The output; raises StatesError if the execution would fail."""
        assert len(json.dumps(given)) <= 256 * 1024, "the input of an execution must not exceed 256 KiB"
        return self.begin(given)

    def begin(self, given):
        execution = {"Id": self.arn, "Name": self.name, "Input": given, "StartTime": "2026-01-02T03:04:05.678Z"}
        return self.states(self.definition, given, {"Execution": execution}, {})

    def children(self):
        """The executions of all distributed Maps, as they ran."""
        return [child for run in self.map_runs for child in run["children"]]

    def transitions(self):
        """What AWS bills for: the states of this execution and of its children, and the start of each child."""
        return len(self.entered) + sum(1 + child.transitions() for child in self.children())

    def happened(self, events):
        self.events += events
        if self.kind == "STANDARD" and self.events > HISTORY_MAX_EVENTS:
            raise HistoryFull(f"{self.name}: more than {HISTORY_MAX_EVENTS} events")

    def states(self, machine, given, context, outer):
        """Runs the states of a machine or of an iteration. `outer`: variables that its expressions may read."""
        variables = dict(outer)
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            self.entered.append(name)
            self.happened(2)  # StateEntered, StateExited
            fits(name, "input", given)
            here = {**context, "State": {"Name": name, "RetryCount": 0}}
            given, following = self.state(name, state, given, here, variables)
            fits(name, "output", given)
            if following is None:
                return given
            name = following

    def leave(self, part, given, context, variables, following, **more):
        """Output and Assign of a part of a state; both see the variables as they were."""
        scope = dict(variables)
        output = more.get("result", more.get("error", given))
        if "Output" in part:
            output = self.value(part["Output"], given, context, scope, **more)
        for name, template in part.get("Assign", {}).items():
            value = self.value(template, given, context, scope, **more)
            fits(name, "variable", value)
            variables[name] = value
        return output, following

    def state(self, name, state, given, context, variables):
        kind = state["Type"]
        if kind == "Choice":
            for choice in state["Choices"]:
                held = self.value(choice["Condition"], given, context, variables)
                if not isinstance(held, bool):
                    raise StatesError("States.QueryEvaluationError", f"Condition: {held!r}")
                if held:  # Output and Assign of the state itself are for its Default
                    return self.leave(choice, given, context, variables, choice["Next"])
            if "Default" not in state:
                raise StatesError("States.NoChoiceMatched", name)
            return self.leave(state, given, context, variables, state["Default"])
        if kind == "Wait":
            seconds = self.value(state["Seconds"], given, context, variables)
            if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= 99_999_999:
                raise StatesError("States.QueryEvaluationError", f"Seconds: {seconds!r}")
            self.waits.append((seconds, name))
            return self.leave(state, given, context, variables, state.get("Next"))
        if kind in ("Pass", "Succeed"):
            return self.leave(state, given, context, variables, state.get("Next"))
        if kind == "Fail":
            error, cause = (self.value(state.get(field, ""), given, context, variables) for field in ("Error", "Cause"))
            if not isinstance(error, str) or not isinstance(cause, str):
                raise StatesError("States.QueryEvaluationError", f"Error or Cause: {error!r}, {cause!r}")
            raise StatesError(error, cause)
        retried = [0] * len(state.get("Retry", []))
        while True:
            try:
                # Each attempt sees how often the state was tried before.
                tried = {**context, "State": {"Name": name, "RetryCount": sum(retried)}}
                result = self.work(name, state, given, tried, variables)
                fits(name, "result", result)
                return self.leave(state, given, context, variables, state.get("Next"), result=result)
            except StatesError as error:
                if not self.retry(name, state, error, retried):
                    return self.catch(state, error, given, context, variables)

    def work(self, name, state, given, context, variables):
        if state["Type"] == "Task":
            self.happened(3)  # TaskScheduled, TaskStarted, and TaskSubmitFailed, TaskFailed or TaskSucceeded
            arguments = self.value(state["Arguments"], given, context, variables)
            fits(name, "arguments", arguments)
            seconds = self.value(state["TimeoutSeconds"], given, context, variables)
            assert 1 <= seconds <= 99_999_999, "a task without a timeout may hang for a year"
            try:
                answer = self.service(state["Resource"], arguments)
            except StatesError as error:
                self.happened(error.name in ("States.TaskFailed", "States.Timeout"))  # TaskSubmitted: it was accepted
                raise
            self.happened(state["Resource"].endswith(".sync"))
            return answer
        if state["ItemProcessor"].get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            return self.distributed(name, state, given, context, variables)
        items = self.items(state, given, context, variables)
        results = []
        self.happened(2 + 2 * len(items))  # MapStateStarted and its end, the start and the end of each iteration
        for index, item in enumerate(items):
            inner = {**context, "Map": {"Item": {"Index": index, "Value": item}}}
            selected = self.value(state["ItemSelector"], given, inner, variables) if "ItemSelector" in state else item
            results.append(self.states(state["ItemProcessor"], selected, inner, variables))
        return results

    def items(self, state, given, context, variables):
        items = self.value(state["Items"], given, context, variables) if "Items" in state else given
        if not isinstance(items, list):
            raise StatesError("States.QueryEvaluationError", f"Items is not an array: {items!r}")
        return items

    # --- a distributed Map

    def distributed(self, name, state, given, context, variables):
        """A Map Run: every child is an execution of its own, with a history of its own and without variables."""
        self.happened(3)  # MapStateStarted, MapRunStarted, and the run's end
        percentage = self.number(state, "ToleratedFailurePercentage", given, context, variables, 0, 0, 100)
        count = self.number(state, "ToleratedFailureCount", given, context, variables, 0, 0, 10**9)
        concurrency = self.number(state, "MaxConcurrency", given, context, variables, 0, 0, 10_000)
        if "ItemReader" in state:
            items = self.read(state["ItemReader"], given, context, variables)
        else:
            items = self.items(state, given, context, variables)
        selected = []
        for index, item in enumerate(items):
            inner = {**context, "Map": {"Item": {"Index": index, "Value": item}}}
            select = "ItemSelector" in state
            selected.append(self.value(state["ItemSelector"], given, inner, variables) if select else item)
        inputs = selected
        if "ItemBatcher" in state:
            inputs = list(self.batches(state["ItemBatcher"], selected, given, context, variables))
        label = state.get("Label", name)
        run = {
            "arn": f"arn:aws:states:eu-west-1:123456789012:mapRun:{self.machine}/{label}:{len(self.map_runs)}",
            "label": label, "max_concurrency": concurrency, "items": len(items), "inputs": inputs, "children": [],
            "failed": [],
        }  # fmt: skip
        self.map_runs.append(run)
        results = []
        processor = state["ItemProcessor"]
        for index, one in enumerate(inputs):
            fits(name, "input of a child", one)
            child = Execution(
                {"QueryLanguage": "JSONata", **processor}, self.engine, self.service, f"{self.name}-{label}-{index}",
                self.absorbed, f"{self.machine}/{label}", processor["ProcessorConfig"]["ExecutionType"],
            )  # fmt: skip
            run["children"].append(child)
            try:
                results.append(child.begin(one))
            except (StatesError, HistoryFull) as error:
                run["failed"].append((index, error))
                tolerated = len(run["failed"]) <= count or 100 * len(run["failed"]) <= percentage * len(inputs)
                if not tolerated:
                    raise StatesError("States.ExceedToleratedFailureThreshold", f"{name}: {error}") from error
                if self.absorbed == "described":
                    results.append(described(child, one, error))
        run["results"] = results
        return results

    def number(self, part, field, given, context, variables, otherwise, least, most):
        value = self.value(part.get(field, otherwise), given, context, variables)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise StatesError("States.QueryEvaluationError", f"{field}: {value!r}")
        return value

    def batches(self, batcher, items, given, context, variables):
        """Inputs of children: as many items as both limits allow, the shared input and the punctuation included."""
        most = self.number(batcher, "MaxItemsPerBatch", given, context, variables, 10**9, 1, 10**9)
        room = self.number(batcher, "MaxInputBytesPerBatch", given, context, variables, PAYLOAD_MAX_BYTES, 1,
                           PAYLOAD_MAX_BYTES)  # fmt: skip
        shared = {}
        if "BatchInput" in batcher:
            shared = {"BatchInput": self.value(batcher["BatchInput"], given, context, variables)}
        around = size({"Items": [], **shared})
        batch, length = [], around
        for item in items:
            more = size(item) + 1
            if around + more > room:
                raise StatesError("States.ItemReaderFailed", f"an item of {more} bytes does not fit into a batch")
            if len(batch) == most or length + more > room:
                yield {"Items": batch, **shared}
                batch, length = [], around
            batch, length = [*batch, item], length + more
        if batch:
            yield {"Items": batch, **shared}

    def read(self, reader, given, context, variables):
        """The items of an ItemReader; whatever fails is States.ItemReaderFailed."""
        arguments = self.value(reader["Arguments"], given, context, variables)
        config = reader.get("ReaderConfig", {})
        most = self.number(config, "MaxItems", given, context, variables, 10**9, 1, 10**9)
        try:
            if reader["Resource"].endswith("s3:listObjectsV2"):
                items = self.service(reader["Resource"], arguments)["Contents"]
            else:
                body = self.service(reader["Resource"], arguments)["Body"]
                items = READ[config["InputType"]](body, config, lambda more: self.service(reader["Resource"], more))
        except StatesError as error:
            raise StatesError("States.ItemReaderFailed", str(error)) from error
        except (ValueError, KeyError, UnicodeDecodeError) as error:
            raise StatesError("States.ItemReaderFailed", f"{config.get('InputType')}: {error!r}") from error
        return items[:most]

    def retry(self, name, state, error, retried):
        for index, retrier in enumerate(state.get("Retry", [])):
            if matches(retrier["ErrorEquals"], error.name):
                if retried[index] >= retrier["MaxAttempts"]:
                    return False
                seconds = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** retried[index]
                self.waits.append((min(seconds, retrier.get("MaxDelaySeconds", seconds)), name))
                retried[index] += 1
                return True
        return False

    def catch(self, state, error, given, context, variables):
        for catcher in state.get("Catch", []):
            if matches(catcher["ErrorEquals"], error.name):
                seen = {"Error": error.name, "Cause": error.cause}
                return self.leave(catcher, given, context, variables, catcher["Next"], error=seen)
        raise error

    def value(self, template, given, context, variables, result=None, error=None):
        """A template with its expressions evaluated."""
        if isinstance(template, dict):
            return {k: self.value(v, given, context, variables, result, error) for k, v in template.items()}
        if isinstance(template, list):
            return [self.value(v, given, context, variables, result, error) for v in template]
        if is_expression(template):
            assert template.endswith("%}"), template
            states = {"input": given, "context": context}
            if result is not None:
                states["result"] = result
            if error is not None:
                states["errorOutput"] = error
            return self.engine.evaluate(template[2:-2], states, variables)
        return template


def described(child, given, error):
    """What AWS writes of a child that failed."""
    return {
        "ExecutionArn": child.arn, "Input": json.dumps(given), "InputDetails": {"Included": True}, "Name": child.name,
        "StartDate": "2026-01-02T03:04:05.678Z", "StateMachineArn": "arn", "Status": "FAILED",
        "StopDate": "2026-01-02T03:04:05.678Z", "Error": getattr(error, "name", "States.Runtime"),
        "Cause": getattr(error, "cause", str(error)), "RedriveCount": 0,
    }  # fmt: skip


def fits(name, what, value):
    if size(value) > PAYLOAD_MAX_BYTES:
        raise StatesError("States.DataLimitExceeded", f"{name}: {what} of {size(value)} bytes")


def matches(names, name):
    """Whether a Retry or Catch with these names applies to an error of this name."""
    if name in names:
        return True
    if "States.TaskFailed" in names and name != "States.Timeout":
        return True
    return "States.ALL" in names and name not in ("States.DataLimitExceeded", "States.Runtime")


# --- readers: bytes of an object, ReaderConfig, a function that gets another object → items


def read_csv(body, config, get):
    delimiter = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "SPACE": " "}[
        config.get("CSVDelimiter", "COMMA")
    ]
    rows = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), delimiter=delimiter) if row]
    header = rows.pop(0) if config["CSVHeaderLocation"] == "FIRST_ROW" else config["CSVHeaders"]
    return [{name: row[index] if index < len(row) else "" for index, name in enumerate(header)} for row in rows]


def read_json(body, config, get):
    items = json.loads(body)
    if not isinstance(items, list):
        raise ValueError("not an array")
    return items


def read_jsonl(body, config, get):
    return [json.loads(line) for line in body.decode().split("\n") if line.strip()]


def read_manifest(body, config, get):
    """An inventory of S3 as CSV: its files have no header, the manifest has; every value is text, and keys are
    percent-encoded. https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html"""
    manifest = json.loads(body)
    if manifest["fileFormat"] != "CSV":
        raise ValueError(f"an inventory as {manifest['fileFormat']}")
    header = [name.strip() for name in manifest["fileSchema"].split(",")]
    bucket = manifest["destinationBucket"].split(":::")[-1]
    items = []
    for file in manifest["files"]:
        text = gzip.decompress(get({"Bucket": bucket, "Key": file["key"]})["Body"]).decode()
        items += [dict(zip(header, row, strict=True)) for row in csv.reader(io.StringIO(text, newline=""))]
    return items


READ = {"CSV": read_csv, "JSON": read_json, "JSONL": read_jsonl, "MANIFEST": read_manifest}
