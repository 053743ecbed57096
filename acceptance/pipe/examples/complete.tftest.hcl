# The example "complete" as a whole, in both networks and with both launchers.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region = "eu-west-1"
  image  = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
}

run "public_subnets_and_batches" {
  command = apply

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_route.internet) == 1
    error_message = "public subnets must have a route to the internet gateway"
  }
  assert {
    condition = (
      aws_s3_bucket_notification.eventbridge[0].eventbridge && output.pixpipe.batch_state_machine_arn != null
    )
    error_message = "the bucket must notify EventBridge, and batches must be the default"
  }
  assert {
    condition     = output.pixpipe.metrics_destination == "s3://${aws_s3_bucket.this["destination"].id}/train/"
    error_message = "results must go to the other bucket"
  }
}

run "endpoints_and_one_task_per_upload" {
  command = apply

  variables {
    private_network = true
    batch_size      = 1
    event_source    = "s3"
  }

  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["ecr.api", "ecr.dkr", "logs", "sqs"]
    error_message = "private subnets must have interface endpoints for ECR, logs and SQS"
  }
  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "private subnets must not have a route to the internet"
  }
  assert {
    condition = (
      length(aws_s3_bucket_notification.eventbridge) == 0 && output.pixpipe.redrive_state_machine_arn != null
    )
    error_message = "the module must own the bucket's notifications, and killed tasks must come back"
  }
}
