# Every statement written out; every service that may take a role names this account and the one resource it acts for.

locals {
  # Launchers name the family, ECS checks against the revision it resolves to.
  task_definition_arns = [
    "${local.arn_prefix.ecs}:task-definition/${var.name}",
    "${local.arn_prefix.ecs}:task-definition/${var.name}:*",
  ]
  task_arns = "${local.arn_prefix.ecs}:task/${local.cluster_name}/*"

  # Statements of whoever launches tasks.
  launch_statements = [
    {
      Sid       = "RunTasksOfThisFamily"
      Effect    = "Allow"
      Action    = "ecs:RunTask"
      Resource  = local.task_definition_arns
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
    },
    {
      Sid       = "TagTheTasksItRuns"
      Effect    = "Allow"
      Action    = "ecs:TagResource"
      Resource  = local.task_arns
      Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
    },
    {
      Sid       = "GiveTheTaskItsTwoRoles"
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
  ]

  # A private ECR image: account, region and repository are in its name.
  ecr_image = try(regex("^(?P<account>[0-9]{12})\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/(?P<repository>[^:@]+)", var.image), null)
  pull_statements = local.ecr_image == null ? [] : [
    {
      Sid    = "PullExactlyThisRepository"
      Effect = "Allow"
      Action = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = [
        "arn:${local.partition}:ecr:${local.ecr_image.region}:${local.ecr_image.account}:repository/${local.ecr_image.repository}",
      ]
    },
    {
      Sid      = "LogInToTheRegistry"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # this action knows no resource
    },
  ]

  queue_key_send_statements = var.queue_kms_key_arn == null ? [] : [{
    Sid       = "SendToEncryptedQueues"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = [var.queue_kms_key_arn]
    Condition = { StringEquals = { "kms:ViaService" = ["sqs.${local.region}.amazonaws.com"] } }
  }]
}

# --- the task ---

resource "aws_iam_role" "task" {
  name        = "${var.name}-task"
  description = "What pixpipe may do: read the source, write the destination, hand work back"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TasksOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.arn_prefix.ecs}:*" }
      }
    }]
  })
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
          # Without it, S3 answers 403 instead of 404 for an object that is not there: neither "no output yet" nor
          # "the source is gone" could be told from a missing right.
          Sid      = "TellMissingFromForbidden"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = distinct([local.source_bucket_arn, local.destination_bucket_arn])
        },
        {
          Sid      = "HandBack"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [aws_sqs_queue.source.arn, aws_sqs_queue.failed.arn]
        },
      ],
      local.queue_key_send_statements,
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

# --- what ECS needs before the container runs ---

resource "aws_iam_role" "execution" {
  name        = "${var.name}-execution"
  description = "What ECS needs to start pixpipe: its image and its log"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TasksOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.arn_prefix.ecs}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "execution" {
  #checkov:skip=CKV_AWS_290:the only * is ecr:GetAuthorizationToken, which knows no resource
  #checkov:skip=CKV_AWS_355:the only * is ecr:GetAuthorizationToken, which knows no resource
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
  name        = "${var.name}-pipe"
  description = "What the pipe may do: take from the source queue and launch"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ExactlyThisPipe"
      Effect    = "Allow"
      Principal = { Service = "pipes.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnEquals    = { "aws:SourceArn" = local.pipe_arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "pipe" {
  name = "launch"
  role = aws_iam_role.pipe.name

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
      var.queue_kms_key_arn == null ? [] : [{
        Sid       = "ReadTheEncryptedQueue"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.queue_kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = ["sqs.${local.region}.amazonaws.com"] } }
      }],
    )
  })
}

# --- the batched launcher ---

resource "aws_iam_role" "state_machine" {
  count = local.batched ? 1 : 0

  name        = "${var.name}-batch"
  description = "What the state machine of batches may do: run tasks and hand over what failed"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ExactlyThisStateMachine"
      Effect    = "Allow"
      Principal = { Service = "states.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnEquals    = { "aws:SourceArn" = local.state_machine_arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "state_machine" {
  count = local.batched ? 1 : 0

  name = "run"
  role = aws_iam_role.state_machine[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.launch_statements,
      [
        {
          Sid       = "WatchAndStopThem"
          Effect    = "Allow"
          Action    = ["ecs:DescribeTasks", "ecs:StopTask"]
          Resource  = [local.task_arns]
          Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
        },
        {
          # How Step Functions learns that a task has ended: a rule of its own, by this name, in every account.
          Sid      = "HearOfTheirEnd"
          Effect   = "Allow"
          Action   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
          Resource = ["${local.arn_prefix.events}:rule/StepFunctionsGetEventsForECSTaskRule"]
        },
        {
          Sid      = "HandOverWhatFailed"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [aws_sqs_queue.failed.arn]
        },
      ],
      local.queue_key_send_statements,
    )
  })
}

# --- the redrive of killed tasks ---

resource "aws_iam_role" "redrive" {
  count = local.direct ? 1 : 0

  name        = "${var.name}-redrive"
  description = "What the redrive of killed tasks may do: send to the two queues"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ExactlyThisStateMachine"
      Effect    = "Allow"
      Principal = { Service = "states.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnEquals    = { "aws:SourceArn" = local.redrive_state_machine_arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "redrive" {
  count = local.direct ? 1 : 0

  name = "hand-back"
  role = aws_iam_role.redrive[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "HandBack"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.source.arn, aws_sqs_queue.failed.arn]
      }],
      local.queue_key_send_statements,
    )
  })
}

resource "aws_iam_role" "task_stopped" {
  count = local.direct ? 1 : 0

  name        = "${var.name}-task-stopped"
  description = "What the rule on stopped tasks may do: start the redrive"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ExactlyThisRule"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnEquals    = { "aws:SourceArn" = local.task_stopped_rule_arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "task_stopped" {
  count = local.direct ? 1 : 0

  name = "start-redrive"
  role = aws_iam_role.task_stopped[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "StartTheRedrive"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = [aws_sfn_state_machine.redrive[0].arn]
    }]
  })
}
