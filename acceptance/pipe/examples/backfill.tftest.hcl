# The example "backfill": a state machine for what is in the bucket already, by hand and on Sundays.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image              = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
  subnet_ids         = ["subnet-0a"]
  security_group_ids = ["sg-0a"]
}

run "fills_up_what_is_there" {
  command = apply

  assert {
    condition     = module.pixpipe.backfill_state_machine_arn != null && module.pixpipe.work_bucket != null
    error_message = "there must be a backfill, and a bucket for its batches"
  }
  assert {
    condition     = strcontains(output.start, "--input '{\"list\":{}}'")
    error_message = "the command must list the bucket"
  }
}
