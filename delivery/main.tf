# What has to exist before the first image: the repository, and the roles that push to it and deploy from it.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id

  # Roles are global in an account: with the region in their names, a second region can have the same stack.
  regional_name = "${var.name}-${local.region}"

  # What pushing takes: the layers, the manifests by digest and by tag, and a look at what is there. Nothing is deleted.
  push_statements = [
    {
      Sid    = "PushToExactlyThisRepository"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload",
        "ecr:PutImage", "ecr:UploadLayerPart",
      ]
      Resource = [aws_ecr_repository.this.arn]
    },
    {
      Sid      = "LogInToTheRegistry"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # this action takes no resource
    },
  ]
}
