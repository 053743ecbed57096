# launcher = "event": S3 -> EventBridge rule -> Step Functions -> ECS RunTask, one object per task.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  launcher = "event"
}

run "the_rule_starts_the_state_machine" {
  command = apply

  assert {
    condition = (
      length(aws_cloudwatch_event_target.source_queue) == 0 &&
      aws_cloudwatch_event_target.state_machine[0].rule == aws_cloudwatch_event_rule.object_created[0].name &&
      aws_cloudwatch_event_target.state_machine[0].arn == aws_sfn_state_machine.batch[0].arn &&
      aws_cloudwatch_event_target.state_machine[0].role_arn == aws_iam_role.uploads[0].arn
    )
    error_message = "an upload must start an execution, and nothing else"
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.state_machine[0].input == null &&
      aws_cloudwatch_event_target.state_machine[0].input_path == null &&
      length(aws_cloudwatch_event_target.state_machine[0].input_transformer) == 0
    )
    error_message = "events must be passed unchanged: templates do not escape keys"
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.state_machine[0].dead_letter_config[0].arn == aws_sqs_queue.dlq.arn &&
      aws_cloudwatch_event_target.state_machine[0].retry_policy[0].maximum_event_age_in_seconds == 86400
    )
    error_message = "an event must be tried for a day, and then be in the dead-letter queue"
  }
  assert {
    condition     = aws_pipes_pipe.this[0].target == aws_sfn_state_machine.batch[0].arn
    error_message = "records that come back must go the way of batches"
  }
}

run "while_the_kill_switch_is_on_events_wait_in_the_queue" {
  command = apply

  variables {
    enabled = false
  }

  assert {
    condition = (
      length(aws_cloudwatch_event_target.state_machine) == 0 &&
      aws_cloudwatch_event_target.source_queue[0].arn == aws_sqs_queue.source.arn
    )
    error_message = "events must go to the queue: those of a rule that is off are gone"
  }
  assert {
    condition     = aws_pipes_pipe.this[0].desired_state == "STOPPED"
    error_message = "enabled = false must stop the pipe"
  }
}
