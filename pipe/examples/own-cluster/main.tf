# Tasks in a cluster that exists already. It needs the capacity providers FARGATE and FARGATE_SPOT:
#   aws ecs put-cluster-capacity-providers --cluster … --capacity-providers FARGATE FARGATE_SPOT \
#       --default-capacity-provider-strategy '[]'
# The cluster is read, not created here: the module has to know at plan time whether it must create one.

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

variable "cluster_name" {
  description = "Name of the existing ECS cluster."
  type        = string
}

data "aws_ecs_cluster" "existing" {
  cluster_name = var.cluster_name
}

module "pixpipe" {
  source = "../.."

  name               = "photos"
  image              = var.image
  source_bucket      = "my-photos"
  destination_bucket = "my-training-images"
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  cluster_arn = data.aws_ecs_cluster.existing.arn
}
