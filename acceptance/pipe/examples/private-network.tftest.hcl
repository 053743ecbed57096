# The example "private-network": endpoints instead of public addresses.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
  network = {
    region                      = "eu-west-1"
    vpc_id                      = "vpc-0a"
    subnet_ids                  = ["subnet-0a", "subnet-0b"]
    route_table_ids             = ["rtb-0a"]
    task_security_group_ids     = ["sg-0a"]
    endpoint_security_group_ids = ["sg-0b"]
  }
}

run "endpoints_for_everything_that_a_task_needs" {
  command = apply

  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["ecr.api", "ecr.dkr", "logs", "sqs"]
    error_message = "there must be interface endpoints for ECR, logs and SQS"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-west-1.s3"
    error_message = "there must be a gateway endpoint for S3"
  }
}
