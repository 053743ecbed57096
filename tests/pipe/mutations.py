#!/usr/bin/env python3
"""Seeded mistakes: each must make some check fail. Works on copies of an initialised copy of the module.

usage: mutations.py WORK --out DIR [--node-modules DIR] [--jobs N] [--only TEXT]
"""
import argparse
import concurrent.futures
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent

# (scenario that shows it, or the name of a test of the validations; what is wrong; file; right text; wrong text)
MISTAKES = [
    ("direct", "batches straight into ECS", "pipe.tf", "batch_size                         = var.batch_size", "batch_size                         = 10"),
    ("direct", "a window when direct", "pipe.tf", "local.direct ? 0 : var.batch_window_seconds", "var.batch_window_seconds"),
    ("direct", "no cpu in the override", "pipe.tf", "            cpu    = var.task_cpu_units\n", ""),
    ("direct", "no memory in the override", "pipe.tf", "            memory = var.task_memory_mib\n", ""),
    ("direct", "the target is the task definition", "pipe.tf", "local.direct ? local.cluster_arn :", "local.direct ? aws_ecs_task_definition.this.arn :"),
    ("direct", "a launch type beside the strategy", "pipe.tf", "        task_count              = 1\n", "        task_count              = 1\n        launch_type             = \"FARGATE\"\n"),
    ("direct", "a path into a batch", "pipe.tf", "\"$.body\"", "\"$[0].body\""),
    ("direct", "a second override", "pipe.tf", "            environment {\n", "            environment {\n              name  = \"RUST_LOG\"\n              value = \"debug\"\n            }\n            environment {\n"),
    ("direct", "a revision in the pipe", "pipe.tf", "aws_ecs_task_definition.this.arn_without_revision", "aws_ecs_task_definition.this.arn"),
    ("batched", "a template that drops the key", "pipe.tf", "<$.body>}\"", "<$.body.Records[0].s3.bucket>}\""),
    ("batched", "a template that quotes JSON", "pipe.tf", "<$.body>}\"", "\\\"<$.body>\\\"}\""),
    ("direct", "a filter that drops what is handed back", "pipe.tf", "eventName = [{ exists = false }]", "eventName = [{ exists = true }]"),
    ("direct", "an operator that pipes lack", "pipe.tf", "[{ prefix = \"ObjectCreated:\" }]", "[{ wildcard = \"ObjectCreated:*\" }]"),
    ("direct", "deletes pass the rule", "events.tf", "[\"Object Created\"]", "[\"Object Created\", \"Object Deleted\"]"),
    ("direct", "folders pass the rule", "events.tf", "{ \"anything-but\" = { suffix = \"/\" } }", "{ exists = true }"),
    ("batched_s3", "an S3 event that does not exist", "events.tf", "s3:ObjectCreated:*", "s3:ObjectCreate:*"),
    ("direct", "events to the wrong queue", "events.tf", "  arn       = aws_sqs_queue.source.arn\n", "  arn       = aws_sqs_queue.failed.arn\n"),
    ("direct", "a redrive policy with a wrong key", "queues.tf", "    maxReceiveCount     = 5\n", "    maxReceives         = 5\n"),
    ("batched_s3", "any account may send", "queues.tf", "          ArnEquals    = { \"aws:SourceArn\" = local.source_bucket_arn }\n          StringEquals = { \"aws:SourceAccount\" = local.account_id }\n", "          ArnEquals    = { \"aws:SourceArn\" = local.source_bucket_arn }\n"),
    ("direct", "the failed queue cannot be moved back", "queues.tf", "deadLetterTargetArn = aws_sqs_queue.failed.arn", "deadLetterTargetArn = aws_sqs_queue.source.arn"),
    ("direct", "the pipe may not delete messages", "iam.tf", "\"sqs:DeleteMessage\", ", ""),
    ("direct", "an action that does not exist", "iam.tf", "[\"s3:GetObject\", \"s3:PutObject\"]", "[\"s3:GetObject\", \"s3:PutObjects\"]"),
    ("direct", "any role may be passed", "iam.tf", "Resource  = [aws_iam_role.execution.arn, aws_iam_role.task.arn]", "Resource  = [\"*\"]"),
    ("direct", "one role may not be passed", "iam.tf", "Resource  = [aws_iam_role.execution.arn, aws_iam_role.task.arn]", "Resource  = [aws_iam_role.task.arn]"),
    ("direct", "any pipe takes the role", "iam.tf", "        ArnEquals    = { \"aws:SourceArn\" = local.pipe_arn }\n", ""),
    ("direct", "the task writes anywhere in the bucket", "iam.tf", "${local.destination_bucket_arn}/${var.destination_prefix}*", "${local.destination_bucket_arn}/*"),
    ("direct", "the task reads buckets of like names", "iam.tf", "${local.source_bucket_arn}/${var.source_prefix}*", "${local.source_bucket_arn}*"),
    ("direct_keys", "no data key for encrypted queues", "iam.tf", "    Sid       = \"SendToEncryptedQueues\"\n    Effect    = \"Allow\"\n    Action    = [\"kms:Decrypt\", \"kms:GenerateDataKey\"]", "    Sid       = \"SendToEncryptedQueues\"\n    Effect    = \"Allow\"\n    Action    = [\"kms:Decrypt\"]"),
    ("direct", "thirty seconds to end", "task.tf", "    stopTimeout = 120\n", ""),
    ("direct", "a misspelt member of the container", "task.tf", "readonlyRootFilesystem =", "readOnlyRootFilesystem ="),
    ("direct", "memory in the wrong unit", "task.tf", "var.task_memory_mib * 1024 * 1024", "var.task_memory_mib * 1000 * 1000"),
    ("direct", "failures have nowhere to go", "task.tf", "FAILED_QUEUE_URL   = aws_sqs_queue.failed.url", "FAILED_QUEUE_URL   = aws_sqs_queue.dlq.url"),
    ("batched", "a wrong limit", "state_machine.tf", "overrides_max_characters = 8192", "overrides_max_characters = 16384"),
    ("batched", "quotes counted once", "tasks.jsonata.tftpl", " + $count($split($text, \"\\\"\")) - 1", ""),
    ("batched", "the last group is forgotten", "tasks.jsonata.tftpl", "[$packed.tasks, {\"fits\": true, \"records\": [$packed.records]}]\n)", "[$packed.tasks]\n)"),
    ("batched", "raw keys taken for encoded ones", "records.jsonata", "$form_encoded($value.detail.object.key)", "$value.detail.object.key"),
    ("batched", "attempts are forgotten", "records.jsonata", "$exists($attempts) ? {\"pixpipe\"", "false ? {\"pixpipe\""),
    ("batched", "only the first of merged records", "records.jsonata", "$records($value.Records) :", "$records($value.Records[0]) :"),
    ("batched", "Spot to the end", "state_machine.tf", "merge(local.run_task[\"FARGATE\"]", "merge(local.run_task[\"FARGATE_SPOT\"]"),
    ("batched", "what failed is forgotten", "state_machine.tf", "                Next        = \"HandOver\"\n                Output = {\n                  records = \"{% [$states.input.records] %}\"", "                Next        = \"HandOver\"\n                Output = {\n                  records = []"),
    ("batched", "handed over in a shape that is dropped", "failed_message.jsonata", "{\"Records\": [$merge([", "{\"records\": [$merge(["),
    ("direct", "the key of a killed task is lost", "redrive.jsonata.tftpl", "environment[name = \"SQS_BODY\"]", "environment[name = \"BODY\"]"),
    ("direct", "killed tasks come back for ever", "redrive.jsonata.tftpl", "$attempts < ${max_attempts}", "$attempts > 0"),
    ("direct", "handed back twice", "redrive.jsonata.tftpl", "$container.exitCode = 0 or ", ""),
    ("direct", "another family's tasks", "redrive.tf", "arn_without_revision}:\"", "arn_without_revision}\""),
    ("direct", "tasks that never ran are not seen", "redrive.tf", "        { containers = { exitCode = [{ exists = false }] } },\n        { stopCode = [{ \"anything-but\" = [\"EssentialContainerExited\"] }] },\n", ""),
    ("direct", "an alarm on a metric that is not there", "alarms.tf", "AWS/EventBridge/Pipes", "AWS/Pipes"),
    ("a_batch_that_no_execution_can_take_is_refused", "batches that ECS cannot take are let through", "variables.tf", "var.batch_size <= 50 &&", "var.batch_size <= 10000 &&"),
    ("outputs_that_start_tasks_is_refused", "outputs may start tasks", "variables.tf", "var.source_bucket != var.destination_bucket ||", "true ||"),
]

# Nothing is wrong: no check may see anything.
CONTROLS = [(scenario, f"control: {scenario}", "main.tf", "", "") for scenario in ("direct", "direct_keys", "batched", "batched_s3", "outputs_that_start_tasks_is_refused")]


def caught_by(mistake, work, out, node_modules):
    """The check that sees a mistake; None where none does."""
    scenario, label, name, right, wrong = mistake
    folder = out / re.sub(r"\W+", "_", label)
    shutil.copytree(work, folder, symlinks=True)
    try:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        if right not in text:
            raise LookupError(f"{name} has no {right!r}")
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        validation = scenario.endswith("_refused")
        tests = folder / "tests" / ("refused.tftest.hcl" if validation else "scenarios.tftest.hcl")
        head, *runs = tests.read_text(encoding="utf-8").split("\nrun ")
        (folder / "tests/one.tftest.hcl").write_text(head + "\nrun " + next(r for r in runs if r.startswith(f'"{scenario}" ')), encoding="utf-8")
        done = subprocess.run(["terraform", "test", "-json", "-verbose", "-filter=tests/one.tftest.hcl"], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [m["diagnostic"]["summary"] for m in map(json.loads, done.stdout.splitlines()) if m.get("type") == "diagnostic"]
            if any("plugin" in error for error in errors):
                raise RuntimeError(errors)  # the machine's trouble, not the mistake's
            return f"terraform: {errors[0]}"
        if validation:
            return None
        applied = folder / "applied.json"
        applied.write_text(done.stdout, encoding="utf-8")
        tools = ["--node-modules", node_modules] if node_modules else []
        done = subprocess.run([sys.executable, str(HERE / "checks.py"), "--state", str(applied), "--fast", *tools], capture_output=True, text=True, check=False)
        failed = [line[6:].split(":")[0] for line in done.stdout.splitlines() if line.startswith("FAIL")]
        if done.returncode and not failed:
            raise RuntimeError(done.stderr)  # a check that cannot run has seen nothing
        return failed[0] if failed else None
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--node-modules")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    mistakes = [m for m in CONTROLS + MISTAKES if arguments.only in m[1]]
    begin, missed = time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        seen = pool.map(lambda m: caught_by(m, arguments.work.resolve(), arguments.out.resolve(), arguments.node_modules), mistakes)
        for mistake, by in zip(mistakes, seen):
            right = (by is None) == (mistake in CONTROLS)
            missed += not right
            print(f"{'ok   ' if right else 'FAIL '} {mistake[1]} ({mistake[2]}): {by or 'no check sees it'}", flush=True)
    print(f"mutations: {len(mistakes) - missed} passed, {missed} failed; {time.monotonic() - begin:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
