# The launcher "event": the rule starts the state machine of batches for each upload, without the queue in between.
# Records that come back (handed back, moved back, put back) go by the queue and the pipe, as in batched.

locals {
  # While the kill switch is on, the rule's target is the queue: the events of a rule that is off would be gone.
  event_starts = local.event && var.enabled
}

resource "aws_cloudwatch_event_target" "state_machine" {
  count = local.event_starts ? 1 : 0

  rule      = aws_cloudwatch_event_rule.object_created[0].name
  target_id = "batch"
  arn       = aws_sfn_state_machine.batch[0].arn
  role_arn  = aws_iam_role.uploads[0].arn

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  # The event as it is: moved back into the source queue, it is work like any other.
  dead_letter_config {
    arn = aws_sqs_queue.dlq.arn
  }

  depends_on = [aws_iam_role_policy.uploads, aws_sqs_queue_policy.dlq]
}

resource "aws_iam_role" "uploads" {
  count = local.event ? 1 : 0

  name        = "${local.regional_name}-uploads"
  description = "Rights of the rule on new objects: start a batch"
  tags        = var.tags

  assume_role_policy = local.trust_policies.uploads
}

resource "aws_iam_role_policy" "uploads" {
  count = local.event ? 1 : 0

  name = "start-batches"
  role = aws_iam_role.uploads[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "StartBatches"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = [local.state_machine_arn]
    }]
  })
}
