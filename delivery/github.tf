# GitHub Actions: two roles without any stored key. Whoever pushes cannot deploy, and whoever deploys cannot push.

locals {
  github          = var.github_repository != null
  deploys         = local.github && length(var.deploy_policy_arns) > 0
  github_issuer   = "token.actions.githubusercontent.com"
  github_provider = try(aws_iam_openid_connect_provider.github[0].arn, var.github_oidc_provider_arn)

  # Who takes each role: a run of exactly this repository, for a release tag, or in the environment that was approved.
  github_subjects = {
    push   = "repo:${coalesce(var.github_repository, "-")}:ref:refs/tags/v*"
    deploy = "repo:${coalesce(var.github_repository, "-")}:environment:${var.github_environment}"
  }

  github_trust_policies = { for role, subject in local.github_subjects : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RunsOfExactlyThisRepository"
      Effect    = "Allow"
      Principal = { Federated = local.github_provider }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = { "${local.github_issuer}:aud" = "sts.amazonaws.com" }
        StringLike   = { "${local.github_issuer}:sub" = subject }
      }
    }]
  }) }
}

# An account has one provider for each issuer. Without thumbprints: AWS trusts the issuer's certificate authority.
resource "aws_iam_openid_connect_provider" "github" {
  count = local.github && var.github_oidc_provider_arn == null ? 1 : 0

  url            = "https://${local.github_issuer}"
  client_id_list = ["sts.amazonaws.com"]
  tags           = var.tags
}

resource "aws_iam_role" "push" {
  count = local.github ? 1 : 0

  name        = "${local.regional_name}-push"
  description = "Rights of a release on GitHub: push images to one repository"
  tags        = var.tags

  assume_role_policy = local.github_trust_policies.push
}

resource "aws_iam_role_policy" "push" {
  #checkov:skip=CKV_AWS_290:the only * is ecr:GetAuthorizationToken, which takes no resource
  #checkov:skip=CKV_AWS_355:the only * is ecr:GetAuthorizationToken, which takes no resource
  count = local.github ? 1 : 0

  name   = "push"
  role   = aws_iam_role.push[0].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.push_statements })
}

# terraform apply of the module in pipe/ creates roles, queues and rules: its rights are the policies that you give.
resource "aws_iam_role" "deploy" {
  count = local.deploys ? 1 : 0

  name        = "${local.regional_name}-deploy"
  description = "Rights of an approved deployment on GitHub: the policies that were given, and the image before"
  tags        = var.tags

  assume_role_policy = local.github_trust_policies.deploy
}

resource "aws_iam_role_policy_attachment" "deploy" {
  for_each = local.deploys ? toset(var.deploy_policy_arns) : toset([])

  role       = aws_iam_role.deploy[0].name
  policy_arn = each.value
}

resource "aws_iam_role_policy" "deploy" {
  #checkov:skip=CKV_AWS_290:reads only; ECS lets nobody choose among task definitions here
  #checkov:skip=CKV_AWS_355:reads only; ECS lets nobody choose among task definitions here
  count = local.deploys ? 1 : 0

  name = "find-the-image-before"
  role = aws_iam_role.deploy[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadTheRevisions"
        Effect   = "Allow"
        Action   = ["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions"]
        Resource = ["*"] # these actions take no resource
      },
      {
        Sid      = "SeeThatTheImageIsThere"
        Effect   = "Allow"
        Action   = ["ecr:DescribeImages"]
        Resource = [aws_ecr_repository.this.arn]
      },
    ]
  })
}
