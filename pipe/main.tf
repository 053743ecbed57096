data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id # "name" up to provider 5, "region" from 6; "id" in both

  # ECS is not a batch target of a pipe: more than one record per task needs Step Functions in between.
  direct  = var.batch_size == 1
  batched = !local.direct

  source_bucket_arn      = "arn:${local.partition}:s3:::${var.source_bucket}"
  destination_bucket_arn = "arn:${local.partition}:s3:::${var.destination_bucket}"

  # Written out, not read from the resources: trust policies name resources that are created after the role.
  arn_prefix = {
    pipes  = "arn:${local.partition}:pipes:${local.region}:${local.account_id}"
    states = "arn:${local.partition}:states:${local.region}:${local.account_id}"
    events = "arn:${local.partition}:events:${local.region}:${local.account_id}"
    ecs    = "arn:${local.partition}:ecs:${local.region}:${local.account_id}"
  }
  pipe_arn                  = "${local.arn_prefix.pipes}:pipe/${var.name}"
  state_machine_arn         = "${local.arn_prefix.states}:stateMachine:${var.name}"
  redrive_state_machine_arn = "${local.arn_prefix.states}:stateMachine:${var.name}-redrive"
  object_created_rule_arn   = "${local.arn_prefix.events}:rule/${var.name}-object-created"
  task_stopped_rule_arn     = "${local.arn_prefix.events}:rule/${var.name}-task-stopped"

  container_name = "pixpipe"
  destination    = "s3://${var.destination_bucket}/${var.destination_prefix}"
}
