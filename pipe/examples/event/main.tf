# One task per upload, at once, on FARGATE_SPOT first, and never lost: the least delay. Buckets and network exist; the
# bucket sends its events to EventBridge. Run it in your region with:
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

  name               = "previews"
  image              = var.image
  source_bucket      = "my-photos"
  source_prefix      = "raw/"
  source_suffixes    = [".jpg", ".png"]
  destination_bucket = "my-training-images"
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  launcher = "event"
  sizes    = ["299"]
}
