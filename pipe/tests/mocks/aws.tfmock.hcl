# Answers of AWS, so that every value is known and every block is checked. Names are those of a stack "pp".

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
  target = aws_iam_role.task
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-task"
  }
}

override_resource {
  target = aws_iam_role.execution
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-execution"
  }
}

override_resource {
  target = aws_iam_role.pipe[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-pipe"
  }
}

override_resource {
  target = aws_iam_role.state_machine[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-batch"
  }
}

override_resource {
  target = aws_iam_role.redrive[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-redrive"
  }
}

override_resource {
  target = aws_iam_role.task_stopped[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-task-stopped"
  }
}

override_resource {
  target = aws_sqs_queue.source
  values = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:pp-source"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-source"
    id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-source"
  }
}

override_resource {
  target = aws_sqs_queue.dlq
  values = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:pp-dlq"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-dlq"
    id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-dlq"
  }
}

override_resource {
  target = aws_sqs_queue.failed
  values = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:pp-failed"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-failed"
    id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-failed"
  }
}

override_resource {
  target = aws_sqs_queue.redrive_dlq[0]
  values = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:pp-redrive-dlq"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-redrive-dlq"
    id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/pp-redrive-dlq"
  }
}

override_resource {
  target = aws_cloudwatch_log_group.task
  values = {
    arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/pixpipe/pp/task"
  }
}

override_resource {
  target = aws_cloudwatch_log_group.pipe[0]
  values = {
    arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/vendedlogs/pipes/pp"
  }
}

override_resource {
  target = aws_ecs_cluster.this[0]
  values = {
    arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/pp"
  }
}

override_resource {
  target = aws_ecs_task_definition.this
  values = {
    arn                  = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp:7"
    arn_without_revision = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pp"
  }
}

override_resource {
  target = aws_sfn_state_machine.batch[0]
  values = {
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp"
  }
}

override_resource {
  target = aws_sfn_state_machine.redrive[0]
  values = {
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp-redrive"
  }
}

override_resource {
  target = aws_pipes_pipe.this[0]
  values = {
    arn = "arn:aws:pipes:eu-west-1:123456789012:pipe/pp"
  }
}

override_resource {
  target = aws_cloudwatch_event_rule.object_created[0]
  values = {
    arn = "arn:aws:events:eu-west-1:123456789012:rule/pp-object-created"
  }
}

override_resource {
  target = aws_cloudwatch_event_rule.task_stopped[0]
  values = {
    arn = "arn:aws:events:eu-west-1:123456789012:rule/pp-task-stopped"
  }
}

override_resource {
  target = aws_iam_role.backfill[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-backfill"
  }
}

override_resource {
  target = aws_iam_role.backfill_schedule[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-backfill-start"
  }
}

override_resource {
  target = aws_sfn_state_machine.backfill[0]
  values = {
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp-backfill"
  }
}

override_resource {
  target = aws_cloudwatch_event_rule.backfill_finished[0]
  values = {
    arn = "arn:aws:events:eu-west-1:123456789012:rule/pp-backfill-finished"
  }
}

override_resource {
  target = aws_iam_role.uploads[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-uploads"
  }
}

override_resource {
  target = aws_iam_role.collect[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-collect"
  }
}

override_resource {
  target = aws_iam_role.drain[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-drain"
  }
}

override_resource {
  target = aws_iam_role.drain_start[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-drain-start"
  }
}

override_resource {
  target = aws_iam_role.drain_schedule[0]
  values = {
    arn = "arn:aws:iam::123456789012:role/pp-eu-west-1-drain-schedule"
  }
}

override_resource {
  target = aws_sfn_state_machine.collect[0]
  values = {
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp-collect"
  }
}

override_resource {
  target = aws_sfn_state_machine.drain[0]
  values = {
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:pp-drain"
  }
}

override_resource {
  target = aws_cloudwatch_event_rule.drain_start[0]
  values = {
    arn = "arn:aws:events:eu-west-1:123456789012:rule/pp-drain-start"
  }
}
