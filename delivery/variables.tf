# --- the repository ---

variable "name" {
  description = "Name of the repository in ECR, and the beginning of the name of every other resource."
  type        = string
  default     = "pixpipe"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 27
    error_message = <<-EOT
      name: must be 1 to 27 lower-case letters and digits, beginning with a letter, with single hyphens between them.
    EOT
  }
}

variable "releases_kept" {
  description = "Number of releases that the repository keeps; older ones are deleted, even one that is deployed."
  type        = number
  default     = 30

  validation {
    condition     = var.releases_kept >= 2 && var.releases_kept <= 1000 && floor(var.releases_kept) == var.releases_kept
    error_message = "releases_kept: must be a whole number from 2 (the present one and the one before) to 1000."
  }
}

variable "untagged_kept_days" {
  description = "Days that the repository keeps what no release has taken up, such as one half of a failed one."
  type        = number
  default     = 14

  validation {
    condition = (
      var.untagged_kept_days >= 1 && var.untagged_kept_days <= 365 &&
      floor(var.untagged_kept_days) == var.untagged_kept_days
    )
    error_message = "untagged_kept_days: must be a whole number from 1 to 365."
  }
}

variable "kms_key_arn" {
  description = "KMS key of the images; null for ECR's own encryption. ECR does not change it later."
  type        = string
  default     = null

  validation {
    condition = var.kms_key_arn == null || can(regex(
      "^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn
    ))
    error_message = "kms_key_arn: must be the ARN of a KMS key (not of an alias)."
  }
}

variable "force_delete" {
  description = "Let \"terraform destroy\" delete the repository and the pipeline's bucket with what is in them."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of every resource that takes tags."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.tags) <= 40
    error_message = "tags: must be at most 40."
  }
}

# --- GitHub Actions ---

variable "github_repository" {
  description = <<-EOT
    The one repository on GitHub that may push, as its tokens name it: "owner/name", or "owner@123/name@456" with the
    immutable IDs that repositories created or renamed since July 2026 have; null for no roles (README.md, "First
    steps").
  EOT
  type        = string
  default     = null

  validation {
    condition = var.github_repository == null || can(regex(
      "^[A-Za-z0-9][A-Za-z0-9-]{0,38}(@[0-9]+)?/[A-Za-z0-9._-]{1,100}(@[0-9]+)?$", var.github_repository
    ))
    error_message = <<-EOT
      github_repository: must be "owner/name" or "owner@123/name@456": no address, no wildcard.
    EOT
  }

  validation {
    condition = (
      var.github_repository == null || length(regexall("@", coalesce(var.github_repository, "-"))) != 1
    )
    error_message = "github_repository: must have the ID of both, owner and repository, or of none."
  }
}

variable "github_oidc_provider_arn" {
  description = "GitHub's OIDC provider if this account has one, as it can have one only; null creates it."
  type        = string
  default     = null

  validation {
    condition = var.github_oidc_provider_arn == null || can(regex(
      "^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$",
      var.github_oidc_provider_arn
    ))
    error_message = <<-EOT
      github_oidc_provider_arn: must be the ARN of the provider for token.actions.githubusercontent.com.
    EOT
  }
}

variable "github_environment" {
  description = "The environment on GitHub whose approved runs may deploy."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,255}$", var.github_environment))
    error_message = "github_environment: must be 1 to 255 letters, digits, dots, hyphens and underscores."
  }
}

variable "deploy_policy_arns" {
  description = <<-EOT
    Managed policies of the role that deploys from GitHub: the rights to apply your stack and to use its state. Empty
    for no such role.
  EOT
  type        = list(string)
  default     = []

  validation {
    condition = length(var.deploy_policy_arns) <= 10 && alltrue([
      for arn in var.deploy_policy_arns : can(regex("^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/.+$", arn))
    ])
    error_message = "deploy_policy_arns: must be at most 10 ARNs of managed policies."
  }

  validation {
    condition     = length(var.deploy_policy_arns) == 0 || var.github_repository != null
    error_message = "deploy_policy_arns: the role is for runs on GitHub: set github_repository, too."
  }
}

# --- CodePipeline, for those without GitHub Actions ---

variable "codepipeline_enabled" {
  description = "Create a pipeline in this account that tests, builds and pushes each release tag."
  type        = bool
  default     = false

  validation {
    condition     = !var.codepipeline_enabled || var.codepipeline_repository != null
    error_message = "codepipeline_enabled: the pipeline needs codepipeline_repository."
  }
}

variable "codepipeline_repository" {
  description = "The repository that the pipeline reads, as its host names it: \"owner/name\", \"group/subgroup/name\"."
  type        = string
  default     = null

  validation {
    condition = var.codepipeline_repository == null || can(regex(
      "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$", var.codepipeline_repository
    ))
    error_message = "codepipeline_repository: must be \"owner/name\", without an address before it."
  }
}

variable "codepipeline_provider" {
  description = "The host of that repository: Bitbucket, GitHub or GitLab. Without effect on a given connection."
  type        = string
  default     = "GitHub"

  validation {
    condition     = contains(["Bitbucket", "GitHub", "GitLab"], var.codepipeline_provider)
    error_message = <<-EOT
      codepipeline_provider: must be "Bitbucket", "GitHub" or "GitLab"; for a server of your own, make the connection
      and set codeconnections_arn.
    EOT
  }
}

variable "codepipeline_branch" {
  description = "The branch that a start by hand takes; a release takes the commit of its tag."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$", var.codepipeline_branch))
    error_message = "codepipeline_branch: must be the name of a branch."
  }
}

variable "codeconnections_arn" {
  description = "A connection to the repository's host; null creates one, which the console must be told to complete."
  type        = string
  default     = null

  validation {
    condition = var.codeconnections_arn == null || can(regex(
      "^arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:[0-9]{12}:connection/.+$",
      var.codeconnections_arn
    ))
    error_message = "codeconnections_arn: must be the ARN of a connection."
  }
}

variable "log_retention_days" {
  description = "Retention of the builds' logs, and of what the steps of the pipeline hand to each other."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = <<-EOT
      log_retention_days: must be 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731.
    EOT
  }
}
