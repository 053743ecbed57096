# The example "event": a task for each upload, through Step Functions.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image              = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
  subnet_ids         = ["subnet-0a"]
  security_group_ids = ["sg-0a"]
}

run "events_start_executions" {
  command = apply

  assert {
    condition     = module.pixpipe.batch_state_machine_arn != null && module.pixpipe.redrive_state_machine_arn == null
    error_message = "the launcher must be event"
  }
}
