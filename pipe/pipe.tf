locals {
  # Messages that are worth a task. The pipe deletes everything else for free: s3:TestEvent, events that create nothing,
  # and whatever is no JSON object. What it cannot judge goes to a task, which reports what it cannot read: nothing that
  # the contract accepts, and nothing that is moved back from the failed queue, may vanish here. (A pipe's filter has no
  # wildcard and no "anything but suffix".)
  worth_a_task = [
    # S3 through EventBridge. The rule has filtered everything but the prefix beside a suffix or of empty objects.
    { body = {
      source        = ["aws.s3"]
      "detail-type" = ["Object Created"]
      detail        = { object = { key = local.prefix_pattern } }
    } },
    # S3's own notifications, and forwarders that keep their names; the second one without the array around it.
    { body = { Records = { eventName = [{ prefix = "ObjectCreated:" }] } } },
    { body = { eventName = [{ prefix = "ObjectCreated:" }] } },
    # What is no event: records that a task or a state machine handed back, or that were written by hand; entries that
    # could not be read; references to batches; envelopes of SNS and SQS.
    { body = {
      Records       = { eventName = [{ exists = false }] }
      eventName     = [{ exists = false }]
      "detail-type" = [{ exists = false }]
      Event         = [{ exists = false }]
    } },
  ]
}

resource "aws_cloudwatch_log_group" "pipe" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; log_kms_key_arn puts the user's own key there
  #checkov:skip=CKV_AWS_338:the retention is log_retention_days; a year of launch errors is the user's choice to pay for
  count = local.drain ? 0 : 1

  name              = "/aws/vendedlogs/pipes/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_pipes_pipe" "this" {
  count = local.drain ? 0 : 1

  name          = var.name
  role_arn      = aws_iam_role.pipe[0].arn
  desired_state = var.enabled ? "RUNNING" : "STOPPED"
  source        = aws_sqs_queue.source.arn
  target        = local.direct ? local.cluster_arn : aws_sfn_state_machine.batch[0].arn
  tags          = var.tags

  description = (local.direct ?
    "One ECS task per message" :
    "Batches of up to ${local.batch_size} messages, split and run by Step Functions"
  )

  source_parameters {
    sqs_queue_parameters {
      batch_size                         = local.batch_size
      maximum_batching_window_in_seconds = local.batch_window_seconds
    }

    filter_criteria {
      dynamic "filter" {
        for_each = local.worth_a_task

        content {
          pattern = jsonencode(filter.value)
        }
      }
    }
  }

  target_parameters {
    # The body that S3 wrote, as JSON and not as text, without SQS's own members. (The filter lets only JSON through.)
    # The state machine does the rest: many records in one notification, two encodings of the key.
    input_template = local.direct ? null : "{\"messageId\": \"<$.messageId>\", \"body\": <$.body>}"

    dynamic "ecs_task_parameters" {
      for_each = local.direct ? [true] : []

      content {
        task_definition_arn     = aws_ecs_task_definition.this.arn_without_revision
        task_count              = 1
        propagate_tags          = "TASK_DEFINITION"
        enable_ecs_managed_tags = true

        # Excludes launch_type.
        capacity_provider_strategy {
          capacity_provider = local.direct_capacity_provider
          weight            = 1
        }

        network_configuration {
          aws_vpc_configuration {
            subnets          = var.subnet_ids
            security_groups  = var.security_group_ids
            assign_public_ip = var.assign_public_ip ? "ENABLED" : "DISABLED"
          }
        }

        overrides {
          container_override {
            name = local.container_name
            # Without these, the provider sends 0 and 0, and the task dies at its start.
            cpu    = local.task_cpu_units
            memory = local.task_memory_mib

            # The only one: the redrive looks for it, and the program reads it.
            environment {
              name  = "SQS_BODY"
              value = "$.body"
            }
          }
        }
      }
    }

    dynamic "step_function_state_machine_parameters" {
      for_each = local.batched ? [true] : []

      content {
        invocation_type = "FIRE_AND_FORGET"
      }
    }
  }

  log_configuration {
    level = "ERROR"

    cloudwatch_logs_log_destination {
      log_group_arn = aws_cloudwatch_log_group.pipe[0].arn
    }
  }

  # A pipe tries its permissions when it is created.
  depends_on = [aws_iam_role_policy.pipe]
}
