# Tasks in private subnets of an existing VPC without NAT: interface endpoints for ECR, CloudWatch Logs and SQS (about
# 58 $ a month in two zones of us-east-1), and a gateway endpoint for S3 (free).

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

variable "network" {
  description = "Network of the tasks: VPC, private subnets and their route tables, security groups."
  type = object({
    region                      = string
    vpc_id                      = string
    subnet_ids                  = list(string)
    route_table_ids             = list(string)
    task_security_group_ids     = list(string) # outbound HTTPS
    endpoint_security_group_ids = list(string) # inbound HTTPS from the tasks
  })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = toset(["ecr.api", "ecr.dkr", "logs", "sqs"])

  vpc_id              = var.network.vpc_id
  service_name        = "com.amazonaws.${var.network.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.network.subnet_ids
  security_group_ids  = var.network.endpoint_security_group_ids
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id          = var.network.vpc_id
  service_name    = "com.amazonaws.${var.network.region}.s3"
  route_table_ids = var.network.route_table_ids
}

module "pixpipe" {
  source = "../.."

  name               = "photos"
  image              = var.image
  source_bucket      = "my-photos"
  destination_bucket = "my-training-images"
  subnet_ids         = var.network.subnet_ids
  security_group_ids = var.network.task_security_group_ids
  assign_public_ip   = false
}
