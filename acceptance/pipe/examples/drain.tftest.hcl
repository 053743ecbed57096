# The example "drain": a queue that is emptied when enough waits.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image              = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
  subnet_ids         = ["subnet-0a"]
  security_group_ids = ["sg-0a"]
}

run "drains" {
  command = apply

  assert {
    condition     = module.pixpipe.drain_state_machine_arn != null && module.pixpipe.pipe_name == null
    error_message = "the launcher must be drain"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.finished.event_pattern).detail.stack == ["nightly"]
    error_message = "the topic must hear of this stack"
  }
}
