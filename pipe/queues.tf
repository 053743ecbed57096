locals {
  fourteen_days_seconds = 14 * 24 * 60 * 60 # the longest that SQS keeps a message

  # The message of a stranger that is larger would not fit into a batch of 50, which an execution takes as 256 KiB. An
  # event of S3 has 6 KiB at most, also with the longest key.
  max_message_bytes = 16 * 1024

  # The AWS services that may send to each queue, each acting for exactly this resource. (Roles of this account send by
  # their own policies, in iam.tf.)
  queue_senders = merge(
    {
      source = {
        arn = aws_sqs_queue.source.arn
        senders = [(var.event_source == "s3" ?
          { sid = "EventsOfExactlyTheSourceBucket", service = "s3", arn = local.source_bucket_arn } :
          { sid = "EventsOfExactlyTheRule", service = "events", arn = local.object_created_rule_arn }
        )]
      }
      dlq = {
        arn = aws_sqs_queue.dlq.arn
        senders = concat(
          [for on in [var.event_source == "eventbridge"] : {
            sid     = "UndeliveredEventsOfExactlyTheRule"
            service = "events"
            arn     = local.object_created_rule_arn
          } if on],
          [for on in [local.drain] : {
            sid     = "UndeliveredStartsOfExactlyTheRule"
            service = "events"
            arn     = local.drain_start_rule_arn
          } if on],
        )
      }
      failed = { arn = aws_sqs_queue.failed.arn, senders = [] }
    },
    { for queue in aws_sqs_queue.redrive_dlq : "redrive_dlq" => {
      arn     = queue.arn
      senders = [{ sid = "UndeliveredEventsOfExactlyTheRule", service = "events", arn = local.task_stopped_rule_arn }]
    } },
  )

  queue_policies = { for name, queue in local.queue_senders : name => jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for sender in queue.senders : {
        Sid       = sender.sid
        Effect    = "Allow"
        Principal = { Service = "${sender.service}.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = queue.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = sender.arn }
          StringEquals = { "aws:SourceAccount" = local.account_id }
        }
      }],
      [{
        Sid       = "OnlyOverTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = queue.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
    )
  }) }
}

# Work: S3's events, and records that a task (or a redrive) handed back.
resource "aws_sqs_queue" "source" {
  name                      = "${var.name}-source"
  max_message_size          = local.max_message_bytes
  message_retention_seconds = local.fourteen_days_seconds
  sqs_managed_sse_enabled   = var.queue_kms_key_arn == null ? true : null
  kms_master_key_id         = var.queue_kms_key_arn
  tags                      = var.tags

  # Only the launch has to fit in: the pipe deletes a message when the launch is accepted, a drain's collector within
  # 100 s.
  visibility_timeout_seconds = 180 + local.batch_window_seconds

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dlq.arn
    maxReceiveCount     = 5
  })
}

# Messages that could not be launched five times, and events that could not be delivered to the source queue.
resource "aws_sqs_queue" "dlq" {
  name                      = "${var.name}-dlq"
  message_retention_seconds = local.fourteen_days_seconds
  sqs_managed_sse_enabled   = var.queue_kms_key_arn == null ? true : null
  kms_master_key_id         = var.queue_kms_key_arn
  tags                      = var.tags

  # Nobody receives from this queue a thousand times. SQS moves messages back to the source queue (StartMessageMoveTask)
  # only from a queue that is the dead-letter queue of another one, so the failed queue is this queue's.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed.arn
    maxReceiveCount     = 1000
  })
}

# Records that failed permanently or too often (the task's FAILED_QUEUE_URL).
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
  policy    = local.queue_policies.source
}

resource "aws_sqs_queue_policy" "dlq" {
  queue_url = aws_sqs_queue.dlq.url
  policy    = local.queue_policies.dlq
}

resource "aws_sqs_queue_policy" "failed" {
  queue_url = aws_sqs_queue.failed.url
  policy    = local.queue_policies.failed
}
