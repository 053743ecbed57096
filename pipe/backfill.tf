# A backfill, beside any launcher: what is in the bucket already, or in a list. It first writes all of the list into the
# work bucket, as batches below runs/<execution>/. Then a task takes each of them, and deletes it when it is done. So
# what lies there is what is left to do, and the input {"run": "<execution>"} goes on with it.
#
# Why in two parts, and not with a task in each child of the list's Map: the five kinds of lists need a Map each, and
# names of states are unique in a state machine, so the states of run.tf can be in one Map only.

locals {
  backfills = var.backfill_enabled

  backfill_batch_bytes  = 200000 # a batch is stored by one state, which takes 262,144 bytes with all around it
  backfill_writers      = 100    # batches that are written at a time
  backfill_cpu_units    = 1024
  backfill_memory_mib   = 2048
  backfill_task_group   = local.backfill_name
  list_bucket           = coalesce(var.list_bucket, var.source_bucket)
  backfill_event_source = "pixpipe"
  backfill_event_type   = "Backfill Finished"

  # Kind of a list: the reader of its Map, and the expression of an item (jsonata/backfill_item.jsonata.tftpl).
  backfill_object_item = join("", [
    "$type($item) = \"object\" ? ($is_text($item.key) ? $merge([{\"key\": $item.key}, $bucket($item.bucket),",
    " $type($item.size) = \"number\" ? {\"size\": $item.size} : {}]) : $item) :",
    " ($is_text($item) ? $substring($item, 0, $length($here)) = $here : false) ?",
    " {\"key\": $substring($item, $length($here))} : $item",
  ])
  backfill_items = "$states.input.Items"
  backfill_lists = {
    list = {
      name     = "Listing"
      resource = "listObjectsV2"
      config   = null
      item     = "{\"key\": $item.Key, \"size\": $item.Size}"
      items    = local.backfill_items
    }
    csv = {
      name     = "Csv"
      resource = "getObject"
      config   = { InputType = "CSV", CSVHeaderLocation = "FIRST_ROW" }
      item     = "$exists($item.key) ? $merge([{\"key\": $item.key}, $bucket($item.bucket)]) : $no_column(\"key\")"
      items    = local.backfill_items
    }
    json = {
      name     = "Json"
      resource = "getObject"
      config   = { InputType = "JSON" }
      item     = local.backfill_object_item
      items    = local.backfill_items
    }
    jsonl = {
      name     = "JsonLines"
      resource = "getObject"
      config   = { InputType = "JSONL" }
      item     = local.backfill_object_item
      items    = local.backfill_items
    }
    inventory = {
      name     = "Inventory"
      resource = "getObject"
      config   = { InputType = "MANIFEST" }
      item = join("", [
        "$exists($item.Key) ? $merge([{\"key\": $item.Key}, $bucket($item.Bucket),",
        " ($is_text($item.Size) ? $contains($item.Size, /^[0-9]+$/) : false) ? {\"size\": $number($item.Size)} : {},",
        " $item.IsLatest = \"false\" or $item.IsDeleteMarker = \"true\" ? {\"old\": true} : {}]) : $no_column(\"Key\")",
      ])
      # Percent-encoded, and a space may be a plus: a plus itself is %2B.
      items = "[${local.backfill_items}.$merge([$, {\"key\": $decodeUrlComponent($replace(key, \"+\", \" \"))}])]"
    }
  }

  # The input of a scheduled execution, without what was left out.
  backfill_scheduled_input = var.backfill_input == null ? jsonencode({ list = {} }) : jsonencode({
    for kind, what in var.backfill_input : kind => {
      for name, text in what : name => text if text != null
    } if what != null
  })

  # Whether a key has one of the suffixes: in any case or not, as the stack's events are chosen (events.tf).
  backfill_suffixes = join("|", [for suffix in var.source_suffixes : replace(suffix, ".", "\\.")])
  backfill_has_suffix = local.any_suffix ? "true" : join("", [
    "$contains(key, /(?:${local.backfill_suffixes})$/", var.event_source == "s3" ? "" : "i", ")",
  ])

  backfill_texts = merge(
    {
      input = templatefile("${local.jsonata_folder}/backfill_input.jsonata.tftpl", {
        source_prefix = jsonencode(var.source_prefix)
        list_prefix   = jsonencode(var.list_prefix)
      })
      batch  = file("${local.jsonata_folder}/backfill_batch.jsonata")
      result = file("${local.jsonata_folder}/backfill_result.jsonata")
      counts = file("${local.jsonata_folder}/backfill_counts.jsonata")
    },
    { for kind, list in local.backfill_lists : "item_${kind}" =>
      templatefile("${local.jsonata_folder}/backfill_item.jsonata.tftpl", {
        source_bucket = var.source_bucket
        expression    = list.item
      })
    },
    { for kind, list in local.backfill_lists : "select_${kind}" =>
      templatefile("${local.jsonata_folder}/backfill_select.jsonata.tftpl", {
        source_prefix = jsonencode(var.source_prefix)
        has_suffix    = local.backfill_has_suffix
        items         = list.items
      })
    },
  )
  backfill_jsonata = { for name, text in local.backfill_texts :
    name => "{% ${trimspace(replace(replace(text, "/(?s)\\/\\*.*?\\*\\//", ""), "/\\s*\n\\s*/", " "))} %}"
  }

  # One Map a kind of list: its children write the batches.
  backfill_list_states = { for kind, list in local.backfill_lists : list.name => {
    Type    = "Map"
    Label   = list.name
    Comment = "Writes batches; one that cannot be written ends the execution before any task"
    ItemReader = merge(
      {
        Resource = "arn:${local.partition}:states:::s3:${list.resource}"
        Arguments = { for name, value in {
          Bucket = kind == "list" ? var.source_bucket : local.list_bucket
          Prefix = kind == "list" ? "{% $states.input.prefix %}" : null
          Key    = kind == "list" ? null : "{% $states.input.key %}"
        } : name => value if value != null }
      },
      { for config in list.config[*] : "ReaderConfig" => config },
    )
    ItemSelector = local.backfill_jsonata["item_${kind}"]
    ItemBatcher = {
      MaxItemsPerBatch      = var.backfill_batch_objects
      MaxInputBytesPerBatch = local.backfill_batch_bytes
      BatchInput            = { run = "{% $states.context.Execution.Name %}" }
    }
    MaxConcurrency = local.backfill_writers
    ItemProcessor = {
      ProcessorConfig = { Mode = "DISTRIBUTED", ExecutionType = "STANDARD" }
      StartAt         = "${list.name}Select"
      States = {
        "${list.name}Select" = {
          Type   = "Pass"
          Output = local.backfill_jsonata["select_${kind}"]
          Next   = "${list.name}Any"
        }
        "${list.name}Any" = {
          Type    = "Choice"
          Choices = [{ Condition = "{% $states.input.objects = 0 %}", Next = "${list.name}None" }]
          Default = "${list.name}Store"
        }
        "${list.name}None" = { Type = "Succeed", Output = "{% 0 %}" }
        "${list.name}Store" = merge(local.work_request, {
          Resource = "${local.s3_resource}:putObject"
          Arguments = {
            Bucket      = local.work_bucket
            Key         = "{% $states.input.key %}"
            ContentType = "application/json"
            Body        = { Records = "{% [$states.input.records] %}" }
          }
          Output = "{% $states.input.objects %}"
          End    = true
        })
      }
    }
    Assign = { objects = "{% $sum($states.result) %}" }
    Output = "{% $states.input %}"
    Next   = "Any"
  } }

  # A task of a backfill has many objects, so it is larger than the launcher's.
  backfill_run_task = merge(local.run_states.RunStored, {
    Arguments = merge(local.run_task.Arguments, {
      Group = local.backfill_task_group # the direct launcher's redrive leaves this group to its execution
      Overrides = {
        Cpu    = tostring(local.backfill_cpu_units)
        Memory = tostring(local.backfill_memory_mib)
        ContainerOverrides = [{
          Name   = local.container_name
          Cpu    = local.backfill_cpu_units
          Memory = local.backfill_memory_mib
          Environment = [
            { Name = "SQS_BODY", Value = local.jsonata.sqs_body },
            { Name = "MEMORY_LIMIT_BYTES", Value = format("%.0f", local.backfill_memory_mib * 1024 * 1024) },
          ]
        }]
      }
    })
  })

  backfill_definition = {
    Comment       = "Runs tasks for what is in a bucket already, or in a list, and tells what they did"
    QueryLanguage = "JSONata"
    StartAt       = "Read"
    States = merge(local.backfill_list_states, {
      Read = {
        Type   = "Pass"
        Output = local.backfill_jsonata.input
        Next   = "Kind"
      }
      Kind = {
        Type = "Choice"
        Choices = concat(
          [for kind, list in local.backfill_lists : {
            Condition = "{% $states.input.kind = \"${kind}\" %}"
            Next      = list.name
          }],
          [{ Condition = "{% $states.input.kind = \"run\" %}", Next = "Batches", Assign = { objects = -1 } }],
        )
        Default = "Refused"
      }
      Refused = {
        Type  = "Fail"
        Error = "pixpipe.Input"
        Cause = "{% $states.input.fault %}"
      }
      Any = {
        Type = "Choice"
        Choices = [{
          Condition = "{% $objects = 0 %}"
          Next      = "Tell"
          Output = merge(
            { run = "{% $states.input.run %}" },
            { for name in ["batches", "failedBatches", "objects"] : name => 0 },
            { for name in ["written", "skipped", "failed", "handedOver", "putBack", "unreported"] : name => 0 },
          )
        }]
        Default = "Batches"
      }
      Batches = {
        Type    = "Map"
        Label   = "Batches"
        Comment = "A task for each batch. One that could not even be handed over stays, and the others go on"
        ItemReader = {
          Resource  = "arn:${local.partition}:states:::s3:listObjectsV2"
          Arguments = { Bucket = local.work_bucket, Prefix = "{% \"runs/\" & $states.input.run & \"/\" %}" }
        }
        ItemSelector               = local.backfill_jsonata.batch
        MaxConcurrency             = local.max_tasks
        ToleratedFailurePercentage = 100
        ItemProcessor = {
          ProcessorConfig = { Mode = "DISTRIBUTED", ExecutionType = "STANDARD" }
          StartAt         = "Batch"
          States = {
            Batch = {
              Type  = "Map"
              Items = "{% [$states.input] %}"
              ItemProcessor = {
                ProcessorConfig = { Mode = "INLINE" }
                StartAt         = "Decide"
                States          = merge(local.run_states, { RunStored = local.backfill_run_task })
              }
              Output = local.backfill_jsonata.result
              End    = true
            }
          }
        }
        Output = "{% $merge([{\"run\": $states.input.run}, ${local.backfill_counts}]) %}"
        Catch = [{
          Comment     = "More batches than the output of a state holds: all are done, and only their number is told"
          ErrorEquals = ["States.DataLimitExceeded", "States.QueryEvaluationError"]
          Next        = "MapRuns"
          Output      = { run = "{% $states.input.run %}" }
        }]
        Next = "MapRuns"
      }
      MapRuns = merge(local.backfill_request, {
        Resource  = "arn:${local.partition}:states:::aws-sdk:sfn:listMapRuns"
        Arguments = { ExecutionArn = "{% $states.context.Execution.Id %}" }
        Output = join("", [
          "{% $merge([$states.input,",
          " {\"arn\": $states.result.MapRuns[$contains(MapRunArn, \"/Batches:\")][0].MapRunArn}]) %}",
        ])
        Next = "CountChildren"
      })
      CountChildren = merge(local.backfill_request, {
        Comment   = "Children that failed are known for certain here only"
        Resource  = "arn:${local.partition}:states:::aws-sdk:sfn:describeMapRun"
        Arguments = { MapRunArn = "{% $states.input.arn %}" }
        Output = join("", [
          "{% ($n := $states.result.ExecutionCounts;",
          " $merge([$sift($states.input, function($value, $name) { $name != \"arn\" }), {\"batches\": $n.Total,",
          " \"failedBatches\": $n.Total - $n.Succeeded}, $objects < 0 ? {} : {\"objects\": $objects}])) %}",
        ])
        Next = "Tell"
      })
      Tell = merge(local.backfill_request, {
        Resource = "arn:${local.partition}:states:::events:putEvents"
        Arguments = { Entries = [{
          Source     = local.backfill_event_source
          DetailType = local.backfill_event_type
          Detail = join("", [
            "{% $merge([{\"stack\": \"${var.name}\", \"execution\": $states.context.Execution.Id},",
            " $sift($states.input, function($value, $name) { $name != \"run\" }),",
            " {\"reports\": \"s3://${local.work_bucket}/reports/\" & $states.input.run & \"/\"}]) %}",
          ])
        }] }
        Output = "{% $states.input %}"
        Next   = "Left"
      })
      Left = {
        Type    = "Choice"
        Choices = [{ Condition = "{% $states.input.failedBatches > 0 %}", Next = "BatchesLeft" }]
        Default = "Done"
      }
      BatchesLeft = {
        Type  = "Fail"
        Error = "pixpipe.BatchesLeft"
        Cause = join("", [
          "{% $string($states.input.failedBatches) & \" of \" & $string($states.input.batches) &",
          " \" batches could neither be done nor handed over. They lie below s3://${local.work_bucket}/runs/\" &",
          " $states.input.run & \"/. The input {\\\"run\\\":\\\"\" & $states.input.run &",
          " \"\\\"} goes on with them.\" %}",
        ])
      }
      Done = { Type = "Succeed" }
    })
  }

  backfill_counts = trimsuffix(trimprefix(local.backfill_jsonata.counts, "{% "), " %}")
  backfill_request = {
    Type           = "Task"
    TimeoutSeconds = 60
    Retry          = [local.send_retry]
  }
}

resource "aws_sfn_state_machine" "backfill" {
  #checkov:skip=CKV_AWS_284:X-Ray would trace a few states and a RunTask; the execution's history says more
  #checkov:skip=CKV_AWS_285:a Standard execution keeps its history for 90 days; logging needs rights on every log group
  count = local.backfills ? 1 : 0

  name       = local.backfill_name
  type       = "STANDARD"
  role_arn   = aws_iam_role.backfill[0].arn
  definition = jsonencode(local.backfill_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.backfill]
}

# --- by a schedule ---

resource "aws_scheduler_schedule" "backfill" {
  #checkov:skip=CKV_AWS_297:the only content is the input of an execution: a prefix or a key
  count = local.backfills && var.backfill_schedule != null ? 1 : 0

  name                         = "${var.name}-backfill"
  group_name                   = aws_scheduler_schedule_group.this[0].name
  description                  = "Starts the backfill of ${var.name}"
  state                        = var.enabled ? "ENABLED" : "DISABLED"
  schedule_expression          = var.backfill_schedule
  schedule_expression_timezone = var.schedule_timezone

  flexible_time_window {
    mode                      = var.schedule_window_minutes == 0 ? "OFF" : "FLEXIBLE"
    maximum_window_in_minutes = var.schedule_window_minutes == 0 ? null : var.schedule_window_minutes
  }

  target {
    arn      = aws_sfn_state_machine.backfill[0].arn
    role_arn = aws_iam_role.backfill_schedule[0].arn
    input    = local.backfill_scheduled_input

    # What is not started for a day is left to the next time: nothing is lost by that.
    retry_policy {
      maximum_event_age_in_seconds = 86400
      maximum_retry_attempts       = 185
    }
  }

  depends_on = [aws_iam_role_policy.backfill_schedule]
}

# --- its event, to a topic ---

resource "aws_cloudwatch_event_rule" "backfill_finished" {
  count = local.backfills && var.backfill_topic_arn != null ? 1 : 0

  name        = "${var.name}-backfill-finished"
  description = "Backfills of ${var.name} that have finished"
  tags        = var.tags

  event_pattern = jsonencode({
    source        = [local.backfill_event_source]
    "detail-type" = [local.backfill_event_type]
    account       = [local.account_id]
    detail        = { stack = [var.name] }
  })
}

resource "aws_cloudwatch_event_target" "backfill_finished" {
  count = local.backfills && var.backfill_topic_arn != null ? 1 : 0

  rule      = aws_cloudwatch_event_rule.backfill_finished[0].name
  target_id = "topic"
  arn       = var.backfill_topic_arn

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }
}

# --- roles ---

resource "aws_iam_role" "backfill" {
  count = local.backfills ? 1 : 0

  name        = "${local.regional_name}-backfill"
  description = "Rights of the backfill: read lists, write batches, run tasks, hand failed ones over, tell"
  tags        = var.tags

  assume_role_policy = local.trust_policies.backfill
}

resource "aws_iam_role_policy" "backfill" {
  count = local.backfills ? 1 : 0

  name = "backfill"
  role = aws_iam_role.backfill[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.launch_statements,
      local.run_statements,
      local.work_statements.runs,
      [
        merge(
          {
            Sid      = "ListTheSource"
            Effect   = "Allow"
            Action   = ["s3:ListBucket"]
            Resource = [local.source_bucket_arn]
          },
          { for prefix in [var.source_prefix] : "Condition" => {
            StringLike = { "s3:prefix" = "${prefix}*" }
          } if prefix != "" },
        ),
        {
          Sid       = "ListItsBatches"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [local.work_bucket_arn]
          Condition = { StringLike = { "s3:prefix" = "runs/*" } }
        },
        {
          Sid      = "ReadLists"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = ["arn:${local.partition}:s3:::${local.list_bucket}/${var.list_prefix}*"]
        },
        {
          Sid      = "StartItsChildren"
          Effect   = "Allow"
          Action   = ["states:StartExecution"]
          Resource = [local.backfill_state_machine_arn]
        },
        {
          Sid    = "WatchStopAndRedriveItsChildren"
          Effect = "Allow"
          Action = ["states:DescribeExecution", "states:RedriveExecution", "states:StopExecution"]
          Resource = [
            "${local.arn_prefix.states}:execution:${local.backfill_name}:*",
            "${local.arn_prefix.states}:execution:${local.backfill_name}/*:*",
          ]
        },
        {
          Sid      = "FindItsMapRuns"
          Effect   = "Allow"
          Action   = ["states:ListMapRuns"]
          Resource = ["${local.arn_prefix.states}:execution:${local.backfill_name}:*"]
        },
        {
          Sid      = "CountItsChildren"
          Effect   = "Allow"
          Action   = ["states:DescribeMapRun"]
          Resource = ["${local.arn_prefix.states}:mapRun:${local.backfill_name}/*:*"]
        },
        {
          Sid       = "Tell"
          Effect    = "Allow"
          Action    = ["events:PutEvents"]
          Resource  = ["${local.arn_prefix.events}:event-bus/default"]
          Condition = { StringEquals = { "events:source" = local.backfill_event_source } }
        },
      ],
      var.list_bucket != null || var.source_kms_key_arn == null ? [] : [{
        Sid       = "DecryptListsInTheSource"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.source_kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } }
      }],
    )
  })
}

resource "aws_iam_role" "backfill_schedule" {
  count = local.backfills && var.backfill_schedule != null ? 1 : 0

  name        = "${local.regional_name}-backfill-start"
  description = "Rights of the schedule of backfills: start them"
  tags        = var.tags

  assume_role_policy = local.trust_policies.backfill_schedule
}

resource "aws_iam_role_policy" "backfill_schedule" {
  count = local.backfills && var.backfill_schedule != null ? 1 : 0

  name = "start-backfill"
  role = aws_iam_role.backfill_schedule[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "StartTheBackfill"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = [aws_sfn_state_machine.backfill[0].arn]
    }]
  })
}
