# The direct launcher: the pipe starts a task per message (pipe.tf), and deletes the message when RunTask is accepted,
# so a killed task loses it. ECS reports every stopped task with its overrides; from there the records go back to the
# source queue, with one attempt more. (A batched task is watched by its execution.)

locals {
  stopped_exit_code = "$states.input.detail.containers[name = \"${local.container_name}\"].exitCode"
  stopped_body = join("", [
    "$states.input.detail.overrides.containerOverrides[name = \"${local.container_name}\"]",
    ".environment[name = \"SQS_BODY\"].value",
  ])

  redrive_definition = {
    Comment       = "Sends the records of a task that ended badly back to the source queue, or to the failed queue"
    QueryLanguage = "JSONata"
    StartAt       = "Ended"
    States = {
      Ended = {
        Type = "Choice"
        Choices = [
          {
            Comment   = "Every record was processed, or handed back by the task itself"
            Condition = "{% $exists(${local.stopped_exit_code}) ? ${local.stopped_exit_code} = 0 : false %}"
            Next      = "Done"
          },
          { Condition = "{% $exists(${local.stopped_body}) %}", Next = "HandBack" },
        ]
        Default = "NoBody"
      }
      Done = { Type = "Succeed" }
      NoBody = {
        Type    = "Fail"
        Comment = "Loud, because the records are in no queue: the alarm redrive-executions-failed rings"
        Error   = "pixpipe.NoBody"
        Cause   = "The event of a task that ended badly has no SQS_BODY. Look for the task's records in its log."
      }
      HandBack = {
        Type  = "Map"
        Items = local.jsonata.redrive
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "Send"
          States = {
            Send = merge(local.send_message, {
              Arguments = {
                QueueUrl     = "{% $states.input.queue_url %}"
                MessageBody  = "{% $states.input.body %}"
                DelaySeconds = "{% $states.input.delay_seconds %}"
              }
            })
          }
        }
        Catch = [{
          Comment     = "SQS_BODY is not JSON"
          ErrorEquals = ["States.QueryEvaluationError"]
          Next        = "SendUnreadToFailedQueue"
          Output      = "{% $states.input %}"
        }]
        Output = {}
        End    = true
      }
      SendUnreadToFailedQueue = merge(local.send_message, {
        Arguments = {
          QueueUrl = aws_sqs_queue.failed.url
          MessageBody = join(" ", [
            "{% $string({\"Records\": [{\"pixpipe\": {\"attempts\": 1, \"reason\": \"invalid-entry\",",
            "\"entry\": ${local.stopped_body}}}]}) %}",
          ])
        }
      })
    }
  }
}

resource "aws_cloudwatch_event_rule" "task_stopped" {
  count = local.direct ? 1 : 0

  name        = "${var.name}-task-stopped"
  description = "Tasks of ${var.name} that ended badly"
  tags        = var.tags

  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    account       = [local.account_id]
    detail = {
      lastStatus        = ["STOPPED"]
      clusterArn        = [local.cluster_arn]
      taskDefinitionArn = [{ prefix = "${aws_ecs_task_definition.this.arn_without_revision}:" }]
      group             = ["family:${var.name}"] # the tasks of a backfill have another one: its executions watch them
      # Wide on purpose, the state machine looks closer: an exit code that is not 0; no exit code (never started); a
      # stop that is not the container's own exit. (After a Spot interruption, a task that handed its records back exits
      # with 0.)
      "$or" = [
        { containers = { exitCode = [{ "anything-but" = [0] }] } },
        { containers = { exitCode = [{ exists = false }] } },
        { stopCode = [{ "anything-but" = ["EssentialContainerExited"] }] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "redrive" {
  count = local.direct ? 1 : 0

  rule      = aws_cloudwatch_event_rule.task_stopped[0].name
  target_id = "redrive"
  arn       = aws_sfn_state_machine.redrive[0].arn
  role_arn  = aws_iam_role.task_stopped[0].arn

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.redrive_dlq[0].arn
  }

  depends_on = [aws_sqs_queue_policy.redrive_dlq, aws_iam_role_policy.task_stopped]
}

resource "aws_sfn_state_machine" "redrive" {
  #checkov:skip=CKV_AWS_284:X-Ray would trace one state and a SendMessage; the execution's history says more
  #checkov:skip=CKV_AWS_285:a Standard execution keeps its history for 90 days; logging needs rights on every log group
  count = local.direct ? 1 : 0

  name       = "${var.name}-redrive"
  type       = "STANDARD"
  role_arn   = aws_iam_role.redrive[0].arn
  definition = jsonencode(local.redrive_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.redrive]
}

# Events of stopped tasks that could not be delivered to the state machine for a day. The source queue cannot take them
# (its filter would drop them), so they have a queue of their own.
resource "aws_sqs_queue" "redrive_dlq" {
  count = local.direct ? 1 : 0

  name                      = "${var.name}-redrive-dlq"
  message_retention_seconds = local.fourteen_days_seconds
  sqs_managed_sse_enabled   = var.queue_kms_key_arn == null ? true : null
  kms_master_key_id         = var.queue_kms_key_arn
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "redrive_dlq" {
  count = local.direct ? 1 : 0

  queue_url = aws_sqs_queue.redrive_dlq[0].url
  policy    = local.queue_policies.redrive_dlq
}

# --- roles ---

resource "aws_iam_role" "redrive" {
  count = local.direct ? 1 : 0

  name        = "${local.regional_name}-redrive"
  description = "Rights of the redrive of killed tasks: send to the source and the failed queue"
  tags        = var.tags

  assume_role_policy = local.trust_policies.redrive
}

resource "aws_iam_role_policy" "redrive" {
  count = local.direct ? 1 : 0

  name = "hand-back"
  role = aws_iam_role.redrive[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "HandBack"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.source.arn, aws_sqs_queue.failed.arn]
      }],
      local.queue_key_send_statements,
    )
  })
}

resource "aws_iam_role" "task_stopped" {
  count = local.direct ? 1 : 0

  name        = "${local.regional_name}-task-stopped"
  description = "Rights of the rule on stopped tasks: start the redrive"
  tags        = var.tags

  assume_role_policy = local.trust_policies.task_stopped
}

resource "aws_iam_role_policy" "task_stopped" {
  count = local.direct ? 1 : 0

  name = "start-redrive"
  role = aws_iam_role.task_stopped[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "StartTheRedrive"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = [aws_sfn_state_machine.redrive[0].arn]
    }]
  })
}
