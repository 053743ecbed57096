# What is in a bucket already: a state machine beside the launcher. It is started by hand, and on Sundays it makes what
# is missing. Buckets and network exist; the bucket sends its events to EventBridge. Run it in your region with:
#   terraform init && terraform apply -var image=… -var 'subnet_ids=["subnet-…"]' -var 'security_group_ids=["sg-…"]'
#   eval "$(terraform output -raw start)"

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

  name               = "training"
  image              = var.image
  source_bucket      = "my-photos"
  source_suffixes    = [".jpg", ".png"]
  destination_bucket = "my-training-images"
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  backfill_enabled  = true
  backfill_schedule = "cron(0 3 ? * SUN *)"
  max_tasks         = 6 # the vCPUs of a new account
}

output "start" {
  description = "The command that starts a backfill of the whole bucket."
  value = join(" ", [
    "aws stepfunctions start-execution --state-machine-arn ${module.pixpipe.backfill_state_machine_arn}",
    "--input '{\"list\":{}}'",
  ])
}
