# Parts that both launchers share: events, queues, task, roles, alarms.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "events_come_over_eventbridge" {
  command = apply

  assert {
    condition = (
      length(aws_cloudwatch_event_rule.object_created) == 1 &&
      length(aws_s3_bucket_notification.source) == 0
    )
    error_message = "there must be a rule, and the bucket's notifications must stay untouched"
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.object_created[0].event_pattern).source == ["aws.s3"] &&
      jsondecode(aws_cloudwatch_event_rule.object_created[0].event_pattern)["detail-type"] == ["Object Created"] &&
      jsondecode(aws_cloudwatch_event_rule.object_created[0].event_pattern).detail.bucket.name == ["photos-in"]
    )
    error_message = "the rule must match only created objects of this bucket"
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.source_queue[0].arn == aws_sqs_queue.source.arn &&
      aws_cloudwatch_event_target.source_queue[0].dead_letter_config[0].arn == aws_sqs_queue.dlq.arn
    )
    error_message = "events must go to the source queue, undeliverable ones to the dead-letter queue"
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.source_queue[0].input_path == null &&
      length(aws_cloudwatch_event_target.source_queue[0].input_transformer) == 0
    )
    error_message = "events must be passed unchanged: templates do not escape keys"
  }
  assert {
    condition = (
      jsondecode(aws_sqs_queue_policy.source.policy).Statement[0].Principal.Service == "events.amazonaws.com" &&
      jsondecode(aws_sqs_queue_policy.source.policy).Statement[0].Condition == {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:events:eu-west-1:123456789012:rule/pp-object-created" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    )
    error_message = "only this rule of this account may send"
  }
}

run "the_module_switches_eventbridge_on_if_it_may" {
  command = apply

  variables {
    manage_bucket_notification = true
  }

  assert {
    condition = (
      aws_s3_bucket_notification.source[0].eventbridge && length(aws_s3_bucket_notification.source[0].queue) == 0 &&
      length(aws_cloudwatch_event_rule.object_created) == 1
    )
    error_message = "the bucket must notify EventBridge, and no queue"
  }
}

run "a_rule_that_is_too_long_is_refused" {
  command = plan

  variables {
    source_suffixes = [for i in range(20) : format(".%060d", i)]
  }

  expect_failures = [aws_cloudwatch_event_rule.object_created]
}

run "an_image_in_ecrs_dual_stack_form_gets_its_rights" {
  command = apply

  variables {
    image = "123456789012.dkr-ecr.eu-central-1.on.aws/team/pixpipe:test"
  }

  assert {
    condition = (
      one([
        for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s if s.Sid == "PullExactlyThisRepository"
      ]).Resource == ["arn:aws:ecr:eu-central-1:123456789012:repository/team/pixpipe"]
    )
    error_message = "ECS may pull from exactly this repository"
  }
}

run "a_prefix_beyond_ascii_is_written_in_ascii_in_the_metrics" {
  command = apply

  variables {
    destination_prefix = "größe 100%/"
  }

  assert {
    condition     = output.metrics_destination == "s3://photos-out/gr%C3%B6%C3%9Fe 100%/"
    error_message = "the dimension must be the one that the program writes"
  }
}

run "prefix_and_suffixes_filter_over_eventbridge" {
  command = apply

  variables {
    source_prefix   = "raw/"
    source_suffixes = [".jpg", ".png"]
  }

  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.object_created[0].event_pattern).detail.object.key ==
      [for suffix in [".jpg", ".png"] : { suffix = { "equals-ignore-case" = suffix } }]
    )
    error_message = "suffixes must match in any case"
  }
  assert {
    condition = (
      { object = { key = [{ prefix = "raw/" }] } } ==
      jsondecode(tolist(aws_pipes_pipe.this[0].source_parameters[0].filter_criteria[0].filter)[0].pattern).body.detail
    )
    error_message = "the pipe must check the prefix: a pattern cannot look at both ends of a key in any case"
  }
  assert {
    condition = (
      one([for s in jsondecode(aws_iam_role_policy.task.policy).Statement : s if s.Sid == "ReadTheSource"]).Resource ==
      ["arn:aws:s3:::photos-in/raw/*"]
    )
    error_message = "the task may read only the prefix"
  }
}

run "events_come_from_s3_itself" {
  command = apply

  variables {
    event_source    = "s3"
    source_prefix   = "raw/"
    source_suffixes = [".jpg", ".png"]
  }

  assert {
    condition = (
      length(aws_cloudwatch_event_rule.object_created) == 0 &&
      length(aws_cloudwatch_event_target.source_queue) == 0
    )
    error_message = "there must be no rule"
  }
  assert {
    condition = (
      [
        for q in aws_s3_bucket_notification.source[0].queue :
        "${q.filter_prefix}|${q.filter_suffix}|${join(",", q.events)}|${q.queue_arn}"
        ] == [
        "raw/|.jpg|s3:ObjectCreated:*|arn:aws:sqs:eu-west-1:123456789012:pp-source",
        "raw/|.png|s3:ObjectCreated:*|arn:aws:sqs:eu-west-1:123456789012:pp-source",
      ]
    )
    error_message = "there must be one notification per suffix, of created objects, to the source queue"
  }
  assert {
    condition = (
      jsondecode(aws_sqs_queue_policy.source.policy).Statement[0].Principal.Service == "s3.amazonaws.com" &&
      jsondecode(aws_sqs_queue_policy.source.policy).Statement[0].Condition == {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::photos-in" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    )
    error_message = "only this bucket of this account may send"
  }
}

run "queues_keep_and_hide_as_they_should" {
  command = apply

  assert {
    condition = (
      jsondecode(aws_sqs_queue.source.redrive_policy) ==
      { deadLetterTargetArn = "arn:aws:sqs:eu-west-1:123456789012:pp-dlq", maxReceiveCount = 5 }
    )
    error_message = "a message must go to the dead-letter queue after five tries"
  }
  assert {
    condition = (
      alltrue([
        for q in [aws_sqs_queue.source, aws_sqs_queue.dlq, aws_sqs_queue.failed] :
        q.message_retention_seconds == 1209600 && q.sqs_managed_sse_enabled && q.kms_master_key_id == null
      ])
    )
    error_message = "queues must keep messages for 14 days and be encrypted"
  }
  assert {
    condition = (
      jsondecode(aws_sqs_queue.dlq.redrive_policy).deadLetterTargetArn == "arn:aws:sqs:eu-west-1:123456789012:pp-failed"
    )
    error_message = "the failed queue must be a dead-letter queue, or SQS does not move its messages back"
  }
  assert {
    condition = (
      alltrue([
        for p in [aws_sqs_queue_policy.source, aws_sqs_queue_policy.dlq, aws_sqs_queue_policy.failed] :
        contains([for s in jsondecode(p.policy).Statement : s.Sid], "OnlyOverTls")
      ])
    )
    error_message = "queues must refuse requests without TLS"
  }
  assert {
    condition     = aws_sqs_queue.source.visibility_timeout_seconds == 240
    error_message = "the visibility timeout must be three minutes for a launch, plus the window"
  }
}

run "the_task_is_locked_down_and_has_time_to_end" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 120
    error_message = "stopTimeout must be the two minutes that Spot gives; the default is 30 s"
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem &&
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "65532:65532" &&
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    )
    error_message = "the container must have a read-only root, no root user and no capabilities"
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].memory == 1024 &&
      aws_ecs_task_definition.this.memory == "1024" &&
      aws_ecs_task_definition.this.cpu == "256"
    )
    error_message = "the container must have all memory and CPU of the task"
  }
  assert {
    condition = (
      aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64" &&
      aws_ecs_task_definition.this.network_mode == "awsvpc" &&
      aws_ecs_task_definition.this.requires_compatibilities == toset(["FARGATE"])
    )
    error_message = "the task must run on Fargate, ARM64, awsvpc"
  }
  assert {
    condition = (
      aws_ecs_task_definition.this.task_role_arn == aws_iam_role.task.arn &&
      aws_ecs_task_definition.this.execution_role_arn == aws_iam_role.execution.arn
    )
    error_message = "the task and the execution role must not be swapped"
  }
  assert {
    condition     = aws_cloudwatch_log_group.task.retention_in_days == 30
    error_message = "logs must expire"
  }
}

run "every_setting_reaches_the_task" {
  command = apply

  variables {
    sizes                = ["224", "640x480"]
    fit                  = "contain"
    filter               = "bicubic"
    decode               = "exact"
    color                = "ignore"
    background           = "ffFFff"
    format               = "webp"
    jpeg_quality         = 75
    jpeg_subsampling     = "444"
    max_source_bytes     = 12345678901
    max_source_pixels    = 1000000000
    concurrency_objects  = 8
    grace_seconds        = 60
    skip_unchanged       = false
    max_attempts         = 7
    log_format           = "text"
    rust_log             = "info,pixpipe=debug"
    task_timeout_seconds = 7200
    task_cpu_units       = 2048
    task_memory_mib      = 8192
    aws_environment      = { AWS_ENDPOINT_URL_S3 = "https://s3.example" }
  }

  assert {
    condition = {
      for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value
      } == {
      AWS_ENDPOINT_URL_S3 = "https://s3.example"
      AWS_REGION          = "eu-west-1"
      BACKGROUND          = "ffFFff"
      COLOR               = "ignore"
      CONCURRENCY         = "8"
      DECODE              = "exact"
      DEST_BUCKET         = "photos-out"
      DEST_PREFIX         = "train/"
      FAILED_QUEUE_URL    = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-failed"
      FILTER              = "bicubic"
      FIT                 = "contain"
      FORMAT              = "webp"
      GRACE_SECONDS       = "60"
      JPEG_QUALITY        = "75"
      JPEG_SUBSAMPLING    = "444"
      LOG_FORMAT          = "text"
      MAX_ATTEMPTS        = "7"
      MAX_SOURCE_BYTES    = "12345678901"
      MAX_SOURCE_PIXELS   = "1000000000"
      MEMORY_LIMIT_BYTES  = "8589934592"
      RETRY_QUEUE_URL     = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-source"
      RUST_LOG            = "info,pixpipe=debug"
      SIZES               = "224,640x480"
      SKIP_UNCHANGED      = "false"
      SOURCE_BUCKET       = "photos-in"
      TIME_LIMIT_SECONDS  = "7200"
    }
    error_message = "each environment variable of the program must have the value of its Terraform variable"
  }
}

run "a_preset_reaches_the_task_alone" {
  command = apply

  variables {
    preset = "timm-875-224"
  }

  assert {
    condition = {
      for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value
      if contains(["PRESET", "SIZES", "FIT", "CROP_ROUND", "FILTER", "DECODE", "COLOR", "FORMAT"], e.name)
    } == { PRESET = "timm-875-224" }
    error_message = "the program refuses its geometry beside a preset, and a default beside it would undo the preset's"
  }
}

run "what_may_stand_beside_a_preset_reaches_the_task" {
  command = apply

  variables {
    preset = "clip-224"
    format = "jpeg"
    decode = "fast"
    color  = "srgb"
  }

  assert {
    condition = {
      for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value
      if contains(["PRESET", "SIZES", "FIT", "CROP_ROUND", "FILTER", "DECODE", "COLOR", "FORMAT"], e.name)
    } == { PRESET = "clip-224", DECODE = "fast", COLOR = "srgb", FORMAT = "jpeg" }
    error_message = "what is set beside a preset must reach the task, even if it is the program's default"
  }
}

run "a_centre_that_is_cut_out_reaches_the_task" {
  command = apply

  variables {
    sizes      = ["224@256", "640x480@640", "224@256"]
    crop_round = "floor"
    filter     = "bicubic"
  }

  assert {
    condition = {
      for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value
      if contains(["PRESET", "SIZES", "FIT", "CROP_ROUND", "FILTER"], e.name)
    } == { SIZES = "224@256,640x480@640,224@256", FIT = "cover", CROP_ROUND = "floor", FILTER = "bicubic" }
    error_message = "sizes, crop_round and filter must have the values of their variables"
  }
}

run "a_short_side_reaches_the_task" {
  command = apply

  variables {
    sizes = ["384", "1024"]
    fit   = "short"
  }

  assert {
    condition = {
      for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value
      if contains(["SIZES", "FIT"], e.name)
    } == { SIZES = "384,1024", FIT = "short" }
    error_message = "short sides must reach the task"
  }
}

run "defaults_are_the_contracts" {
  command = apply

  assert {
    condition = {
      for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value
      } == {
      AWS_REGION         = "eu-west-1"
      BACKGROUND         = "000000"
      COLOR              = "srgb"
      DECODE             = "fast"
      DEST_BUCKET        = "photos-out"
      DEST_PREFIX        = "train/"
      FAILED_QUEUE_URL   = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-failed"
      FILTER             = "lanczos3"
      FIT                = "cover"
      FORMAT             = "jpeg"
      GRACE_SECONDS      = "90"
      JPEG_QUALITY       = "90"
      JPEG_SUBSAMPLING   = "420"
      LOG_FORMAT         = "json"
      MAX_ATTEMPTS       = "3"
      MAX_SOURCE_BYTES   = "268435456"
      MAX_SOURCE_PIXELS  = "268435456"
      MEMORY_LIMIT_BYTES = "1073741824"
      RETRY_QUEUE_URL    = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-source"
      RUST_LOG           = "info"
      SIZES              = "224"
      SKIP_UNCHANGED     = "true"
      SOURCE_BUCKET      = "photos-in"
      TIME_LIMIT_SECONDS = "3600"
    }
    error_message = "each default must be the program's"
  }
}

run "the_task_may_do_six_things" {
  command = apply

  assert {
    condition = jsondecode(aws_iam_role_policy.task.policy).Statement == [
      { Sid = "ReadTheSource", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["arn:aws:s3:::photos-in/*"] },
      {
        Sid      = "ReadAndWriteTheDestination"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = ["arn:aws:s3:::photos-out/train/*"]
      },
      {
        Sid      = "TellMissingFromForbidden"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [for name in ["photos-in", "photos-out", "pp-work-123456789012-euwest1"] : "arn:aws:s3:::${name}"]
      },
      {
        Sid      = "HandBack"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [for name in ["source", "failed"] : "arn:aws:sqs:eu-west-1:123456789012:pp-${name}"]
      },
      {
        Sid    = "ReadItsBatch"
        Effect = "Allow"
        Action = ["s3:GetObject"]
        Resource = [
          for folder in ["batches", "runs", "handed-over"] : "arn:aws:s3:::pp-work-123456789012-euwest1/${folder}/*"
        ]
      },
      {
        Sid      = "WriteItsReport"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["arn:aws:s3:::pp-work-123456789012-euwest1/reports/*"]
      },
    ]
    error_message = "the task may use only the source, the destination prefix, the two queues and its batch"
  }
  assert {
    condition = (
      [for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : "${s.Sid} ${s.Resource[0]}"] == [
        "WriteTheLog arn:aws:logs:eu-west-1:123456789012:log-group:/pixpipe/pp/task:log-stream:pixpipe/*",
        "PullExactlyThisRepository arn:aws:ecr:eu-west-1:123456789012:repository/pixpipe",
        "LogInToTheRegistry *",
      ]
    )
    error_message = "ECS may use only the log and the repository"
  }
}

run "an_image_from_elsewhere_needs_no_ecr_rights" {
  command = apply

  variables {
    image = "ghcr.io/example/pixpipe@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s.Sid] == ["WriteTheLog"]
    error_message = "ECS may use only the log"
  }
}

run "given_keys_are_used_and_allowed" {
  command = apply

  variables {
    source_kms_key_arn      = "arn:aws:kms:eu-west-1:123456789012:key/source"
    destination_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/destination"
    queue_kms_key_arn       = "arn:aws:kms:eu-west-1:123456789012:key/queues"
    log_kms_key_arn         = "arn:aws:kms:eu-west-1:123456789012:key/logs"
  }

  assert {
    condition = (
      alltrue([
        for q in [aws_sqs_queue.source, aws_sqs_queue.dlq, aws_sqs_queue.failed] :
        q.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/queues"
      ])
    )
    error_message = "the queues must use the key"
  }
  assert {
    condition = (
      [
        for s in jsondecode(aws_iam_role_policy.task.policy).Statement :
        "${join(",", s.Action)} ${s.Resource[0]}" if startswith(s.Action[0], "kms:")
        ] == [
        "kms:Decrypt,kms:GenerateDataKey arn:aws:kms:eu-west-1:123456789012:key/queues",
        "kms:Decrypt arn:aws:kms:eu-west-1:123456789012:key/source",
        "kms:Decrypt,kms:GenerateDataKey arn:aws:kms:eu-west-1:123456789012:key/destination",
      ]
    )
    error_message = "the task may decrypt the source, encrypt the destination and send to the queues"
  }
  assert {
    condition = (
      contains(jsondecode(aws_iam_role_policy.pipe[0].policy).Statement[*].Sid, "ReadTheEncryptedQueue") &&
      contains(jsondecode(aws_iam_role_policy.state_machine[0].policy).Statement[*].Sid, "SendToEncryptedQueues")
    )
    error_message = "the pipe may read, and the state machine may send to, encrypted queues"
  }
  assert {
    condition = (
      aws_cloudwatch_log_group.task.kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/logs" &&
      aws_cloudwatch_log_group.pipe[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/logs"
    )
    error_message = "the logs must use the key"
  }
}

run "alarms_tell_the_topic" {
  command = apply

  variables {
    alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:oncall"
  }

  assert {
    condition = alltrue([for a in concat(
      values(aws_cloudwatch_metric_alarm.metric), values(aws_cloudwatch_metric_alarm.expression),
    ) : a.alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:oncall"])])
    error_message = "every alarm must notify the topic"
  }
  assert {
    condition = (
      keys(aws_cloudwatch_metric_alarm.metric) == ["failed-for-good", "oldest-message"] &&
      keys(aws_cloudwatch_metric_alarm.expression) == [
        "batch-executions-failed", "dlq-growing", "failed-growing", "no-events", "nothing-finishes", "pipe-failing",
        "pipe-stopped",
      ]
    )
    error_message = "there must be alarms on the queues that should be empty, on the pipe and on the executions"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.metric["failed-for-good"].namespace == "pixpipe" &&
      aws_cloudwatch_metric_alarm.metric["failed-for-good"].metric_name == "failed_for_good" &&
      aws_cloudwatch_metric_alarm.metric["failed-for-good"].dimensions ==
      tomap({ destination = "s3://photos-out/train/" })
    )
    error_message = "the alarm must use the metric that tasks report"
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets[0].properties.title == "Records" &&
      jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets[0].properties.metrics[0] ==
      ["pixpipe", "written", "destination", "s3://photos-out/train/"]
    )
    error_message = "the dashboard must show the metrics that tasks report"
  }
}

run "no_dashboard_if_it_is_disabled" {
  command = apply

  variables {
    dashboard_enabled = false
  }

  assert {
    condition     = length(aws_cloudwatch_dashboard.this) == 0 && output.dashboard_name == null
    error_message = "dashboard_enabled = false must create no dashboard"
  }
}
