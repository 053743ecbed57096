# The example as a whole, in both networks and with both launchers.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
  mock_resource "aws_subnet" {
    defaults = { id = "subnet-0a" }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0a" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/pp" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:pp"
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp"
    }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:pp" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/pp" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = {
      arn                  = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp:1"
      arn_without_revision = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp"
    }
  }
  mock_resource "aws_sfn_state_machine" {
    defaults = { arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp" }
  }
}

variables {
  region = "eu-west-1"
  image  = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:1.0.0"
}

run "public_subnets_and_batches" {
  command = apply

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_route.internet) == 1
    error_message = "public subnets have their way out over the internet gateway"
  }
  assert {
    condition     = aws_s3_bucket_notification.eventbridge[0].eventbridge && output.pixpipe.batch_state_machine_arn != null
    error_message = "the bucket tells EventBridge, and batches are the default"
  }
  assert {
    condition     = output.pixpipe.metrics_destination == "s3://${aws_s3_bucket.this["destination"].id}/train/"
    error_message = "results go to the other bucket"
  }
}

run "endpoints_and_one_task_an_upload" {
  command = apply

  variables {
    private_network = true
    batch_size      = 1
    event_source    = "s3"
  }

  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["ecr.api", "ecr.dkr", "logs", "sqs"] && length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "private subnets reach AWS over endpoints, and nothing else"
  }
  assert {
    condition     = length(aws_s3_bucket_notification.eventbridge) == 0 && output.pixpipe.redrive_state_machine_arn != null
    error_message = "the module owns the bucket's notifications; killed tasks come back"
  }
}
