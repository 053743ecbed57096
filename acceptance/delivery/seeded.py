"""Seeded mistakes: changes of the module and of the workflow, each with the check that must see it."""

from mistakes import Mistake

ROLES = "a_role_may_do_what_it_needs_and_nothing_else"
TAKEN = "a_run_on_github_takes_exactly_its_role"
SERVICES = "a_service_takes_a_role_for_exactly_its_own_resource"
PIPELINE = "the_pipeline_releases_tags_by_the_same_script"
EXPIRY = "the_newest_releases_stay_and_what_no_release_took_up_goes"
WORKFLOW = "the_workflow_releases_what_was_tested"
VARIABLES = "variables_are_typed_described_and_validated"

# Shown by the run "everything" of delivery.tftest.hcl: in two copies of the module, so that none hides another.
OF_THE_STACK = [
    [Mistake("everything", *mistake) for mistake in mistakes] for mistakes in [
        [
            ("the_repository_is_what_the_variables_say", "a tag that moves", "repository.tf", '"IMMUTABLE"',
             '"MUTABLE"'),
            (EXPIRY, "no tag is a release", "repository.tf", '["v*"]', '["release-*"]', "everything: [('v1."),
            (ROLES, "pushing to every repository", "main.tf", "Resource = [aws_ecr_repository.this.arn]",
             'Resource = ["arn:aws:ecr:eu-west-1:123456789012:repository/*"]', "push[0] may ecr:PutImage"),
            (ROLES, "the tests may push", "codepipeline.tf", 'one if each.key == "push"]', 'one if each.key != ""]',
             'build["test"] may ecr:PutImage arn:aws:ecr:eu-west-1:123456789012:repository/pixpipe'),
            ("policies_pass_parliament", "an action that is none", "github.tf", '["ecr:DescribeImages"]',
             '["ecr:DescribeImages", "ecr:DescribeEverything"]'),
            (TAKEN, "every ref of the repository", "github.tf", ":ref:refs/tags/v*", ":*",
             "push: repo:octo-org/octo-repo:ref:refs/heads/main for sts.amazonaws.com: True"),
            (TAKEN, "tokens for somebody else", "github.tf",
             'StringEquals = { "${local.github_issuer}:aud" = "sts.amazonaws.com" }\n', "",
             "deploy: repo:octo-org/octo-repo:environment:production for https://github.com/octo-org: True"),
            (SERVICES, "every project takes the role", "codepipeline.tf",
             "local.project_arns[step] if given.role == each.key", "local.project_arns[step]", 'build["push"]'),
            (SERVICES, "every pipeline takes the role", "codepipeline.tf",
             'ArnEquals    = { "aws:SourceArn" = local.pipeline_arn }\n', "", "pipeline[0]"),
            (PIPELINE, "every branch starts it", "codepipeline.tf", '        tags {\n          includes = ["v*"]',
             '        branches {\n          includes = ["v*"]', "release tags"),
            ("the_bucket_is_nobody_elses", "a bucket without TLS", "codepipeline.tf",
             '{ "aws:SecureTransport" = "false" }', '{ "aws:SecureTransport" = "true" }'),
        ],
        [
            ("every_request_is_one_that_its_service_knows", "a trigger that CodePipeline has not", "codepipeline.tf",
             'source_action_name = "Source"', 'source_action_name = "the source"'),
            (EXPIRY, "as many halves as days", "repository.tf",
             'countType   = "sinceImagePushed"\n          countUnit   = "days"', 'countType   = "imageCountMoreThan"',
             "everything: [(None,"),
            (ROLES, "a push that cannot end", "main.tf", '"ecr:CompleteLayerUpload", ', "",
             "push[0] may not ecr:CompleteLayerUpload"),
            ("the_rights_to_deploy_are_the_given_ones", "rights of everything", "github.tf", "policy_arn = each.value",
             'policy_arn = "arn:aws:iam::aws:policy/AdministratorAccess"'),
            (TAKEN, "whoever pushes deploys", "github.tf",
             "assume_role_policy = local.github_trust_policies.deploy",
             "assume_role_policy = local.github_trust_policies.push",
             "deploy: repo:octo-org/octo-repo:ref:refs/tags/v1.2.3 for sts.amazonaws.com: True"),
            (PIPELINE, "another way to build", "codepipeline.tf", '["${local.release} build ',
             '["docker build --push --tag ', "build-arm64"),
        ],
    ]
]  # fmt: skip

# Shown by the files as they are.
OF_THE_TEXT = [
    Mistake("text", *mistake) for mistake in [
        (WORKFLOW, "nobody approves", "github/release.yml", "    environment: production\n", "", "environment"),
        (WORKFLOW, "a build before the tests", "github/release.yml", "    needs: test\n", "", "'build': None"),
        (WORKFLOW, "every push releases", "github/release.yml", '    tags: ["v*"]', "    branches: [main]", "tags"),
        (WORKFLOW, "one machine for both", "github/release.yml", "[ubuntu-24.04, ubuntu-24.04-arm]", "[ubuntu-24.04]"),
        (WORKFLOW, "somebody's text in a command", "github/release.yml", '-var "image=$IMAGE"',
         '-var "image=${{ inputs.image }}"', "an expression in a command"),
        (WORKFLOW, "the deployment pushes", "github/release.yml", "vars.PIXPIPE_DEPLOY_ROLE", "vars.PIXPIPE_PUSH_ROLE",
         "deploy: ['PIXPIPE_PUSH_ROLE']"),
        (WORKFLOW, "rights for every job", "github/release.yml", "permissions: {}", "permissions: write-all", "rights"),
        (WORKFLOW, "a variable that nobody gives", "outputs.tf", "      PIXPIPE_REPOSITORY = ", "      REPOSITORY = ",
         "no output gives"),
        (VARIABLES, "a message of another variable", "variables.tf", '"tags: must', '"label: must', "tags"),
        (VARIABLES, "a bad value that nothing tries", "tests/refused.tftest.hcl", "    var.tags,\n", "", "tags"),
        ("the_tables_of_the_readme_are_up_to_date", "another default", "variables.tf", "default     = 14",
         "default     = 15"),
    ]
]  # fmt: skip

# Seen by actionlint.
OF_THE_WORKFLOW = Mistake(
    "text", "actionlint", "an output that is none", "github/release.yml", "steps.publish.outputs.image",
    "steps.publsh.outputs.image", "publsh",
)  # fmt: skip
