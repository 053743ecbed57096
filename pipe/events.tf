locals {
  any_suffix = length(var.source_suffixes) == 0

  # The prefix as a pattern.
  prefix_pattern = [{ for operator, operand in {
    exists = var.source_prefix == "" ? true : null
    prefix = var.source_prefix == "" ? null : var.source_prefix
  } : operator => operand if operand != null }]

  # Suffixes in any case: .jpg is also .JPG. An event pattern cannot say "begins with and ends with, in any case" about
  # one field, so with a prefix the pipe's filter checks the prefix.
  suffix_pattern = [for suffix in var.source_suffixes : { suffix = { "equals-ignore-case" = suffix } }]

  # Console "folders" are empty objects whose key ends in "/". A suffix filter excludes them. Without a suffix: objects
  # that are not empty, and empty ones that are not folders, whose prefix the pipe's filter checks.
  not_a_folder = [
    { object = { key = local.prefix_pattern, size = [{ numeric = [">", 0] }] } },
    { object = { key = [{ "anything-but" = { suffix = "/" } }], size = [{ numeric = ["=", 0] }] } },
  ]

  object_created_detail = { for field, pattern in {
    bucket = { name = [var.source_bucket] }
    object = local.any_suffix ? null : { key = local.suffix_pattern }
    "$or"  = local.any_suffix ? local.not_a_folder : null
  } : field => pattern if pattern != null }

  object_created_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    account       = [local.account_id]
    detail        = local.object_created_detail
  })

  # S3 compares with the form-encoded key, so its filters are form-encoded, too.
  notification_prefix = var.source_prefix == "" ? null : replace(urlencode(var.source_prefix), "%2F", "/")
}

# event_source = "eventbridge": any number of stacks can listen to one bucket.
resource "aws_cloudwatch_event_rule" "object_created" {
  count = var.event_source == "eventbridge" ? 1 : 0

  name        = "${var.name}-object-created"
  description = "New objects in ${var.source_bucket} for ${var.name}" # 512 characters at most: without the prefix
  tags        = var.tags

  event_pattern = local.object_created_pattern

  lifecycle {
    precondition {
      condition     = length(local.object_created_pattern) <= 2048
      error_message = <<-EOT
        source_suffixes: the rule's pattern has ${length(local.object_created_pattern)} characters, and EventBridge
        takes 2048. Use fewer or shorter suffixes, or a shorter source_prefix.
      EOT
    }
  }
}

resource "aws_cloudwatch_event_target" "source_queue" {
  count = var.event_source == "eventbridge" && !local.event_starts ? 1 : 0

  rule      = aws_cloudwatch_event_rule.object_created[0].name
  target_id = "source-queue"
  arn       = aws_sqs_queue.source.arn

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.dlq.arn
  }

  depends_on = [aws_sqs_queue_policy.source, aws_sqs_queue_policy.dlq]
}

# The bucket's whole notification configuration: queues with event_source = "s3", else EventBridge switched on.
resource "aws_s3_bucket_notification" "source" {
  count = var.event_source == "s3" || var.manage_bucket_notification ? 1 : 0

  bucket      = var.source_bucket
  eventbridge = var.event_source == "eventbridge"

  dynamic "queue" {
    for_each = var.event_source == "eventbridge" ? [] : local.any_suffix ? [""] : var.source_suffixes

    content {
      id            = "${var.name}-${queue.key}"
      queue_arn     = aws_sqs_queue.source.arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = local.notification_prefix
      filter_suffix = queue.value == "" ? null : queue.value
    }
  }

  # S3 sends a test event when this is created, and refuses if it may not send.
  depends_on = [aws_sqs_queue_policy.source]
}
