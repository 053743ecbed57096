variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: must be the name of a region, such as us-east-1."
  }
}

variable "name" {
  description = "Name of the stack, and part of the buckets' names."
  type        = string
  default     = "pixpipe"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}$", var.name))
    error_message = <<-EOT
      name: must be 2 to 23 lower-case letters, digits and hyphens, beginning with a letter (the names of the buckets
      have the account and the region, too).
    EOT
  }
}

variable "image" {
  description = "Container image of pixpipe, as README.md pushes it to ECR."
  type        = string

  validation {
    condition     = length(var.image) > 0
    error_message = "image: must be a repository with a tag or digest."
  }
}

variable "cpu_architecture" {
  description = "CPU architecture that the image was built for: ARM64 or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture: must be \"ARM64\" or \"X86_64\"."
  }
}

variable "launcher" {
  description = "\"batched\", \"event\", \"drain\" or \"direct\": the module's README compares them."
  type        = string
  default     = "batched"

  validation {
    condition     = contains(["batched", "direct", "drain", "event"], var.launcher)
    error_message = "launcher: must be \"batched\", \"direct\", \"drain\" or \"event\"."
  }
}

variable "enabled" {
  description = "Kill switch: false starts no more tasks; events wait in the source queue."
  type        = bool
  default     = true
}

variable "event_source" {
  description = "How S3 reports new objects: \"eventbridge\" or \"s3\" (see the module)."
  type        = string
  default     = "eventbridge"

  validation {
    condition     = contains(["eventbridge", "s3"], var.event_source)
    error_message = "event_source: must be \"eventbridge\" or \"s3\"."
  }
}

variable "sizes" {
  description = "Output sizes of every photo."
  type        = list(string)
  default     = ["224"]

  validation {
    condition     = length(var.sizes) >= 1
    error_message = "sizes: must be at least one size, such as [\"224\"]."
  }
}

variable "private_network" {
  description = <<-EOT
    Network of the tasks. false: public subnets, each task with a public address (no fixed cost; the address costs
    0.005 $ an hour while a task runs). true: private subnets with interface endpoints for ECR, logs and SQS (4
    endpoints in 2 zones, 0.01 $ an hour each in us-east-1: about 58 $ a month, and 0.01 $ per GB). S3 uses a gateway
    endpoint in both, which is free.
  EOT
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "SNS topic of the alarms; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn: must be the ARN of an SNS topic."
  }
}

variable "force_destroy" {
  description = "Let \"terraform destroy\" delete the buckets with their objects."
  type        = bool
  default     = false
}
