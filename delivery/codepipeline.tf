# For those without GitHub Actions: the same steps by the same script. It ends with the digest: Terraform is applied
# where its state and its rights are.

locals {
  pipeline_name  = "${var.name}-release"
  place          = "${local.region}:${local.account_id}"
  connection_arn = try(aws_codeconnections_connection.this[0].arn, var.codeconnections_arn)
  release        = "delivery/release.py"
  # For make test, and for the SBOM: rust-toolchain.toml picks the version.
  install_rust = [
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o rustup.sh",
    "sh rustup.sh -y --profile minimal --default-toolchain none && rm rustup.sh",
    ". \"$HOME/.cargo/env\"",
    "rustup toolchain install",
  ]

  build_step = {
    commands = concat(local.install_rust, ["${local.release} build \"$REPOSITORY\""])
    role     = "push"
    buildspec = {
      artifacts = { files = ["target/release/*.json"] }
    }
  }

  # Each step: its commands, its machine, and what it hands on. Only the tests, which push nothing, have another role.
  steps = !var.codepipeline_enabled ? {} : {
    test = {
      arm       = false
      commands  = concat(local.install_rust, ["make test"])
      role      = "test"
      buildspec = {}
    }
    build-arm64  = merge(local.build_step, { arm = true })
    build-x86-64 = merge(local.build_step, { arm = false })
    publish = {
      arm = false
      commands = [
        "mkdir -p target/release",
        "cp \"$CODEBUILD_SRC_DIR_arm64\"/target/release/*.json target/release/",
        "cp \"$CODEBUILD_SRC_DIR_x86_64\"/target/release/*.json target/release/",
        "${local.release} publish \"$REPOSITORY\"",
        "export IMAGE=$(cat target/release/image)",
      ]
      role = "push"
      buildspec = {
        env = { exported-variables = ["IMAGE"] }
      }
    }
  }

  build_roles = toset([for step in local.steps : step.role])
  project_arns = {
    for step, _ in local.steps :
    step => "arn:${local.partition}:codebuild:${local.place}:project/${local.pipeline_name}-${step}"
  }
  pipeline_arn = "arn:${local.partition}:codepipeline:${local.place}:${local.pipeline_name}"

  # What CodePipeline and CodeBuild ask of the bucket before they use it.
  see_the_bucket = [for bucket in aws_s3_bucket.pipeline[*].arn : {
    Sid      = "SeeTheBucket"
    Effect   = "Allow"
    Action   = ["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"]
    Resource = [bucket]
  }]

  # A step reads the commit over the connection, and takes from, and puts into, the pipeline's bucket.
  step_statements = [for bucket in aws_s3_bucket.pipeline[*].arn : [
    {
      Sid      = "WriteTheLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.builds[0].arn}:log-stream:*"]
    },
    {
      Sid      = "HandOnWhatWasBuilt"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
      Resource = ["${bucket}/*"]
    },
    {
      Sid      = "CloneTheRepository"
      Effect   = "Allow"
      Action   = ["codeconnections:UseConnection", "codestar-connections:UseConnection"]
      Resource = [local.connection_arn]
    },
  ]]
}

# A new connection is PENDING until somebody with rights on the repository completes it in the console.
resource "aws_codeconnections_connection" "this" {
  count = var.codepipeline_enabled && var.codeconnections_arn == null ? 1 : 0

  name          = var.name
  provider_type = var.codepipeline_provider
  tags          = var.tags
}

resource "aws_codepipeline" "this" {
  #checkov:skip=CKV_AWS_219:the bucket encrypts with S3's own key; what is in it is the public digest of an image
  count = var.codepipeline_enabled ? 1 : 0

  name           = local.pipeline_name
  role_arn       = aws_iam_role.pipeline[0].arn
  pipeline_type  = "V2"
  execution_mode = "QUEUED" # each tag to its end, one after the other
  tags           = var.tags

  artifact_store {
    type     = "S3"
    location = aws_s3_bucket.pipeline[0].bucket
  }

  # A trigger switches the start by every commit off.
  trigger {
    provider_type = "CodeStarSourceConnection"

    git_configuration {
      source_action_name = "Source"

      push {
        tags {
          includes = ["v*"]
        }
      }
    }
  }

  stage {
    name = "Source"

    action {
      name             = "Source"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      output_artifacts = ["source"]

      configuration = {
        ConnectionArn        = local.connection_arn
        FullRepositoryId     = var.codepipeline_repository
        BranchName           = var.codepipeline_branch
        OutputArtifactFormat = "CODEBUILD_CLONE_REF" # with .git: the image is labelled with its commit
      }
    }
  }

  dynamic "stage" {
    for_each = [
      { name = "Test", actions = { test = { takes = ["source"], gives = [] } } },
      { name = "Build", actions = {
        build-arm64  = { takes = ["source"], gives = ["arm64"] }
        build-x86-64 = { takes = ["source"], gives = ["x86_64"] }
      } },
      { name = "Publish", actions = { publish = { takes = ["source", "arm64", "x86_64"], gives = [] } } },
    ]

    content {
      name = stage.value.name

      dynamic "action" {
        for_each = stage.value.actions

        content {
          name             = action.key
          category         = "Build"
          owner            = "AWS"
          provider         = "CodeBuild"
          version          = "1"
          namespace        = action.key == "publish" ? "Publish" : null
          input_artifacts  = action.value.takes
          output_artifacts = action.value.gives

          configuration = merge(
            { ProjectName = aws_codebuild_project.this[action.key].name },
            length(action.value.takes) > 1 ? { PrimarySource = "source" } : {},
          )
        }
      }
    }
  }

  depends_on = [aws_iam_role_policy.pipeline]
}

resource "aws_codebuild_project" "this" {
  #checkov:skip=CKV_AWS_147:what the steps hand on is encrypted by the bucket
  #checkov:skip=CKV_AWS_316:docker builds the image, and the tests run containers: both need a privileged container
  for_each = local.steps

  name           = "${local.pipeline_name}-${each.key}"
  description    = "Release of ${var.name}: ${each.key}"
  service_role   = aws_iam_role.build[each.value.role].arn
  build_timeout  = 90
  queued_timeout = 60
  tags           = var.tags

  source {
    type = "CODEPIPELINE"
    buildspec = jsonencode(merge({
      version = "0.2"
      phases  = { build = { commands = each.value.commands } }
    }, each.value.buildspec))
  }

  artifacts {
    type = "CODEPIPELINE"
  }

  environment {
    type            = each.value.arm ? "ARM_CONTAINER" : "LINUX_CONTAINER"
    image           = each.value.arm ? "aws/codebuild/amazonlinux-aarch64-standard:3.0" : "aws/codebuild/standard:7.0"
    compute_type    = each.key == "publish" ? "BUILD_GENERAL1_SMALL" : "BUILD_GENERAL1_LARGE"
    privileged_mode = each.key != "publish"

    environment_variable {
      name  = "REPOSITORY"
      value = aws_ecr_repository.this.repository_url
    }
  }

  logs_config {
    cloudwatch_logs {
      group_name  = aws_cloudwatch_log_group.builds[0].name
      stream_name = each.key
    }
  }
}

resource "aws_cloudwatch_log_group" "builds" {
  #checkov:skip=CKV_AWS_158:build logs of public sources; CloudWatch encrypts them with its own key
  #checkov:skip=CKV_AWS_338:how long logs are kept is the user's choice
  count = var.codepipeline_enabled ? 1 : 0

  name              = "/pixpipe/${local.pipeline_name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

# --- the bucket of what the steps hand to each other ---

resource "aws_s3_bucket" "pipeline" {
  #checkov:skip=CKV_AWS_18:nothing in here is worth an access log
  #checkov:skip=CKV_AWS_144:a copy in another region serves nobody
  #checkov:skip=CKV_AWS_145:S3 encrypts every object with its own key
  #checkov:skip=CKV2_AWS_62:nobody waits for its events
  count = var.codepipeline_enabled ? 1 : 0

  bucket        = "${local.pipeline_name}-${local.account_id}-${local.region}"
  force_destroy = var.force_delete
  tags          = var.tags
}

# CodePipeline wants a versioned bucket.
resource "aws_s3_bucket_versioning" "pipeline" {
  count = var.codepipeline_enabled ? 1 : 0

  bucket = aws_s3_bucket.pipeline[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "pipeline" {
  count = var.codepipeline_enabled ? 1 : 0

  bucket                  = aws_s3_bucket.pipeline[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "pipeline" {
  count = var.codepipeline_enabled ? 1 : 0

  bucket = aws_s3_bucket.pipeline[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.pipeline[0].arn, "${aws_s3_bucket.pipeline[0].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 changes one thing of a bucket at a time.
  depends_on = [aws_s3_bucket_public_access_block.pipeline]
}

resource "aws_s3_bucket_lifecycle_configuration" "pipeline" {
  count = var.codepipeline_enabled ? 1 : 0

  bucket = aws_s3_bucket.pipeline[0].id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    expiration {
      days = var.log_retention_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # What expires old versions must come after there are some.
  depends_on = [aws_s3_bucket_versioning.pipeline]
}

# --- roles ---

resource "aws_iam_role" "pipeline" {
  count = var.codepipeline_enabled ? 1 : 0

  name        = "${local.regional_name}-pipeline"
  description = "Rights of the release pipeline: read one repository, start its steps"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ExactlyThisPipeline"
      Effect    = "Allow"
      Principal = { Service = "codepipeline.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnEquals    = { "aws:SourceArn" = local.pipeline_arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "pipeline" {
  count = var.codepipeline_enabled ? 1 : 0

  name = "release"
  role = aws_iam_role.pipeline[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.see_the_bucket, [
      {
        Sid      = "ReadTheRepository"
        Effect   = "Allow"
        Action   = ["codeconnections:UseConnection", "codestar-connections:UseConnection"]
        Resource = [local.connection_arn]
      },
      {
        Sid      = "StartTheSteps"
        Effect   = "Allow"
        Action   = ["codebuild:BatchGetBuilds", "codebuild:StartBuild"]
        Resource = values(local.project_arns)
      },
      {
        Sid      = "HandOnWhatWasBuilt"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl"]
        Resource = ["${aws_s3_bucket.pipeline[0].arn}/*"]
      },
    ])
  })
}

resource "aws_iam_role" "build" {
  for_each = local.build_roles

  name        = "${local.regional_name}-codebuild-${each.key}"
  description = "Rights of the release's ${each.key == "push" ? "builds: push to one repository" : "tests: no push"}"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ExactlyTheseSteps"
      Effect    = "Allow"
      Principal = { Service = "codebuild.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnEquals = {
          "aws:SourceArn" = [for step, given in local.steps : local.project_arns[step] if given.role == each.key]
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "build" {
  #checkov:skip=CKV_AWS_290:the only * is ecr:GetAuthorizationToken, which takes no resource
  #checkov:skip=CKV_AWS_355:the only * is ecr:GetAuthorizationToken, which takes no resource
  for_each = local.build_roles

  name = "step"
  role = aws_iam_role.build[each.key].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      flatten(local.step_statements),
      local.see_the_bucket,
      [for one in local.push_statements : one if each.key == "push"],
    )
  })
}
