# One task per upload: the shortest delay (seconds, and the start of a task) and the highest cost (at least a minute per
# task). Buckets and network exist; the bucket sends its events to EventBridge. Run it in your region with:
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

  name               = "thumbnails"
  image              = var.image
  source_bucket      = "my-photos"
  destination_bucket = "my-thumbnails"
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  launcher = "direct"
  sizes    = ["256"]

  # A launch without room, or over the account's vCPU quota, may lose its message: FARGATE has room more often than
  # FARGATE_SPOT, and tasks of 256 CPU units (the default) fit 24 times into the quota of a new account.
  direct_capacity_provider = "FARGATE"
}
