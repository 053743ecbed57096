locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]

  # Queues that should always be empty.
  alarmed_queues = merge(
    {
      dlq    = { name = aws_sqs_queue.dlq.name, text = "could not be launched or delivered" }
      failed = { name = aws_sqs_queue.failed.name, text = "failed permanently or too often" }
    },
    { for queue in aws_sqs_queue.redrive_dlq : "redrive-dlq" => {
      name = queue.name
      text = "are of killed tasks whose records could not be handed back"
    } },
  )

  alarmed_state_machines = merge(
    { for machine in aws_sfn_state_machine.batch : "batch" => machine.arn },
    { for machine in aws_sfn_state_machine.redrive : "redrive" => machine.arn },
  )

  # Alarms on one metric that is above (or at least) a threshold for five minutes, by the end of their names.
  metric_alarms = merge(
    {
      oldest-message = {
        description = join(" ", [
          "A message has waited for ${var.alarm_oldest_message_seconds} s in ${aws_sqs_queue.source.name}: the pipe is",
          "stopped, cannot launch, or is slower than the uploads. SQS drops messages after 14 days.",
        ])
        namespace           = "AWS/SQS"
        metric_name         = "ApproximateAgeOfOldestMessage"
        dimensions          = { QueueName = aws_sqs_queue.source.name }
        statistic           = "Maximum"
        comparison_operator = "GreaterThanOrEqualToThreshold"
        threshold           = var.alarm_oldest_message_seconds
      }
      failed-records = {
        description         = "Tasks report records that failed; the tasks' log says which and why."
        namespace           = "pixpipe"
        metric_name         = "failed"
        dimensions          = { destination = local.destination }
        statistic           = "Sum"
        comparison_operator = "GreaterThanThreshold"
        threshold           = 0
      }
    },
    { for key, queue in local.alarmed_queues : "${key}-not-empty" => {
      description = join(" ", [
        "Messages in ${queue.name} ${queue.text}. SQS drops them after 14 days; docs/runbook.md of the module says how",
        "to bring them back.",
      ])
      namespace           = "AWS/SQS"
      metric_name         = "ApproximateNumberOfMessagesVisible"
      dimensions          = { QueueName = queue.name }
      statistic           = "Maximum"
      comparison_operator = "GreaterThanThreshold"
      threshold           = 0
    } },
  )

  # Alarms on failures, which several metrics of one resource count, by the end of their names.
  failure_alarms = merge(
    {
      pipe-failing = {
        description = join(" ", [
          "The pipe could not launch; its log group ${aws_cloudwatch_log_group.pipe.name} says why. After five tries a",
          "message goes to ${aws_sqs_queue.dlq.name}.",
        ])
        label      = "Executions of the pipe that failed"
        namespace  = "AWS/EventBridge/Pipes"
        dimensions = { PipeName = aws_pipes_pipe.this.name }
        metrics = {
          failed           = "ExecutionFailed"
          partially_failed = "ExecutionPartiallyFailed"
          timed_out        = "ExecutionTimeout"
        }
        expression = "FILL(failed, 0) + FILL(partially_failed, 0) + FILL(timed_out, 0)"
      }
    },
    { for key, arn in local.alarmed_state_machines : "${key}-executions-failed" => {
      description = join(" ", [
        "Executions failed, so their records are in no queue but in the executions' input: redrive the executions",
        "(aws stepfunctions redrive-execution) within 14 days.",
      ])
      label      = "Executions that did not succeed"
      namespace  = "AWS/States"
      dimensions = { StateMachineArn = arn }
      metrics = {
        failed    = "ExecutionsFailed"
        timed_out = "ExecutionsTimedOut"
        aborted   = "ExecutionsAborted"
      }
      expression = "FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)"
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  for_each = local.metric_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = 1
  comparison_operator = each.value.comparison_operator
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  for_each = local.failure_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "failing"
    expression  = each.value.expression
    label       = each.value.label
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = each.value.namespace
        metric_name = metric_query.value
        dimensions  = each.value.dimensions
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

# No metric says that a pipe is stopped (by hand, or by AWS after too many failures): messages wait and none is taken.
resource "aws_cloudwatch_metric_alarm" "pipe_stopped" {
  alarm_name = "${var.name}-pipe-stopped"
  alarm_description = join(" ", [
    "Messages wait in ${aws_sqs_queue.source.name} and the pipe takes none. This alarm is silent while the kill switch",
    "is on (enabled = false).",
  ])
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  actions_enabled     = var.enabled
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "stopped"
    expression  = "IF(FILL(waiting, 0) > 0 AND FILL(taken, 0) == 0, 1, 0)"
    label       = "Messages wait and none is taken"
    return_data = true
  }

  metric_query {
    id = "waiting"

    metric {
      namespace   = "AWS/SQS"
      metric_name = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.source.name }
      stat        = "Minimum"
      period      = 300
    }
  }

  metric_query {
    id = "taken"

    metric {
      namespace   = "AWS/SQS"
      metric_name = "NumberOfMessagesReceived"
      dimensions  = { QueueName = aws_sqs_queue.source.name }
      stat        = "Sum"
      period      = 300
    }
  }
}
