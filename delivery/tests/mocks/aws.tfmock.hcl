# Answers of AWS, so that every value is known.

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_region" {
  defaults = {
    id   = "eu-west-1"
    name = "eu-west-1"
  }
}

override_resource {
  target = aws_ecr_repository.this
  values = {
    arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/pixpipe"
    repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe"
  }
}

override_resource {
  target = aws_iam_openid_connect_provider.github[0]
  values = {
    arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }
}

override_resource {
  target = aws_iam_role.push[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pixpipe-eu-west-1-push"
  }
}

override_resource {
  target = aws_iam_role.deploy[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pixpipe-eu-west-1-deploy"
  }
}

override_resource {
  target = aws_iam_role.pipeline[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pixpipe-eu-west-1-pipeline"
  }
}

override_resource {
  target = aws_iam_role.build
  values = {
    arn = "arn:aws:iam::123456789012:role/pixpipe-eu-west-1-codebuild"
  }
}

override_resource {
  target = aws_codeconnections_connection.this[0]
  values = {
    arn = "arn:aws:codeconnections:eu-west-1:123456789012:connection/4a6c1b2d-0000-4000-8000-1234567890ab"
  }
}

override_resource {
  target = aws_s3_bucket.pipeline[0]
  values = {
    id     = "pixpipe-release-123456789012-eu-west-1"
    bucket = "pixpipe-release-123456789012-eu-west-1"
    arn    = "arn:aws:s3:::pixpipe-release-123456789012-eu-west-1"
  }
}

override_resource {
  target = aws_cloudwatch_log_group.builds[0]
  values = {
    arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/pixpipe/pixpipe-release"
  }
}
