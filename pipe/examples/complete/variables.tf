variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: the name of a region, such as us-east-1."
  }
}

variable "name" {
  description = "Name of the stack, and part of the buckets' names."
  type        = string
  default     = "pixpipe"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,31}$", var.name))
    error_message = "name: 2 to 32 characters, lower-case letters, digits and hyphens, a letter first."
  }
}

variable "image" {
  description = "Container image of pixpipe: what \"docker push\" of README.md left in the repository."
  type        = string

  validation {
    condition     = length(var.image) > 0
    error_message = "image: repository with a tag or digest."
  }
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64, as the image was built."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture: \"ARM64\" or \"X86_64\"."
  }
}

variable "batch_size" {
  description = "1: one task an upload, the least delay. 2 to 50: batches, the least cost."
  type        = number
  default     = 10

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 50 && floor(var.batch_size) == var.batch_size
    error_message = "batch_size: a whole number from 1 to 50."
  }
}

variable "event_source" {
  description = "\"eventbridge\" or \"s3\"; see the module."
  type        = string
  default     = "eventbridge"

  validation {
    condition     = contains(["eventbridge", "s3"], var.event_source)
    error_message = "event_source: \"eventbridge\" or \"s3\"."
  }
}

variable "sizes" {
  description = "Sizes made of every photo."
  type        = list(string)
  default     = ["224"]

  validation {
    condition     = length(var.sizes) >= 1
    error_message = "sizes: at least one, such as [\"224\"]."
  }
}

variable "private_network" {
  description = "false: public subnets, each task with a public address (no fixed cost; the address is 0.005 $ an hour while a task runs). true: private subnets with interface endpoints for ECR, logs and SQS (4 endpoints in 2 zones, 0.01 $ an hour each in us-east-1: about 58 $ a month, and 0.01 $ a GB). S3 goes through a gateway endpoint in both, which is free."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "SNS topic for the alarms; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn: the ARN of an SNS topic."
  }
}

variable "force_destroy" {
  description = "Let \"terraform destroy\" delete the buckets with what is in them."
  type        = bool
  default     = false
}
