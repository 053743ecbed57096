# Uploads wait until 1,000 are there, until one is half an hour old, or until three at night. Then four tasks at most,
# one of them not on Spot, empty the queue, and a topic is told. Buckets and network exist; the bucket sends its events
# to EventBridge. Run it in your region with:
#   terraform init && terraform apply -var image=… -var 'subnet_ids=["subnet-…"]' -var 'security_group_ids=["sg-…"]'

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

variable "image" {
  description = "Container image of pixpipe, with a tag or digest."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets that reach ECR, CloudWatch Logs, SQS and S3."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups that allow outbound HTTPS."
  type        = list(string)
}

module "pixpipe" {
  source = "../.."

  name               = "nightly"
  image              = var.image
  source_bucket      = "my-photos"
  source_prefix      = "raw/"
  source_suffixes    = [".jpg", ".png"]
  destination_bucket = "my-training-images"
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  launcher                = "drain"
  max_tasks               = 4
  on_demand_tasks         = 1
  drain_start_messages    = 1000
  drain_start_age_seconds = 1800
  drain_schedule          = "cron(0 3 * * ? *)"
  schedule_timezone       = "Europe/Berlin"
  sizes                   = ["224", "384"]
}

# --- what waits for the images: here a topic, which anybody may subscribe to

resource "aws_sns_topic" "finished" {
  #checkov:skip=CKV_AWS_26:the message has counts and names of resources, and no data
  name = "nightly-finished"
}

resource "aws_sns_topic_policy" "finished" {
  arn = aws_sns_topic.finished.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.finished.arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.finished.arn } }
    }]
  })
}

resource "aws_cloudwatch_event_rule" "finished" {
  name        = "nightly-finished"
  description = "A drain of nightly has made images"

  event_pattern = jsonencode({
    source        = ["pixpipe"]
    "detail-type" = ["Drain Finished"]
    detail        = { stack = ["nightly"], written = [{ numeric = [">", 0] }] }
  })
}

resource "aws_cloudwatch_event_target" "finished" {
  rule = aws_cloudwatch_event_rule.finished.name
  arn  = aws_sns_topic.finished.arn
}
