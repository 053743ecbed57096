output "repository_url" {
  description = "The repository, for delivery/release.py."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "ARN of the repository, for policies of your own."
  value       = aws_ecr_repository.this.arn
}

output "github_variables" {
  description = "The variables of the workflow delivery/github/release.yml; empty without github_repository."
  value = !local.github ? {} : merge(
    {
      AWS_REGION         = local.region
      PIXPIPE_REPOSITORY = aws_ecr_repository.this.repository_url
      PIXPIPE_PUSH_ROLE  = aws_iam_role.push[0].arn
    },
    local.deploys ? { PIXPIPE_DEPLOY_ROLE = aws_iam_role.deploy[0].arn } : {},
  )
}

output "github_oidc_provider_arn" {
  description = "GitHub's OIDC provider, for other modules of this account; null without github_repository."
  value       = local.github ? local.github_provider : null
}

output "codeconnections_arn" {
  description = "The pipeline's connection, to complete in the console; null without a pipeline."
  value       = var.codepipeline_enabled ? local.connection_arn : null
}

output "pipeline_name" {
  description = "Name of the pipeline; null without one."
  value       = one(aws_codepipeline.this[*].name)
}
