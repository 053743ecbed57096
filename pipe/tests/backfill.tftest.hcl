# backfill_enabled: a list -> batches in the work bucket -> ECS RunTask, beside any launcher.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "there_is_no_backfill_unless_it_is_asked_for" {
  command = apply

  assert {
    condition = (
      length(aws_sfn_state_machine.backfill) == 0 && length(aws_iam_role.backfill) == 0 &&
      length(aws_scheduler_schedule.backfill) == 0 && output.backfill_state_machine_arn == null
    )
    error_message = "nothing of a backfill may be made by default"
  }
}

run "a_backfill_is_a_standard_machine_beside_the_launcher" {
  command = apply

  variables {
    backfill_enabled = true
  }

  assert {
    condition = (
      aws_sfn_state_machine.backfill[0].name == "pp-backfill" &&
      aws_sfn_state_machine.backfill[0].type == "STANDARD" && length(aws_sfn_state_machine.batch) == 1
    )
    error_message = "the machine must be a Standard one, beside that of the launcher"
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.backfill[0].definition).States.Batches.MaxConcurrency == 4
    error_message = "4 tasks at a time by default"
  }
  assert {
    condition = (
      jsondecode(aws_sfn_state_machine.backfill[0].definition).States.Listing.ItemBatcher.MaxItemsPerBatch == 1000
    )
    error_message = "1,000 objects a task by default"
  }
  assert {
    condition = (
      length(aws_scheduler_schedule.backfill) == 0 && length(aws_cloudwatch_event_rule.backfill_finished) == 0
    )
    error_message = "it starts by hand only, and tells EventBridge only"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.expression["backfill-executions-failed"].actions_enabled
    error_message = "an alarm must ring if it fails"
  }
}

run "the_direct_launcher_gets_a_work_bucket_with_it" {
  command = apply

  variables {
    launcher         = "direct"
    backfill_enabled = true
    spot_attempts    = 2
    work_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/work"
  }

  assert {
    condition     = length(aws_s3_bucket.work) == 1 && output.work_bucket != null
    error_message = "batches need a bucket"
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.task_stopped[0].event_pattern).detail.group == ["family:pp"]
    )
    error_message = "the redrive must leave the tasks of a backfill to its executions"
  }
}

run "a_schedule_starts_it_with_its_input" {
  command = apply

  variables {
    backfill_enabled        = true
    backfill_schedule       = "cron(0 3 * * ? *)"
    backfill_input          = { csv = { key = "lists/new.csv" } }
    list_bucket             = "photos-lists"
    list_prefix             = "lists/"
    schedule_timezone       = "Europe/Berlin"
    schedule_window_minutes = 30
  }

  assert {
    condition = (
      aws_scheduler_schedule.backfill[0].target[0].input == "{\"csv\":{\"key\":\"lists/new.csv\"}}" &&
      aws_scheduler_schedule.backfill[0].target[0].arn == aws_sfn_state_machine.backfill[0].arn
    )
    error_message = "the schedule must start the machine with backfill_input"
  }
  assert {
    condition = (
      aws_scheduler_schedule.backfill[0].schedule_expression_timezone == "Europe/Berlin" &&
      aws_scheduler_schedule.backfill[0].flexible_time_window[0].maximum_window_in_minutes == 30 &&
      aws_scheduler_schedule.backfill[0].state == "ENABLED"
    )
    error_message = "time zone and window are the variables"
  }
}

run "a_schedule_without_input_lists_the_bucket_and_rests_while_the_kill_switch_is_on" {
  command = apply

  variables {
    enabled           = false
    backfill_enabled  = true
    backfill_schedule = "rate(7 days)"
  }

  assert {
    condition     = aws_scheduler_schedule.backfill[0].target[0].input == "{\"list\":{}}"
    error_message = "without backfill_input, a backfill lists the bucket"
  }
  assert {
    condition     = aws_scheduler_schedule.backfill[0].state == "DISABLED"
    error_message = "the kill switch must stop the schedule, too"
  }
}

run "a_topic_is_told_if_there_is_one" {
  command = apply

  variables {
    backfill_enabled   = true
    backfill_topic_arn = "arn:aws:sns:eu-west-1:123456789012:backfills"
  }

  assert {
    condition = (
      aws_cloudwatch_event_target.backfill_finished[0].arn == "arn:aws:sns:eu-west-1:123456789012:backfills" &&
      jsondecode(aws_cloudwatch_event_rule.backfill_finished[0].event_pattern).detail.stack == ["pp"]
    )
    error_message = "the topic must hear of this stack's backfills, and of no other's"
  }
}
