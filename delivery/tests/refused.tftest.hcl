# Validations refuse bad values: in each run, all of them.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "values_of_another_form_are_refused" {
  command = plan

  variables {
    name                     = "team/pixpipe" # ECR has slashes, roles have not
    releases_kept            = 1              # no room for the release before
    untagged_kept_days       = 0
    kms_key_arn              = "arn:aws:kms:eu-west-1:123456789012:alias/images"
    tags                     = { for i in range(41) : "t${i}" => "v" }
    github_repository        = "octo-org/*" # every repository of an owner
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/gitlab.com"
    github_environment       = "prod*"
    codepipeline_repository  = "https://github.com/octo-org/octo-repo"
    codepipeline_provider    = "CodeCommit"
    codepipeline_branch      = "my branch"
    codeconnections_arn      = "arn:aws:codeconnections:eu-west-1:123456789012:host/x"
    log_retention_days       = 31 # CloudWatch has no such retention
  }

  expect_failures = [
    var.name,
    var.releases_kept,
    var.untagged_kept_days,
    var.kms_key_arn,
    var.tags,
    var.github_repository,
    var.github_oidc_provider_arn,
    var.github_environment,
    var.codepipeline_repository,
    var.codepipeline_provider,
    var.codepipeline_branch,
    var.codeconnections_arn,
    var.log_retention_days,
  ]
}

run "values_that_do_not_fit_are_refused" {
  command = plan

  variables {
    name                 = "a123456789012345678901234567" # too long for the name of the bucket
    releases_kept        = 2.5
    untagged_kept_days   = 366
    github_repository    = "octo-org@123456/octo-repo" # the ID of the owner alone
    codepipeline_enabled = true                        # without a repository
  }

  expect_failures = [
    var.name,
    var.releases_kept,
    var.untagged_kept_days,
    var.github_repository,
    var.codepipeline_enabled,
  ]
}

run "values_beyond_the_bounds_are_refused" {
  command = plan

  variables {
    releases_kept       = 1001
    github_repository   = "octo-org/octo-repo" # a good one
    deploy_policy_arns  = ["arn:aws:iam::123456789012:role/apply"]
    codepipeline_branch = "-x"
  }

  expect_failures = [
    var.releases_kept,
    var.deploy_policy_arns,
    var.codepipeline_branch,
  ]
}

run "rights_to_deploy_without_a_repository_are_refused" {
  command = plan

  variables {
    deploy_policy_arns = ["arn:aws:iam::123456789012:policy/apply"] # rights for nobody
  }

  expect_failures = [
    var.deploy_policy_arns,
  ]
}
