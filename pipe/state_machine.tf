# The batched launcher: splits a batch of the pipe into tasks, runs them, and waits for the end of each.

locals {
  # The limit of all overrides of one RunTask together, punctuation and escaping included.
  overrides_max_characters = 8192
  # A reserve, because AWS does not document how it writes the overrides that it counts: null members, spaces.
  overrides_reserve_characters = 256
  # The envelope of the batch, with the number of attempts that a retry writes there.
  envelope_characters = length(jsonencode(jsonencode({ Records = "", pixpipe = { attempts = 1000 } })))
  empty_overrides_characters = length(jsonencode({ containerOverrides = [
    { name = local.container_name, environment = [{ name = "SQS_BODY", value = "" }] }
  ] }))
  sqs_body_max_characters = (
    local.overrides_max_characters - local.overrides_reserve_characters -
    local.empty_overrides_characters - local.envelope_characters
  )

  # Expressions are files of their own, with comments; in the state machine each is one line without comments.
  jsonata = { for name, text in {
    tasks = templatefile("${path.module}/tasks.jsonata.tftpl", {
      records = local.records_jsonata
      room    = local.sqs_body_max_characters
    })
    failed_message = file("${path.module}/failed_message.jsonata")
    on_spot = templatefile("${path.module}/sqs_body.jsonata.tftpl", {
      tries = "$states.context.State.RetryCount"
    })
    on_demand = templatefile("${path.module}/sqs_body.jsonata.tftpl", {
      tries = "(${var.spot_attempts} + $states.context.State.RetryCount)"
    })
    redrive = templatefile("${path.module}/redrive.jsonata.tftpl", {
      records          = local.records_jsonata
      container        = local.container_name
      max_attempts     = var.max_attempts
      source_queue_url = aws_sqs_queue.source.url
      failed_queue_url = aws_sqs_queue.failed.url
    })
  } : name => "{% ${trimspace(replace(replace(text, "/(?s)\\/\\*.*?\\*\\//", ""), "/\\s*\n\\s*/", " "))} %}" }
  records_jsonata = file("${path.module}/records.jsonata")

  # One RunTask that waits for the task's end; a non-zero exit code fails it.
  sqs_bodies = { FARGATE_SPOT = local.jsonata.on_spot, FARGATE = local.jsonata.on_demand }
  run_task = { for provider, sqs_body in local.sqs_bodies : provider => {
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

  # Errors of launches that were refused, so nothing ran and nothing is billed: too many per second, or no capacity.
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
    Comment       = "Splits a batch of S3 events into tasks whose overrides fit, runs them, and sends failed records on"
    QueryLanguage = "JSONata"
    StartAt       = "Tasks"
    States = {
      Tasks = {
        Type    = "Map"
        Comment = "One iteration per task"
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
              Comment = "Retried after: no capacity, an interruption, a kill, records that could not be handed back"
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
                  cause = join(" ", [
                    "{% $states.errorOutput.Error & \" \" &",
                    "$match($string($states.errorOutput.Cause), /\"StoppedReason\":\"([^\"]*)\"/)[0].groups[0] %}",
                  ])
                }
              }]
              End = true
            })
            HandOver = {
              Type    = "Map"
              Comment = "Sends each record to the failed queue, in a shape that the source queue accepts again"
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
          Comment     = "The batch itself could not be read: its messages are passed on unchanged"
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
                QueueUrl = aws_sqs_queue.failed.url
                MessageBody = join(" ", [
                  "{% $type($states.input.body) = \"string\" ? $states.input.body :",
                  "$string($exists($states.input.body) ? $states.input.body : $states.input) %}",
                ])
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
  #checkov:skip=CKV_AWS_285:a Standard execution keeps its history for 90 days; logging needs rights on every log group
  count = local.batched ? 1 : 0

  name       = var.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.state_machine[0].arn
  definition = jsonencode(local.batch_definition)
  tags       = var.tags

  depends_on = [aws_iam_role_policy.state_machine]
}
