# The example "own-cluster": tasks in a cluster that exists.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image              = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
  subnet_ids         = ["subnet-0a"]
  security_group_ids = ["sg-0a"]
  cluster_name       = "shared"
}

run "the_existing_cluster_is_used" {
  command = apply

  assert {
    condition     = module.pixpipe.cluster_arn == "arn:aws:ecs:eu-west-1:123456789012:cluster/shared"
    error_message = "the tasks must run in the existing cluster"
  }
}
