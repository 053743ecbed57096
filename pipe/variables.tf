# --- what and where ---

variable "name" {
  description = "Name of the stack: every resource has this name, or a name that begins with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,31}$", var.name))
    error_message = "name: must be 2 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "image" {
  description = <<-EOT
    Container image of pixpipe with a tag or, better, a digest, such as
    123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe@sha256:…. A private ECR image also gets the pull permissions
    for exactly its repository.
  EOT
  type        = string

  validation {
    condition = can(regex(
      "^[a-z0-9][A-Za-z0-9._:/-]*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})$", var.image
    ))
    error_message = "image: must have a tag (repository:tag) or a digest (repository@sha256:<64 hex digits>)."
  }
}

variable "source_bucket" {
  description = "Name of the bucket whose new objects are resized. It must exist, in this account and region."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.source_bucket))
    error_message = <<-EOT
      source_bucket: must be the name of a bucket (3 to 63 lower-case letters, digits, dots, hyphens), not its ARN or
      URL.
    EOT
  }
}

variable "source_prefix" {
  description = <<-EOT
    Resize only objects whose key begins with this text, taken literally; empty for all. The task may read nothing
    else.
  EOT
  type        = string
  default     = ""

  validation {
    condition = (
      length(var.source_prefix) <= 512 && !startswith(var.source_prefix, "/") &&
      !can(regex("[*?$]|[^\\x{20}-\\x{FF}]", var.source_prefix))
    )
    error_message = <<-EOT
      source_prefix: must have at most 512 characters, no slash at the start (keys have none), no *, ? or $ (IAM would
      read them as wildcards), and none beyond ÿ (IAM takes no others in a policy).
    EOT
  }
}

variable "source_suffixes" {
  description = <<-EOT
    Resize only objects whose key ends with one of these, such as [".jpg", ".png"]; empty for all. With event_source =
    "eventbridge" in any case, so ".jpg" is also ".JPG"; with "s3" exactly as written.
  EOT
  type        = list(string)
  default     = []

  validation {
    condition = (
      length(var.source_suffixes) <= 20 &&
      alltrue([for suffix in var.source_suffixes : can(regex("^[A-Za-z0-9._-]{1,64}$", suffix))])
    )
    error_message = <<-EOT
      source_suffixes: must be at most 20 suffixes, each of 1 to 64 letters, digits, dots, hyphens or underscores.
    EOT
  }

  validation {
    condition = alltrue(flatten([
      for i, one in var.source_suffixes : [
        for k, other in var.source_suffixes : i == k || !endswith(
          var.event_source == "s3" ? one : lower(one), var.event_source == "s3" ? other : lower(other)
        )
      ]
    ]))
    error_message = <<-EOT
      source_suffixes: one of them ends with another one, so S3 would refuse both as overlapping. Remove the longer one,
      or one of two that are equal (case counts only with event_source = "s3").
    EOT
  }
}

variable "destination_bucket" {
  description = "Name of the bucket that receives the results (DEST_BUCKET). It must exist, in this account and region."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.destination_bucket))
    error_message = <<-EOT
      destination_bucket: must be the name of a bucket (3 to 63 lower-case letters, digits, dots, hyphens), not its
      ARN or URL.
    EOT
  }
}

variable "destination_prefix" {
  description = <<-EOT
    Prefix of every output key, taken literally: "thumbs/" or "thumbs-" (DEST_PREFIX). The task may write nothing
    else.
  EOT
  type        = string
  default     = ""

  validation {
    condition = (
      length(var.destination_prefix) <= 512 && !startswith(var.destination_prefix, "/") &&
      !can(regex("[*?$]|[^\\x{20}-\\x{FF}]", var.destination_prefix))
    )
    error_message = <<-EOT
      destination_prefix: must have at most 512 characters, no slash at the start, no *, ? or $ (IAM would read them as
      wildcards), and none beyond ÿ (IAM takes no others in a policy).
    EOT
  }

  validation {
    # As the value of a dimension of the metrics: each byte outside printable ASCII becomes three characters.
    condition     = length(replace(urlencode(var.destination_prefix), "/%[2-7][0-9A-F]/", "-")) <= 900
    error_message = <<-EOT
      destination_prefix: is too long for a dimension of a metric. It may have 900 characters, where each byte outside
      ASCII counts as three.
    EOT
  }

  validation {
    condition = (
      var.source_bucket != var.destination_bucket || !startswith(var.destination_prefix, var.source_prefix)
    )
    error_message = <<-EOT
      destination_prefix: source and destination are the same bucket, and the outputs' prefix begins with
      source_prefix, so every output would start a task again, in an endless loop. Use another bucket, or a
      source_prefix that the outputs do not begin with.
    EOT
  }
}

# --- events and launcher ---

variable "event_source" {
  description = <<-EOT
    How S3 reports a new object: "eventbridge" (any number of stacks per bucket; the bucket must have EventBridge
    switched on) or "s3" (a bucket notification; this module then owns the bucket's whole notification configuration).
  EOT
  type        = string
  default     = "eventbridge"

  validation {
    condition     = contains(["eventbridge", "s3"], var.event_source)
    error_message = "event_source: must be \"eventbridge\" or \"s3\"."
  }
}

variable "manage_bucket_notification" {
  description = <<-EOT
    Let this module own the source bucket's whole notification configuration with event_source = "eventbridge", too: it
    then switches EventBridge on, and replaces whatever the bucket has. Always so with "s3".
  EOT
  type        = bool
  default     = false
}

variable "launcher" {
  description = <<-EOT
    What launches tasks. "batched": the pipe hands batches to Step Functions, which waits while launches are refused
    and tries Spot first. "event": each upload starts such an execution itself, with the least delay. "drain": tasks
    empty the queue when enough messages wait, for the least cost. "direct": the pipe starts one task per message, at
    once; a launch without room or over the vCPU quota may lose the message (README.md, "Which launcher").
  EOT
  type        = string
  default     = "batched"

  validation {
    condition     = contains(["batched", "direct", "drain", "event"], var.launcher)
    error_message = "launcher: must be \"batched\", \"direct\", \"drain\" or \"event\"."
  }

  validation {
    condition     = var.launcher != "event" || var.event_source == "eventbridge"
    error_message = "launcher: \"event\" is a target of EventBridge, so it needs event_source = \"eventbridge\"."
  }
}

variable "batch_size" {
  description = <<-EOT
    Maximum number of messages per launch, 2 to 50; null: 50. Only for the launcher "batched". A batch is one task; if
    it does not fit into the overrides of a task, the task gets its address in the work bucket.
  EOT
  type        = number
  default     = null

  validation {
    condition = var.batch_size == null || try(
      var.batch_size >= 2 && var.batch_size <= 50 && floor(var.batch_size) == var.batch_size, false
    )
    error_message = <<-EOT
      batch_size: must be null or a whole number from 2 to 50 (an execution takes 256 KiB). For one task per message,
      set launcher = "direct".
    EOT
  }

  validation {
    condition     = var.batch_size == null || var.launcher == "batched"
    error_message = "batch_size: is only for the launcher \"batched\"; remove it."
  }
}

variable "batch_window_seconds" {
  description = <<-EOT
    Time that the pipe waits for a batch to fill, 0 to 300 s; null: 60. Only for the launcher "batched".
  EOT
  type        = number
  default     = null

  validation {
    condition = var.batch_window_seconds == null || try(
      var.batch_window_seconds >= 0 && var.batch_window_seconds <= 300 &&
      floor(var.batch_window_seconds) == var.batch_window_seconds, false
    )
    error_message = "batch_window_seconds: must be null or a whole number from 0 to 300."
  }

  validation {
    condition     = coalesce(var.batch_window_seconds, 60) >= 1 || coalesce(var.batch_size, 50) <= 10
    error_message = <<-EOT
      batch_window_seconds: must be at least 1 if batch_size is above 10, because SQS delivers at most 10 messages at
      once.
    EOT
  }

  validation {
    condition     = var.batch_window_seconds == null || var.launcher == "batched"
    error_message = "batch_window_seconds: is only for the launcher \"batched\"; remove it."
  }
}

variable "work_bucket" {
  description = <<-EOT
    Name of an existing bucket, in this account and region, for batches that are too long for the overrides of a task,
    and for reports; null creates one. Let it expire runs/, handed-over/ and reports/ after 30 days, and never batches/.
    Not for the launcher "direct".
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.work_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.work_bucket))
    )
    error_message = <<-EOT
      work_bucket: must be null or the name of a bucket (3 to 63 lower-case letters, digits, dots, hyphens), not its ARN
      or URL.
    EOT
  }

  validation {
    condition     = !contains([var.source_bucket, var.destination_bucket], coalesce(var.work_bucket, "-"))
    error_message = <<-EOT
      work_bucket: must be neither source_bucket, whose objects start tasks, nor destination_bucket. Use another one, or
      null.
    EOT
  }

  validation {
    condition     = var.work_bucket == null || var.launcher != "direct" || var.backfill_enabled
    error_message = "work_bucket: is not for the launcher \"direct\" without backfill_enabled; remove it."
  }
}

variable "batch_objects" {
  description = <<-EOT
    Number of records that a task gets, 10 to 500; null: 500. Only for the launcher "drain". Fewer if they are long:
    180,000 characters of records at most.
  EOT
  type        = number
  default     = null

  validation {
    condition = var.batch_objects == null || try(
      var.batch_objects >= 10 && var.batch_objects <= 500 && floor(var.batch_objects) == var.batch_objects, false
    )
    error_message = <<-EOT
      batch_objects: must be null or a whole number from 10 to 500 (a state keeps the receipt handles of 500 messages).
    EOT
  }

  validation {
    condition     = var.batch_objects == null || var.launcher == "drain"
    error_message = "batch_objects: is only for the launcher \"drain\"; remove it."
  }
}

variable "max_tasks" {
  description = <<-EOT
    Number of tasks at one time, 1 to 1000; null: 4. For the launcher "drain" and, each for itself, for backfills;
    elsewhere the vCPU quota is the bound.
  EOT
  type        = number
  default     = null

  validation {
    condition = var.max_tasks == null || try(
      var.max_tasks >= 1 && var.max_tasks <= 1000 && floor(var.max_tasks) == var.max_tasks, false
    )
    error_message = "max_tasks: must be null or a whole number from 1 to 1000."
  }

  validation {
    condition     = var.max_tasks == null || var.launcher == "drain" || var.backfill_enabled
    error_message = "max_tasks: is only for the launcher \"drain\" and for backfills; remove it."
  }
}

variable "on_demand_tasks" {
  description = <<-EOT
    How many of the max_tasks run on FARGATE from the start; the others on FARGATE_SPOT first. 0 to max_tasks; null: 0.
    Only for the launcher "drain".
  EOT
  type        = number
  default     = null

  validation {
    condition = var.on_demand_tasks == null || try(
      var.on_demand_tasks >= 0 && var.on_demand_tasks <= coalesce(var.max_tasks, 4) &&
      floor(var.on_demand_tasks) == var.on_demand_tasks, false
    )
    error_message = "on_demand_tasks: must be null or a whole number from 0 to max_tasks, ${local.max_tasks}."
  }

  validation {
    condition     = var.on_demand_tasks == null || var.launcher == "drain"
    error_message = "on_demand_tasks: is only for the launcher \"drain\"; remove it."
  }
}

variable "drain_start_messages" {
  description = "Number of waiting messages that starts a drain; null: 500. Only for the launcher \"drain\"."
  type        = number
  default     = null

  validation {
    condition = var.drain_start_messages == null || try(
      var.drain_start_messages >= 1 && var.drain_start_messages <= 1000000 &&
      floor(var.drain_start_messages) == var.drain_start_messages, false
    )
    error_message = "drain_start_messages: must be null or a whole number from 1 to 1000000."
  }

  validation {
    condition     = var.drain_start_messages == null || var.launcher == "drain"
    error_message = "drain_start_messages: is only for the launcher \"drain\"; remove it."
  }
}

variable "drain_start_age_seconds" {
  description = <<-EOT
    Age of the oldest message that starts a drain, however few wait; null: 900. Only for the launcher "drain".
  EOT
  type        = number
  default     = null

  validation {
    condition = var.drain_start_age_seconds == null || try(
      var.drain_start_age_seconds >= 60 && var.drain_start_age_seconds <= 604800 &&
      floor(var.drain_start_age_seconds) == var.drain_start_age_seconds, false
    )
    error_message = "drain_start_age_seconds: must be null or a whole number from 60 to 604800 (a week)."
  }

  validation {
    condition     = var.drain_start_age_seconds == null || var.launcher == "drain"
    error_message = "drain_start_age_seconds: is only for the launcher \"drain\"; remove it."
  }
}

variable "drain_schedule" {
  description = <<-EOT
    Schedule that starts a drain besides, as EventBridge Scheduler takes it: "rate(6 hours)", "cron(0 3 * * ? *)" or
    "at(2026-12-31T22:00:00)"; null for none. Only for the launcher "drain". For nightly work only, raise
    drain_start_messages and drain_start_age_seconds.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.drain_schedule == null || can(regex("^(rate|cron|at)\\([^()]{1,200}\\)$", var.drain_schedule))
    )
    error_message = "drain_schedule: must be null, \"rate(…)\", \"cron(…)\" or \"at(…)\"."
  }

  validation {
    condition     = var.drain_schedule == null || var.launcher == "drain"
    error_message = "drain_schedule: is only for the launcher \"drain\"; remove it."
  }
}

variable "schedule_timezone" {
  description = "Time zone of schedules, by its name in the IANA database, such as \"Europe/Berlin\"."
  type        = string
  default     = "UTC"

  validation {
    condition     = can(regex("^[A-Za-z0-9_+/-]{1,50}$", var.schedule_timezone))
    error_message = "schedule_timezone: must be the name of a time zone, such as \"UTC\" or \"Europe/Berlin\"."
  }
}

variable "schedule_window_minutes" {
  description = "Minutes within which a schedule may start what it starts, 0 to 1440."
  type        = number
  default     = 15

  validation {
    condition = (
      var.schedule_window_minutes >= 0 && var.schedule_window_minutes <= 1440 &&
      floor(var.schedule_window_minutes) == var.schedule_window_minutes
    )
    error_message = "schedule_window_minutes: must be a whole number from 0 to 1440."
  }
}

variable "enabled" {
  description = <<-EOT
    Kill switch: false stops what starts tasks, and forbids every launch. Executions that wait put their records back
    into the source queue, where all events wait up to 14 days; a drain leaves them in the work bucket. Tasks that run
    end by themselves. Nothing is lost.
  EOT
  type        = bool
  default     = true
}

variable "direct_capacity_provider" {
  description = <<-EOT
    Capacity provider of direct tasks, "FARGATE" or "FARGATE_SPOT"; null: FARGATE. Only for the launcher "direct". Spot
    costs about a third, but has no room more often, and a launch without room may lose its message.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.direct_capacity_provider == null || try(
        contains(["FARGATE", "FARGATE_SPOT"], var.direct_capacity_provider), false
      )
    )
    error_message = "direct_capacity_provider: must be null, \"FARGATE\" or \"FARGATE_SPOT\"."
  }

  validation {
    condition     = var.direct_capacity_provider == null || var.launcher == "direct"
    error_message = "direct_capacity_provider: is only for the launcher \"direct\"; remove it."
  }
}

variable "spot_attempts" {
  description = <<-EOT
    Number of attempts of a batch on FARGATE_SPOT before its last attempt, on FARGATE, 1 to 10; null: 3. Only tasks that
    ran count, not launches that were refused. Not for the launcher "direct".
  EOT
  type        = number
  default     = null

  validation {
    condition = var.spot_attempts == null || try(
      var.spot_attempts >= 1 && var.spot_attempts <= 10 && floor(var.spot_attempts) == var.spot_attempts, false
    )
    error_message = "spot_attempts: must be null or a whole number from 1 to 10."
  }

  validation {
    condition     = var.spot_attempts == null || var.launcher != "direct" || var.backfill_enabled
    error_message = "spot_attempts: is not for the launcher \"direct\" without backfill_enabled; remove it."
  }
}

variable "task_timeout_seconds" {
  description = <<-EOT
    Time after which a task ends by itself (TIME_LIMIT_SECONDS): what is unfinished is handed back. A batched execution
    gives up such a task 15 minutes later, and tries again.
  EOT
  type        = number
  default     = 3600

  validation {
    condition = (
      var.task_timeout_seconds >= 300 && var.task_timeout_seconds <= 86400 &&
      floor(var.task_timeout_seconds) == var.task_timeout_seconds
    )
    error_message = "task_timeout_seconds: must be a whole number from 300 to 86400."
  }
}

# --- backfill ---

variable "backfill_enabled" {
  description = <<-EOT
    Create the state machine that runs tasks for what is in the bucket already, or in a list, beside any launcher.
  EOT
  type        = bool
  default     = false
}

variable "backfill_batch_objects" {
  description = <<-EOT
    Maximum number of objects per task of a backfill, 10 to 2000: fewer if their keys have more than 200,000 bytes
    together.
  EOT
  type        = number
  default     = 1000

  validation {
    condition = (
      var.backfill_batch_objects >= 10 && var.backfill_batch_objects <= 2000 &&
      floor(var.backfill_batch_objects) == var.backfill_batch_objects
    )
    error_message = "backfill_batch_objects: must be a whole number from 10 to 2000."
  }
}

variable "list_bucket" {
  description = <<-EOT
    Name of the bucket that holds lists for backfills (CSV, JSON, JSON Lines, S3 Inventory), in this account and region;
    null: source_bucket, where the upload of a list is an event like any other.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.list_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.list_bucket))
    error_message = <<-EOT
      list_bucket: must be null or the name of a bucket (3 to 63 lower-case letters, digits, dots, hyphens), not its ARN
      or URL.
    EOT
  }

  validation {
    condition     = var.list_bucket == null || var.backfill_enabled
    error_message = "list_bucket: is only for backfills; remove it, or set backfill_enabled."
  }
}

variable "list_prefix" {
  description = "Text that the keys of lists begin with, taken literally. A backfill may read no others as lists."
  type        = string
  default     = ""

  validation {
    condition = (
      length(var.list_prefix) <= 512 && !startswith(var.list_prefix, "/") &&
      !can(regex("[*?$]|[^\\x{20}-\\x{FF}]", var.list_prefix))
    )
    error_message = <<-EOT
      list_prefix: must have at most 512 characters, no slash at the start, no *, ? or $ (IAM would read them as
      wildcards), and none beyond ÿ (IAM takes no others in a policy).
    EOT
  }

  validation {
    condition     = var.list_prefix == "" || var.backfill_enabled
    error_message = "list_prefix: is only for backfills; remove it, or set backfill_enabled."
  }
}

variable "backfill_schedule" {
  description = <<-EOT
    When backfills start by themselves, as EventBridge Scheduler writes it: "rate(7 days)", "cron(0 3 * * ? *)" or
    "at(2026-01-31T03:00:00)"; null: by hand only. What is done already is left alone, so this also repairs gaps.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.backfill_schedule == null || can(regex("^(rate|cron|at)\\([^()]{1,240}\\)$", var.backfill_schedule))
    )
    error_message = <<-EOT
      backfill_schedule: must be null, "rate(…)", "cron(…)" or "at(…)", such as "rate(7 days)".
    EOT
  }

  validation {
    condition     = var.backfill_schedule == null || var.backfill_enabled
    error_message = "backfill_schedule: needs backfill_enabled."
  }
}

variable "backfill_input" {
  description = <<-EOT
    What a scheduled backfill does, exactly one of: { list = { prefix = "…" } } (the bucket; the prefix may be left
    out), { csv = { key = "…" } }, { json = { key = "…" } }, { jsonl = { key = "…" } },
    { inventory = { key = "…/manifest.json" } }; null: { list = {} }.
  EOT
  type = object({
    list      = optional(object({ prefix = optional(string) }))
    csv       = optional(object({ key = string }))
    json      = optional(object({ key = string }))
    jsonl     = optional(object({ key = string }))
    inventory = optional(object({ key = string }))
  })
  default = null

  validation {
    condition = var.backfill_input == null || try(
      length([for what in values(var.backfill_input) : what if what != null]) == 1, false
    )
    error_message = "backfill_input: must have exactly one of list, csv, json, jsonl and inventory."
  }

  validation {
    condition = startswith(
      try(coalesce(var.backfill_input.list.prefix, var.source_prefix), var.source_prefix), var.source_prefix
    )
    error_message = "backfill_input: the prefix of its list must begin with source_prefix (${var.source_prefix})."
  }

  validation {
    condition = alltrue([for what in try(values(var.backfill_input), []) :
      startswith(try(what.key, var.list_prefix), var.list_prefix)
    ])
    error_message = "backfill_input: the key of its list must begin with list_prefix (${var.list_prefix})."
  }

  validation {
    condition     = var.backfill_input == null || var.backfill_schedule != null
    error_message = "backfill_input: is only for a schedule; set backfill_schedule, or start a backfill by hand."
  }
}

variable "backfill_topic_arn" {
  description = <<-EOT
    SNS topic that is told when a backfill has finished, with its counts; null: only EventBridge is. The topic's policy
    must let events.amazonaws.com publish.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.backfill_topic_arn == null ||
      can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.backfill_topic_arn))
    )
    error_message = "backfill_topic_arn: must be the ARN of a standard SNS topic (arn:aws:sns:region:account:name)."
  }

  validation {
    condition     = var.backfill_topic_arn == null || var.backfill_enabled
    error_message = "backfill_topic_arn: needs backfill_enabled."
  }
}

# --- task ---

variable "subnet_ids" {
  description = <<-EOT
    Subnets of the tasks. They must reach ECR, CloudWatch Logs, SQS and S3: public ones with assign_public_ip, or
    private ones with NAT or VPC endpoints.
  EOT
  type        = list(string)

  validation {
    condition = (
      length(var.subnet_ids) >= 1 && length(var.subnet_ids) <= 16 &&
      alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    )
    error_message = "subnet_ids: must be 1 to 16 subnet IDs (subnet-…)."
  }
}

variable "security_group_ids" {
  description = "Security groups of the tasks. No inbound rule is needed; outbound HTTPS (443) must be allowed."
  type        = list(string)

  validation {
    condition = (
      length(var.security_group_ids) >= 1 && length(var.security_group_ids) <= 5 &&
      alltrue([for id in var.security_group_ids : startswith(id, "sg-")])
    )
    error_message = "security_group_ids: must be 1 to 5 security group IDs (sg-…)."
  }
}

variable "assign_public_ip" {
  description = <<-EOT
    Give each task a public address. Required in public subnets: without a public address, NAT or VPC endpoints, the
    image cannot be pulled.
  EOT
  type        = bool
  default     = false
}

variable "cluster_arn" {
  description = <<-EOT
    ECS cluster to run in; null creates one. An existing cluster must be in this account and region, and needs the
    capacity providers FARGATE and FARGATE_SPOT.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.cluster_arn == null ||
      can(regex("^arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+$", var.cluster_arn))
    )
    error_message = "cluster_arn: must be the ARN of a cluster (arn:aws:ecs:region:account:cluster/name), not its name."
  }
}

variable "cpu_architecture" {
  description = "CPU architecture: ARM64 (a fifth cheaper) or X86_64. The image must support it."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture: must be \"ARM64\" or \"X86_64\"."
  }
}

variable "task_cpu_units" {
  description = <<-EOT
    CPU of a task: 1024 units are one vCPU. null: 1024 for the launcher "drain", whose tasks have hundreds of photos,
    else 256: small tasks cost less, since every task is billed for at least a minute, and more of them fit into the
    account's vCPU quota.
  EOT
  type        = number
  default     = null

  validation {
    condition = (
      var.task_cpu_units == null || try(contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.task_cpu_units), false)
    )
    error_message = "task_cpu_units: must be null, 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "task_memory_mib" {
  description = <<-EOT
    Memory of a task and, in bytes, its MEMORY_LIMIT_BYTES. Fargate offers it in steps that depend on task_cpu_units.
    null: the least of them from 1024 up, from 2048 for the launcher "drain". 1024 is enough for a photo of 250
    megapixels; what needs more fails as "too-many-pixels".
  EOT
  type        = number
  default     = null

  validation {
    condition = var.task_memory_mib == null || try(
      contains(lookup(local.fargate_memory_mib, tostring(local.task_cpu_units), []), var.task_memory_mib), false
    )
    error_message = <<-EOT
      task_memory_mib: Fargate does not offer this with ${local.task_cpu_units} CPU units; use null or one of
      ${join(", ", lookup(local.fargate_memory_mib, tostring(local.task_cpu_units), []))}.
    EOT
  }
}

# --- task settings: environment variables of the program (docs/contract.md of the repository) ---

variable "preset" {
  description = <<-EOT
    The picture that a library would have made, by a name of docs/presets.md of the repository, such as
    "torchvision-256-224" (PRESET); null: none. It sets sizes, fit, crop_round and filter, which may not be set beside
    it, and decode = "exact", color = "ignore" and format = "png", which may.
  EOT
  type        = string
  default     = null

  validation {
    condition = var.preset == null || try(contains([
      "torchvision-256-224", "torchvision-232-224", "torchvision-342-299", "timm-875-224", "timm-900-224",
      "timm-950-224", "timm-965-224", "clip-224", "hf-clip-224", "hf-vit-224", "fid-299",
    ], var.preset), false)
    error_message = <<-EOT
      preset: must be null, torchvision-256-224, torchvision-232-224, torchvision-342-299, timm-875-224, timm-900-224,
      timm-950-224, timm-965-224, clip-224, hf-clip-224, hf-vit-224 or fid-299.
    EOT
  }

  validation {
    condition = var.preset == null || alltrue([
      for setting in [var.sizes, var.fit, var.crop_round, var.filter] : setting == null
    ])
    error_message = "preset: sets sizes, fit, crop_round and filter; remove them, or the preset."
  }
}

variable "sizes" {
  description = <<-EOT
    Output sizes of every source (SIZES); null: ["224"]. "N" (N×N) or "WxH", placed by fit; "N@R" or "WxH@R": the short
    side is scaled to R, and the centre cut out. Each number is 1 to 4096 px.
  EOT
  type        = list(string)
  default     = null

  validation {
    condition = var.sizes == null || try(
      length(var.sizes) >= 1 && alltrue([
        for size in var.sizes :
        can(regex("^[1-9][0-9]{0,3}(x[1-9][0-9]{0,3})?(@[1-9][0-9]{0,3})?$", size)) &&
        alltrue([for side in split("x", replace(size, "@", "x")) : tonumber(side) <= 4096])
      ]), false
    )
    error_message = <<-EOT
      sizes: must be null or at least one size, each "N", "WxH", "N@R" or "WxH@R" with numbers from 1 to 4096, such as
      ["224@256", "640x480"].
    EOT
  }

  validation {
    condition = var.sizes == null || try(alltrue([
      for size in var.sizes : alltrue([
        for side in split("x", split("@", size)[0]) : tonumber(side) <= tonumber(split("@", "${size}@4096")[1])
      ])
    ]), true)
    error_message = "sizes: R of \"N@R\" must be at least as long as the sides that are cut out."
  }

  validation {
    # "N" is "NxN". A size that is given twice counts once.
    condition = var.sizes == null || length(distinct([
      for size in coalesce(var.sizes, []) :
      split("@", strcontains(size, "x") ? size : replace(size, "/^[0-9]+/", "$${0}x$${0}"))[0]
      ])) == length(distinct([
      for size in coalesce(var.sizes, []) : strcontains(size, "x") ? size : replace(size, "/^[0-9]+/", "$${0}x$${0}")
    ]))
    error_message = <<-EOT
      sizes: two of them have one folder, such as "224" and "224@256"; use two stacks with prefixes of their own.
    EOT
  }
}

variable "fit" {
  description = <<-EOT
    Fit of the source into the size (FIT); null: cover. cover (fill it and crop the centre), contain (fit inside and pad
    with background), stretch (ignore the aspect ratio) or short (scale the short side to N and keep the aspect ratio).
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.fit == null || try(contains(["cover", "contain", "stretch", "short"], var.fit), false)
    error_message = "fit: must be null, \"cover\", \"contain\", \"stretch\" or \"short\"."
  }

  validation {
    condition = (
      contains(["cover", "short"], coalesce(var.fit, "cover")) ||
      !strcontains(join(",", coalesce(var.sizes, ["224"])), "@")
    )
    error_message = "fit: must be \"cover\" if a size is \"N@R\", which cuts the centre out."
  }

  validation {
    condition = coalesce(var.fit, "cover") != "short" || alltrue([
      for size in coalesce(var.sizes, ["224"]) :
      try(tonumber(size) <= lookup({ jpeg = 4093, webp = 1024 }, coalesce(var.format, "jpeg"), 4096), false)
    ])
    error_message = <<-EOT
      fit: with "short", every size must be "N", of 4093 px at most with format = "jpeg" and of 1024 with "webp": the
      long side may be 16 N.
    EOT
  }
}

variable "crop_round" {
  description = <<-EOT
    Where "N@R" cuts if half a pixel is left (CROP_ROUND); null: even. even as torchvision, timm and open_clip, floor as
    transformers.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.crop_round == null || try(contains(["even", "floor"], var.crop_round), false)
    error_message = "crop_round: must be null, \"even\" or \"floor\"."
  }
}

variable "filter" {
  description = "Resampling filter, the same as Pillow's (FILTER); null: lanczos3."
  type        = string
  default     = null

  validation {
    condition = (
      var.filter == null || try(contains(["box", "bilinear", "hamming", "bicubic", "lanczos3"], var.filter), false)
    )
    error_message = "filter: must be null, \"box\", \"bilinear\", \"hamming\", \"bicubic\" or \"lanczos3\"."
  }
}

variable "decode" {
  description = <<-EOT
    Decoding of JPEG sources (DECODE); null: fast, or the preset's. fast (DCT-scaled, to at least twice the target size)
    or exact (full size).
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.decode == null || try(contains(["fast", "exact"], var.decode), false)
    error_message = "decode: must be null, \"fast\" or \"exact\"."
  }
}

variable "color" {
  description = <<-EOT
    Colour handling (COLOR); null: srgb, or the preset's. srgb (an embedded ICC profile that is not sRGB is converted)
    or ignore (the numbers as stored).
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.color == null || try(contains(["srgb", "ignore"], var.color), false)
    error_message = "color: must be null, \"srgb\" or \"ignore\"."
  }
}

variable "background" {
  description = "Colour (RRGGBB) of the padding of contain, and behind transparent pixels (BACKGROUND)."
  type        = string
  default     = "000000"

  validation {
    condition     = can(regex("^[0-9A-Fa-f]{6}$", var.background))
    error_message = "background: must be six hexadecimal digits, RRGGBB, without #."
  }
}

variable "format" {
  description = <<-EOT
    Output format (FORMAT); null: jpeg, or the preset's. jpeg, png, webp (lossless) or npy (uint8, height × width × 3).
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.format == null || try(contains(["jpeg", "png", "webp", "npy"], var.format), false)
    error_message = "format: must be null, \"jpeg\", \"png\", \"webp\" or \"npy\"."
  }
}

variable "jpeg_quality" {
  description = "Quality of JPEG outputs, 1 to 100 (JPEG_QUALITY)."
  type        = number
  default     = 90

  validation {
    condition     = var.jpeg_quality >= 1 && var.jpeg_quality <= 100 && floor(var.jpeg_quality) == var.jpeg_quality
    error_message = "jpeg_quality: must be a whole number from 1 to 100."
  }
}

variable "jpeg_subsampling" {
  description = "Chroma subsampling of JPEG outputs: 420 or 444 (JPEG_SUBSAMPLING)."
  type        = string
  default     = "420"

  validation {
    condition     = contains(["420", "444"], var.jpeg_subsampling)
    error_message = "jpeg_subsampling: must be \"420\" or \"444\"."
  }
}

variable "max_source_bytes" {
  description = "Maximum size of an object; a larger one is refused before it is downloaded (MAX_SOURCE_BYTES)."
  type        = number
  default     = 268435456

  validation {
    condition = (
      var.max_source_bytes >= 1 && var.max_source_bytes <= 17179869184 &&
      floor(var.max_source_bytes) == var.max_source_bytes
    )
    error_message = "max_source_bytes: must be a whole number of bytes from 1 to 17179869184."
  }
}

variable "max_source_pixels" {
  description = "Maximum number of pixels of an image; a larger one is refused from its header (MAX_SOURCE_PIXELS)."
  type        = number
  default     = 268435456

  validation {
    condition = (
      var.max_source_pixels >= 1 && var.max_source_pixels <= 17179869184 &&
      floor(var.max_source_pixels) == var.max_source_pixels
    )
    error_message = "max_source_pixels: must be a whole number of pixels from 1 to 17179869184."
  }
}

variable "concurrency_objects" {
  description = "Objects in flight in one task; null derives it from the number of CPUs (CONCURRENCY)."
  type        = number
  default     = null

  validation {
    condition = var.concurrency_objects == null || try(
      var.concurrency_objects >= 1 && var.concurrency_objects <= 1024 &&
      floor(var.concurrency_objects) == var.concurrency_objects, false
    )
    error_message = "concurrency_objects: must be null or a whole number from 1 to 1024."
  }
}

variable "grace_seconds" {
  description = <<-EOT
    Time that objects in flight may take after SIGTERM (GRACE_SECONDS). The container is killed 120 s after SIGTERM,
    and handing records back takes some of that time.
  EOT
  type        = number
  default     = 90

  validation {
    condition     = var.grace_seconds >= 0 && var.grace_seconds <= 110 && floor(var.grace_seconds) == var.grace_seconds
    error_message = <<-EOT
      grace_seconds: must be a whole number from 0 to 110 (the container is killed 120 s after SIGTERM).
    EOT
  }
}

variable "skip_unchanged" {
  description = "Skip sources whose outputs exist and are up to date; false makes every output again (SKIP_UNCHANGED)."
  type        = bool
  default     = true
}

variable "max_attempts" {
  description = "Number of attempts after which a record goes to the failed queue (MAX_ATTEMPTS)."
  type        = number
  default     = 3

  validation {
    condition     = var.max_attempts >= 1 && var.max_attempts <= 100 && floor(var.max_attempts) == var.max_attempts
    error_message = "max_attempts: must be a whole number from 1 to 100."
  }
}

variable "log_format" {
  description = "Log format: json or text (LOG_FORMAT). The dashboard and two alarms need json."
  type        = string
  default     = "json"

  validation {
    condition     = contains(["json", "text"], var.log_format)
    error_message = "log_format: must be \"json\" or \"text\"."
  }
}

variable "rust_log" {
  description = "Verbosity of the log: a level, or directives of the Rust crate tracing-subscriber (RUST_LOG)."
  type        = string
  default     = "info"

  validation {
    condition     = can(regex("^[A-Za-z0-9_:=,./\\[\\]{}-]{1,256}$", var.rust_log))
    error_message = <<-EOT
      rust_log: must be a level (error, warn, info, debug, trace) or directives such as "info,pixpipe=debug".
    EOT
  }
}

variable "aws_environment" {
  description = "AWS_* settings of the task's SDK, such as AWS_ENDPOINT_URL_S3 or AWS_USE_FIPS_ENDPOINT."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for name in keys(var.aws_environment) :
      can(regex("^AWS_[A-Z0-9_]+$", name)) && !can(regex("KEY|TOKEN|SECRET", name))
    ])
    error_message = <<-EOT
      aws_environment: names must begin with AWS_ and must not be credentials (the task gets them from its role).
    EOT
  }
}

# --- encryption, logs, alarms ---

variable "source_kms_key_arn" {
  description = <<-EOT
    KMS key of the source bucket's objects (SSE-KMS); null if they have none. The task may decrypt with it, through S3
    only.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.source_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.source_kms_key_arn))
    )
    error_message = "source_kms_key_arn: must be the ARN of a key (arn:aws:kms:region:account:key/id), not an alias."
  }
}

variable "destination_kms_key_arn" {
  description = "KMS key that the destination bucket encrypts with by default; null if it has none."
  type        = string
  default     = null

  validation {
    condition = (
      var.destination_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.destination_kms_key_arn))
    )
    error_message = <<-EOT
      destination_kms_key_arn: must be the ARN of a key (arn:aws:kms:region:account:key/id), not an alias.
    EOT
  }
}

variable "queue_kms_key_arn" {
  description = <<-EOT
    KMS key of the queues; null for SQS's own encryption. The key's policy must let events.amazonaws.com (or
    s3.amazonaws.com) use it; docs/rights.md has the statement.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.queue_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.queue_kms_key_arn))
    )
    error_message = "queue_kms_key_arn: must be the ARN of a key (arn:aws:kms:region:account:key/id), not an alias."
  }
}

variable "work_kms_key_arn" {
  description = <<-EOT
    KMS key of the work bucket, which a bucket that this module creates uses for every object; null for S3's own
    encryption. Tasks and state machines may use it, through S3 only. Not for the launcher "direct".
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.work_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.work_kms_key_arn))
    )
    error_message = "work_kms_key_arn: must be the ARN of a key (arn:aws:kms:region:account:key/id), not an alias."
  }

  validation {
    condition     = var.work_kms_key_arn == null || var.launcher != "direct" || var.backfill_enabled
    error_message = "work_kms_key_arn: is not for the launcher \"direct\" without backfill_enabled; remove it."
  }
}

variable "log_kms_key_arn" {
  description = <<-EOT
    KMS key of the log groups; null for CloudWatch's own encryption. The key's policy must let
    logs.<region>.amazonaws.com use it.
  EOT
  type        = string
  default     = null

  validation {
    condition = (
      var.log_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.log_kms_key_arn))
    )
    error_message = "log_kms_key_arn: must be the ARN of a key (arn:aws:kms:region:account:key/id), not an alias."
  }
}

variable "log_retention_days" {
  description = "Retention of the logs."
  type        = number
  default     = 30

  validation {
    condition = contains([
      1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
    ], var.log_retention_days)
    error_message = <<-EOT
      log_retention_days: must be one of CloudWatch's steps: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545,
      731, 1096, 1827, 2192, 2557, 2922, 3288, 3653.
    EOT
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that the alarms notify; null creates the alarms without notifying anyone."
  type        = string
  default     = null

  validation {
    condition = (
      var.alarm_topic_arn == null ||
      can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.alarm_topic_arn))
    )
    error_message = "alarm_topic_arn: must be the ARN of a standard SNS topic (arn:aws:sns:region:account:name)."
  }
}

variable "alarm_oldest_message_seconds" {
  description = "Age of the oldest message in the source queue that raises an alarm."
  type        = number
  default     = 1800

  validation {
    condition = (
      var.alarm_oldest_message_seconds >= 60 && var.alarm_oldest_message_seconds <= 1209600 &&
      floor(var.alarm_oldest_message_seconds) == var.alarm_oldest_message_seconds
    )
    error_message = <<-EOT
      alarm_oldest_message_seconds: must be a whole number from 60 to 1209600 (14 days, when SQS drops the message).
    EOT
  }
}

variable "dashboard_enabled" {
  description = "Create the CloudWatch dashboard (3 $ a month beyond the account's first three)."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of every resource that takes tags, and of the tasks."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.tags) <= 40 && alltrue([for key in keys(var.tags) : !startswith(key, "aws:")])
    error_message = "tags: must be at most 40, and none may begin with aws:."
  }
}
