# launcher = "drain": SQS -> alarm -> Step Functions -> ECS RunTask, hundreds of objects per task.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  launcher = "drain"
}

run "an_alarm_starts_the_drain_and_no_pipe_polls" {
  command = apply

  assert {
    condition = (
      length(aws_pipes_pipe.this) == 0 && length(aws_iam_role.pipe) == 0 &&
      length(aws_cloudwatch_log_group.pipe) == 0 && output.pipe_name == null
    )
    error_message = "there must be no pipe"
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.drain[0].arn == aws_sfn_state_machine.drain[0].arn &&
      aws_cloudwatch_event_target.drain[0].role_arn == aws_iam_role.drain_start[0].arn &&
      jsondecode(aws_cloudwatch_event_rule.drain_start[0].event_pattern).resources ==
      ["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:pp-drain-start"] &&
      aws_cloudwatch_metric_alarm.drain_start[0].alarm_name == "pp-drain-start"
    )
    error_message = "the alarm must start the drain"
  }
  assert {
    condition = (
      aws_sfn_state_machine.collect[0].type == "EXPRESS" && aws_sfn_state_machine.drain[0].type == "STANDARD"
    )
    error_message = "the collector must be Express, and the drain Standard"
  }
  assert {
    condition = (
      jsondecode(aws_sfn_state_machine.drain[0].definition).States.Workers.MaxConcurrency == 4 &&
      aws_ecs_task_definition.this.cpu == "1024" && aws_ecs_task_definition.this.memory == "2048"
    )
    error_message = "four tasks of a whole vCPU must run at one time"
  }
  assert {
    condition     = length(aws_scheduler_schedule.drain) == 0 && length(aws_scheduler_schedule_group.this) == 0
    error_message = "there must be no schedule"
  }
}

run "the_kill_switch_leaves_nothing_that_starts_a_drain" {
  command = apply

  variables {
    enabled        = false
    drain_schedule = "rate(1 day)"
  }

  assert {
    condition = (
      aws_cloudwatch_event_rule.drain_start[0].state == "DISABLED" &&
      aws_scheduler_schedule.drain[0].state == "DISABLED"
    )
    error_message = "rule and schedule must be off"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.drain_start) == 0
    error_message = "the alarm must be new when it is switched on, or it does not go off for what waits by then"
  }
  assert {
    condition = (
      [for s in jsondecode(aws_iam_role_policy.drain[0].policy).Statement : s.Action if s.Effect == "Deny"] ==
      ["ecs:RunTask"]
    )
    error_message = "a drain that runs must not launch any more"
  }
}

run "a_schedule_belongs_to_the_stacks_group" {
  command = apply

  variables {
    drain_schedule          = "cron(0 3 * * ? *)"
    schedule_timezone       = "Europe/Berlin"
    schedule_window_minutes = 0
    task_cpu_units          = 2048
  }

  assert {
    condition = (
      aws_scheduler_schedule.drain[0].group_name == "pp" &&
      aws_scheduler_schedule.drain[0].schedule_expression_timezone == "Europe/Berlin" &&
      aws_scheduler_schedule.drain[0].flexible_time_window[0].mode == "OFF" &&
      aws_scheduler_schedule.drain[0].target[0].arn == aws_sfn_state_machine.drain[0].arn
    )
    error_message = "the schedule must start the drain at its hour"
  }
  assert {
    condition     = aws_ecs_task_definition.this.memory == "4096"
    error_message = "the memory must be the least that Fargate offers with 2 vCPUs"
  }
}
