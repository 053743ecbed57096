# The module as users apply it, against the module's own mocks, with the stack of pipe/tests/stack.auto.tfvars.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:oncall"
  tags            = { project = "photos" }
}

run "direct" {
  command = apply

  variables {
    launcher      = "direct"
    source_prefix = "raw/"
  }
}

run "direct_keys" {
  command = apply

  variables {
    launcher                 = "direct"
    source_suffixes          = [".jpg", ".PNG"]
    assign_public_ip         = true
    direct_capacity_provider = "FARGATE_SPOT"
    max_attempts             = 2
    source_kms_key_arn       = "arn:aws:kms:eu-west-1:123456789012:key/source"
    destination_kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/destination"
    queue_kms_key_arn        = "arn:aws:kms:eu-west-1:123456789012:key/queues"
    log_kms_key_arn          = "arn:aws:kms:eu-west-1:123456789012:key/logs"
  }
}

run "batched" {
  command = apply

  variables {
    batch_size       = 50
    source_prefix    = "raw/"
    source_suffixes  = [".jpg"]
    work_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/work"
  }
}

run "batched_s3" {
  command = apply

  variables {
    batch_size        = 10
    event_source      = "s3"
    source_prefix     = "raw/größe +1/"
    source_suffixes   = [".jpg", ".png"]
    queue_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/queues"
    work_bucket       = "given-work"
    work_kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/work"
    assign_public_ip  = true
  }
}

run "defaults" {
  command = apply
}

run "off" {
  command = apply

  variables {
    enabled           = false
    backfill_enabled  = true
    backfill_schedule = "at(2026-01-31T03:00:00)"
    cluster_arn       = "arn:aws:ecs:eu-west-1:123456789012:cluster/shared"
    cpu_architecture  = "X86_64"
    task_cpu_units    = 512
  }
}

run "backfill" {
  command = apply

  variables {
    source_prefix           = "raw/"
    source_suffixes         = [".jpg", ".PNG"]
    backfill_enabled        = true
    backfill_schedule       = "rate(7 days)"
    backfill_input          = { inventory = { key = "lists/raw/manifest.json" } }
    backfill_topic_arn      = "arn:aws:sns:eu-west-1:123456789012:oncall"
    list_bucket             = "photos-lists"
    list_prefix             = "lists/"
    max_tasks               = 12
    schedule_timezone       = "Europe/Berlin"
    schedule_window_minutes = 0
  }
}

run "direct_backfill" {
  command = apply

  variables {
    launcher           = "direct"
    backfill_enabled   = true
    backfill_schedule  = "cron(0 3 * * ? *)"
    event_source       = "s3"
    source_suffixes    = [".jpg"]
    source_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/source"
  }
}

run "event" {
  command = apply

  variables {
    launcher        = "event"
    source_prefix   = "raw/"
    source_suffixes = [".jpg"]
  }
}

run "drain" {
  command = apply

  variables {
    launcher          = "drain"
    source_prefix     = "raw/"
    source_suffixes   = [".jpg"]
    batch_objects     = 10
    max_tasks         = 3
    on_demand_tasks   = 1
    drain_schedule    = "cron(0 3 * * ? *)"
    schedule_timezone = "Europe/Berlin"
    queue_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/queues"
    work_kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/work"
  }
}
