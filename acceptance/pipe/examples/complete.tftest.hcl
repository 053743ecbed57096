# The example "complete" as a whole, in both networks and with both launchers.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region = "eu-west-1"
  image  = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
}

run "public_subnets_and_batches" {
  command = apply

  assert {
    condition = (
      length(aws_vpc_endpoint.interface) == 0 && length(aws_route.internet) == 1 &&
      aws_route.internet[0].destination_cidr_block == "0.0.0.0/0"
    )
    error_message = "public subnets must have a route to the internet gateway"
  }
  assert {
    condition     = output.pixpipe.assign_public_ip
    error_message = "tasks in public subnets must have a public address, or the image cannot be pulled"
  }
  assert {
    condition     = output.pixpipe.cpu_architecture == "ARM64"
    error_message = "tasks must run on ARM64"
  }
  assert {
    condition     = output.pixpipe.batch_state_machine_arn != null
    error_message = "batches must be the default"
  }
  assert {
    condition = (
      output.pixpipe.metrics_destination == "s3://${aws_s3_bucket.this["destination"].id}/train/" &&
      aws_s3_bucket.this["source"].bucket == "pixpipe-source-123456789012-eu-west-1" &&
      aws_s3_bucket.this["destination"].bucket == "pixpipe-destination-123456789012-eu-west-1"
    )
    error_message = "results must go to the other bucket, and names of buckets must have account and region"
  }
  assert {
    condition = (
      [for rule in aws_security_group.tasks.egress : "${rule.protocol} ${rule.from_port}-${rule.to_port}"] ==
      ["tcp 443-443"] && length(aws_security_group.tasks.ingress) == 0
    )
    error_message = "tasks must reach HTTPS and nothing else, and nothing must reach them"
  }
  assert {
    condition = (
      aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-west-1.s3" &&
      aws_vpc_endpoint.s3.route_table_ids == toset([aws_route_table.this.id])
    )
    error_message = "S3 must be reached through the gateway endpoint, which needs the route table"
  }
  assert {
    condition = alltrue([
      for policy in aws_s3_bucket_policy.tls :
      jsondecode(policy.policy).Statement[0].Effect == "Deny" &&
      jsondecode(policy.policy).Statement[0].Condition == { Bool = { "aws:SecureTransport" = "false" } }
    ]) && length(aws_s3_bucket_policy.tls) == 2
    error_message = "both buckets must refuse requests without TLS"
  }
}

run "endpoints_and_one_task_per_upload" {
  command = apply

  variables {
    private_network  = true
    launcher         = "direct"
    event_source     = "s3"
    cpu_architecture = "X86_64"
  }

  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["ecr.api", "ecr.dkr", "logs", "sqs"]
    error_message = "private subnets must have interface endpoints for ECR, logs and SQS"
  }
  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface :
      endpoint.private_dns_enabled && endpoint.vpc_endpoint_type == "Interface"
    ])
    error_message = "without private DNS, the names of ECR, logs and SQS lead to the internet"
  }
  assert {
    condition = (
      [
        for rule in aws_security_group.endpoints[0].ingress : "${rule.protocol} ${rule.from_port}-${rule.to_port}"
      ] == ["tcp 443-443"]
    )
    error_message = "the endpoints must let HTTPS in"
  }
  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "private subnets must not have a route to the internet"
  }
  assert {
    condition     = !output.pixpipe.assign_public_ip && output.pixpipe.cpu_architecture == "X86_64"
    error_message = "tasks in private subnets must have no public address, and the architecture must be the variable's"
  }
  assert {
    condition     = output.pixpipe.redrive_state_machine_arn != null
    error_message = "killed tasks must come back"
  }
}
