locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]

  # Queues in which nothing should ever lie.
  alarmed_queues = merge(
    {
      dlq    = { name = aws_sqs_queue.dlq.name, text = "could not be launched or delivered" }
      failed = { name = aws_sqs_queue.failed.name, text = "failed for good" }
    },
    { for queue in aws_sqs_queue.redrive_dlq : "redrive-dlq" => { name = queue.name, text = "are of killed tasks and could not be put back" } },
  )

  alarmed_state_machines = merge(
    { for machine in aws_sfn_state_machine.batch : "batch" => machine.arn },
    { for machine in aws_sfn_state_machine.redrive : "redrive" => machine.arn },
  )
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  alarm_name          = "${var.name}-oldest-message"
  alarm_description   = "A message has waited for ${var.alarm_oldest_message_seconds} s in ${aws_sqs_queue.source.name}: the pipe is stopped, cannot launch, or is slower than the uploads. SQS drops messages after 14 days."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.source.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.alarm_oldest_message_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "queue_not_empty" {
  for_each = local.alarmed_queues

  alarm_name          = "${var.name}-${each.key}-not-empty"
  alarm_description   = "Messages in ${each.value.name} ${each.value.text}. They are dropped after 14 days; README.md of the module says what brings them back."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "failed_records" {
  alarm_name          = "${var.name}-failed-records"
  alarm_description   = "Tasks report records that failed; their log says which and why."
  namespace           = "pixpipe"
  metric_name         = "failed"
  dimensions          = { destination = local.destination }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "pipe_failing" {
  alarm_name          = "${var.name}-pipe-failing"
  alarm_description   = "The pipe could not launch; its log group ${aws_cloudwatch_log_group.pipe.name} says why. After five tries a message goes to ${aws_sqs_queue.dlq.name}."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "failing"
    expression  = "FILL(failed, 0) + FILL(partially_failed, 0) + FILL(timed_out, 0)"
    label       = "Executions of the pipe that failed"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = {
      failed           = "ExecutionFailed"
      partially_failed = "ExecutionPartiallyFailed"
      timed_out        = "ExecutionTimeout"
    }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/EventBridge/Pipes"
        metric_name = metric_query.value
        dimensions  = { PipeName = aws_pipes_pipe.this.name }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

# No metric says that a pipe is stopped (by hand, or by AWS after too many failures): messages wait and none is taken.
resource "aws_cloudwatch_metric_alarm" "pipe_stopped" {
  alarm_name          = "${var.name}-pipe-stopped"
  alarm_description   = "Messages wait in ${aws_sqs_queue.source.name} and the pipe takes none. Silent while the kill switch is on (enabled = false)."
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

resource "aws_cloudwatch_metric_alarm" "executions_failed" {
  for_each = local.alarmed_state_machines

  alarm_name          = "${var.name}-${each.key}-executions-failed"
  alarm_description   = "Executions failed, so records are in neither queue; they are in the execution's input: redrive it (aws stepfunctions redrive-execution) within 14 days."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "failing"
    expression  = "FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)"
    label       = "Executions that did not succeed"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = {
      failed    = "ExecutionsFailed"
      timed_out = "ExecutionsTimedOut"
      aborted   = "ExecutionsAborted"
    }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/States"
        metric_name = metric_query.value
        dimensions  = { StateMachineArn = each.value }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}
