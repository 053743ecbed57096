# One batch, one task or several, and their end: the states that launch tasks, wait, and hand over. Shared by every
# launcher with a state machine.

locals {
  # The limit of all overrides of one RunTask together, punctuation and escaping included.
  overrides_max_characters = 8192
  # A reserve, because AWS does not document how it writes the overrides that it counts: null members, spaces.
  overrides_reserve_characters = 256
  # The envelope of the batch, with the number of attempts that a retry writes there.
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
  # execution's history and 3 paid transitions (launch, wait, choice). An execution may have 25,000 events, and 25 tasks
  # if its 50 records are the longest that S3 sends: 25 × (96 × 9 and the rest) = 22,000.
  first_wait_seconds = 30
  max_wait_seconds   = 1200
  max_refusals       = 96

  # What a task may take besides the time that its records may: finding an address, pulling the image, handing back.
  start_and_end_seconds = 900

  # Expressions are files of their own, with comments; in the state machine each is one line without comments.
  jsonata_folder  = "${path.module}/jsonata"
  records_jsonata = file("${local.jsonata_folder}/records.jsonata")
  jsonata = { for name, text in {
    tasks = templatefile("${local.jsonata_folder}/tasks.jsonata.tftpl", {
      records = local.records_jsonata
      room    = local.sqs_body_max_characters
    })
    ended = templatefile("${local.jsonata_folder}/ended.jsonata.tftpl", {
      spot_attempts      = local.spot_attempts
      first_wait_seconds = local.first_wait_seconds
      max_wait_seconds   = local.max_wait_seconds
      max_refusals       = local.max_refusals
    })
    sqs_body       = file("${local.jsonata_folder}/sqs_body.jsonata")
    record_message = file("${local.jsonata_folder}/record_message.jsonata")
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

  send_message = {
    Type           = "Task"
    Resource       = "arn:${local.partition}:states:::sqs:sendMessage"
    TimeoutSeconds = 60
    Retry          = [local.send_retry]
    Output         = {}
    End            = true
  }

  # The states of one task, from a task of tasks.jsonata.tftpl to its end.
  run_states = {
    Decide = {
      Type = "Choice"
      Choices = [
        { Condition = "{% $states.input.next = \"Run\" %}", Next = "Run" },
      ]
      Default = "HandBack"
    }
    Run = {
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
      Output = {}
      Catch  = [{ ErrorEquals = ["States.ALL"], Next = "Pause", Output = local.jsonata.ended }]
      End    = true
    }
    Pause = {
      Type    = "Wait"
      Seconds = "{% $states.input.wait_seconds %}"
      Next    = "Decide"
    }
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
        tries    = "{% $states.input.tries %}"
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
      Output = {}
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

  # Statements of a role of a state machine with run_states, besides.
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
}
