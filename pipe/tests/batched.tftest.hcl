# launcher = "batched": SQS -> pipe -> Step Functions -> ECS RunTask, one batch per task.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "the_pipe_hands_batches_to_step_functions" {
  command = apply

  assert {
    condition = (
      aws_pipes_pipe.this[0].source_parameters[0].sqs_queue_parameters[0].batch_size == 50 &&
      aws_pipes_pipe.this[0].source_parameters[0].sqs_queue_parameters[0].maximum_batching_window_in_seconds == 60
    )
    error_message = "batches must have 50 messages at most, and wait for a minute"
  }
  assert {
    condition = (
      aws_pipes_pipe.this[0].target == aws_sfn_state_machine.batch[0].arn &&
      aws_pipes_pipe.this[0].target_parameters[0].step_function_state_machine_parameters[0].invocation_type ==
      "FIRE_AND_FORGET"
    )
    error_message = "the pipe must start a Standard state machine and not wait for it"
  }
  assert {
    condition     = length(aws_pipes_pipe.this[0].target_parameters[0].ecs_task_parameters) == 0
    error_message = "the target must not be ECS"
  }
  assert {
    condition = (
      aws_pipes_pipe.this[0].target_parameters[0].input_template ==
      "{\"messageId\": \"<$.messageId>\", \"body\": <$.body>}"
    )
    error_message = "the input must be the message's ID and its body, as unquoted JSON"
  }
  assert {
    condition     = aws_sfn_state_machine.batch[0].type == "STANDARD"
    error_message = "runTask.sync needs a Standard state machine"
  }
  assert {
    condition = (
      length(aws_cloudwatch_event_rule.task_stopped) == 0 &&
      length(aws_sfn_state_machine.redrive) == 0 &&
      length(aws_sqs_queue.redrive_dlq) == 0
    )
    error_message = "there must be no redrive: an execution watches its own tasks"
  }
  assert {
    condition = (
      [for s in jsondecode(aws_iam_role_policy.pipe[0].policy).Statement : s.Sid] ==
      ["TakeFromTheSourceQueue", "StartBatches"]
    )
    error_message = "the pipe may start executions, and must not run tasks"
  }
}

run "batch_and_window_are_the_variables" {
  command = apply

  variables {
    batch_size           = 7
    batch_window_seconds = 5
  }

  assert {
    condition = (
      aws_pipes_pipe.this[0].source_parameters[0].sqs_queue_parameters[0].batch_size == 7 &&
      aws_pipes_pipe.this[0].source_parameters[0].sqs_queue_parameters[0].maximum_batching_window_in_seconds == 5 &&
      aws_sqs_queue.source.visibility_timeout_seconds == 185
    )
    error_message = "batch and window must be the variables', and the window must fit into the visibility timeout"
  }
}

run "the_state_machine_waits_and_tries_again" {
  command = apply

  variables {
    batch_size    = 10
    spot_attempts = 4
  }

  assert {
    condition     = jsondecode(aws_sfn_state_machine.batch[0].definition).QueryLanguage == "JSONata"
    error_message = "the expressions must be JSONata"
  }
  assert {
    condition = alltrue([
      for state in [jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States.Run] :
      state.Arguments.CapacityProviderStrategy ==
      [{ CapacityProvider = "{% $states.input.provider %}", Weight = 1 }] &&
      !contains(keys(state.Arguments), "LaunchType") &&
      state.Arguments.TaskDefinition == "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp" &&
      state.Resource == "arn:aws:states:::ecs:runTask.sync"
    ])
    error_message = "tasks must run on the task's provider, without launch type and revision, and be waited for"
  }
  assert {
    condition = alltrue([
      for states in [jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States] :
      !contains(keys(states.Run), "Retry") && states.Run.Catch[0].Next == "Pause" && states.Pause.Type == "Wait" &&
      strcontains(states.Run.Catch[0].Output, "$tries <= 4 ? \"Run\"")
    ])
    error_message = "what follows a launch must be decided in one place, with four attempts on Spot"
  }
}

run "the_state_machine_may_pass_exactly_two_roles" {
  command = apply

  assert {
    condition = (
      [
        for s in jsondecode(aws_iam_role_policy.state_machine[0].policy).Statement :
        s.Resource if s.Action == "iam:PassRole"
      ] ==
      [["arn:aws:iam::123456789012:role/pp-eu-west-1-execution", "arn:aws:iam::123456789012:role/pp-eu-west-1-task"]]
    )
    error_message = "iam:PassRole must be allowed on the execution and the task role only"
  }
  assert {
    condition = (
      [for s in jsondecode(aws_iam_role_policy.state_machine[0].policy).Statement : s.Sid] == [
        "RunTasksOfThisFamily", "TagTheTasksItRuns", "GiveTheTaskItsTwoRoles",
        "WatchAndStopThem", "HearOfTheirEnd", "PutBackAndHandOver", "StoreCopyAndClearBatches", "KeepBatchesThatFailed",
        "ReadTheCountsOfReports", "RunUnreadableBatchesOneByOne",
      ]
    )
    error_message = "the policy must have exactly these ten statements"
  }
  assert {
    condition = (
      jsondecode(aws_iam_role.state_machine[0].assume_role_policy).Statement[0].Condition == {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    )
    error_message = "only this state machine of this account may take the role"
  }
}

run "the_kill_switch_stops_the_pipe_and_forbids_launches" {
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
      [for s in jsondecode(aws_iam_role_policy.state_machine[0].policy).Statement : s.Action if s.Effect == "Deny"] ==
      ["ecs:RunTask"]
    )
    error_message = "enabled = false must forbid executions that run to launch"
  }
}
