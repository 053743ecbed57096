# The batched launcher: the pipe hands batches to a state machine, which runs a task for each. (The launcher "event" has
# this as well, for records that come back: launch_event.tf.)

locals {
  batch_definition = {
    Comment       = "Runs a task for a batch of S3 events, and sends the records on if it fails"
    QueryLanguage = "JSONata"
    StartAt       = "Tasks"
    States = {
      Tasks = {
        Type    = "Map"
        Comment = "One iteration per task: one for new records, one for those that were tried before"
        Items   = local.jsonata.batches
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "Decide"
          States          = local.run_states
        }
        Catch = [{
          Comment     = "A message that no expression can read"
          ErrorEquals = ["States.QueryEvaluationError"]
          Next        = "Unreadable"
          Output      = "{% $states.input %}"
        }]
        Output = {}
        End    = true
      }
      Unreadable = {
        Type    = "Choice"
        Choices = [{ Condition = "{% $count($states.input) > 1 %}", Next = "OneByOne" }]
        Default = "HandOverUnread"
      }
      OneByOne = {
        Type    = "Map"
        Comment = "Each message gets an execution of its own, so that only the unreadable one is handed over unread"
        Items   = "{% [$states.input] %}"
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "StartAlone"
          States = {
            StartAlone = {
              Type           = "Task"
              Resource       = "arn:${local.partition}:states:::aws-sdk:sfn:startExecution"
              TimeoutSeconds = 60
              Arguments = {
                StateMachineArn = local.state_machine_arn
                Input           = "{% $string([$states.input]) %}"
              }
              Retry  = [local.send_retry]
              Output = {}
              End    = true
            }
          }
        }
        Output = {}
        End    = true
      }
      HandOverUnread = merge(local.send_message, {
        Comment = "As it is: no record is known in it"
        Arguments = {
          QueueUrl = aws_sqs_queue.failed.url
          MessageBody = join(" ", [
            "{% ($message := $exists($states.input[0].body) ? $states.input[0].body : $states.input[0];",
            "$type($message) = \"object\" ? $string($message) : $string({\"Records\": [{\"pixpipe\": {\"attempts\": 0,",
            "\"reason\": \"invalid-entry\", \"entry\": $message}}]})) %}",
          ])
        }
      })
    }
  }
}

resource "aws_sfn_state_machine" "batch" {
  #checkov:skip=CKV_AWS_284:X-Ray would trace two states and a RunTask; the execution's history says more
  #checkov:skip=CKV_AWS_285:a Standard execution keeps its history for 90 days; logging needs rights on every log group
  count = local.batched ? 1 : 0

  name       = var.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.state_machine[0].arn
  definition = jsonencode(local.batch_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.state_machine]
}

resource "aws_iam_role" "state_machine" {
  count = local.batched ? 1 : 0

  name        = "${local.regional_name}-batch"
  description = "Rights of the batch state machine: run tasks, put records back, hand failed ones over"
  tags        = var.tags

  assume_role_policy = local.trust_policies.state_machine
}

resource "aws_iam_role_policy" "state_machine" {
  count = local.batched ? 1 : 0

  name = "run"
  role = aws_iam_role.state_machine[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.launch_statements, local.run_statements, local.work_statements.runs, [{
      Sid      = "RunUnreadableBatchesOneByOne"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = [local.state_machine_arn]
    }])
  })
}
