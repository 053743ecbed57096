# What the module makes, and what it leaves out. (acceptance/delivery of the repository looks closer at these stacks.)

mock_provider "aws" {
  source = "./tests/mocks"
}

run "defaults" {
  command = apply

  assert {
    condition = (
      aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" &&
      aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    )
    error_message = "a tag must never move, and every image must be scanned"
  }
  assert {
    condition = (
      length(aws_iam_role.push) + length(aws_iam_role.deploy) + length(aws_iam_role.build) == 0 &&
      length(aws_codepipeline.this) == 0 && output.github_variables == {}
    )
    error_message = "there must be no role and no pipeline unless they are asked for"
  }
}

run "github" {
  command = apply

  variables {
    github_repository = "octo-org@123456/octo-repo@456789"
  }

  assert {
    condition = output.github_variables == tomap({
      AWS_REGION         = "eu-west-1"
      PIXPIPE_REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe"
      PIXPIPE_PUSH_ROLE  = "arn:aws:iam::123456789012:role/pixpipe-eu-west-1-push"
    })
    error_message = "the workflow's variables must be what the workflow needs"
  }
  assert {
    condition     = length(aws_iam_role.deploy) == 0
    error_message = "nobody may deploy unless it is said with which rights"
  }
}

run "everything" {
  command = apply

  variables {
    releases_kept            = 5
    untagged_kept_days       = 7
    kms_key_arn              = "arn:aws:kms:eu-west-1:123456789012:key/images"
    github_repository        = "octo-org/octo-repo"
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    deploy_policy_arns       = ["arn:aws:iam::123456789012:policy/apply-photos"]
    codepipeline_enabled     = true
    codepipeline_repository  = "octo-org/octo-repo"
    tags                     = { project = "photos" }
  }

  assert {
    condition = (
      length(aws_iam_openid_connect_provider.github) == 0 &&
      output.github_variables.PIXPIPE_DEPLOY_ROLE == "arn:aws:iam::123456789012:role/pixpipe-eu-west-1-deploy"
    )
    error_message = "the given provider must be used: an account can have one only"
  }
  assert {
    condition = [
      for stage in aws_codepipeline.this[0].stage : [for action in stage.action : action.name]
    ] == [["Source"], ["test"], ["build-arm64", "build-x86-64"], ["publish"]]
    error_message = "the pipeline must test before it builds, and build both before it publishes"
  }
  assert {
    condition = { for step, project in aws_codebuild_project.this : step => project.environment[0].type } == {
      test         = "LINUX_CONTAINER"
      build-arm64  = "ARM_CONTAINER"
      build-x86-64 = "LINUX_CONTAINER"
      publish      = "LINUX_CONTAINER"
    }
    error_message = "each image must be built on a machine of its own kind"
  }
}
