data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id # "name" up to provider 5, "region" from 6; "id" in both

  # Roles and dashboards are global in an account, so their names have the region, too.
  regional_name = "${var.name}-${local.region}"

  direct  = var.launcher == "direct"
  batched = var.launcher == "batched"

  # Defaults of variables that only one launcher has; they are null, so that another launcher can refuse them.
  batch_size               = local.batched ? coalesce(var.batch_size, 50) : 1
  batch_window_seconds     = local.batched ? coalesce(var.batch_window_seconds, 60) : 0 # gains nothing with one message
  spot_attempts            = coalesce(var.spot_attempts, 3)
  direct_capacity_provider = coalesce(var.direct_capacity_provider, "FARGATE")

  # Batches that do not fit into the overrides of a task lie in the work bucket.
  works = !local.direct || var.backfill_enabled

  source_bucket_arn      = "arn:${local.partition}:s3:::${var.source_bucket}"
  destination_bucket_arn = "arn:${local.partition}:s3:::${var.destination_bucket}"

  # Written out, not read from the resources: trust policies name resources that are created after the role.
  arn_prefix = {
    pipes     = "arn:${local.partition}:pipes:${local.region}:${local.account_id}"
    states    = "arn:${local.partition}:states:${local.region}:${local.account_id}"
    events    = "arn:${local.partition}:events:${local.region}:${local.account_id}"
    scheduler = "arn:${local.partition}:scheduler:${local.region}:${local.account_id}"
    ecs       = "arn:${local.partition}:ecs:${local.region}:${local.account_id}"
  }
  pipe_arn                   = "${local.arn_prefix.pipes}:pipe/${var.name}"
  state_machine_arn          = "${local.arn_prefix.states}:stateMachine:${var.name}"
  redrive_state_machine_arn  = "${local.arn_prefix.states}:stateMachine:${var.name}-redrive"
  backfill_name              = "${var.name}-backfill"
  backfill_schedule_arn      = "${local.arn_prefix.scheduler}:schedule/default/${local.backfill_name}"
  backfill_state_machine_arn = "${local.arn_prefix.states}:stateMachine:${local.backfill_name}"
  object_created_rule_arn    = "${local.arn_prefix.events}:rule/${var.name}-object-created"
  task_stopped_rule_arn      = "${local.arn_prefix.events}:rule/${var.name}-task-stopped"

  container_name = "pixpipe"

  # The metrics' dimension. CloudWatch takes printable ASCII; the program writes other bytes percent-encoded, too.
  destination = join("", ["s3://${var.destination_bucket}/", join("", [
    for character in split("", var.destination_prefix) :
    can(regex("^[ -~]$", character)) ? character : urlencode(character)
  ])])
}
