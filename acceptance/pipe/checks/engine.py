"""The engine of the state machines itself: it does what AWS documents, and refuses what AWS refuses.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html and its pages on ItemReader, ItemBatcher
and variables; https://states-language.net/spec.html
"""

import copy
import gzip
import json

import asl
from account import Account

PHOTOS, LISTS = "photos-in", "lists"
GET, LISTING = "arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2"


def _machine(**states):
    return {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}


def _map(**fields):
    """A distributed Map whose children pass their input on."""
    return {
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Child",
            "States": {"Child": {"Type": "Pass", "End": True}},
        },
        "End": True,
        **fields,
    }


def _reader(kind, key, **config):
    return {
        "Resource": GET,
        "ReaderConfig": {"InputType": kind, **config},
        "Arguments": {"Bucket": LISTS, "Key": key},
    }


def _account(engine):
    account = Account(engine)
    account.buckets = {
        PHOTOS: {"raw/a.jpg": b"12", "raw/b c.jpg": b"", "other/d.jpg": b"1"},
        LISTS: {
            "list.csv": 'key,size\r\n"raw/a, b.jpg",12\r\nraw/ü.jpg,\r\n'.encode(),
            "bare.csv": b"photos-in;raw/a.jpg\nphotos-in;raw/b.jpg\n",
            "list.json": b'["raw/a.jpg", {"key": "raw/b.jpg"}]',
            "list.jsonl": '"raw/a.jpg"\n{"key": "raw/ü.jpg"}\n\n'.encode(),
            "object.json": b'{"key": "raw/a.jpg"}',
            "broken.jsonl": b'{"key": "raw/a.jpg"}\n{"key"',
            "inventory/manifest.json": json.dumps({
                "sourceBucket": PHOTOS, "destinationBucket": f"arn:aws:s3:::{LISTS}", "fileFormat": "CSV",
                "fileSchema": "Bucket, Key, Size",
                "files": [{"key": "inventory/data/1.csv.gz"}, {"key": "inventory/data/2.csv.gz"}],
            }).encode(),
            "inventory/data/1.csv.gz": gzip.compress(b'"photos-in","raw/a%2Bb.jpg","12"\n'),
            "inventory/data/2.csv.gz": gzip.compress(b'"photos-in","raw/%C3%BC.jpg","0"\n'),
            "parquet/manifest.json": json.dumps({
                "destinationBucket": f"arn:aws:s3:::{LISTS}", "fileFormat": "Parquet", "fileSchema": "Key", "files": [],
            }).encode(),
        },
    }  # fmt: skip
    return account


def _run(engine, definition, given=None, **more):
    """(execution, its output, or the StatesError with which it ends)"""
    execution = asl.Execution(definition, engine, _account(engine), **more)
    try:
        return execution, execution.run({} if given is None else given)
    except asl.StatesError as error:
        return execution, error


def _refused(definition, kind="STANDARD"):
    try:
        asl.check(definition, kind == "STANDARD")
    except AssertionError as error:
        return str(error)
    return None


def readers_give_the_items_that_aws_documents(world):
    listed = {"Etag": '"d41d8cd98f00b204e9800998ecf8427e"', "LastModified": 1_767_312_000.0, "StorageClass": "STANDARD"}
    photos = {"Resource": LISTING, "Arguments": {"Bucket": PHOTOS, "Prefix": "{% $states.input.prefix %}"}}
    first, given = {"CSVHeaderLocation": "FIRST_ROW"}, {"CSVHeaderLocation": "GIVEN", "CSVHeaders": ["bucket", "key"]}
    cases = {
        "a listing": (photos, [{**listed, "Key": "raw/a.jpg", "Size": 2}, {**listed, "Key": "raw/b c.jpg", "Size": 0}]),
        "CSV": (
            _reader("CSV", "list.csv", **first),
            [{"key": "raw/a, b.jpg", "size": "12"}, {"key": "raw/ü.jpg", "size": ""}],
        ),
        "CSV without a header": (
            _reader("CSV", "bare.csv", CSVDelimiter="SEMICOLON", **given),
            [{"bucket": PHOTOS, "key": "raw/a.jpg"}, {"bucket": PHOTOS, "key": "raw/b.jpg"}],
        ),
        "JSON": (_reader("JSON", "list.json"), ["raw/a.jpg", {"key": "raw/b.jpg"}]),
        "JSON Lines": (_reader("JSONL", "list.jsonl"), ["raw/a.jpg", {"key": "raw/ü.jpg"}]),
        "the first item": (_reader("JSONL", "list.jsonl", MaxItems="{% 1 %}"), ["raw/a.jpg"]),
        "an inventory": (
            _reader("MANIFEST", "inventory/manifest.json"),
            [
                {"Bucket": PHOTOS, "Key": "raw/a%2Bb.jpg", "Size": "12"},
                {"Bucket": PHOTOS, "Key": "raw/%C3%BC.jpg", "Size": "0"},
            ],
        ),
        "nothing": ({**photos, "Arguments": {"Bucket": PHOTOS, "Prefix": "none/"}}, []),
    }
    for engine in world.engines:
        for label, (reader, wanted) in cases.items():
            execution, output = _run(engine, _machine(All=_map(ItemReader=reader)), {"prefix": "raw/"})
            assert output == wanted, f"{engine.name}: {label}: {output}"
            assert len(execution.children()) == len(wanted) and execution.events < 10, label


def a_list_that_cannot_be_read_is_an_item_reader_failed(world):
    unread = {
        "no such key": _reader("JSON", "none.json"),
        "no such bucket": {"Resource": LISTING, "Arguments": {"Bucket": "none"}},
        "no array": _reader("JSON", "object.json"),
        "cut off": _reader("JSONL", "broken.jsonl"),
        "an inventory as Parquet": _reader("MANIFEST", "parquet/manifest.json"),
    }
    for label, reader in unread.items():
        _, error = _run(world.engines[0], _machine(All=_map(ItemReader=reader)))
        assert getattr(error, "name", None) == "States.ItemReaderFailed", f"{label}: {error}"


def batches_keep_both_limits_and_every_item_once(world):
    keys = [f"raw/{'é' * (index % 40)}{index}.jpg" for index in range(200)]
    for engine in world.engines[:1] if world.fast else world.engines:
        for most, room in ((7, 262_144), (1000, 900), (10, 500)):
            batcher = {
                "MaxItemsPerBatch": "{% $states.input.most %}",
                "MaxInputBytesPerBatch": "{% $states.input.room %}",
                "BatchInput": {"run": "{% $states.context.Execution.Name %}"},
            }
            select = {"key": "{% $states.context.Map.Item.Value %}"}
            state = _map(Items="{% $states.input.keys %}", ItemSelector=select, ItemBatcher=batcher)
            given = {"most": most, "room": room, "keys": keys}
            execution, output = _run(engine, _machine(All=state), given, name="first")
            label = (engine.name, most, room)
            assert [item["key"] for batch in output for item in batch["Items"]] == keys, label
            assert all(set(batch) == {"Items", "BatchInput"} for batch in output), label
            assert {batch["BatchInput"]["run"] for batch in output} == {"first"}, label
            assert all(len(batch["Items"]) <= most and asl.size(batch) <= room for batch in output), label
            full = [len(b["Items"]) == most or asl.size(b) + 120 > room for b in output[:-1]]
            assert all(full), f"{label}: a batch had room for more"
            assert len(execution.children()) == len(output), label


def an_item_that_no_batch_holds_fails_the_map(world):
    state = _map(Items=["x" * 600], ItemBatcher={"MaxInputBytesPerBatch": 500})
    _, error = _run(world.engines[0], _machine(All=state))
    assert error.name == "States.ItemReaderFailed", error


def no_payload_exceeds_the_limit(world):
    """262,144 bytes for the input and the output of every state, of a child, and of a Map with all of its results."""
    long = "x" * 1000
    cases = {
        "output of a state": _machine(A={"Type": "Pass", "Output": '{% $pad("", 140000, "é") %}', "End": True}),
        "a variable": _machine(A={
            "Type": "Pass", "Assign": {"v": '{% $pad("", 262143) %}'}, "Output": {}, "End": True,
        }),
        "results of a Map": _machine(All=_map(Items=f'{{% [1..300].("{long}") %}}', Output={})),
        "results of an inline Map": _machine(All={
            "Type": "Map", "Items": f'{{% [1..300].("{long}") %}}', "Output": {}, "End": True,
            "ItemProcessor": {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}},
        }),
    }  # fmt: skip
    for label, definition in cases.items():
        _, error = _run(world.engines[0], definition)
        assert getattr(error, "name", None) == "States.DataLimitExceeded", f"{label}: {str(error)[:80]}"
    caught = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    named = {"ErrorEquals": ["States.DataLimitExceeded"], "Next": "Caught"}
    for catch, wanted in (([caught], None), ([named], {"seen": True})):
        state = {**_map(Items=f'{{% [1..300].("{long}") %}}', Catch=catch)}
        end = {"Type": "Succeed", "Output": {"seen": True}}
        _, output = _run(world.engines[0], _machine(All=state, Caught=end))
        assert (output == wanted) if wanted else output.name == "States.DataLimitExceeded", f"{catch}: {output}"


def tolerated_failures_fail_the_map_beyond_their_bound_only(world):
    child = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Odd",
        "States": {
            "Odd": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input % 2 = 1 %}", "Next": "Bad"}],
                "Default": "Good",
            },
            "Bad": {"Type": "Fail", "Error": "Odd", "Cause": "{% 'of ' & $string($states.input) %}"},
            "Good": {"Type": "Succeed"},
        },
    }
    cases = [
        ({}, None), ({"ToleratedFailurePercentage": 100}, [0, 2]), ({"ToleratedFailurePercentage": 50}, [0, 2]),
        ({"ToleratedFailurePercentage": "{% 49 %}"}, None), ({"ToleratedFailureCount": 2}, [0, 2]),
        ({"ToleratedFailureCount": "{% 1 %}"}, None),
    ]  # fmt: skip
    for engine in world.engines:
        for fields, wanted in cases:
            definition = _machine(All=_map(Items=[0, 1, 2, 3], ItemProcessor=child, **fields))
            _, output = _run(engine, definition, absorbed="left out")
            got = output if isinstance(output, list) else output.name
            assert got == (wanted or "States.ExceedToleratedFailureThreshold"), f"{fields}: {got}"
        execution, output = _run(engine, _machine(All=_map(Items=[1], ItemProcessor=child, ToleratedFailureCount=1)))
        (described,) = output
        assert (described["Status"], described["Error"], described["Cause"]) == ("FAILED", "Odd", "of 1"), described
        assert json.loads(described["Input"]) == 1, "the input of a child that failed counts against the limit"
        assert [index for index, _ in execution.map_runs[0]["failed"]] == [0]


def each_child_has_a_history_of_its_own(world):
    """9,000 iterations of an inline Map are too many events for one execution, and 3 children of 3,000 are not."""
    many = {
        "Type": "Map", "Items": "{% [1..$states.input] %}", "Output": {}, "End": True,
        "ItemProcessor": {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}},
    }  # fmt: skip
    distributed = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Many",
        "States": {"Many": many},
    }  # fmt: skip
    engine = world.engines[0]
    execution, output = _run(engine, _machine(All=_map(Items=[3000, 3000, 3000], ItemProcessor=distributed)))
    assert output == [{}, {}, {}] and execution.events < 10 and execution.children()[0].events > 10_000
    assert execution.transitions() == 1 + 3 * (1 + 1 + 3000), "a child's start is a transition"
    try:
        _run(engine, _machine(Many=many), 9000)
        raise AssertionError("the history of the execution was not full")
    except asl.HistoryFull:
        pass
    tolerant = _map(Items=[9000, 1], ItemProcessor=distributed, ToleratedFailurePercentage=100)
    execution, output = _run(engine, _machine(All=tolerant), absorbed="left out")
    assert output == [{}] and isinstance(execution.map_runs[0]["failed"][0][1], asl.HistoryFull)


def variables_last_until_they_are_assigned_anew_and_end_at_a_distributed_map(world):
    def pass_on(**fields):
        return {"Type": "Pass", **fields}

    inline = {
        "Type": "Map", "Items": [1, 2], "Next": "Read",
        "ItemProcessor": {"StartAt": "A", "States": {"A": pass_on(Output="{% $n + $states.input %}", End=True)}},
        "Assign": {"sum": "{% $sum($states.result) %}"},
    }  # fmt: skip
    machine = _machine(
        Set=pass_on(Assign={"n": 1}, Next="Again"),
        Again=pass_on(Assign={"n": "{% $n + 9 %}", "before": "{% $n %}"}, Output="{% $n %}", Next="Inline"),
        Inline=inline,
        Read={
            "Type": "Choice",
            "Choices": [{"Condition": "{% $n = 10 %}", "Next": "End", "Assign": {"ten": True}}],
            "Default": "End",
            "Assign": {"ten": False},
        },
        End={"Type": "Succeed", "Output": "{% [$before, $n, $sum, $ten] %}"},
    )
    for engine in world.engines:
        _, output = _run(engine, machine)
        assert output == [1, 10, 23, True], f"{engine.name}: {output}"
        wide = copy.deepcopy(machine)
        wide["States"]["Inline"]["ItemProcessor"]["ProcessorConfig"] = {
            "Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS",
        }  # fmt: skip
        assert "does not see the variable ['n']" in _refused(wide), _refused(wide)


def what_aws_refuses_is_refused(world):
    distributed = _machine(All=_map(ItemReader=_reader("JSON", "list.json"), Label="All"))
    assert _refused(distributed) is None
    inline = {
        "Type": "Map", "Items": [], "End": True,
        "ItemProcessor": {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}},
    }  # fmt: skip
    assert _refused(_machine(All=inline)) is None
    task = {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "TimeoutSeconds": 1, "Arguments": {}}
    express = _map(Items=[], ItemProcessor={
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "A",
        "States": {"A": {**task, "End": True}},
    })  # fmt: skip
    reader = _reader("JSON", "list.json")
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": "{% 1 %}", "MaxAttempts": 1, "BackoffRate": 1}
    cases = {
        "ItemReader": {**inline, "ItemReader": reader},
        "ItemBatcher": {**inline, "ItemBatcher": {"MaxItemsPerBatch": 1}},
        "'Label'": {**inline, "Label": "All"},
        "ToleratedFailurePercentage": {**inline, "ToleratedFailurePercentage": 100},
        "Items beside": _map(Items=[], ItemReader=reader),
        "ExecutionType must": _map(
            ItemProcessor={**_map()["ItemProcessor"], "ProcessorConfig": {"Mode": "DISTRIBUTED"}}
        ),
        "Resource takes no": _map(ItemReader={**reader, "Resource": "{% $states.input.resource %}"}),
        "InputType takes no": _map(ItemReader={**reader, "ReaderConfig": {"InputType": "{% 'JSON' %}"}}),
        "InputType PARQUET": _map(ItemReader={**reader, "ReaderConfig": {"InputType": "PARQUET"}}),
        "no Parameters": _map(ItemReader={**reader, "Parameters": {}}),
        "without a limit": _map(ItemReader=reader, ItemBatcher={"BatchInput": {}}),
        "MaxInputBytesPerBatch": _map(ItemReader=reader, ItemBatcher={"MaxInputBytesPerBatch": 262_145}),
        "Label:": _map(Items=[], Label="a b"),
        "Label takes no": _map(Items=[], Label="{% 'a' %}"),
        "has no ['ResultPath']": _map(Items=[], ResultPath="$.x"),
        "cannot wait": express,
        "IntervalSeconds takes no": {**task, "Retry": [retry], "End": True},
        "needs one of": {"Type": "Pass"},
        "there is no state ['Gone']": {"Type": "Pass", "Next": "Gone"},
    }
    for says, state in cases.items():
        said = _refused(_machine(All=state))
        assert said and says in said, f"{says}: {said}"
    nested = {**inline, "ItemProcessor": {"StartAt": "All", "States": {"All": {"Type": "Pass", "End": True}}}}
    said = _refused(_machine(All=nested))
    assert said and "unique in a state machine: ['All']" in said, said
    said = _refused(distributed, "EXPRESS")
    assert said and "cannot run a distributed Map" in said, said


def values_that_no_field_takes_are_errors_of_the_expression(world):
    wrong = {
        "Wait": {"Type": "Wait", "Seconds": "{% 1.5 %}", "End": True},
        "Fail": {"Type": "Fail", "Error": "{% 1 %}", "Cause": ""},
        "Condition": {"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "All"}], "Default": "All"},
        "MaxConcurrency": _map(Items=[], MaxConcurrency="{% -1 %}"),
        "MaxItemsPerBatch": _map(Items=[1], ItemBatcher={"MaxItemsPerBatch": "{% 0 %}"}),
        "Items": _map(Items="{% 'a' %}"),
        "undefined": {"Type": "Pass", "Output": "{% $nothing %}", "End": True},
    }
    for engine in world.engines:
        for label, state in wrong.items():
            _, error = _run(engine, _machine(All=state))
            assert error.name == "States.QueryEvaluationError", f"{engine.name}: {label}: {error}"


def the_account_answers_as_its_services_do(world):
    account = _account(world.engines[0])
    account.queue = [f"body {index}" for index in range(12)]
    sqs = {"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-source"}
    got = account("arn:aws:states:::aws-sdk:sqs:receiveMessage", {**sqs, "MaxNumberOfMessages": 10})["Messages"]
    entries = [{"Id": str(index), "ReceiptHandle": one["ReceiptHandle"]} for index, one in enumerate(got)]
    account("arn:aws:states:::aws-sdk:sqs:deleteMessageBatch", {**sqs, "Entries": entries[:9]})
    account.reappear()
    asked = {**sqs, "AttributeNames": ["ApproximateNumberOfMessages"]}
    attributes = account("arn:aws:states:::aws-sdk:sqs:getQueueAttributes", asked)["Attributes"]
    assert attributes == {"ApproximateNumberOfMessages": "3"} and account.queue[-1] == "body 9", account.queue
    put = {"Bucket": LISTS, "Key": "runs/1", "Body": {"Records": ["é"]}}
    account("arn:aws:states:::aws-sdk:s3:putObject", put)
    copy_to = {"Bucket": LISTS, "Key": "handed-over/1", "CopySource": f"{LISTS}/runs/1"}
    account("arn:aws:states:::aws-sdk:s3:copyObject", copy_to)
    account("arn:aws:states:::aws-sdk:s3:deleteObject", {"Bucket": LISTS, "Key": "runs/1"})
    assert json.loads(account.buckets[LISTS]["handed-over/1"]) == {"Records": ["é"]}
    for resource, arguments in (
        ("s3:headObject", {"Bucket": LISTS, "Key": "runs/1"}),
        ("s3:copyObject", {"Bucket": LISTS, "Key": "x", "CopySource": f"{LISTS}/runs/1"}),
    ):
        try:
            account(f"arn:aws:states:::aws-sdk:{resource}", arguments)
            raise AssertionError(f"{resource} found what is not there")
        except asl.StatesError as error:
            assert error.name == "S3.NoSuchKeyException", error
    for resource, arguments in (
        ("aws-sdk:s3:putObject", {**put, "Bodie": 1}),
        ("aws-sdk:sqs:receiveMessage", {**sqs, "MaxNumberOfMessages": 11}),
        ("aws-sdk:sfn:listExecutions", {"StateMachineArn": "arn", "StatusFilter": "WAITING"}),
        ("events:putEvents", {"Entries": [{"Detail": {}, "DetailTyp": "x", "Source": "pixpipe"}]}),
        ("aws-sdk:cloudwatch:setAlarmState", {"AlarmName": "a", "StateValue": "FINE", "StateReason": "r"}),
    ):
        try:
            account(f"arn:aws:states:::{resource}", arguments)
        except AssertionError:
            continue
        raise ValueError(f"{resource} was taken")
