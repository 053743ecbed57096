# Addresses of earlier versions, so that an upgrade changes nothing in AWS: UPGRADE.md.

moved {
  from = aws_cloudwatch_metric_alarm.oldest_message
  to   = aws_cloudwatch_metric_alarm.metric["oldest-message"]
}

moved {
  from = aws_cloudwatch_metric_alarm.pipe_stopped
  to   = aws_cloudwatch_metric_alarm.expression["pipe-stopped"]
}

moved {
  from = aws_cloudwatch_metric_alarm.failures
  to   = aws_cloudwatch_metric_alarm.expression
}

moved {
  from = aws_cloudwatch_metric_alarm.pipe_failing
  to   = aws_cloudwatch_metric_alarm.failures["pipe-failing"]
}

moved {
  from = aws_cloudwatch_metric_alarm.executions_failed["batch"]
  to   = aws_cloudwatch_metric_alarm.failures["batch-executions-failed"]
}

moved {
  from = aws_cloudwatch_metric_alarm.executions_failed["redrive"]
  to   = aws_cloudwatch_metric_alarm.failures["redrive-executions-failed"]
}

moved {
  from = aws_pipes_pipe.this
  to   = aws_pipes_pipe.this[0]
}

moved {
  from = aws_cloudwatch_log_group.pipe
  to   = aws_cloudwatch_log_group.pipe[0]
}

moved {
  from = aws_iam_role.pipe
  to   = aws_iam_role.pipe[0]
}

moved {
  from = aws_iam_role_policy.pipe
  to   = aws_iam_role_policy.pipe[0]
}
