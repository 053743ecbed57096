locals {
  # One block per graph: title, statistic, and metrics as CloudWatch takes them.
  dashboard_graphs = [
    {
      title = "Records"
      stat  = "Sum"
      metrics = [
        for metric in ["written", "skipped", "failed", "failed_for_good", "handed_back"] :
        ["pixpipe", metric, "destination", local.destination]
      ]
    },
    {
      title   = "Run time of a task (ms)"
      stat    = "p95"
      metrics = [["pixpipe", "duration_ms", "destination", local.destination]]
    },
    {
      title   = "Bytes read"
      stat    = "Sum"
      metrics = [["pixpipe", "source_bytes", "destination", local.destination]]
    },
    {
      title   = "Broken colour profiles"
      stat    = "Sum"
      metrics = [["pixpipe", "broken_profiles", "destination", local.destination]]
    },
    {
      title   = "Age of the oldest message (s)"
      stat    = "Maximum"
      metrics = [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.source.name]]
    },
    {
      title = "Messages waiting"
      stat  = "Maximum"
      metrics = [
        for queue in concat([aws_sqs_queue.source.name], values(local.alarmed_queues)[*].name) :
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue]
      ]
    },
    {
      title = local.direct ? "Redrives of killed tasks" : local.drain ? "Drains and their collector" : "Batches"
      stat  = "Sum"
      metrics = concat([for machine in values(local.alarmed_state_machines) : [
        for metric in ["ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed"] :
        ["AWS/States", metric, "StateMachineArn", machine.arn]
      ]]...)
    },
  ]
  pipe_graphs = [for pipe in aws_pipes_pipe.this : {
    title = "Pipe"
    stat  = "Sum"
    metrics = [
      for metric in ["EventCount", "ExecutionFailed", "ExecutionThrottled"] :
      ["AWS/EventBridge/Pipes", metric, "PipeName", pipe.name]
    ]
  }]
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard_enabled ? 1 : 0

  dashboard_name = local.regional_name
  dashboard_body = jsonencode({
    widgets = [for index, graph in concat(local.dashboard_graphs, local.pipe_graphs) : {
      type   = "metric"
      x      = 12 * (index % 2)
      y      = 6 * floor(index / 2)
      width  = 12
      height = 6
      properties = {
        title   = graph.title
        view    = "timeSeries"
        region  = local.region
        stat    = graph.stat
        period  = 300
        metrics = graph.metrics
      }
    }]
  })
}
