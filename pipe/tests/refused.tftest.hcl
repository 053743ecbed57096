# Validations refuse bad values. (acceptance/pipe/sources.py of the repository checks the messages, and tries the last
# good and the first bad value of every variable that has bounds.)

mock_provider "aws" {
  source = "./tests/mocks"
}

run "a_name_that_is_no_name_is_refused" {
  command = plan

  variables {
    name = "Pix_Pipe"
  }

  expect_failures = [var.name]
}

run "an_image_without_tag_is_refused" {
  command = plan

  variables {
    image = "example/pixpipe"
  }

  expect_failures = [var.image]
}

run "a_bucket_arn_for_a_bucket_is_refused" {
  command = plan

  variables {
    source_bucket = "arn:aws:s3:::photos"
  }

  expect_failures = [var.source_bucket]
}

run "a_prefix_with_a_wildcard_is_refused" {
  command = plan

  variables {
    source_prefix = "raw/*"
  }

  expect_failures = [var.source_prefix]
}

run "a_suffix_with_a_wildcard_is_refused" {
  command = plan

  variables {
    source_suffixes = ["*.jpg"]
  }

  expect_failures = [var.source_suffixes]
}

run "the_same_suffix_twice_is_refused" {
  command = plan

  variables {
    source_suffixes = [".jpg", ".jpg"]
  }

  expect_failures = [var.source_suffixes]
}

run "suffixes_that_overlap_is_refused" {
  command = plan

  variables {
    source_suffixes = ["jpg", ".jpg"]
  }

  expect_failures = [var.source_suffixes]
}

run "suffixes_that_differ_in_case_is_refused" {
  command = plan

  variables {
    source_suffixes = [".jpg", ".JPG"]
  }

  expect_failures = [var.source_suffixes]
}

run "a_source_prefix_that_iam_cannot_take_is_refused" {
  command = plan

  variables {
    source_prefix = "写真/"
  }

  expect_failures = [var.source_prefix]
}

run "a_destination_prefix_that_iam_cannot_take_is_refused" {
  command = plan

  variables {
    destination_prefix = "写真/"
  }

  expect_failures = [var.destination_prefix]
}

run "a_bucket_url_for_a_destination_is_refused" {
  command = plan

  variables {
    destination_bucket = "s3://photos"
  }

  expect_failures = [var.destination_bucket]
}

run "a_destination_that_starts_with_a_slash_is_refused" {
  command = plan

  variables {
    destination_prefix = "/train"
  }

  expect_failures = [var.destination_prefix]
}

run "outputs_that_start_tasks_is_refused" {
  command = plan

  variables {
    destination_bucket = "photos-in"
  }

  expect_failures = [var.destination_prefix]
}

run "outputs_under_the_source_prefix_is_refused" {
  command = plan

  variables {
    destination_bucket = "photos-in"
    source_prefix      = "raw/"
    destination_prefix = "raw/224/"
  }

  expect_failures = [var.destination_prefix]
}

run "an_unknown_event_source_is_refused" {
  command = plan

  variables {
    event_source = "sns"
  }

  expect_failures = [var.event_source]
}

run "a_launcher_that_is_not_there_is_refused" {
  command = plan

  variables {
    launcher = "lambda"
  }

  expect_failures = [var.launcher]
}

run "a_batch_of_direct_is_refused" {
  command = plan

  variables {
    launcher   = "direct"
    batch_size = 10
  }

  expect_failures = [var.batch_size]
}

run "a_window_of_direct_is_refused" {
  command = plan

  variables {
    launcher             = "direct"
    batch_window_seconds = 10
  }

  expect_failures = [var.batch_window_seconds]
}

run "spot_attempts_of_direct_is_refused" {
  command = plan

  variables {
    launcher      = "direct"
    spot_attempts = 2
  }

  expect_failures = [var.spot_attempts]
}

run "a_direct_provider_of_batched_is_refused" {
  command = plan

  variables {
    direct_capacity_provider = "FARGATE"
  }

  expect_failures = [var.direct_capacity_provider]
}

run "a_large_batch_without_a_window_is_refused" {
  command = plan

  variables {
    batch_size           = 11
    batch_window_seconds = 0
  }

  expect_failures = [var.batch_window_seconds]
}

run "a_capacity_provider_of_ones_own_is_refused" {
  command = plan

  variables {
    launcher                 = "direct"
    direct_capacity_provider = "EC2"
  }

  expect_failures = [var.direct_capacity_provider]
}

run "no_subnet_is_refused" {
  command = plan

  variables {
    subnet_ids = []
  }

  expect_failures = [var.subnet_ids]
}

run "six_security_groups_is_refused" {
  command = plan

  variables {
    security_group_ids = ["sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"]
  }

  expect_failures = [var.security_group_ids]
}

run "the_name_of_a_cluster_is_refused" {
  command = plan

  variables {
    cluster_arn = "shared"
  }

  expect_failures = [var.cluster_arn]
}

run "an_unknown_architecture_is_refused" {
  command = plan

  variables {
    cpu_architecture = "arm64"
  }

  expect_failures = [var.cpu_architecture]
}

run "cpu_units_that_fargate_lacks_is_refused" {
  command = plan

  variables {
    task_cpu_units = 768
  }

  expect_failures = [var.task_cpu_units]
}

run "memory_that_fargate_lacks_is_refused" {
  command = plan

  variables {
    task_memory_mib = 3072
  }

  expect_failures = [var.task_memory_mib]
}

run "no_size_is_refused" {
  command = plan

  variables {
    sizes = []
  }

  expect_failures = [var.sizes]
}

run "a_size_of_5000_is_refused" {
  command = plan

  variables {
    sizes = ["5000"]
  }

  expect_failures = [var.sizes]
}

run "a_size_of_nothing_is_refused" {
  command = plan

  variables {
    sizes = ["0x224"]
  }

  expect_failures = [var.sizes]
}

run "an_unknown_fit_is_refused" {
  command = plan

  variables {
    fit = "crop"
  }

  expect_failures = [var.fit]
}

run "an_unknown_filter_is_refused" {
  command = plan

  variables {
    filter = "nearest"
  }

  expect_failures = [var.filter]
}

run "an_unknown_decode_is_refused" {
  command = plan

  variables {
    decode = "slow"
  }

  expect_failures = [var.decode]
}

run "an_unknown_color_is_refused" {
  command = plan

  variables {
    color = "p3"
  }

  expect_failures = [var.color]
}

run "a_background_with_a_hash_is_refused" {
  command = plan

  variables {
    background = "#ffffff"
  }

  expect_failures = [var.background]
}

run "an_unknown_format_is_refused" {
  command = plan

  variables {
    format = "jpg"
  }

  expect_failures = [var.format]
}

run "an_unknown_subsampling_is_refused" {
  command = plan

  variables {
    jpeg_subsampling = "422"
  }

  expect_failures = [var.jpeg_subsampling]
}

run "a_source_of_half_a_pixel_is_refused" {
  command = plan

  variables {
    max_source_pixels = 0.5
  }

  expect_failures = [var.max_source_pixels]
}

run "an_unknown_log_format_is_refused" {
  command = plan

  variables {
    log_format = "logfmt"
  }

  expect_failures = [var.log_format]
}

run "an_empty_verbosity_is_refused" {
  command = plan

  variables {
    rust_log = ""
  }

  expect_failures = [var.rust_log]
}

run "a_setting_that_is_not_awss_is_refused" {
  command = plan

  variables {
    aws_environment = { SIZES = "1" }
  }

  expect_failures = [var.aws_environment]
}

run "a_credential_in_the_environment_is_refused" {
  command = plan

  variables {
    aws_environment = { AWS_SECRET_ACCESS_KEY = "x" }
  }

  expect_failures = [var.aws_environment]
}

run "an_alias_for_the_sources_key_is_refused" {
  command = plan

  variables {
    source_kms_key_arn = "alias/photos"
  }

  expect_failures = [var.source_kms_key_arn]
}

run "an_alias_for_the_destinations_key_is_refused" {
  command = plan

  variables {
    destination_kms_key_arn = "alias/photos"
  }

  expect_failures = [var.destination_kms_key_arn]
}

run "an_alias_for_the_queues_key_is_refused" {
  command = plan

  variables {
    queue_kms_key_arn = "alias/photos"
  }

  expect_failures = [var.queue_kms_key_arn]
}

run "an_alias_for_the_logs_key_is_refused" {
  command = plan

  variables {
    log_kms_key_arn = "alias/photos"
  }

  expect_failures = [var.log_kms_key_arn]
}

run "a_retention_that_cloudwatch_lacks_is_refused" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}

run "an_address_for_a_topic_is_refused" {
  command = plan

  variables {
    alarm_topic_arn = "oncall@example.com"
  }

  expect_failures = [var.alarm_topic_arn]
}

run "a_tag_of_awss_is_refused" {
  command = plan

  variables {
    tags = { "aws:name" = "x" }
  }

  expect_failures = [var.tags]
}

run "a_work_bucket_by_its_arn_is_refused" {
  command = plan

  variables {
    work_bucket = "arn:aws:s3:::work"
  }

  expect_failures = [var.work_bucket]
}

run "the_source_as_work_bucket_is_refused" {
  command = plan

  variables {
    work_bucket = "photos-in"
  }

  expect_failures = [var.work_bucket]
}

run "a_work_bucket_for_direct_tasks_is_refused" {
  command = plan

  variables {
    launcher    = "direct"
    work_bucket = "work"
  }

  expect_failures = [var.work_bucket]
}

run "an_alias_for_the_work_buckets_key_is_refused" {
  command = plan

  variables {
    work_kms_key_arn = "alias/work"
  }

  expect_failures = [var.work_kms_key_arn]
}

run "a_key_of_a_work_bucket_for_direct_tasks_is_refused" {
  command = plan

  variables {
    launcher         = "direct"
    work_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/work"
  }

  expect_failures = [var.work_kms_key_arn]
}

run "a_batch_of_a_backfill_in_halves_is_refused" {
  command = plan

  variables {
    backfill_batch_objects = 10.5
  }

  expect_failures = [var.backfill_batch_objects]
}

run "a_part_of_a_task_is_refused" {
  command = plan

  variables {
    backfill_enabled = true
    max_tasks        = 1.5
  }

  expect_failures = [var.max_tasks]
}

run "max_tasks_without_backfills_is_refused" {
  command = plan

  variables {
    max_tasks = 2
  }

  expect_failures = [var.max_tasks]
}

run "an_arn_for_the_list_bucket_is_refused" {
  command = plan

  variables {
    backfill_enabled = true
    list_bucket      = "arn:aws:s3:::lists"
  }

  expect_failures = [var.list_bucket]
}

run "a_list_bucket_without_backfills_is_refused" {
  command = plan

  variables {
    list_bucket = "lists"
  }

  expect_failures = [var.list_bucket]
}

run "a_list_prefix_with_a_wildcard_is_refused" {
  command = plan

  variables {
    backfill_enabled = true
    list_prefix      = "lists/*"
  }

  expect_failures = [var.list_prefix]
}

run "a_list_prefix_without_backfills_is_refused" {
  command = plan

  variables {
    list_prefix = "lists/"
  }

  expect_failures = [var.list_prefix]
}

run "a_schedule_in_words_is_refused" {
  command = plan

  variables {
    backfill_enabled  = true
    backfill_schedule = "every day"
  }

  expect_failures = [var.backfill_schedule]
}

run "a_schedule_without_backfills_is_refused" {
  command = plan

  variables {
    backfill_schedule = "rate(1 day)"
  }

  expect_failures = [var.backfill_schedule]
}

run "two_lists_for_a_backfill_are_refused" {
  command = plan

  variables {
    backfill_enabled  = true
    backfill_schedule = "rate(1 day)"
    backfill_input    = { csv = { key = "a.csv" }, json = { key = "a.json" } }
  }

  expect_failures = [var.backfill_input]
}

run "a_list_outside_of_the_source_prefix_is_refused" {
  command = plan

  variables {
    backfill_enabled  = true
    backfill_schedule = "rate(1 day)"
    source_prefix     = "raw/"
    backfill_input    = { list = { prefix = "other/" } }
  }

  expect_failures = [var.backfill_input]
}

run "a_list_outside_of_the_list_prefix_is_refused" {
  command = plan

  variables {
    backfill_enabled  = true
    backfill_schedule = "rate(1 day)"
    list_prefix       = "lists/"
    backfill_input    = { csv = { key = "a.csv" } }
  }

  expect_failures = [var.backfill_input]
}

run "an_input_without_a_schedule_is_refused" {
  command = plan

  variables {
    backfill_enabled = true
    backfill_input   = { csv = { key = "a.csv" } }
  }

  expect_failures = [var.backfill_input]
}

run "a_topic_by_its_name_is_refused" {
  command = plan

  variables {
    backfill_enabled   = true
    backfill_topic_arn = "oncall"
  }

  expect_failures = [var.backfill_topic_arn]
}

run "a_topic_without_backfills_is_refused" {
  command = plan

  variables {
    backfill_topic_arn = "arn:aws:sns:eu-west-1:123456789012:oncall"
  }

  expect_failures = [var.backfill_topic_arn]
}

run "a_time_zone_with_a_space_is_refused" {
  command = plan

  variables {
    schedule_timezone = "Europe / Berlin"
  }

  expect_failures = [var.schedule_timezone]
}

run "a_part_of_a_minute_is_refused" {
  command = plan

  variables {
    schedule_window_minutes = 0.5
  }

  expect_failures = [var.schedule_window_minutes]
}

run "events_of_s3_itself_for_the_launcher_event_are_refused" {
  command = plan

  variables {
    launcher     = "event"
    event_source = "s3"
  }

  expect_failures = [var.launcher]
}

run "objects_of_a_drain_for_batches_are_refused" {
  command = plan

  variables {
    batch_objects = 100
  }

  expect_failures = [var.batch_objects]
}

run "tasks_of_a_drain_for_batches_are_refused" {
  command = plan

  variables {
    max_tasks = 2
  }

  expect_failures = [var.max_tasks]
}

run "on_demand_tasks_for_batches_are_refused" {
  command = plan

  variables {
    on_demand_tasks = 1
  }

  expect_failures = [var.on_demand_tasks]
}

run "a_start_of_drains_for_batches_is_refused" {
  command = plan

  variables {
    drain_start_messages = 100
  }

  expect_failures = [var.drain_start_messages]
}

run "an_age_that_starts_drains_for_batches_is_refused" {
  command = plan

  variables {
    drain_start_age_seconds = 100
  }

  expect_failures = [var.drain_start_age_seconds]
}

run "a_schedule_of_drains_for_batches_is_refused" {
  command = plan

  variables {
    drain_schedule = "rate(1 day)"
  }

  expect_failures = [var.drain_schedule]
}

run "a_schedule_that_is_none_is_refused" {
  command = plan

  variables {
    launcher       = "drain"
    drain_schedule = "daily"
  }

  expect_failures = [var.drain_schedule]
}

run "a_batch_size_for_a_drain_is_refused" {
  command = plan

  variables {
    launcher   = "drain"
    batch_size = 10
  }

  expect_failures = [var.batch_size]
}

run "a_preset_that_pixpipe_does_not_make_is_refused" {
  command = plan

  variables {
    preset = "pytorch-fid"
  }

  expect_failures = [var.preset]
}

run "a_size_beside_a_preset_is_refused" {
  command = plan

  variables {
    preset = "clip-224"
    sizes  = ["224@224"]
  }

  expect_failures = [var.preset]
}

run "a_cut_larger_than_the_picture_is_refused" {
  command = plan

  variables {
    sizes = ["256@224"]
  }

  expect_failures = [var.sizes]
}

run "two_sizes_in_one_folder_are_refused" {
  command = plan

  variables {
    sizes = ["224", "224x224@256"]
  }

  expect_failures = [var.sizes]
}

run "a_cut_with_another_fit_is_refused" {
  command = plan

  variables {
    sizes = ["224@256"]
    fit   = "contain"
  }

  expect_failures = [var.fit]
}

run "a_box_with_the_short_side_is_refused" {
  command = plan

  variables {
    sizes = ["384x384"]
    fit   = "short"
  }

  expect_failures = [var.fit]
}

run "a_short_side_that_webp_cannot_hold_is_refused" {
  command = plan

  variables {
    sizes  = ["1025"]
    fit    = "short"
    format = "webp"
  }

  expect_failures = [var.fit]
}

run "a_rounding_of_the_cut_that_nobody_has_is_refused" {
  command = plan

  variables {
    crop_round = "up"
  }

  expect_failures = [var.crop_round]
}
