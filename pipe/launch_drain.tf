# The drain: starts when many messages wait or one is old, on a schedule or by hand; empties the queue with at most
# max_tasks tasks at a time; tells, and ends. Nothing polls in between.
#
# Messages are deleted when their records lie below batches/ of the work bucket. What lies there is not done: each round
# begins with it, so a worker that died and an answer that was lost leave nothing behind. That needs no lock; that only
# one drain runs saves money.

locals {
  # A worker takes no further batch after so many, or after so many refused launches and tasks that ended badly: a batch
  # is 36 events of its history, a refusal 9, a batch that is refused for a day 900, and there may be 25,000.
  worker_max_batches = 300
  worker_max_waits   = 1300

  # A drain ends after so many rounds (each some 30 events of its history), and its alarm starts the next one.
  drain_max_rounds = 300
  # Rounds without one finished batch, after which something is wrong that more rounds do not mend.
  drain_max_stalled = 3

  collect_timeout_seconds = 100 # well within the visibility timeout of the queue

  # The collector takes no further messages beyond these, since a state takes 262,144 bytes: of records, each message at
  # most 33,000 (a text of 16 KiB, with every character escaped), and of receipt handles, each at most 1,024.
  collect_room_characters    = 240000
  collect_max_characters     = 180000
  message_max_characters     = 33000
  collect_handles_characters = 230000

  drain_jsonata = { for name, text in {
    collect = templatefile("${local.jsonata_folder}/collect.jsonata.tftpl", {
      records = local.records_jsonata
      work    = local.work_jsonata
    })
    workers = templatefile("${local.jsonata_folder}/workers.jsonata.tftpl", {
      batch_objects   = local.batch_objects
      max_tasks       = local.max_tasks
      on_demand_tasks = local.on_demand_tasks
    })
    others        = file("${local.jsonata_folder}/others.jsonata")
    batch         = file("${local.jsonata_folder}/left_batch.jsonata")
    not_collected = file("${local.jsonata_folder}/not_collected.jsonata")
    collected     = file("${local.jsonata_folder}/collected.jsonata")
    worked        = file("${local.jsonata_folder}/worked.jsonata")
    round         = file("${local.jsonata_folder}/round.jsonata")
  } : name => "{% ${trimspace(replace(replace(text, "/(?s)\\/\\*.*?\\*\\//", ""), "/\\s*\n\\s*/", " "))} %}" }

  # --- the collector: one batch out of the queue, into a file

  collect_definition = {
    Comment        = "Takes messages from the source queue, writes their records into the work bucket, deletes them"
    QueryLanguage  = "JSONata"
    TimeoutSeconds = local.collect_timeout_seconds
    StartAt        = "Begin"
    States = {
      Begin = {
        Type   = "Pass"
        Assign = { records = [], handles = [], characters = 0 }
        Output = {}
        Next   = "Receive"
      }
      Receive = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::aws-sdk:sqs:receiveMessage"
        TimeoutSeconds = 20
        Arguments = {
          QueueUrl = aws_sqs_queue.source.url
          MaxNumberOfMessages = join(" ", [
            "{% $min([10, ${local.batch_objects} - $count($records),",
            "$floor((${local.collect_room_characters} - $characters) / ${local.message_max_characters})]) %}",
          ])
          WaitTimeSeconds = 1
        }
        Retry  = [local.collect_retry]
        Output = { messages = "{% [$states.result.Messages] %}" }
        Next   = "Any"
      }
      Any = {
        Type    = "Choice"
        Choices = [{ Condition = "{% $count($states.input.messages) > 0 %}", Next = "Read" }]
        Default = "Found"
      }
      Read = {
        Type    = "Map"
        Comment = "Of one item: only a Map can catch that a text is no JSON"
        Items   = "{% [$states.input] %}"
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "Entries"
          States          = { Entries = { Type = "Pass", Output = local.drain_jsonata.collect, End = true } }
        }
        Output = "{% $states.result[0] %}"
        Catch  = [{ ErrorEquals = ["States.ALL"], Next = "AsTexts", Output = "{% $states.input %}" }]
        Next   = "Add"
      }
      AsTexts = {
        Type    = "Pass"
        Comment = "The task reads JSON in a text, too, and reports what is none"
        Output = {
          records    = "{% [$states.input.messages.Body] %}"
          handles    = "{% [$states.input.messages.ReceiptHandle] %}"
          characters = "{% $length($string([$states.input.messages.Body])) %}"
        }
        Next = "Add"
      }
      Add = {
        Type = "Pass"
        Assign = {
          records    = "{% [$append($records, $states.input.records)] %}"
          handles    = "{% [$append($handles, $states.input.handles)] %}"
          characters = "{% $characters + $states.input.characters %}"
        }
        Output = {}
        Next   = "Enough"
      }
      Enough = {
        Type = "Choice"
        Choices = [{
          Condition = join(" ", [
            "{% $count($records) < ${local.batch_objects} and $characters < ${local.collect_max_characters}",
            "and $length($join($handles)) < ${local.collect_handles_characters} %}",
          ])
          Next = "Receive"
        }]
        Default = "Found"
      }
      Found = {
        Type    = "Choice"
        Choices = [{ Condition = "{% $count($records) > 0 %}", Next = "Write" }]
        Default = "Delete"
      }
      Write = merge(local.work_request, {
        Resource = "${local.s3_resource}:putObject"
        Arguments = {
          Bucket      = local.work_bucket
          Key         = "{% ${local.collected_key} %}"
          ContentType = "application/json"
          Body        = { Records = "{% $records %}" }
        }
        Retry  = [local.collect_retry]
        Output = {}
        Next   = "Delete"
      })
      Delete = {
        Type    = "Map"
        Comment = "What stays is received again, and done a second time as unchanged"
        Items   = "{% $count($handles) = 0 ? [] : [0..($ceil($count($handles) / 10) - 1)] %}"
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "DeleteTen"
          States = {
            DeleteTen = {
              Type           = "Task"
              Resource       = "arn:${local.partition}:states:::aws-sdk:sqs:deleteMessageBatch"
              TimeoutSeconds = 20
              Arguments = {
                QueueUrl = aws_sqs_queue.source.url
                Entries = join(" ", [
                  "{% ($from := 10 * $states.input; $to := $min([$from + 9, $count($handles) - 1]);",
                  "[$map([$from..$to], function($n) { {\"Id\": $string($n), \"ReceiptHandle\": $handles[$n]} })]) %}",
                ])
              }
              Retry  = [local.collect_retry]
              Output = {}
              End    = true
            }
          }
        }
        Output = {}
        Catch  = [{ ErrorEquals = ["States.ALL"], Next = "Answer", Output = {} }]
        Next   = "Answer"
      }
      Answer = {
        Type   = "Pass"
        Output = { key = "{% $count($records) > 0 ? ${local.collected_key} : \"\" %}" }
        End    = true
      }
    }
  }

  # The number of records is in the name, so that whoever finds the batch knows it.
  collected_key = "\"batches/\" & $states.context.Execution.Name & \".\" & $string($count($records)) & \".json\""

  # Seconds, not minutes: the collector has 100 seconds, and whatever it cannot do is done by the next one.
  collect_retry = {
    ErrorEquals     = ["States.ALL"]
    IntervalSeconds = 1
    MaxAttempts     = 3
    BackoffRate     = 2
    JitterStrategy  = "FULL"
  }

  # --- the drain

  drain_definition = {
    Comment       = "Empties the source queue: workers take batch after batch and run a task for each"
    QueryLanguage = "JSONata"
    StartAt       = "Begin"
    States = {
      Begin = {
        Type = "Pass"
        Output = {
          looks   = 0, rounds = 0, stalled = 0, cause = "{% \"\" %}"
          reports = "{% \"reports/\" & $states.context.Execution.Name & \"/\" %}"
          batches = 0, objects = 0, written = 0, skipped = 0, failed = 0, uncounted = 0, handed_over = 0, put_back = 0
        }
        Next = "Others"
      }
      Others = {
        Type           = "Task"
        Comment        = "Is there a drain that began before this one?"
        Resource       = "arn:${local.partition}:states:::aws-sdk:sfn:listExecutions"
        TimeoutSeconds = 60
        Arguments      = { StateMachineArn = local.drain_state_machine_arn, StatusFilter = "RUNNING", MaxResults = 100 }
        Retry          = [local.send_retry]
        Output         = local.drain_jsonata.others
        Next           = "Alone"
      }
      Alone = {
        Type = "Choice"
        Choices = [
          { Condition = "{% $states.input.earlier %}", Next = "Another" },
          { Comment = "A list may be seconds old", Condition = "{% $states.input.looks < 2 %}", Next = "Moment" },
        ]
        Default = "Left"
      }
      Another = { Type = "Succeed", Comment = "It takes what this one would have taken" }
      Moment  = { Type = "Wait", Seconds = 5, Next = "Others" }

      Left = merge(local.work_request, {
        Comment   = "No worker runs now, so nobody else will do what lies there"
        Resource  = "${local.s3_resource}:listObjectsV2"
        Arguments = { Bucket = local.work_bucket, Prefix = "batches/", MaxKeys = 200 }
        Output    = "{% $merge([$states.input, {\"keys\": [$states.result.Contents.Key]}]) %}"
        Next      = "Waiting"
      })
      Waiting = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::aws-sdk:sqs:getQueueAttributes"
        TimeoutSeconds = 60
        Arguments      = { QueueUrl = aws_sqs_queue.source.url, AttributeNames = ["ApproximateNumberOfMessages"] }
        Retry          = [local.send_retry]
        Output = join(" ", [
          "{% $merge([$states.input, {",
          "\"waiting\": $number($states.result.Attributes.ApproximateNumberOfMessages)}]) %}",
        ])
        Next = "More"
      }
      More = {
        Type = "Choice"
        Choices = [
          { Comment = "The kill switch is on", Condition = "{% $states.input.put_back > 0 %}", Next = "Tell" },
          {
            Comment = "With a cause: messages that a collector received and could not write are hidden, and come again"
            Condition = join(" ", [
              "{% $count($states.input.keys) = 0 and $states.input.waiting = 0 and $states.input.cause = \"\" %}",
            ])
            Next = "Tell"
          },
          { Condition = "{% $states.input.stalled >= ${local.drain_max_stalled} %}", Next = "Stuck" },
          { Condition = "{% $states.input.rounds >= ${local.drain_max_rounds} %}", Next = "Tell" },
        ]
        Default = "Workers"
      }
      Workers = {
        Type                       = "Map"
        Label                      = "Workers"
        Items                      = local.drain_jsonata.workers
        MaxConcurrency             = local.max_tasks
        ToleratedFailurePercentage = 100
        ItemProcessor = {
          ProcessorConfig = { Mode = "DISTRIBUTED", ExecutionType = "STANDARD" }
          StartAt         = "Choose"
          States          = local.worker_states
        }
        Output = local.drain_jsonata.round
        Next   = "Breath"
      }
      Breath = {
        Type    = "Wait"
        Comment = "Until hidden messages are there again; or because the number of messages is up to a minute old"
        Seconds = join(" ", [
          "{% $states.input.cause != \"\" ? ${20 + aws_sqs_queue.source.visibility_timeout_seconds} :",
          "$states.input.stalled > 0 ? 30 : 1 %}",
        ])
        Next = "Left"
      }
      Stuck = {
        Type    = "Fail"
        Comment = "Loud: drain-executions-failed rings. What was taken lies below batches/, all else in the queue"
        Error   = "pixpipe.NoProgress"
        Cause = join(" ", [
          "{% \"${local.drain_max_stalled} rounds did no batch: \"",
          "& ($states.input.cause = \"\" ? \"messages wait, and none is received\" : $states.input.cause) %}",
        ])
      }

      Tell = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::events:putEvents"
        TimeoutSeconds = 60
        Arguments = {
          Entries = [{
            EventBusName = "default"
            Source       = "pixpipe"
            DetailType   = "Drain Finished"
            Detail = {
              stack      = var.name
              execution  = "{% $states.context.Execution.Id %}"
              batches    = "{% $states.input.batches %}"
              objects    = "{% $states.input.objects %}"
              written    = "{% $states.input.written %}"
              skipped    = "{% $states.input.skipped %}"
              failed     = "{% $states.input.failed %}"
              uncounted  = "{% $states.input.uncounted %}"
              handedOver = "{% $states.input.handed_over %}"
              reports    = "{% \"s3://${local.work_bucket}/\" & $states.input.reports %}"
            }
          }]
        }
        Retry  = [local.send_retry]
        Catch  = [{ ErrorEquals = ["States.ALL"], Next = "Rearm", Output = "{% $states.input %}" }]
        Output = "{% $states.input %}"
        Next   = "Rearm"
      }
      Rearm = {
        Type = "Task"
        Comment = join(" ", [
          "The very last: if enough wait by now, the alarm goes off again and starts a drain. One that it started",
          "before saw this one and ended. There is no alarm while the kill switch is on.",
        ])
        Resource       = "arn:${local.partition}:states:::aws-sdk:cloudwatch:setAlarmState"
        TimeoutSeconds = 60
        Arguments      = { AlarmName = local.drain_alarm_name, StateValue = "OK", StateReason = "A drain has ended" }
        Retry          = [merge(local.send_retry, { MaxAttempts = 3 })]
        Catch          = [{ ErrorEquals = ["States.ALL"], Next = "Ended", Output = "{% $states.input %}" }]
        Output         = "{% $states.input %}"
        Next           = "Ended"
      }
      Ended = { Type = "Succeed" }
    }
  }

  # A child of a round: one batch that was left, or batch after batch as long as the collector finds any.
  worker_states = {
    Choose = {
      Type = "Choice"
      Choices = [
        { Condition = "{% $states.input.key != \"\" %}", Next = "Batch" },
        {
          Condition = join(" ", [
            "{% $states.input.over or $states.input.rounds >= ${local.worker_max_batches}",
            "or $states.input.waits >= ${local.worker_max_waits} %}",
          ])
          Next = "Done"
        },
        { Condition = "{% $states.input.faults > 0 %}", Next = "Hesitate" },
      ]
      Default = "Collect"
    }
    Hesitate = { Type = "Wait", Seconds = 60, Next = "Collect" }
    Collect = {
      Type           = "Task"
      Resource       = "arn:${local.partition}:states:::aws-sdk:sfn:startSyncExecution"
      TimeoutSeconds = local.collect_timeout_seconds + 20
      Arguments      = { StateMachineArn = local.collect_state_machine_arn, Input = "{}" }
      Retry          = [local.send_retry]
      Catch          = [{ ErrorEquals = ["States.ALL"], Next = "Done", Output = local.drain_jsonata.not_collected }]
      Output         = local.drain_jsonata.collected
      Next           = "Choose"
    }
    Batch = {
      Type  = "Map"
      Items = local.drain_jsonata.batch
      ItemProcessor = {
        ProcessorConfig = { Mode = "INLINE" }
        StartAt         = "Decide"
        States          = local.run_states
      }
      Output = local.drain_jsonata.worked
      Next   = "Choose"
    }
    Done = { Type = "Succeed" }
  }
}

resource "aws_sfn_state_machine" "collect" {
  #checkov:skip=CKV_AWS_284:X-Ray would trace calls of SQS and S3; the answer to the drain says more
  #checkov:skip=CKV_AWS_285:the drain's history has each answer, with its cause; logging needs rights on every log group
  count = local.drain ? 1 : 0

  name       = "${var.name}-collect"
  type       = "EXPRESS" # a Standard one would cost 5 $ per million images, this one 0.02 $
  role_arn   = aws_iam_role.collect[0].arn
  definition = jsonencode(local.collect_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.collect]
}

resource "aws_sfn_state_machine" "drain" {
  #checkov:skip=CKV_AWS_284:X-Ray would trace a RunTask; the execution's history says more
  #checkov:skip=CKV_AWS_285:a Standard execution keeps its history for 90 days; logging needs rights on every log group
  count = local.drain ? 1 : 0

  name       = "${var.name}-drain"
  type       = "STANDARD"
  role_arn   = aws_iam_role.drain[0].arn
  definition = jsonencode(local.drain_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.drain]
}

# --- what starts it

# Its change to ALARM starts a drain. It is there only while enabled: an alarm that went off in the meantime would tell
# nobody, but a new one goes off.
resource "aws_cloudwatch_metric_alarm" "drain_start" {
  count = local.drain && var.enabled ? 1 : 0

  alarm_name = local.drain_alarm_name
  alarm_description = join(" ", [
    "Starts a drain: ${local.drain_start_messages} messages wait in ${aws_sqs_queue.source.name}, or one is",
    "${local.drain_start_age_seconds} s old. No trouble: it notifies nobody.",
  ])
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  tags                = var.tags

  metric_query {
    id    = "result"
    label = "Enough messages wait, or one for long enough"
    expression = join(" ", [
      "IF(FILL(waiting, 0) >= ${local.drain_start_messages} OR",
      "(FILL(waiting, 0) > 0 AND FILL(age, 0) >= ${local.drain_start_age_seconds}), 1, 0)",
    ])
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { waiting = "ApproximateNumberOfMessagesVisible", age = "ApproximateAgeOfOldestMessage" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        dimensions  = { QueueName = aws_sqs_queue.source.name }
        stat        = "Maximum"
        period      = 60
      }
    }
  }

  # Its first event must find the rule.
  depends_on = [aws_cloudwatch_event_target.drain]
}

resource "aws_cloudwatch_event_rule" "drain_start" {
  count = local.drain ? 1 : 0

  name        = "${var.name}-drain-start"
  description = "The alarm ${local.drain_alarm_name} went off"
  state       = var.enabled ? "ENABLED" : "DISABLED"
  tags        = var.tags

  event_pattern = jsonencode({
    source        = ["aws.cloudwatch"]
    "detail-type" = ["CloudWatch Alarm State Change"]
    account       = [local.account_id]
    resources     = [local.drain_alarm_arn]
    detail        = { state = { value = ["ALARM"] } }
  })
}

resource "aws_cloudwatch_event_target" "drain" {
  count = local.drain ? 1 : 0

  rule      = aws_cloudwatch_event_rule.drain_start[0].name
  target_id = "drain"
  arn       = aws_sfn_state_machine.drain[0].arn
  role_arn  = aws_iam_role.drain_start[0].arn
  input     = "{}"

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.dlq.arn
  }

  depends_on = [aws_iam_role_policy.drain_start, aws_sqs_queue_policy.dlq]
}

resource "aws_scheduler_schedule" "drain" {
  #checkov:skip=CKV_AWS_297:the schedule holds an ARN and {}, and no data
  count = local.drain && var.drain_schedule != null ? 1 : 0

  name                         = "${var.name}-drain"
  group_name                   = aws_scheduler_schedule_group.this[0].name
  description                  = "Starts a drain of ${aws_sqs_queue.source.name}"
  schedule_expression          = var.drain_schedule
  schedule_expression_timezone = var.schedule_timezone
  state                        = var.enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode                      = var.schedule_window_minutes == 0 ? "OFF" : "FLEXIBLE"
    maximum_window_in_minutes = var.schedule_window_minutes == 0 ? null : var.schedule_window_minutes
  }

  target {
    arn      = aws_sfn_state_machine.drain[0].arn
    role_arn = aws_iam_role.drain_schedule[0].arn
    input    = "{}"

    retry_policy {
      maximum_event_age_in_seconds = 86400
      maximum_retry_attempts       = 185
    }

    dead_letter_config {
      arn = aws_sqs_queue.dlq.arn
    }
  }

  depends_on = [aws_iam_role_policy.drain_schedule]
}

# --- roles

resource "aws_iam_role" "collect" {
  count = local.drain ? 1 : 0

  name        = "${local.regional_name}-collect"
  description = "Rights of the collector: take messages from the source queue, write batches"
  tags        = var.tags

  assume_role_policy = local.trust_policies.collect
}

resource "aws_iam_role_policy" "collect" {
  count = local.drain ? 1 : 0

  name = "collect"
  role = aws_iam_role.collect[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "TakeFromTheSourceQueue"
          Effect   = "Allow"
          Action   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
          Resource = [aws_sqs_queue.source.arn]
        },
        {
          Sid      = "WriteBatches"
          Effect   = "Allow"
          Action   = ["s3:PutObject"]
          Resource = ["${local.work_bucket_arn}/batches/*"]
        },
      ],
      local.queue_key_read_statements,
      local.work_key_statements,
    )
  })
}

resource "aws_iam_role" "drain" {
  count = local.drain ? 1 : 0

  name        = "${local.regional_name}-drain"
  description = "Rights of the drain: collect, run tasks, hand batches over"
  tags        = var.tags

  assume_role_policy = local.trust_policies.drain
}

resource "aws_iam_role_policy" "drain" {
  count = local.drain ? 1 : 0

  name = "drain"
  role = aws_iam_role.drain[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.launch_statements, local.run_statements, local.work_statements.batches, [
      {
        Sid      = "Collect"
        Effect   = "Allow"
        Action   = ["states:StartSyncExecution"]
        Resource = [local.collect_state_machine_arn]
      },
      {
        Sid      = "StartWorkersAndSeeOtherDrains"
        Effect   = "Allow"
        Action   = ["states:ListExecutions", "states:StartExecution"]
        Resource = [local.drain_state_machine_arn]
      },
      {
        Sid      = "WatchAndStopWorkers"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution"]
        Resource = ["${local.arn_prefix.states}:execution:${var.name}-drain:*"]
      },
      {
        Sid      = "RedriveWorkers"
        Effect   = "Allow"
        Action   = ["states:RedriveExecution"]
        Resource = ["${local.arn_prefix.states}:execution:${var.name}-drain/Workers:*"]
      },
      {
        Sid       = "FindWhatWasLeft"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [local.work_bucket_arn]
        Condition = { StringEquals = { "s3:prefix" = ["batches/"] } }
      },
      {
        Sid      = "CountMessages"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueAttributes"]
        Resource = [aws_sqs_queue.source.arn]
      },
      {
        Sid       = "TellThatItHasFinished"
        Effect    = "Allow"
        Action    = ["events:PutEvents"]
        Resource  = ["${local.arn_prefix.events}:event-bus/default"]
        Condition = { StringEquals = { "events:source" = ["pixpipe"] } }
      },
      {
        Sid      = "RearmItsAlarm"
        Effect   = "Allow"
        Action   = ["cloudwatch:SetAlarmState"]
        Resource = [local.drain_alarm_arn]
      },
    ])
  })
}

resource "aws_iam_role" "drain_start" {
  count = local.drain ? 1 : 0

  name        = "${local.regional_name}-drain-start"
  description = "Rights of the rule on the drain's alarm: start a drain"
  tags        = var.tags

  assume_role_policy = local.trust_policies.drain_start
}

resource "aws_iam_role_policy" "drain_start" {
  count = local.drain ? 1 : 0

  name   = "start-drains"
  role   = aws_iam_role.drain_start[0].name
  policy = jsonencode({ Version = "2012-10-17", Statement = [local.start_drains_statement] })
}

resource "aws_iam_role" "drain_schedule" {
  count = local.drain && var.drain_schedule != null ? 1 : 0

  name        = "${local.regional_name}-drain-schedule"
  description = "Rights of the drain's schedule: start a drain"
  tags        = var.tags

  assume_role_policy = local.trust_policies.drain_schedule
}

resource "aws_iam_role_policy" "drain_schedule" {
  count = local.drain && var.drain_schedule != null ? 1 : 0

  name = "start-drains"
  role = aws_iam_role.drain_schedule[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        local.start_drains_statement,
        {
          Sid      = "KeepWhatCouldNotBeDelivered"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [aws_sqs_queue.dlq.arn]
        },
      ],
      local.queue_key_send_statements,
    )
  })
}

locals {
  start_drains_statement = {
    Sid      = "StartDrains"
    Effect   = "Allow"
    Action   = ["states:StartExecution"]
    Resource = [local.drain_state_machine_arn]
  }
}
