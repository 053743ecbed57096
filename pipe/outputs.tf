output "pipe_name" {
  description = "Name of the pipe, for describe-pipe, stop-pipe and start-pipe; null for a drain."
  value       = one(aws_pipes_pipe.this[*].name)
}

output "launch_role_name" {
  description = "Name of the role that launches tasks, for a Deny by hand (docs/changing.md)."
  value = one(concat(
    [for role in aws_iam_role.pipe : role.name if local.direct], aws_iam_role.state_machine[*].name,
    aws_iam_role.drain[*].name,
  ))
}

output "source_queue_url" {
  description = "URL of the source queue, which holds the work; messages sent to it by hand are processed, too."
  value       = aws_sqs_queue.source.url
}

output "source_queue_arn" {
  description = "ARN of the source queue, the destination for start-message-move-task."
  value       = aws_sqs_queue.source.arn
}

output "dlq_url" {
  description = "URL of the dead-letter queue, for messages that could not be launched or delivered."
  value       = aws_sqs_queue.dlq.url
}

output "dlq_arn" {
  description = "ARN of the dead-letter queue, for start-message-move-task."
  value       = aws_sqs_queue.dlq.arn
}

output "failed_queue_url" {
  description = "URL of the failed queue, for records that failed permanently or too often."
  value       = aws_sqs_queue.failed.url
}

output "failed_queue_arn" {
  description = "ARN of the failed queue, for start-message-move-task."
  value       = aws_sqs_queue.failed.arn
}

output "redrive_dlq_url" {
  description = "URL of the queue for events of stopped tasks that could not be delivered; null unless direct."
  value       = one(aws_sqs_queue.redrive_dlq[*].url)
}

output "work_bucket" {
  description = "Name of the bucket of stored batches, handed-over ones and reports; null if there is none."
  value       = local.works ? local.work_bucket : null
}

output "cluster_arn" {
  description = "ARN of the ECS cluster that the tasks run in."
  value       = local.cluster_arn
}

output "task_definition_arn" {
  description = "ARN of the task definition without revision, as the launchers use it."
  value       = aws_ecs_task_definition.this.arn_without_revision
}

output "task_role_arn" {
  description = "ARN of the task's role, for bucket and key policies that list their users."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "ARN of the role that pulls the image and writes the log, for a repository policy in another account."
  value       = aws_iam_role.execution.arn
}

output "batch_state_machine_arn" {
  description = "ARN of the state machine that runs batches; null if direct or drain."
  value       = one(aws_sfn_state_machine.batch[*].arn)
}

output "redrive_state_machine_arn" {
  description = "ARN of the state machine that hands records of killed tasks back; null unless direct."
  value       = one(aws_sfn_state_machine.redrive[*].arn)
}

output "backfill_state_machine_arn" {
  description = "ARN of the state machine that runs backfills, for start-execution; null without backfill_enabled."
  value       = one(aws_sfn_state_machine.backfill[*].arn)
}

output "drain_state_machine_arn" {
  description = "ARN of the state machine that drains the queue, for start-execution by hand; null unless drain."
  value       = one(aws_sfn_state_machine.drain[*].arn)
}

output "task_log_group_name" {
  description = "Log group of the tasks: one JSON line per record, one summary per task."
  value       = aws_cloudwatch_log_group.task.name
}

output "pipe_log_group_name" {
  description = "Log group of the pipe's errors; null for a drain."
  value       = one(aws_cloudwatch_log_group.pipe[*].name)
}

output "metrics_destination" {
  description = "Value of the dimension \"destination\" of this stack's metrics in the namespace pixpipe."
  value       = local.destination
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard; null if dashboard_enabled is false."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}

output "assign_public_ip" {
  description = "Whether tasks get a public address."
  value       = var.assign_public_ip
}

output "cpu_architecture" {
  description = "CPU architecture of the tasks, as registered."
  value       = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture
}
