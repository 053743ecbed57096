"""Seeded mistakes: changes of the module that some check must see."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A text of a file of the module, and a wrong one in its place."""

    shown_by: str
    """The scenario of scenarios.tftest.hcl that shows it, or the test of pipe/tests/refused.tftest.hcl that does."""
    label: str
    file: str
    right: str
    wrong: str

    @property
    def in_a_validation(self):
        return self.shown_by.endswith("_refused")


MISTAKES = [
    Mistake(
        "direct",
        label="batches straight into ECS",
        file="pipe.tf",
        right="batch_size                         = var.batch_size",
        wrong="batch_size                         = 10",
    ),
    Mistake(
        "direct",
        label="a window when direct",
        file="pipe.tf",
        right="local.direct ? 0 : var.batch_window_seconds",
        wrong="var.batch_window_seconds",
    ),
    Mistake(
        "direct",
        label="no cpu in the override",
        file="pipe.tf",
        right="            cpu    = var.task_cpu_units\n",
        wrong="",
    ),
    Mistake(
        "direct",
        label="no memory in the override",
        file="pipe.tf",
        right="            memory = var.task_memory_mib\n",
        wrong="",
    ),
    Mistake(
        "direct",
        label="the target is the task definition",
        file="pipe.tf",
        right="local.direct ? local.cluster_arn :",
        wrong="local.direct ? aws_ecs_task_definition.this.arn :",
    ),
    Mistake(
        "direct",
        label="a launch type beside the strategy",
        file="pipe.tf",
        right="        task_count              = 1\n",
        wrong=('        task_count              = 1\n        launch_type             = "FARGATE"\n'),
    ),
    Mistake(
        "direct",
        label="a path into a batch",
        file="pipe.tf",
        right='"$.body"',
        wrong='"$[0].body"',
    ),
    Mistake(
        "direct",
        label="a second override",
        file="pipe.tf",
        right="            environment {\n",
        wrong=(
            "            environment {\n"
            '              name  = "RUST_LOG"\n'
            '              value = "debug"\n'
            "            }\n"
            "            environment {\n"
        ),
    ),
    Mistake(
        "direct",
        label="a revision in the pipe",
        file="pipe.tf",
        right="aws_ecs_task_definition.this.arn_without_revision",
        wrong="aws_ecs_task_definition.this.arn",
    ),
    Mistake(
        "batched",
        label="a template that drops the key",
        file="pipe.tf",
        right='<$.body>}"',
        wrong='<$.body.Records[0].s3.bucket>}"',
    ),
    Mistake(
        "batched",
        label="a template that quotes JSON",
        file="pipe.tf",
        right='<$.body>}"',
        wrong='\\"<$.body>\\"}"',
    ),
    Mistake(
        "direct",
        label="a filter that drops what is handed back",
        file="pipe.tf",
        right="eventName = [{ exists = false }]",
        wrong="eventName = [{ exists = true }]",
    ),
    Mistake(
        "direct",
        label="an operator that pipes lack",
        file="pipe.tf",
        right='[{ prefix = "ObjectCreated:" }]',
        wrong='[{ wildcard = "ObjectCreated:*" }]',
    ),
    Mistake(
        "direct",
        label="deletes pass the rule",
        file="events.tf",
        right='["Object Created"]',
        wrong='["Object Created", "Object Deleted"]',
    ),
    Mistake(
        "direct",
        label="folders pass the rule",
        file="events.tf",
        right='{ "anything-but" = { suffix = "/" } }',
        wrong="{ exists = true }",
    ),
    Mistake(
        "batched_s3",
        label="an S3 event that does not exist",
        file="events.tf",
        right="s3:ObjectCreated:*",
        wrong="s3:ObjectCreate:*",
    ),
    Mistake(
        "direct",
        label="events to the wrong queue",
        file="events.tf",
        right="  arn       = aws_sqs_queue.source.arn\n",
        wrong="  arn       = aws_sqs_queue.failed.arn\n",
    ),
    Mistake(
        "direct",
        label="a redrive policy with a wrong key",
        file="queues.tf",
        right="    maxReceiveCount     = 5\n",
        wrong="    maxReceives         = 5\n",
    ),
    Mistake(
        "batched_s3",
        label="any account may send",
        file="queues.tf",
        right=(
            '          ArnEquals    = { "aws:SourceArn" = sender.arn }\n'
            '          StringEquals = { "aws:SourceAccount" = local.account_id }\n'
        ),
        wrong='          ArnEquals    = { "aws:SourceArn" = sender.arn }\n',
    ),
    Mistake(
        "direct",
        label="the failed queue cannot be moved back",
        file="queues.tf",
        right="deadLetterTargetArn = aws_sqs_queue.failed.arn",
        wrong="deadLetterTargetArn = aws_sqs_queue.source.arn",
    ),
    Mistake(
        "direct",
        label="the pipe may not delete messages",
        file="iam.tf",
        right='"sqs:DeleteMessage", ',
        wrong="",
    ),
    Mistake(
        "direct",
        label="an action that does not exist",
        file="iam.tf",
        right='["s3:GetObject", "s3:PutObject"]',
        wrong='["s3:GetObject", "s3:PutObjects"]',
    ),
    Mistake(
        "direct",
        label="any role may be passed",
        file="iam.tf",
        right="Resource  = [aws_iam_role.execution.arn, aws_iam_role.task.arn]",
        wrong='Resource  = ["*"]',
    ),
    Mistake(
        "direct",
        label="one role may not be passed",
        file="iam.tf",
        right="Resource  = [aws_iam_role.execution.arn, aws_iam_role.task.arn]",
        wrong="Resource  = [aws_iam_role.task.arn]",
    ),
    Mistake(
        "direct",
        label="any pipe takes the role",
        file="iam.tf",
        right='service = "pipes", arn = local.pipe_arn',
        wrong='service = "pipes", arn = "${local.arn_prefix.pipes}:*"',
    ),
    Mistake(
        "direct",
        label="the task writes anywhere in the bucket",
        file="iam.tf",
        right="${local.destination_bucket_arn}/${var.destination_prefix}*",
        wrong="${local.destination_bucket_arn}/*",
    ),
    Mistake(
        "direct",
        label="the task reads buckets of like names",
        file="iam.tf",
        right="${local.source_bucket_arn}/${var.source_prefix}*",
        wrong="${local.source_bucket_arn}*",
    ),
    Mistake(
        "direct_keys",
        label="no data key for encrypted queues",
        file="iam.tf",
        right=(
            '    Sid       = "SendToEncryptedQueues"\n'
            '    Effect    = "Allow"\n'
            '    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]'
        ),
        wrong=('    Sid       = "SendToEncryptedQueues"\n    Effect    = "Allow"\n    Action    = ["kms:Decrypt"]'),
    ),
    Mistake(
        "direct",
        label="thirty seconds to end",
        file="task.tf",
        right="    stopTimeout = 120\n",
        wrong="",
    ),
    Mistake(
        "direct",
        label="a misspelt member of the container",
        file="task.tf",
        right="readonlyRootFilesystem =",
        wrong="readOnlyRootFilesystem =",
    ),
    Mistake(
        "direct",
        label="memory in the wrong unit",
        file="task.tf",
        right="var.task_memory_mib * 1024 * 1024",
        wrong="var.task_memory_mib * 1000 * 1000",
    ),
    Mistake(
        "direct",
        label="failures have nowhere to go",
        file="task.tf",
        right="FAILED_QUEUE_URL   = aws_sqs_queue.failed.url",
        wrong="FAILED_QUEUE_URL   = aws_sqs_queue.dlq.url",
    ),
    Mistake(
        "batched",
        label="a wrong limit",
        file="state_machine.tf",
        right="overrides_max_characters = 8192",
        wrong="overrides_max_characters = 16384",
    ),
    Mistake(
        "batched",
        label="quotes counted once",
        file="tasks.jsonata.tftpl",
        right=' + $count($split($text, "\\"")) - 1',
        wrong="",
    ),
    Mistake(
        "batched",
        label="the last group is forgotten",
        file="tasks.jsonata.tftpl",
        right=('[$packed.tasks, {"fits": true, "records": [$packed.records]}]\n)'),
        wrong=("[$packed.tasks]\n)"),
    ),
    Mistake(
        "batched",
        label="raw keys taken for encoded ones",
        file="records.jsonata",
        right="$form_encoded($value.detail.object.key)",
        wrong="$value.detail.object.key",
    ),
    Mistake(
        "batched",
        label="attempts are forgotten",
        file="records.jsonata",
        right='$exists($attempts) ? {"pixpipe"',
        wrong='false ? {"pixpipe"',
    ),
    Mistake(
        "batched",
        label="only the first of merged records",
        file="records.jsonata",
        right="$records($value.Records) :",
        wrong="$records($value.Records[0]) :",
    ),
    Mistake(
        "batched",
        label="Spot to the end",
        file="state_machine.tf",
        right='merge(local.run_task["FARGATE"]',
        wrong='merge(local.run_task["FARGATE_SPOT"]',
    ),
    Mistake(
        "batched",
        label="what failed is forgotten",
        file="state_machine.tf",
        right=(
            '                Next        = "HandOver"\n'
            "                Output = {\n"
            '                  records = "{% [$states.input.records] %}"'
        ),
        wrong=('                Next        = "HandOver"\n                Output = {\n                  records = []'),
    ),
    Mistake(
        "batched",
        label="handed over in a shape that is dropped",
        file="failed_message.jsonata",
        right='{"Records": [$merge([',
        wrong='{"records": [$merge([',
    ),
    Mistake(
        "direct",
        label="the key of a killed task is lost",
        file="redrive.jsonata.tftpl",
        right='environment[name = "SQS_BODY"]',
        wrong='environment[name = "BODY"]',
    ),
    Mistake(
        "direct",
        label="killed tasks come back for ever",
        file="redrive.jsonata.tftpl",
        right="$attempts < ${max_attempts}",
        wrong="$attempts > 0",
    ),
    Mistake(
        "direct",
        label="handed back twice",
        file="redrive.jsonata.tftpl",
        right="$container.exitCode = 0 or ",
        wrong="",
    ),
    Mistake(
        "direct",
        label="another family's tasks",
        file="redrive.tf",
        right='arn_without_revision}:"',
        wrong='arn_without_revision}"',
    ),
    Mistake(
        "direct",
        label="tasks that never ran are not seen",
        file="redrive.tf",
        right=(
            "        { containers = { exitCode = [{ exists = false }] } },\n"
            '        { stopCode = [{ "anything-but" = ["EssentialContainerExited"] }] },\n'
        ),
        wrong="",
    ),
    Mistake(
        "direct",
        label="an alarm on a metric that is not there",
        file="alarms.tf",
        right="AWS/EventBridge/Pipes",
        wrong="AWS/Pipes",
    ),
    Mistake(
        "a_batch_that_no_execution_can_take_is_refused",
        label="batches that ECS cannot take are let through",
        file="variables.tf",
        right="var.batch_size <= 50 &&",
        wrong="var.batch_size <= 10000 &&",
    ),
    Mistake(
        "outputs_that_start_tasks_is_refused",
        label="outputs may start tasks",
        file="variables.tf",
        right="var.source_bucket != var.destination_bucket ||",
        wrong="true ||",
    ),
]

# Nothing is wrong: no check may see anything.
CONTROLS = [
    Mistake(shown_by, label=f"control: {shown_by}", file="main.tf", right="", wrong="")
    for shown_by in ("direct", "direct_keys", "batched", "batched_s3", "outputs_that_start_tasks_is_refused")
]
