# Addresses of earlier versions, so that an upgrade changes nothing in AWS: UPGRADE.md.

moved {
  from = aws_cloudwatch_metric_alarm.oldest_message
  to   = aws_cloudwatch_metric_alarm.metric["oldest-message"]
}

moved {
  from = aws_cloudwatch_metric_alarm.failed_records
  to   = aws_cloudwatch_metric_alarm.metric["failed-records"]
}

moved {
  from = aws_cloudwatch_metric_alarm.queue_not_empty["dlq"]
  to   = aws_cloudwatch_metric_alarm.metric["dlq-not-empty"]
}

moved {
  from = aws_cloudwatch_metric_alarm.queue_not_empty["failed"]
  to   = aws_cloudwatch_metric_alarm.metric["failed-not-empty"]
}

moved {
  from = aws_cloudwatch_metric_alarm.queue_not_empty["redrive-dlq"]
  to   = aws_cloudwatch_metric_alarm.metric["redrive-dlq-not-empty"]
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
