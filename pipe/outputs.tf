output "pipe_name" {
  description = "Name of the pipe, for describe-pipe, stop-pipe and start-pipe."
  value       = aws_pipes_pipe.this.name
}

output "source_queue_url" {
  description = "Queue of what is to be done; messages sent here by hand are done too."
  value       = aws_sqs_queue.source.url
}

output "source_queue_arn" {
  description = "ARN of the source queue: where start-message-move-task sends messages back to."
  value       = aws_sqs_queue.source.arn
}

output "dlq_url" {
  description = "Queue of what could not be launched or delivered."
  value       = aws_sqs_queue.dlq.url
}

output "dlq_arn" {
  description = "ARN of the dead-letter queue, for start-message-move-task."
  value       = aws_sqs_queue.dlq.arn
}

output "failed_queue_url" {
  description = "Queue of the records that failed for good or too often."
  value       = aws_sqs_queue.failed.url
}

output "failed_queue_arn" {
  description = "ARN of the failed queue, for start-message-move-task."
  value       = aws_sqs_queue.failed.arn
}

output "redrive_dlq_url" {
  description = "Queue of stopped-task events that could not be handled; null when batched."
  value       = one(aws_sqs_queue.redrive_dlq[*].url)
}

output "cluster_arn" {
  description = "ECS cluster that the tasks run in."
  value       = local.cluster_arn
}

output "task_definition_arn" {
  description = "Task definition without revision, as the launchers name it."
  value       = aws_ecs_task_definition.this.arn_without_revision
}

output "task_role_arn" {
  description = "Role of the task, for bucket and key policies that name who may come in."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "Role with which ECS pulls the image and writes the log, for a repository policy of another account."
  value       = aws_iam_role.execution.arn
}

output "batch_state_machine_arn" {
  description = "State machine of the batches; null when direct."
  value       = one(aws_sfn_state_machine.batch[*].arn)
}

output "redrive_state_machine_arn" {
  description = "State machine that puts records of killed tasks back; null when batched."
  value       = one(aws_sfn_state_machine.redrive[*].arn)
}

output "task_log_group_name" {
  description = "Log group of the tasks: one JSON line a record, one summary a task."
  value       = aws_cloudwatch_log_group.task.name
}

output "pipe_log_group_name" {
  description = "Log group of the pipe's errors."
  value       = aws_cloudwatch_log_group.pipe.name
}

output "metrics_destination" {
  description = "Value of the dimension \"destination\" of this stack's metrics in the namespace pixpipe."
  value       = local.destination
}

output "dashboard_name" {
  description = "CloudWatch dashboard; null where dashboard_enabled is false."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}
