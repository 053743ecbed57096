locals {
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
  fargate_memory_mib = {
    "256"   = [512, 1024, 2048]
    "512"   = range(1024, 4096 + 1, 1024)
    "1024"  = range(2048, 8192 + 1, 1024)
    "2048"  = range(4096, 16384 + 1, 1024)
    "4096"  = range(8192, 30720 + 1, 1024)
    "8192"  = range(16384, 61440 + 1, 4096)
    "16384" = range(32768, 122880 + 1, 8192)
  }

  # What shapes the picture: the program's defaults, or a preset, and what is set beside that. (With a preset, the
  # program refuses some variables, and decides about the others: so nothing but what is set.)
  shape = merge(
    var.preset == null ?
    tomap({ SIZES = "224", FIT = "cover", FILTER = "lanczos3", DECODE = "fast", COLOR = "srgb", FORMAT = "jpeg" }) :
    tomap({ PRESET = var.preset }),
    { for name, text in {
      SIZES      = var.sizes == null ? null : join(",", var.sizes)
      FIT        = var.fit
      CROP_ROUND = var.crop_round
      FILTER     = var.filter
      DECODE     = var.decode
      COLOR      = var.color
      FORMAT     = var.format
    } : name => text if text != null },
  )

  environment = merge(
    local.shape,
    {
      AWS_REGION         = local.region
      SOURCE_BUCKET      = var.source_bucket
      DEST_BUCKET        = var.destination_bucket
      DEST_PREFIX        = var.destination_prefix
      BACKGROUND         = var.background
      JPEG_QUALITY       = tostring(var.jpeg_quality)
      JPEG_SUBSAMPLING   = var.jpeg_subsampling
      MAX_SOURCE_BYTES   = format("%.0f", var.max_source_bytes)
      MAX_SOURCE_PIXELS  = format("%.0f", var.max_source_pixels)
      MEMORY_LIMIT_BYTES = format("%.0f", local.task_memory_mib * 1024 * 1024)
      GRACE_SECONDS      = tostring(var.grace_seconds)
      SKIP_UNCHANGED     = tostring(var.skip_unchanged)
      RETRY_QUEUE_URL    = aws_sqs_queue.source.url
      FAILED_QUEUE_URL   = aws_sqs_queue.failed.url
      MAX_ATTEMPTS       = tostring(var.max_attempts)
      TIME_LIMIT_SECONDS = tostring(var.task_timeout_seconds)
      LOG_FORMAT         = var.log_format
      RUST_LOG           = var.rust_log
    },
    var.concurrency_objects == null ? {} : { CONCURRENCY = tostring(var.concurrency_objects) },
    var.aws_environment,
  )
}

resource "aws_cloudwatch_log_group" "task" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; log_kms_key_arn puts the user's own key there
  #checkov:skip=CKV_AWS_338:the retention is log_retention_days; a year of one line per record is the user's choice
  name              = "/pixpipe/${var.name}/task"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(local.task_cpu_units)
  memory                   = tostring(local.task_memory_mib)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  container_definitions = jsonencode([{
    name      = local.container_name
    image     = var.image
    essential = true
    cpu       = local.task_cpu_units
    memory    = local.task_memory_mib

    user                   = "65532:65532"
    privileged             = false
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }

    # Spot gives two minutes' notice; the default of 30 s would waste most of it.
    stopTimeout = 120

    environment = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.task.name
        awslogs-region        = local.region
        awslogs-stream-prefix = local.container_name
        # A slow CloudWatch must not hold up a task that is billed per second.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }])

  lifecycle {
    # Launchers name the family, so there must be an active revision at every moment.
    create_before_destroy = true

    precondition {
      condition = (
        var.cluster_arn == null ||
        startswith(coalesce(var.cluster_arn, "-"), "${local.arn_prefix.ecs}:cluster/")
      )
      error_message = <<-EOT
        cluster_arn: must be a cluster of this account and region (${local.arn_prefix.ecs}:cluster/…).
      EOT
    }
  }
}
