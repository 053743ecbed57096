# launcher = "direct": SQS -> pipe -> ECS RunTask, one message per task.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  launcher = "direct"
}

run "the_pipe_starts_one_task_per_message" {
  command = apply

  assert {
    condition     = aws_pipes_pipe.this[0].source_parameters[0].sqs_queue_parameters[0].batch_size == 1
    error_message = "ECS is not a batch target: the pipe must take one message at a time"
  }
  assert {
    condition = (
      aws_pipes_pipe.this[0].source_parameters[0].sqs_queue_parameters[0].maximum_batching_window_in_seconds == 0
    )
    error_message = "the window must be 0: it gains nothing here and makes the retry delay seven minutes longer"
  }
  assert {
    condition = (
      aws_pipes_pipe.this[0].source == aws_sqs_queue.source.arn &&
      aws_pipes_pipe.this[0].target == aws_ecs_cluster.this[0].arn
    )
    error_message = "the pipe must go from the source queue to the cluster, not to the task definition"
  }
  assert {
    condition     = aws_pipes_pipe.this[0].target_parameters[0].input_template == null
    error_message = "there must be no input template: it has no effect on ECS overrides"
  }
  assert {
    condition = (
      length(aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters) == 1 &&
      length(aws_pipes_pipe.this[0].target_parameters[0].step_function_state_machine_parameters) == 0
    )
    error_message = "the target must be ECS"
  }
  assert {
    condition     = aws_pipes_pipe.this[0].desired_state == "RUNNING"
    error_message = "the pipe must run unless the kill switch is on"
  }
  assert {
    condition     = length(aws_sfn_state_machine.batch) == 0 && length(aws_iam_role.state_machine) == 0
    error_message = "there must be no state machine for batches, and no role for one"
  }
}

run "the_override_holds_cpu_memory_and_only_the_message" {
  command = apply

  assert {
    condition = (
      [
        for ecs in aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters :
        [for container in ecs.overrides[0].container_override : container.name]
      ] == [["pixpipe"]]
    )
    error_message = "there must be one override, of the container pixpipe"
  }
  assert {
    condition = (
      [
        for ecs in aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters :
        [for container in ecs.overrides[0].container_override : [container.cpu, container.memory]]
      ] == [[[256, 1024]]]
    )
    error_message = "cpu and memory must be set: without them, the provider sends 0 and the task dies at its start"
  }
  assert {
    condition = (
      [
        for ecs in aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters :
        [for e in ecs.overrides[0].container_override[0].environment : "${e.name}=${e.value}"]
      ] == [["SQS_BODY=$.body"]]
    )
    error_message = "SQS_BODY = $.body must be the first and only environment override"
  }
}

run "the_task_is_launched_as_it_should" {
  command = apply

  assert {
    condition = (
      aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters[0].task_definition_arn ==
      "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp"
    )
    error_message = "the task definition must be named without revision"
  }
  assert {
    condition = (
      aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters[0].launch_type == null &&
      "FARGATE" ==
      aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters[0].capacity_provider_strategy[0].capacity_provider
    )
    error_message = "there must be a capacity provider, and so no launch type"
  }
  assert {
    condition = (
      length(aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters[0].capacity_provider_strategy) == 1
    )
    error_message = "there must be one provider: two in one strategy split by weight, they are no fallback"
  }
  assert {
    condition     = aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters[0].task_count == 1
    error_message = "there must be one task per message"
  }
  assert {
    condition = (
      one([
        for ecs in aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters :
        ecs.network_configuration[0].aws_vpc_configuration[0].assign_public_ip
      ]) == "DISABLED"
    )
    error_message = "there must be no public address unless it is asked for"
  }
}

run "the_pipe_may_pass_exactly_two_roles" {
  command = apply

  assert {
    condition = (
      [for s in jsondecode(aws_iam_role_policy.pipe[0].policy).Statement : s.Resource if s.Action == "iam:PassRole"] ==
      [["arn:aws:iam::123456789012:role/pp-eu-west-1-execution", "arn:aws:iam::123456789012:role/pp-eu-west-1-task"]]
    )
    error_message = "iam:PassRole must be allowed on the execution and the task role only"
  }
  assert {
    condition = (
      [
        for s in jsondecode(aws_iam_role_policy.pipe[0].policy).Statement :
        s.Condition.StringEquals["iam:PassedToService"] if s.Action == "iam:PassRole"
      ] == ["ecs-tasks.amazonaws.com"]
    )
    error_message = "the roles may be passed only to ECS tasks"
  }
  assert {
    condition = (
      [
        for s in jsondecode(aws_iam_role_policy.pipe[0].policy).Statement :
        s.Condition.ArnEquals["ecs:cluster"] if s.Action == "ecs:RunTask"
      ] == ["arn:aws:ecs:eu-west-1:123456789012:cluster/pp"]
    )
    error_message = "tasks may run only in this cluster"
  }
  assert {
    condition = (
      jsondecode(aws_iam_role.pipe[0].assume_role_policy).Statement[0].Condition == {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:pipes:eu-west-1:123456789012:pipe/pp" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    )
    error_message = "only this pipe of this account may take the role"
  }
}

run "killed_tasks_are_redriven" {
  command = apply

  assert {
    condition = (
      length(aws_cloudwatch_event_rule.task_stopped) == 1 &&
      aws_cloudwatch_event_target.redrive[0].arn == aws_sfn_state_machine.redrive[0].arn
    )
    error_message = "stopped tasks must start the redrive"
  }
  assert {
    condition     = aws_cloudwatch_event_target.redrive[0].dead_letter_config[0].arn == aws_sqs_queue.redrive_dlq[0].arn
    error_message = "an event that cannot be delivered must be kept, in a queue of its own"
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.task_stopped[0].event_pattern).detail.clusterArn ==
      ["arn:aws:ecs:eu-west-1:123456789012:cluster/pp"] &&
      jsondecode(aws_cloudwatch_event_rule.task_stopped[0].event_pattern).detail.taskDefinitionArn ==
      [{ prefix = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp:" }]
    )
    error_message = "the rule must match only tasks of this family in this cluster"
  }
}

run "spot_is_a_choice" {
  command = apply

  variables {
    direct_capacity_provider = "FARGATE_SPOT"
    assign_public_ip         = true
  }

  assert {
    condition = (
      "FARGATE_SPOT" ==
      aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters[0].capacity_provider_strategy[0].capacity_provider
    )
    error_message = "the strategy must use direct_capacity_provider"
  }
  assert {
    condition = (
      one([
        for ecs in aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters :
        ecs.network_configuration[0].aws_vpc_configuration[0].assign_public_ip
      ]) == "ENABLED"
    )
    error_message = "assign_public_ip must reach the tasks"
  }
}

run "the_kill_switch_stops_the_pipe_forbids_launches_and_keeps_the_queue" {
  command = apply

  variables {
    enabled = false
  }

  assert {
    condition     = aws_pipes_pipe.this[0].desired_state == "STOPPED"
    error_message = "enabled = false must stop the pipe"
  }
  assert {
    condition = (
      [for s in jsondecode(aws_iam_role_policy.pipe[0].policy).Statement : s.Action if s.Effect == "Deny"] ==
      ["ecs:RunTask"]
    )
    error_message = "enabled = false must forbid the pipe to launch"
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.source_queue[0].arn == aws_sqs_queue.source.arn &&
      aws_sqs_queue.source.message_retention_seconds == 1209600
    )
    error_message = "events must still come in and be kept for 14 days"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.expression["pipe-stopped"].actions_enabled == false &&
      aws_cloudwatch_metric_alarm.metric["oldest-message"].actions_enabled != false
    )
    error_message = "the alarm on a stopped pipe must be silent, and the one on old messages must not"
  }
}

run "a_cluster_of_another_region_is_refused" {
  command = plan

  variables {
    cluster_arn = "arn:aws:ecs:us-east-1:123456789012:cluster/shared"
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "a_cluster_of_another_account_is_refused" {
  command = plan

  variables {
    cluster_arn = "arn:aws:ecs:eu-west-1:999999999999:cluster/shared"
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "a_given_cluster_is_used" {
  command = apply

  variables {
    cluster_arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/shared"
  }

  assert {
    condition     = length(aws_ecs_cluster.this) == 0 && length(aws_ecs_cluster_capacity_providers.this) == 0
    error_message = "there must be no cluster of the module's own"
  }
  assert {
    condition     = aws_pipes_pipe.this[0].target == "arn:aws:ecs:eu-west-1:123456789012:cluster/shared"
    error_message = "the pipe's target must be the given cluster"
  }
  assert {
    condition = (
      [
        for s in jsondecode(aws_iam_role_policy.pipe[0].policy).Statement : s.Resource if s.Action == "ecs:TagResource"
      ] ==
      ["arn:aws:ecs:eu-west-1:123456789012:task/shared/*"]
    )
    error_message = "tasks must be tagged in the given cluster"
  }
}
