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
  event   = var.launcher == "event"
  batched = var.launcher == "batched" || local.event # its records that come back go the way of batches
  drain   = var.launcher == "drain"

  # Defaults of variables that not every launcher has; they are null, so that another launcher can refuse them.
  batch_size               = local.batched ? coalesce(var.batch_size, 50) : 1
  batch_window_seconds     = local.batched ? coalesce(var.batch_window_seconds, 60) : 0 # gains nothing with one message
  spot_attempts            = coalesce(var.spot_attempts, 3)
  direct_capacity_provider = coalesce(var.direct_capacity_provider, "FARGATE")
  batch_objects            = coalesce(var.batch_objects, 500)
  max_tasks                = coalesce(var.max_tasks, 4)
  on_demand_tasks          = coalesce(var.on_demand_tasks, 0)
  drain_start_messages     = coalesce(var.drain_start_messages, 500)
  drain_start_age_seconds  = coalesce(var.drain_start_age_seconds, 900)

  # The smallest task for a few photos at a time; for hundreds, a whole vCPU, so that they take less than two minutes.
  task_cpu_units = coalesce(var.task_cpu_units, local.drain ? 1024 : 256)
  # The least that Fargate offers from there on: null leaves the choice to task_cpu_units.
  least_memory_mib = local.drain ? 2048 : 1024
  task_memory_mib = coalesce(var.task_memory_mib, [
    for mib in lookup(local.fargate_memory_mib, tostring(local.task_cpu_units), [2048]) : mib
    if mib >= local.least_memory_mib
  ]...)

  # Batches that do not fit into the overrides of a task lie in the work bucket.
  works = !local.direct || var.backfill_enabled

  source_bucket_arn      = "arn:${local.partition}:s3:::${var.source_bucket}"
  destination_bucket_arn = "arn:${local.partition}:s3:::${var.destination_bucket}"

  # Written out, not read from the resources: trust policies name resources that are created after the role.
  arn_prefix = {
    pipes     = "arn:${local.partition}:pipes:${local.region}:${local.account_id}"
    states    = "arn:${local.partition}:states:${local.region}:${local.account_id}"
    events    = "arn:${local.partition}:events:${local.region}:${local.account_id}"
    ecs       = "arn:${local.partition}:ecs:${local.region}:${local.account_id}"
    alarms    = "arn:${local.partition}:cloudwatch:${local.region}:${local.account_id}:alarm"
    schedules = "arn:${local.partition}:scheduler:${local.region}:${local.account_id}"
  }
  pipe_arn                   = "${local.arn_prefix.pipes}:pipe/${var.name}"
  state_machine_arn          = "${local.arn_prefix.states}:stateMachine:${var.name}"
  collect_state_machine_arn  = "${local.arn_prefix.states}:stateMachine:${var.name}-collect"
  drain_state_machine_arn    = "${local.arn_prefix.states}:stateMachine:${var.name}-drain"
  redrive_state_machine_arn  = "${local.arn_prefix.states}:stateMachine:${var.name}-redrive"
  backfill_name              = "${var.name}-backfill"
  backfill_state_machine_arn = "${local.arn_prefix.states}:stateMachine:${local.backfill_name}"
  object_created_rule_arn    = "${local.arn_prefix.events}:rule/${var.name}-object-created"
  task_stopped_rule_arn      = "${local.arn_prefix.events}:rule/${var.name}-task-stopped"
  drain_start_rule_arn       = "${local.arn_prefix.events}:rule/${var.name}-drain-start"
  drain_alarm_name           = "${var.name}-drain-start"
  drain_alarm_arn            = "${local.arn_prefix.alarms}:${local.drain_alarm_name}"
  schedule_group_arn         = "${local.arn_prefix.schedules}:schedule-group/${var.name}"

  container_name = "pixpipe"

  # The metrics' dimension. CloudWatch takes printable ASCII; the program writes other bytes percent-encoded, too.
  destination = join("", ["s3://${var.destination_bucket}/", join("", [
    for character in split("", var.destination_prefix) :
    can(regex("^[ -~]$", character)) ? character : urlencode(character)
  ])])
}
