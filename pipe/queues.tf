locals {
  fourteen_days_seconds = 14 * 24 * 60 * 60 # the longest that SQS keeps a message
}

# What is to be done: S3's events, and records that a task (or a redrive) handed back.
resource "aws_sqs_queue" "source" {
  name                       = "${var.name}-source"
  message_retention_seconds  = local.fourteen_days_seconds
  visibility_timeout_seconds = 180 + local.pipe_window_seconds # only the launch has to fit in: the pipe deletes when it is accepted
  sqs_managed_sse_enabled    = var.queue_kms_key_arn == null ? true : null
  kms_master_key_id          = var.queue_kms_key_arn
  tags                       = var.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dlq.arn
    maxReceiveCount     = 5
  })
}

# What could not be launched five times, and events that could not be delivered to the source queue.
resource "aws_sqs_queue" "dlq" {
  name                      = "${var.name}-dlq"
  message_retention_seconds = local.fourteen_days_seconds
  sqs_managed_sse_enabled   = var.queue_kms_key_arn == null ? true : null
  kms_master_key_id         = var.queue_kms_key_arn
  tags                      = var.tags

  # Nobody receives from this queue a thousand times. It is here because SQS only moves messages back to the source
  # (StartMessageMoveTask) from queues that are some queue's dead-letter queue: so the failed queue is this one's.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed.arn
    maxReceiveCount     = 1000
  })
}

# Records that failed for good, or too often (the task's FAILED_QUEUE_URL).
resource "aws_sqs_queue" "failed" {
  name                      = "${var.name}-failed"
  message_retention_seconds = local.fourteen_days_seconds
  sqs_managed_sse_enabled   = var.queue_kms_key_arn == null ? true : null
  kms_master_key_id         = var.queue_kms_key_arn
  tags                      = var.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "dlq" {
  queue_url = aws_sqs_queue.dlq.url
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.source.arn]
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "failed" {
  queue_url = aws_sqs_queue.failed.url
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.dlq.arn]
  })
}

resource "aws_sqs_queue_policy" "source" {
  queue_url = aws_sqs_queue.source.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      var.event_source == "s3" ? {
        Sid       = "EventsOfExactlyTheSourceBucket"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.source.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = local.source_bucket_arn }
          StringEquals = { "aws:SourceAccount" = local.account_id }
        }
        } : {
        Sid       = "EventsOfExactlyTheRule"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.source.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = local.object_created_rule_arn }
          StringEquals = { "aws:SourceAccount" = local.account_id }
        }
      },
      {
        Sid       = "OnlyOverTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.source.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sqs_queue_policy" "dlq" {
  queue_url = aws_sqs_queue.dlq.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      var.event_source == "s3" ? [] : [{
        Sid       = "UndeliveredEventsOfExactlyTheRule"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.dlq.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = local.object_created_rule_arn }
          StringEquals = { "aws:SourceAccount" = local.account_id }
        }
      }],
      [{
        Sid       = "OnlyOverTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.dlq.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
    )
  })
}

resource "aws_sqs_queue_policy" "failed" {
  queue_url = aws_sqs_queue.failed.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.failed.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
