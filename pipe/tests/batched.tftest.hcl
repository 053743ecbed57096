# batch_size > 1: SQS -> pipe -> Step Functions -> ECS RunTask, a batch a task.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "pp"
  image              = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:1.0.0"
  source_bucket      = "photos-in"
  destination_bucket = "photos-out"
  destination_prefix = "train/"
  subnet_ids         = ["subnet-0a", "subnet-0b"]
  security_group_ids = ["sg-0a"]
  batch_size         = 50
}

run "the_pipe_hands_batches_to_step_functions" {
  command = apply

  assert {
    condition     = aws_pipes_pipe.this.source_parameters[0].sqs_queue_parameters[0].batch_size == 50 && aws_pipes_pipe.this.source_parameters[0].sqs_queue_parameters[0].maximum_batching_window_in_seconds == 20
    error_message = "batch and window are the variables'"
  }
  assert {
    condition     = aws_pipes_pipe.this.target == aws_sfn_state_machine.batch[0].arn && aws_pipes_pipe.this.target_parameters[0].step_function_state_machine_parameters[0].invocation_type == "FIRE_AND_FORGET"
    error_message = "a Standard state machine is started, not waited for"
  }
  assert {
    condition     = length(aws_pipes_pipe.this.target_parameters[0].ecs_task_parameters) == 0
    error_message = "the target is not ECS"
  }
  assert {
    condition     = aws_pipes_pipe.this.target_parameters[0].input_template == "{\"messageId\": \"<$.messageId>\", \"body\": <$.body>}"
    error_message = "the body goes in as JSON, unquoted; nothing else of the message but its ID"
  }
  assert {
    condition     = aws_sfn_state_machine.batch[0].type == "STANDARD"
    error_message = "runTask.sync needs a Standard state machine"
  }
  assert {
    condition     = length(aws_cloudwatch_event_rule.task_stopped) == 0 && length(aws_sfn_state_machine.redrive) == 0 && length(aws_sqs_queue.redrive_dlq) == 0
    error_message = "an execution watches its own tasks: no redrive beside it"
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.pipe.policy).Statement : s.Sid] == ["TakeFromTheSourceQueue", "StartBatches"]
    error_message = "the pipe may start executions, and run no tasks"
  }
}

run "the_state_machine_runs_spot_first_and_fargate_last" {
  command = apply

  variables {
    batch_size    = 10
    spot_attempts = 4
  }

  assert {
    condition     = jsondecode(aws_sfn_state_machine.batch[0].definition).QueryLanguage == "JSONata"
    error_message = "the expressions are JSONata"
  }
  assert {
    condition = alltrue([for state, provider in { RunOnSpot = "FARGATE_SPOT", RunOnDemand = "FARGATE" } :
      jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States[state].Arguments.CapacityProviderStrategy == [{ CapacityProvider = provider, Weight = 1 }]
      && !contains(keys(jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States[state].Arguments), "LaunchType")
      && jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States[state].Arguments.TaskDefinition == "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp"
      && jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States[state].Resource == "arn:aws:states:::ecs:runTask.sync"
    ])
    error_message = "Spot, then on demand; no launch type; the family without revision; waiting for the end"
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States.RunOnSpot.Retry[0].MaxAttempts == 3 && jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States.RunOnSpot.Retry[0].JitterStrategy == "FULL" && jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States.RunOnSpot.Retry[0].BackoffRate > 1
    error_message = "four tries on Spot are three retries, with backoff and jitter"
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States.RunOnSpot.Catch[0].Next == "RunOnDemand" && jsondecode(aws_sfn_state_machine.batch[0].definition).States.Tasks.ItemProcessor.States.RunOnDemand.Catch[0].Next == "HandOver"
    error_message = "after Spot comes FARGATE, after that the failed queue"
  }
}

run "the_state_machine_may_pass_exactly_two_roles" {
  command = apply

  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.state_machine[0].policy).Statement : s.Resource if s.Action == "iam:PassRole"] == [["arn:aws:iam::123456789012:role/pp-execution", "arn:aws:iam::123456789012:role/pp-task"]]
    error_message = "iam:PassRole on exactly the execution and the task role"
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.state_machine[0].policy).Statement : s.Sid] == ["RunTasksOfThisFamily", "TagTheTasksItRuns", "GiveTheTaskItsTwoRoles", "WatchAndStopThem", "HearOfTheirEnd", "HandOverWhatFailed"]
    error_message = "six statements, no more"
  }
  assert {
    condition     = jsondecode(aws_iam_role.state_machine[0].assume_role_policy).Statement[0].Condition == { ArnEquals = { "aws:SourceArn" = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp" }, StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "only this state machine of this account takes the role"
  }
}

run "the_kill_switch_stops_the_pipe" {
  command = apply

  variables {
    enabled = false
  }

  assert {
    condition     = aws_pipes_pipe.this.desired_state == "STOPPED"
    error_message = "enabled = false stops the pipe"
  }
}
