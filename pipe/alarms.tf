locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]

  # Queues in which nothing should arrive.
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
    { for machine in aws_sfn_state_machine.batch : "batch" => { arn = machine.arn, text = local.records_in_input } },
    { for machine in aws_sfn_state_machine.redrive : "redrive" => {
      arn  = machine.arn
      text = local.records_in_input
    } },
    { for machine in aws_sfn_state_machine.drain : "drain" => {
      arn  = machine.arn
      text = "None will start by itself. The last event of the execution says why; repair it, and start one by hand."
    } },
    { for machine in aws_sfn_state_machine.collect : "collect" => {
      arn  = machine.arn
      text = "Messages could not be taken or written into the work bucket. They come again; after five times, DLQ."
    } },
    { for machine in aws_sfn_state_machine.backfill : "backfill" => {
      arn = machine.arn
      text = join(" ", [
        "Their cause says why. What is not done lies below runs/ in the work bucket, or in the list: start them again",
        "(docs/backfill.md of the module).",
      ])
    } },
  )
  records_in_input = join(" ", [
    "Their records are in no queue but in the executions' input: redrive the executions",
    "(aws stepfunctions redrive-execution) within 14 days.",
  ])

  # Alarms on one metric that is above (or at least) a threshold for five minutes, by the end of their names.
  metric_alarms = {
    oldest-message = {
      description = join(" ", [
        "A message has waited for ${var.alarm_oldest_message_seconds} s in ${aws_sqs_queue.source.name}: the pipe or",
        "the drain is stopped, cannot launch, or is slower than the uploads. SQS drops messages after 14 days.",
      ])
      namespace           = "AWS/SQS"
      metric_name         = "ApproximateAgeOfOldestMessage"
      dimensions          = { QueueName = aws_sqs_queue.source.name }
      statistic           = "Maximum"
      comparison_operator = "GreaterThanOrEqualToThreshold"
      threshold           = var.alarm_oldest_message_seconds
    }
    failed-for-good = {
      description = join(" ", [
        "Tasks report records that failed for good; the tasks' log says which and why. (Records that are tried again",
        "do not count.)",
      ])
      namespace           = "pixpipe"
      metric_name         = "failed_for_good"
      dimensions          = { destination = local.destination }
      statistic           = "Sum"
      comparison_operator = "GreaterThanThreshold"
      threshold           = 0
    }
  }

  pipe_metric = {
    namespace  = "AWS/EventBridge/Pipes"
    dimensions = { PipeName = var.name }
    stat       = "Sum"
  }
  source_metric = {
    namespace  = "AWS/SQS"
    dimensions = { QueueName = aws_sqs_queue.source.name }
    stat       = "Sum"
  }

  # Work that begins: executions; of a drain, which is one execution for all, messages that were taken.
  started_metric = (local.drain ?
    merge(local.source_metric, { name = "NumberOfMessagesDeleted" }) :
    {
      namespace  = "AWS/States"
      name       = "ExecutionsStarted"
      dimensions = { StateMachineArn = local.state_machine_arn }
      stat       = "Sum"
    }
  )

  # Alarms on expressions of metrics that are above 0, by the end of their names.
  expression_alarms = merge(
    { for name, alarm in {
      pipe-failing = {
        description = join(" ", [
          "The pipe could not launch; its log group /aws/vendedlogs/pipes/${var.name} says why. After five tries a",
          "message goes to ${aws_sqs_queue.dlq.name}.",
        ])
        label      = "Executions of the pipe that failed"
        expression = "FILL(failed, 0) + FILL(partially_failed, 0) + FILL(timed_out, 0)"
        periods    = 1
        seconds    = 300
        silent     = false
        metrics = { for id, metric in {
          failed           = "ExecutionFailed"
          partially_failed = "ExecutionPartiallyFailed"
          timed_out        = "ExecutionTimeout"
        } : id => merge(local.pipe_metric, { name = metric }) }
      }
      # No metric says that a pipe is stopped (by hand, or by AWS after too many failures).
      pipe-stopped = {
        description = join(" ", [
          "Messages wait in ${aws_sqs_queue.source.name} and the pipe takes none. This alarm is silent while the kill",
          "switch is on (enabled = false).",
        ])
        label      = "Messages wait and none is taken"
        expression = "IF(FILL(waiting, 0) > 0 AND FILL(taken, 0) == 0, 1, 0)"
        periods    = 3
        seconds    = 300
        silent     = !var.enabled
        metrics = {
          waiting = merge(local.source_metric, { name = "ApproximateNumberOfMessagesVisible", stat = "Minimum" })
          taken   = merge(local.source_metric, { name = "NumberOfMessagesReceived" })
        }
      }
    } : name => alarm if !local.drain },
    # Growth, not presence: a second failure rings as well, and one that lies there does not ring for 14 days. (SQS
    # counts no message as sent that it moves to a dead-letter queue itself.)
    { for key, queue in local.alarmed_queues : "${key}-growing" => {
      description = join(" ", [
        "New messages in ${queue.name}: they ${queue.text}. SQS drops them after 14 days; docs/runbook.md of the",
        "module says how to bring them back.",
      ])
      label      = "New messages"
      expression = "DIFF(FILL(there, 0))"
      periods    = 1
      seconds    = 300
      silent     = false
      metrics = { there = {
        namespace  = "AWS/SQS"
        name       = "ApproximateNumberOfMessagesVisible"
        dimensions = { QueueName = queue.name }
        stat       = "Maximum"
      } }
    } },
    # Refused launches are waited for, a day long; so a right that is missing, or a network without a way to ECR, would
    # be silent.
    { for waits in [!local.direct] : "nothing-finishes" => {
      description = join(" ", [
        "Batches have started for two hours, and no task has reported: launches are refused, or tasks cannot start.",
        "The history of a running execution says why.",
      ])
      label      = "Batches start and no task reports"
      expression = "IF(FILL(started, 0) > 0 AND FILL(reported, 0) == 0, 1, 0)"
      periods    = 2
      seconds    = 3600
      silent     = !var.enabled || var.log_format != "json"
      metrics = {
        started = local.started_metric
        reported = {
          namespace  = "pixpipe"
          name       = "duration_ms"
          dimensions = { destination = local.destination }
          stat       = "SampleCount"
        }
      }
    } if waits },
    # The first mistake of all: a bucket that tells nobody, since its notification configuration was never switched on,
    # or was replaced. (With a prefix or suffixes, uploads elsewhere in the bucket would ring.)
    { for whole in [var.source_prefix == "" && local.any_suffix] : "no-events" => {
      description = join(" ", [
        "${var.source_bucket} has more objects than a day ago, and no event has come: look at its notification",
        "configuration (aws s3api get-bucket-notification-configuration).",
      ])
      label      = "Uploads, and no event"
      expression = "IF(DIFF(objects) > 0 AND FILL(sent, 0) == 0, 1, 0)"
      periods    = 1
      seconds    = 86400
      silent     = false
      metrics = {
        objects = {
          namespace  = "AWS/S3"
          name       = "NumberOfObjects"
          dimensions = { BucketName = var.source_bucket, StorageType = "AllStorageTypes" }
          stat       = "Average"
        }
        sent = local.event ? local.started_metric : merge(local.source_metric, { name = "NumberOfMessagesSent" })
      }
    } if whole },
    { for key, machine in local.alarmed_state_machines : "${key}-executions-failed" => {
      description = "Executions of ${key} failed. ${machine.text}"
      label       = "Executions that did not succeed"
      expression  = "FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)"
      periods     = 1
      seconds     = 300
      silent      = false
      metrics = { for id, metric in {
        failed    = "ExecutionsFailed"
        timed_out = "ExecutionsTimedOut"
        aborted   = "ExecutionsAborted"
        } : id => {
        namespace  = "AWS/States"
        name       = metric
        dimensions = { StateMachineArn = machine.arn }
        stat       = "Sum"
      } }
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

resource "aws_cloudwatch_metric_alarm" "expression" {
  for_each = local.expression_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching"
  actions_enabled     = !each.value.silent
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "result"
    expression  = each.value.expression
    label       = each.value.label
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = each.value.seconds
      }
    }
  }
}
