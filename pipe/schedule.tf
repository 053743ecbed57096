# The schedules of this stack have a group of their own: a role is given to the schedules of a group (its trust policy
# names the group), not to one schedule.

resource "aws_scheduler_schedule_group" "this" {
  count = local.schedules ? 1 : 0

  name = var.name
  tags = var.tags
}

locals {
  schedules = local.drain && var.drain_schedule != null || local.backfills && var.backfill_schedule != null
}
