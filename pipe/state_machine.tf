# The batched launcher: a pipe's batch -> as many tasks as it takes -> the end of each of them.

locals {
  # All overrides of one RunTask together, punctuation and escaping included.
  overrides_max_characters = 8192
  # AWS says what it counts, but not exactly how it writes it: members that are null, spaces.
  overrides_reserve_characters = 256
  # The batch's envelope, with the count of attempts that a retry puts there.
  envelope_characters     = length(jsonencode(jsonencode({ Records = "", pixpipe = { attempts = 1000 } })))
  overrides_without_body  = length(jsonencode({ containerOverrides = [{ name = local.container_name, environment = [{ name = "SQS_BODY", value = "" }] }] })) + local.envelope_characters
  sqs_body_max_characters = local.overrides_max_characters - local.overrides_reserve_characters - local.overrides_without_body

  # Expressions are files of their own, with comments; in the state machine they are one line without them.
  jsonata = { for name, text in {
    tasks          = templatefile("${path.module}/tasks.jsonata.tftpl", { records = local.records_jsonata, room = local.sqs_body_max_characters })
    failed_message = file("${path.module}/failed_message.jsonata")
    on_spot        = templatefile("${path.module}/sqs_body.jsonata.tftpl", { tries = "$states.context.State.RetryCount" })
    on_demand      = templatefile("${path.module}/sqs_body.jsonata.tftpl", { tries = "(${var.spot_attempts} + $states.context.State.RetryCount)" })
    redrive = templatefile("${path.module}/redrive.jsonata.tftpl", {
      records          = local.records_jsonata
      container        = local.container_name
      max_attempts     = var.max_attempts
      source_queue_url = aws_sqs_queue.source.url
      failed_queue_url = aws_sqs_queue.failed.url
    })
  } : name => "{% ${trimspace(replace(replace(text, "/(?s)\\/\\*.*?\\*\\//", ""), "/\\s*\n\\s*/", " "))} %}" }
  records_jsonata = file("${path.module}/records.jsonata")

  # One RunTask that waits for the task's end; a non-zero exit fails it.
  run_task = { for provider, sqs_body in { FARGATE_SPOT = local.jsonata.on_spot, FARGATE = local.jsonata.on_demand } : provider => {
    Type           = "Task"
    Resource       = "arn:${local.partition}:states:::ecs:runTask.sync"
    TimeoutSeconds = var.task_timeout_seconds
    Arguments = {
      Cluster                  = local.cluster_arn
      TaskDefinition           = aws_ecs_task_definition.this.arn_without_revision
      Count                    = 1
      CapacityProviderStrategy = [{ CapacityProvider = provider, Weight = 1 }] # excludes LaunchType
      PropagateTags            = "TASK_DEFINITION"
      EnableECSManagedTags     = true
      NetworkConfiguration = {
        AwsvpcConfiguration = {
          Subnets        = var.subnet_ids
          SecurityGroups = var.security_group_ids
          AssignPublicIp = var.assign_public_ip ? "ENABLED" : "DISABLED"
        }
      }
      Overrides = {
        ContainerOverrides = [{
          Name        = local.container_name
          Environment = [{ Name = "SQS_BODY", Value = sqs_body }]
        }]
      }
    }
    Output = {}
  } }

  # Refused before anything ran, so nothing was paid for: too many launches a second, or no room.
  retry_launch = {
    ErrorEquals     = ["ECS.ThrottlingException", "ECS.ServerException", "ECS.AmazonECSException", "AmazonECS.Unknown"]
    IntervalSeconds = 10
    MaxAttempts     = 6
    BackoffRate     = 2
    MaxDelaySeconds = 300
    JitterStrategy  = "FULL"
  }

  send_retry = {
    ErrorEquals     = ["States.ALL"]
    IntervalSeconds = 5
    MaxAttempts     = 8
    BackoffRate     = 2
    MaxDelaySeconds = 300
    JitterStrategy  = "FULL"
  }

  batch_definition = {
    Comment       = "Splits a batch of S3 events into tasks whose overrides fit, runs them, and hands over what failed"
    QueryLanguage = "JSONata"
    StartAt       = "Tasks"
    States = {
      Tasks = {
        Type    = "Map"
        Comment = "One iteration a task"
        Items   = local.jsonata.tasks
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "Fits"
          States = {
            Fits = {
              Type    = "Choice"
              Choices = [{ Condition = "{% $states.input.fits %}", Next = "RunOnSpot" }]
              Default = "HandOver"
            }
            RunOnSpot = merge(local.run_task["FARGATE_SPOT"], {
              Comment = "No room, an interruption, a kill, or records that could not be handed back: all worth another run"
              Retry = [{
                ErrorEquals     = ["States.ALL"]
                IntervalSeconds = 30
                MaxAttempts     = var.spot_attempts - 1
                BackoffRate     = 2
                MaxDelaySeconds = 600
                JitterStrategy  = "FULL"
              }]
              Catch = [{ ErrorEquals = ["States.ALL"], Next = "RunOnDemand", Output = "{% $states.input %}" }]
              End   = true
            })
            RunOnDemand = merge(local.run_task["FARGATE"], {
              Comment = "The last attempt"
              Retry   = [local.retry_launch]
              Catch = [{
                ErrorEquals = ["States.ALL"]
                Next        = "HandOver"
                Output = {
                  records = "{% [$states.input.records] %}"
                  cause   = "{% $states.errorOutput.Error & \" \" & $match($string($states.errorOutput.Cause), /\"StoppedReason\":\"([^\"]*)\"/)[0].groups[0] %}"
                }
              }]
              End = true
            })
            HandOver = {
              Type    = "Map"
              Comment = "Record by record to the failed queue, in a shape that the source queue takes again"
              Items   = "{% [$states.input.records] %}"
              ItemSelector = {
                record = "{% $states.context.Map.Item.Value %}"
                cause  = "{% $states.input.cause %}"
              }
              ItemProcessor = {
                ProcessorConfig = { Mode = "INLINE" }
                StartAt         = "SendToFailedQueue"
                States = {
                  SendToFailedQueue = {
                    Type     = "Task"
                    Resource = "arn:${local.partition}:states:::sqs:sendMessage"
                    Arguments = {
                      QueueUrl    = aws_sqs_queue.failed.url
                      MessageBody = local.jsonata.failed_message
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
          }
        }
        Catch = [{
          Comment     = "The batch itself could not be read: its messages go on as they came"
          ErrorEquals = ["States.QueryEvaluationError"]
          Next        = "HandOverUnread"
          Output      = "{% $states.input %}"
        }]
        Output = {}
        End    = true
      }
      HandOverUnread = {
        Type  = "Map"
        Items = "{% [$states.input] %}"
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "SendUnreadToFailedQueue"
          States = {
            SendUnreadToFailedQueue = {
              Type     = "Task"
              Resource = "arn:${local.partition}:states:::sqs:sendMessage"
              Arguments = {
                QueueUrl    = aws_sqs_queue.failed.url
                MessageBody = "{% $type($states.input.body) = \"string\" ? $states.input.body : $string($exists($states.input.body) ? $states.input.body : $states.input) %}"
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
    }
  }
}

resource "aws_sfn_state_machine" "batch" {
  #checkov:skip=CKV_AWS_284:X-Ray would trace two states and a RunTask; the execution's history says more
  #checkov:skip=CKV_AWS_285:a Standard execution keeps its own history for 90 days; logging it needs rights on every log group
  count = local.batched ? 1 : 0

  name       = var.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.state_machine[0].arn
  definition = jsonencode(local.batch_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.state_machine]
}
