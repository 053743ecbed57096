locals {
  any_suffix = length(var.source_suffixes) == 0

  # The prefix as a pattern.
  prefix_pattern = [{ for operator, operand in {
    exists = var.source_prefix == "" ? true : null
    prefix = var.source_prefix == "" ? null : var.source_prefix
  } : operator => operand if operand != null }]

  # A suffix alone, or a prefix and a suffix, which need a wildcard. In a wildcard, a backslash must be escaped. (The
  # prefix has no *.)
  suffix_operator = var.source_prefix == "" ? "suffix" : "wildcard"
  before_suffix   = var.source_prefix == "" ? "" : "${replace(var.source_prefix, "\\", "\\\\")}*"
  suffix_pattern = [
    for suffix in var.source_suffixes : { (local.suffix_operator) = "${local.before_suffix}${suffix}" }
  ]

  # Console "folders" are empty objects whose key ends in "/". A suffix filter excludes them. Without a suffix: objects
  # that are not empty, and empty ones that are not folders. A pattern cannot say "begins with … and does not end in /"
  # about one field, so the pipe's filter checks the prefix of the empty ones.
  not_a_folder = [
    { object = { key = local.prefix_pattern, size = [{ numeric = [">", 0] }] } },
    { object = { key = [{ "anything-but" = { suffix = "/" } }], size = [{ numeric = ["=", 0] }] } },
  ]

  object_created_detail = { for field, pattern in {
    bucket = { name = [var.source_bucket] }
    object = local.any_suffix ? null : { key = local.suffix_pattern }
    "$or"  = local.any_suffix ? local.not_a_folder : null
  } : field => pattern if pattern != null }
}

# event_source = "eventbridge": any number of stacks can listen to one bucket.
resource "aws_cloudwatch_event_rule" "object_created" {
  count = var.event_source == "eventbridge" ? 1 : 0

  name        = "${var.name}-object-created"
  description = "New objects in ${var.source_bucket}/${var.source_prefix} for ${var.name}"
  tags        = var.tags

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    account       = [local.account_id]
    detail        = local.object_created_detail
  })
}

resource "aws_cloudwatch_event_target" "source_queue" {
  count = var.event_source == "eventbridge" ? 1 : 0

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

# event_source = "s3": this owns the whole notification configuration of the bucket.
resource "aws_s3_bucket_notification" "source" {
  count = var.event_source == "s3" ? 1 : 0

  bucket = var.source_bucket

  dynamic "queue" {
    for_each = local.any_suffix ? [""] : var.source_suffixes

    content {
      id            = "${var.name}-${queue.key}"
      queue_arn     = aws_sqs_queue.source.arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = var.source_prefix == "" ? null : var.source_prefix
      filter_suffix = queue.value == "" ? null : queue.value
    }
  }

  # S3 sends a test event when this is created, and refuses if it may not send.
  depends_on = [aws_sqs_queue_policy.source]
}
