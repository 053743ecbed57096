# Every statement is written out. A service may take a role only for this account and for the one resource named here.

locals {
  # Who takes each role: an AWS service, acting for exactly this resource. (The ARNs of tasks are not known in advance.)
  trusted = {
    task          = { sid = "TasksOfThisAccount", service = "ecs-tasks", arn = "${local.arn_prefix.ecs}:*" }
    execution     = { sid = "TasksOfThisAccount", service = "ecs-tasks", arn = "${local.arn_prefix.ecs}:*" }
    pipe          = { sid = "ExactlyThisPipe", service = "pipes", arn = local.pipe_arn }
    state_machine = { sid = "ExactlyThisStateMachine", service = "states", arn = local.state_machine_arn }
    collect       = { sid = "ExactlyThisStateMachine", service = "states", arn = local.collect_state_machine_arn }
    drain         = { sid = "ExactlyThisStateMachine", service = "states", arn = local.drain_state_machine_arn }
    redrive       = { sid = "ExactlyThisStateMachine", service = "states", arn = local.redrive_state_machine_arn }
    uploads       = { sid = "ExactlyThisRule", service = "events", arn = local.object_created_rule_arn }
    task_stopped  = { sid = "ExactlyThisRule", service = "events", arn = local.task_stopped_rule_arn }
    drain_start   = { sid = "ExactlyThisRule", service = "events", arn = local.drain_start_rule_arn }
    backfill      = { sid = "ExactlyThisStateMachine", service = "states", arn = local.backfill_state_machine_arn }

    # A schedule acts for its group.
    drain_schedule    = { sid = "SchedulesOfThisStack", service = "scheduler", arn = local.schedule_group_arn }
    backfill_schedule = { sid = "SchedulesOfThisStack", service = "scheduler", arn = local.schedule_group_arn }
  }

  trust_policies = { for role, by in local.trusted : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = by.sid
      Effect    = "Allow"
      Principal = { Service = "${by.service}.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }

        (endswith(by.arn, "*") ? "ArnLike" : "ArnEquals") = { "aws:SourceArn" = by.arn }
      }
    }]
  }) }

  # Launchers name the family; ECS checks the revision that it resolves to.
  task_definition_arns = [
    "${local.arn_prefix.ecs}:task-definition/${var.name}",
    "${local.arn_prefix.ecs}:task-definition/${var.name}:*",
  ]
  task_arns = "${local.arn_prefix.ecs}:task/${local.cluster_name}/*"

  # A private ECR image: account, region and repository are in its name, in the dual-stack form (dkr-ecr, on.aws), too.
  ecr_domains = join("|", ["amazonaws\\.com", "amazonaws\\.com\\.cn", "on\\.aws", "on\\.amazonwebservices\\.com\\.cn"])
  ecr_host    = "(?P<account>[0-9]{12})\\.dkr[.-]ecr(?:-fips)?\\.(?P<region>[a-z0-9-]+)\\.(?:${local.ecr_domains})"
  ecr_image   = try(regex("^${local.ecr_host}/(?P<repository>[^:@]+)", var.image), null)
  pull_statements = local.ecr_image == null ? [] : [
    {
      Sid    = "PullExactlyThisRepository"
      Effect = "Allow"
      Action = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = [join(":", [
        "arn", local.partition, "ecr", local.ecr_image.region, local.ecr_image.account,
        "repository/${local.ecr_image.repository}",
      ])]
    },
    {
      Sid      = "LogInToTheRegistry"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # this action takes no resource
    },
  ]

  queue_key_send_statements = var.queue_kms_key_arn == null ? [] : [{
    Sid       = "SendToEncryptedQueues"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = [var.queue_kms_key_arn]
    Condition = { StringEquals = { "kms:ViaService" = ["sqs.${local.region}.amazonaws.com"] } }
  }]

  queue_key_read_statements = var.queue_kms_key_arn == null ? [] : [{
    Sid       = "ReadTheEncryptedQueue"
    Effect    = "Allow"
    Action    = ["kms:Decrypt"]
    Resource  = [var.queue_kms_key_arn]
    Condition = { StringEquals = { "kms:ViaService" = ["sqs.${local.region}.amazonaws.com"] } }
  }]

  work_key_statements = var.work_kms_key_arn == null ? [] : [{
    Sid       = "UseTheKeyOfTheWorkBucket"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = [var.work_kms_key_arn]
    Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } }
  }]
}

# --- the task ---

resource "aws_iam_role" "task" {
  name        = "${local.regional_name}-task"
  description = "Rights of pixpipe: read the source, write the destination, hand records back"
  tags        = var.tags

  assume_role_policy = local.trust_policies.task
}

resource "aws_iam_role_policy" "task" {
  name = "pixpipe"
  role = aws_iam_role.task.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "ReadTheSource"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = ["${local.source_bucket_arn}/${var.source_prefix}*"]
        },
        {
          Sid      = "ReadAndWriteTheDestination"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject"]
          Resource = ["${local.destination_bucket_arn}/${var.destination_prefix}*"]
        },
        {
          # Without it, S3 answers 403 instead of 404 for an object that does not exist, and the task could not tell
          # "no output yet" or "the source is gone" from a missing permission.
          Sid    = "TellMissingFromForbidden"
          Effect = "Allow"
          Action = ["s3:ListBucket"]
          Resource = distinct(concat(
            [local.source_bucket_arn, local.destination_bucket_arn], local.works ? [local.work_bucket_arn] : [],
          ))
        },
        {
          Sid      = "HandBack"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [aws_sqs_queue.source.arn, aws_sqs_queue.failed.arn]
        },
      ],
      [for statement in [
        {
          Sid      = "ReadItsBatch"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = [for folder in ["batches", "runs", "handed-over"] : "${local.work_bucket_arn}/${folder}/*"]
        },
        {
          Sid      = "WriteItsReport"
          Effect   = "Allow"
          Action   = ["s3:PutObject"]
          Resource = ["${local.work_bucket_arn}/reports/*"]
        },
      ] : statement if local.works],
      local.queue_key_send_statements,
      local.work_key_statements,
      var.source_kms_key_arn == null ? [] : [{
        Sid       = "DecryptTheSource"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.source_kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } }
      }],
      var.destination_kms_key_arn == null ? [] : [{
        Sid       = "EncryptTheDestination"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.destination_kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } }
      }],
    )
  })
}

# --- ECS, before the container runs ---

resource "aws_iam_role" "execution" {
  name        = "${local.regional_name}-execution"
  description = "Rights of ECS when it starts pixpipe: pull the image, write the log"
  tags        = var.tags

  assume_role_policy = local.trust_policies.execution
}

resource "aws_iam_role_policy" "execution" {
  #checkov:skip=CKV_AWS_290:the only * is ecr:GetAuthorizationToken, which takes no resource
  #checkov:skip=CKV_AWS_355:the only * is ecr:GetAuthorizationToken, which takes no resource
  name = "start"
  role = aws_iam_role.execution.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "WriteTheLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.task.arn}:log-stream:${local.container_name}/*"]
      }],
      local.pull_statements,
    )
  })
}

# --- the pipe ---

resource "aws_iam_role" "pipe" {
  count = local.drain ? 0 : 1

  name        = "${local.regional_name}-pipe"
  description = "Rights of the pipe: take messages from the source queue, launch"
  tags        = var.tags

  assume_role_policy = local.trust_policies.pipe
}

resource "aws_iam_role_policy" "pipe" {
  count = local.drain ? 0 : 1

  name = "launch"
  role = aws_iam_role.pipe[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "TakeFromTheSourceQueue"
        Effect   = "Allow"
        Action   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
        Resource = [aws_sqs_queue.source.arn]
      }],
      [for statement in local.launch_statements : statement if local.direct],
      [for arn in aws_sfn_state_machine.batch[*].arn : {
        Sid      = "StartBatches"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = [arn]
      }],
      local.queue_key_read_statements,
    )
  })
}
