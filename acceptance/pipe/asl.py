"""Runs a state machine written in the Amazon States Language with JSONata, against given answers of the services.

It supports only the features that this module's machines use: Map (inline), Choice, Task, Wait, Succeed, Fail, Retry,
Catch, Output, ItemSelector. Waits are recorded and do not take time. Events of the history are counted. An error of an
expression is States.QueryEvaluationError, and so is an undefined result.
"""

import json
import os
import shutil
import subprocess

import jsonata
from jsonata.utils import Utils


class StatesError(Exception):
    """An error with a name, as Retry and Catch see it."""

    def __init__(self, name, cause=""):
        super().__init__(f"{name}: {cause}")
        self.name, self.cause = name, cause


class PythonEngine:
    """jsonata-python, a port of the reference, which local emulators of Step Functions use."""

    name = "jsonata-python"

    def evaluate(self, text, states):
        try:
            # Step Functions stops after a second; here a slow machine must not fail the expression.
            expression = jsonata.Jsonata.jsonata(text, timeout=60_000)
            expression.register_lambda("parse", json.loads)
            value = expression.evaluate(None, {"states": states})
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

    def evaluate(self, text, states):
        self.process.stdin.write(json.dumps({"text": text, "states": states}) + "\n")
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


class Execution:
    """One execution. `service(resource, arguments)` answers a Task or raises StatesError."""

    def __init__(self, definition, engine, service):
        assert definition["QueryLanguage"] == "JSONata"
        self.definition, self.engine, self.service = definition, engine, service
        self.entered = []  # states, in order: AWS bills for each
        self.waits = []  # (seconds at most, state)
        self.events = 2  # of the history, as AWS writes it: the start and the end of the execution

    def run(self, given):
        """The output; raises StatesError if the execution would fail."""
        assert len(json.dumps(given)) <= 256 * 1024, "the input of an execution must not exceed 256 KiB"
        return self.states(self.definition, given, {})

    def states(self, machine, given, context):
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            self.entered.append(name)
            self.events += 2  # StateEntered, StateExited
            given, following = self.state(name, state, given, context)
            if following is None:
                return given
            name = following

    def state(self, name, state, given, context):
        if state["Type"] == "Choice":
            for choice in state["Choices"]:
                if self.value(choice["Condition"], given, context) is True:
                    return given, choice["Next"]
            return given, state["Default"]
        if state["Type"] == "Wait":
            seconds = self.value(state["Seconds"], given, context)
            if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= 99_999_999:
                raise StatesError("States.QueryEvaluationError", f"Seconds: {seconds!r}")
            self.waits.append((seconds, name))
            return given, state["Next"]
        if state["Type"] == "Succeed":
            return given, None
        if state["Type"] == "Fail":
            raise StatesError(state["Error"], state["Cause"])
        retried = [0] * len(state.get("Retry", []))
        while True:
            try:
                # Each attempt sees how often the state was tried before.
                result = self.work(state, given, {**context, "State": {"Name": name, "RetryCount": sum(retried)}})
                output = self.value(state["Output"], given, context, result=result) if "Output" in state else result
                return output, state.get("Next")
            except StatesError as error:
                if not self.retry(name, state, error, retried):
                    return self.catch(state, error, given, context)

    def work(self, state, given, context):
        if state["Type"] == "Task":
            self.events += 3  # TaskScheduled, TaskStarted, and TaskSubmitFailed, TaskFailed or TaskSucceeded
            arguments = self.value(state["Arguments"], given, context)
            assert 1 <= state["TimeoutSeconds"] <= 99_999_999, "a task without a timeout may hang for a year"
            try:
                answer = self.service(state["Resource"], arguments)
            except StatesError as error:
                self.events += error.name in ("States.TaskFailed", "States.Timeout")  # TaskSubmitted: it was accepted
                raise
            self.events += state["Resource"].endswith(".sync")
            return answer
        if state["Type"] == "Map":
            items = self.value(state["Items"], given, context)
            if not isinstance(items, list):
                raise StatesError("States.QueryEvaluationError", f"Items is not an array: {items!r}")
            results = []
            self.events += 2 + 2 * len(items)  # MapStateStarted and its end, the start and the end of each iteration
            for index, item in enumerate(items):
                inner = {**context, "Map": {"Item": {"Index": index, "Value": item}}}
                selected = self.value(state["ItemSelector"], given, inner) if "ItemSelector" in state else item
                results.append(self.states(state["ItemProcessor"], selected, inner))
            return results
        raise AssertionError(f"a state of type {state['Type']} is not supported here")

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

    def catch(self, state, error, given, context):
        for catcher in state.get("Catch", []):
            if matches(catcher["ErrorEquals"], error.name):
                seen = {"Error": error.name, "Cause": error.cause}
                output = self.value(catcher["Output"], given, context, error=seen) if "Output" in catcher else seen
                return output, catcher["Next"]
        raise error

    def value(self, template, given, context, result=None, error=None):
        """A template with its expressions evaluated."""
        if isinstance(template, dict):
            return {k: self.value(v, given, context, result, error) for k, v in template.items()}
        if isinstance(template, list):
            return [self.value(v, given, context, result, error) for v in template]
        if isinstance(template, str) and template.startswith("{%"):
            assert template.endswith("%}"), template
            states = {"input": given, "context": context}
            if result is not None:
                states["result"] = result
            if error is not None:
                states["errorOutput"] = error
            return self.engine.evaluate(template[2:-2], states)
        return template


def matches(names, name):
    """Whether a Retry or Catch with these names applies to an error of this name."""
    if name in names:
        return True
    if "States.TaskFailed" in names and name != "States.Timeout":
        return True
    return "States.ALL" in names and name not in ("States.DataLimitExceeded", "States.Runtime")
