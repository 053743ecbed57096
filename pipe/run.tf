# One batch, one task, and its end: the states that launch the task, wait, count and hand over. Shared by every launcher
# with a state machine: it puts run_states into the ItemProcessor of a Map, with "Decide" as the first, and gives its
# role launch_statements, run_statements, and work_statements of the folder that its batches lie in.
#
# Input: a batch. jsonata/batch.jsonata.tftpl makes one of records.
#   next       "Run": the records go into SQS_BODY. "Store": they are written to `key` first, and the task gets the
#              address. "RunStored": they lie there already.
#   stored     whether they lie there already
#   records    the records; [] if they are stored
#   objects    the number of records; 0 if nobody knows
#   key        the place of the batch in the work bucket: below batches/ (the next drain looks there) or runs/
#   report     the place of the task's report, below reports/; "": none. Only a stored batch has one.
#   spot       whether FARGATE_SPOT is tried
#   provider   the one of the first launch: "FARGATE_SPOT" or "FARGATE"
#   tries, attempts, refused   0
#
# Output: the batch without its records, and
#   end        "Done": the task exited with 0. "HandedOver": the records, or the address of the batch, are in the failed
#              queue. "PutBack": the kill switch is on. They are in the source queue, but what lies below batches/ stays
#              there.
#   tries      how often the task ran and ended badly; attempts: how often of these it died; refused: refused launches
#   written, skipped, failed, handed_back   what the report says; absent if there is none
#
# An execution fails only if for half an hour it could not store, send or copy. The batch is in its input then, or below
# batches/.

locals {
  # The limit of all overrides of one RunTask together, punctuation and escaping included.
  overrides_max_characters = 8192
  # A reserve, because AWS does not document how it writes the overrides that it counts: null members, spaces.
  overrides_reserve_characters = 256
  # The envelope of the records, with the number of attempts that a retry writes there.
  envelope_characters = length(jsonencode(jsonencode({ Records = "", pixpipe = { attempts = 1000 } })))
  empty_overrides_characters = length(jsonencode({ containerOverrides = [
    { name = local.container_name, environment = [{ name = "SQS_BODY", value = "" }] }
  ] }))
  sqs_body_max_characters = (
    local.overrides_max_characters - local.overrides_reserve_characters -
    local.empty_overrides_characters - local.envelope_characters
  )

  # A refused launch waits 30 s, then twice as long each time, up to 20 minutes, each by up to a fifth more or less. 95
  # such waits are 24 hours at least, 30 on average; the 96th refusal hands over. A refusal is 9 events of an
  # execution's history, which may have 25,000, and 3 paid transitions (launch, wait, choice).
  first_wait_seconds = 30
  max_wait_seconds   = 1200
  max_refusals       = 96

  # What a task may take besides the time that its records may: finding an address, pulling the image, handing back.
  start_and_end_seconds = 900

  # Expressions are files of their own, with comments; in the state machine each is one line without comments.
  jsonata_folder  = "${path.module}/jsonata"
  records_jsonata = file("${local.jsonata_folder}/records.jsonata")
  work_jsonata = templatefile("${local.jsonata_folder}/work.jsonata.tftpl", {
    prefix            = jsonencode(var.source_prefix)
    prefix_characters = length(var.source_prefix)
  })
  batch_jsonata = templatefile("${local.jsonata_folder}/batch.jsonata.tftpl", {
    room = local.sqs_body_max_characters
  })
  jsonata = { for name, text in {
    batches = templatefile("${local.jsonata_folder}/batches.jsonata.tftpl", {
      records = local.records_jsonata
      work    = local.work_jsonata
      batch   = local.batch_jsonata
    })
    ended = templatefile("${local.jsonata_folder}/ended.jsonata.tftpl", {
      spot_attempts      = local.spot_attempts
      first_wait_seconds = local.first_wait_seconds
      max_wait_seconds   = local.max_wait_seconds
      max_refusals       = local.max_refusals
    })
    sqs_body       = templatefile("${local.jsonata_folder}/sqs_body.jsonata.tftpl", { bucket = local.work_bucket })
    counts         = file("${local.jsonata_folder}/counts.jsonata")
    record_message = file("${local.jsonata_folder}/record_message.jsonata")
    handed_over_message = templatefile("${local.jsonata_folder}/batch_message.jsonata.tftpl", {
      folder = "s3://${local.work_bucket}/handed-over/"
    })
    put_back_message = templatefile("${local.jsonata_folder}/batch_message.jsonata.tftpl", {
      folder = "s3://${local.work_bucket}/"
    })
    redrive = templatefile("${local.jsonata_folder}/redrive.jsonata.tftpl", {
      records          = local.records_jsonata
      container        = local.container_name
      body             = local.stopped_body
      max_attempts     = var.max_attempts
      source_queue_url = aws_sqs_queue.source.url
      failed_queue_url = aws_sqs_queue.failed.url
    })
  } : name => "{% ${trimspace(replace(replace(text, "/(?s)\\/\\*.*?\\*\\//", ""), "/\\s*\n\\s*/", " "))} %}" }

  send_retry = {
    ErrorEquals     = ["States.ALL"]
    IntervalSeconds = 5
    MaxAttempts     = 8
    BackoffRate     = 2
    MaxDelaySeconds = 300
    JitterStrategy  = "FULL"
  }

  send_request = {
    Type           = "Task"
    Resource       = "arn:${local.partition}:states:::sqs:sendMessage"
    TimeoutSeconds = 60
    Retry          = [local.send_retry]
  }
  send_message = merge(local.send_request, { Output = {}, End = true })

  run_task = {
    Type           = "Task"
    Comment        = "No Retry: only a Choice can tell a launch that was refused from a task that ended badly"
    Resource       = "arn:${local.partition}:states:::ecs:runTask.sync"
    TimeoutSeconds = var.task_timeout_seconds + local.start_and_end_seconds
    Arguments = {
      Cluster                  = local.cluster_arn
      TaskDefinition           = aws_ecs_task_definition.this.arn_without_revision
      Count                    = 1
      CapacityProviderStrategy = [{ CapacityProvider = "{% $states.input.provider %}", Weight = 1 }] # no LaunchType
      PropagateTags            = "TASK_DEFINITION"
      EnableECSManagedTags     = true
      NetworkConfiguration = {
        AwsvpcConfiguration = {
          Subnets        = var.subnet_ids
          SecurityGroups = var.security_group_ids
          AssignPublicIp = var.assign_public_ip ? "ENABLED" : "DISABLED"
        }
      }
      Overrides = {
        ContainerOverrides = [{
          Name        = local.container_name
          Environment = [{ Name = "SQS_BODY", Value = local.jsonata.sqs_body }]
        }]
      }
    }
    Output = "{% $merge([$states.input, {\"end\": \"Done\", \"records\": []}]) %}"
    Catch  = [{ ErrorEquals = ["States.ALL"], Next = "Pause", Output = local.jsonata.ended }]
  }

  # A request to S3, about the work bucket.
  work_request = {
    Type           = "Task"
    TimeoutSeconds = 60
    Retry          = [local.send_retry]
  }
  s3_resource = "arn:${local.partition}:states:::aws-sdk:s3"

  run_states = {
    Decide = {
      Type = "Choice"
      Choices = [
        { Condition = "{% $states.input.next = \"Run\" %}", Next = "Run" },
        { Condition = "{% $states.input.next = \"Store\" %}", Next = "Store" },
        { Condition = "{% $states.input.next = \"RunStored\" %}", Next = "RunStored" },
        { Condition = "{% $states.input.next = \"HandOverStored\" %}", Next = "Keep" },
        {
          Comment = "The next drain finds it there"
          Condition = join(" ", [
            "{% $states.input.next = \"PutBackStored\" and $substring($states.input.key, 0, 8) = \"batches/\" %}",
          ])
          Next = "Leave"
        },
        { Condition = "{% $states.input.next = \"PutBackStored\" %}", Next = "PutBackStored" },
      ]
      Default = "HandBack"
    }
    Store = merge(local.work_request, {
      Resource = "${local.s3_resource}:putObject"
      Arguments = {
        Bucket      = local.work_bucket
        Key         = "{% $states.input.key %}"
        ContentType = "application/json"
        Body        = { Records = "{% [$states.input.records] %}" }
      }
      Output = "{% $merge([$states.input, {\"next\": \"RunStored\", \"stored\": true, \"records\": []}]) %}"
      Next   = "RunStored"
    })
    Run       = merge(local.run_task, { End = true })
    RunStored = merge(local.run_task, { Next = "Finished" })
    Pause = {
      Type    = "Wait"
      Seconds = "{% $states.input.wait_seconds %}"
      Next    = "Decide"
    }

    Finished = {
      Type    = "Choice"
      Choices = [{ Condition = "{% $states.input.report != \"\" %}", Next = "Count" }]
      Default = "Clear"
    }
    Count = merge(local.work_request, {
      Comment   = "The task has written how many records it wrote, skipped and failed; without that, they are unknown"
      Resource  = "${local.s3_resource}:headObject"
      Arguments = { Bucket = local.work_bucket, Key = "{% $states.input.report %}" }
      Output    = local.jsonata.counts
      Catch     = [{ ErrorEquals = ["States.ALL"], Next = "Clear", Output = "{% $states.input %}" }]
      Next      = "Clear"
    })
    Clear = merge(local.work_request, {
      Comment   = "A batch that stays is done twice, the second time as unchanged"
      Resource  = "${local.s3_resource}:deleteObject"
      Arguments = { Bucket = local.work_bucket, Key = "{% $states.input.key %}" }
      Output    = "{% $states.input %}"
      Catch     = [{ ErrorEquals = ["States.ALL"], Next = "Leave", Output = "{% $states.input %}" }]
      End       = true
    })
    Leave = { Type = "Pass", End = true }

    Keep = merge(local.work_request, {
      Comment  = "Where no drain looks, for longer than a queue keeps the message with its address"
      Resource = "${local.s3_resource}:copyObject"
      Arguments = {
        Bucket = local.work_bucket
        Key    = "{% \"handed-over/\" & $states.input.key %}"
        CopySource = join("", [
          "{% \"${local.work_bucket}/\" & $join($split($states.input.key, \"/\").$encodeUrlComponent($), \"/\") %}",
        ])
      }
      Output = "{% $states.input %}"
      Next   = "HandOver"
    })
    HandOver = merge(local.send_request, {
      Arguments = { QueueUrl = aws_sqs_queue.failed.url, MessageBody = local.jsonata.handed_over_message }
      Output    = "{% $states.input %}"
      Next      = "Clear"
    })
    PutBackStored = merge(local.send_message, {
      Arguments = {
        QueueUrl     = aws_sqs_queue.source.url
        MessageBody  = local.jsonata.put_back_message
        DelaySeconds = 60
      }
      Output = "{% $states.input %}"
    })

    HandBack = {
      Type = "Map"
      Comment = join(" ", [
        "A message for each record: a batch of messages that hold several would be too long for an execution.",
        "To the failed queue, or back to the source queue while the kill switch is on",
      ])
      Items = "{% [$states.input.records] %}"
      ItemSelector = {
        record   = "{% $states.context.Map.Item.Value %}"
        cause    = "{% $states.input.cause %}"
        attempts = "{% $states.input.attempts %}"
        put_back = "{% $states.input.next = \"PutBack\" %}"
      }
      ItemProcessor = {
        ProcessorConfig = { Mode = "INLINE" }
        StartAt         = "SendRecord"
        States = {
          SendRecord = merge(local.send_message, {
            Arguments = {
              QueueUrl = join("", [
                "{% $states.input.put_back ? \"${aws_sqs_queue.source.url}\" : \"${aws_sqs_queue.failed.url}\" %}",
              ])
              MessageBody  = local.jsonata.record_message
              DelaySeconds = "{% $states.input.put_back ? 60 : 0 %}"
            }
          })
        }
      }
      Output = "{% $merge([$states.input, {\"records\": []}]) %}"
      End    = true
    }
  }

  # Statements of a role that launches tasks.
  launch_statements = concat(
    [
      {
        Sid       = "RunTasksOfThisFamily"
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = local.task_definition_arns
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid       = "TagTheTasksItRuns"
        Effect    = "Allow"
        Action    = "ecs:TagResource"
        Resource  = local.task_arns
        Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
      },
      {
        Sid       = "GiveTheTaskItsTwoRoles"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ],
    # Executions that run see this at their next launch, and put their records back (ended.jsonata.tftpl).
    [for off in [!var.enabled] : {
      Sid      = "KillSwitch"
      Effect   = "Deny"
      Action   = "ecs:RunTask"
      Resource = local.task_definition_arns
    } if off],
  )

  # Statements of a role of a state machine with run_states, besides; and those for the folder of its batches.
  run_statements = concat(
    [
      {
        Sid       = "WatchAndStopThem"
        Effect    = "Allow"
        Action    = ["ecs:DescribeTasks", "ecs:StopTask"]
        Resource  = [local.task_arns]
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        # Step Functions learns that a task has ended by a rule of its own, which has this name in every account.
        Sid      = "HearOfTheirEnd"
        Effect   = "Allow"
        Action   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
        Resource = ["${local.arn_prefix.events}:rule/StepFunctionsGetEventsForECSTaskRule"]
      },
      {
        Sid      = "PutBackAndHandOver"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.source.arn, aws_sqs_queue.failed.arn]
      },
    ],
    local.queue_key_send_statements,
  )

  work_statements = { for folder in ["batches", "runs"] : folder => concat(
    [
      {
        Sid      = "StoreCopyAndClearBatches"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${local.work_bucket_arn}/${folder}/*"]
      },
      {
        Sid      = "KeepBatchesThatFailed"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["${local.work_bucket_arn}/handed-over/*"]
      },
      {
        Sid      = "ReadTheCountsOfReports"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${local.work_bucket_arn}/reports/*"]
      },
    ],
    local.work_key_statements,
  ) }
}
