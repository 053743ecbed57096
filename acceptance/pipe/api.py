"""The API requests that a stack implies, checked against botocore's own service models."""

import json
import re

import botocore.session

SESSION = botocore.session.get_session()


def faults(service, operation, parameters):
    """Violations of the service's model in a request: unknown and missing members, types, enums, patterns, ranges."""
    found = []
    strict(SESSION.get_service_model(service).operation_model(operation).input_shape, parameters, operation, found)
    return found


def strict(shape, value, path, found):
    meta = shape.metadata
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            found.append(f"{path}: not an object")
            return
        for name, member in value.items():
            if name not in shape.members:
                found.append(f"{path}.{name}: no such member")
            else:
                strict(shape.members[name], member, f"{path}.{name}", found)
        found.extend(f"{path}.{name}: missing" for name in shape.required_members if name not in value)
    elif shape.type_name == "list":
        if not isinstance(value, list):
            found.append(f"{path}: not a list")
            return
        if not meta.get("min", 0) <= len(value) <= meta.get("max", len(value)):
            found.append(f"{path}: {len(value)} elements, not {meta.get('min', 0)} to {meta.get('max')}")
        for index, element in enumerate(value):
            strict(shape.member, element, f"{path}[{index}]", found)
    elif shape.type_name == "map":
        for key, member in value.items():
            strict(shape.key, key, f"{path}.{key}", found)
            strict(shape.value, member, f"{path}.{key}", found)
    elif shape.type_name == "string":
        if not isinstance(value, str):
            found.append(f"{path}: not a string")
            return
        if meta.get("enum") and value not in meta["enum"]:
            found.append(f"{path}: {value!r} is none of {meta['enum']}")
        if meta.get("pattern") and not re.search(anchored(meta["pattern"]), value, re.S):
            found.append(f"{path}: {value!r} is not {meta['pattern'][:70]}")
        if not meta.get("min", 0) <= len(value) <= meta.get("max", len(value)):
            found.append(f"{path}: {len(value)} characters, not {meta.get('min', 0)} to {meta.get('max')}")
    elif shape.type_name in ("integer", "long"):
        if isinstance(value, bool) or not isinstance(value, int):
            found.append(f"{path}: {value!r} is not a whole number")
        elif not meta.get("min", value) <= value <= meta.get("max", value):
            found.append(f"{path}: {value} is not {meta.get('min')} to {meta.get('max')}")
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        found.append(f"{path}: not true or false")


def anchored(pattern):
    """A model's pattern in Python's syntax, Java's \\p classes replaced, anchored at both ends."""
    pattern = pattern.replace("(?s)", "").replace(r"\p{L}", r"\w").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
    return "^(?:" + pattern + ")$"


def whole(value):
    """A number of Terraform as the whole number that the API expects."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def present(**members):
    """The members that are set."""
    return {k: v for k, v in members.items() if v is not None and v != []}


def only(blocks):
    """The first block, or None."""
    return blocks[0] if blocks else None


def create_pipe(stack):
    """CreatePipe, as the provider sends it: whole numbers that an override omits become 0."""
    pipe = stack["aws_pipes_pipe.this[0]"]
    source, target = pipe["source_parameters"][0], pipe["target_parameters"][0]
    sqs, ecs = source["sqs_queue_parameters"][0], only(target["ecs_task_parameters"])
    machine = only(target["step_function_state_machine_parameters"])
    log = only(pipe["log_configuration"])
    return present(
        Name=pipe["name"],
        Description=pipe["description"],
        DesiredState=pipe["desired_state"],
        RoleArn=pipe["role_arn"],
        Source=pipe["source"],
        Target=pipe["target"],
        Tags=pipe["tags"],
        SourceParameters={
            "SqsQueueParameters": present(
                BatchSize=whole(sqs["batch_size"]),
                MaximumBatchingWindowInSeconds=whole(sqs["maximum_batching_window_in_seconds"]),
            ),
            "FilterCriteria": {"Filters": [{"Pattern": f["pattern"]} for f in source["filter_criteria"][0]["filter"]]},
        },
        TargetParameters=present(
            InputTemplate=target["input_template"] or None,
            EcsTaskParameters=ecs and ecs_task_parameters(ecs),
            StepFunctionStateMachineParameters=machine and {"InvocationType": machine["invocation_type"]},
        ),
        LogConfiguration=log
        and present(
            Level=log["level"],
            IncludeExecutionData=log["include_execution_data"],
            CloudwatchLogsLogDestination={"LogGroupArn": log["cloudwatch_logs_log_destination"][0]["log_group_arn"]},
        ),
    )


def ecs_task_parameters(ecs):
    vpc = ecs["network_configuration"][0]["aws_vpc_configuration"][0]
    override = ecs["overrides"][0]
    return present(
        TaskDefinitionArn=ecs["task_definition_arn"],
        TaskCount=whole(ecs["task_count"]),
        LaunchType=ecs["launch_type"] or None,
        PropagateTags=ecs["propagate_tags"] or None,
        EnableECSManagedTags=ecs["enable_ecs_managed_tags"],
        CapacityProviderStrategy=[
            present(capacityProvider=s["capacity_provider"], weight=whole(s["weight"]))
            for s in ecs["capacity_provider_strategy"]
        ],
        NetworkConfiguration={
            "awsvpcConfiguration": present(
                Subnets=vpc["subnets"], SecurityGroups=vpc["security_groups"], AssignPublicIp=vpc["assign_public_ip"]
            )
        },
        Overrides=present(
            Cpu=override["cpu"] or None,
            Memory=override["memory"] or None,
            ContainerOverrides=[
                {
                    "Name": c["name"],
                    "Cpu": whole(c["cpu"] or 0),
                    "Memory": whole(c["memory"] or 0),
                    "Environment": [{"name": e["name"], "value": e["value"]} for e in c["environment"]],
                }
                for c in override["container_override"]
            ],
        ),
    )


def lower_first(value):
    """The parameters of a state machine's RunTask with the API's names."""
    if isinstance(value, dict):
        return {
            ("enableECSManagedTags" if k == "EnableECSManagedTags" else k[:1].lower() + k[1:]): lower_first(v)
            for k, v in value.items()
        }
    return [lower_first(v) for v in value] if isinstance(value, list) else value


def run_task_of_pipe(request, overrides):
    """The RunTask that a pipe sends for a message."""
    ecs = request["TargetParameters"]["EcsTaskParameters"]
    vpc = ecs["NetworkConfiguration"]["awsvpcConfiguration"]
    return present(
        cluster=request["Target"],
        taskDefinition=ecs["TaskDefinitionArn"],
        count=ecs.get("TaskCount"),
        launchType=ecs.get("LaunchType"),
        capacityProviderStrategy=ecs.get("CapacityProviderStrategy"),
        propagateTags=ecs.get("PropagateTags"),
        enableECSManagedTags=ecs.get("EnableECSManagedTags"),
        overrides=overrides,
        networkConfiguration={"awsvpcConfiguration": lower_first(vpc)},
    )


def register_task_definition(stack):
    task = stack["aws_ecs_task_definition.this"]
    platform = task["runtime_platform"][0]
    return {
        "family": task["family"],
        "requiresCompatibilities": task["requires_compatibilities"],
        "networkMode": task["network_mode"],
        "cpu": task["cpu"],
        "memory": task["memory"],
        "executionRoleArn": task["execution_role_arn"],
        "taskRoleArn": task["task_role_arn"],
        "runtimePlatform": {
            "operatingSystemFamily": platform["operating_system_family"],
            "cpuArchitecture": platform["cpu_architecture"],
        },
        "containerDefinitions": json.loads(task["container_definitions"]),
        "tags": [{"key": k, "value": v} for k, v in (task["tags"] or {}).items()],
    }


def create_schedule(schedule):
    (window,), (target,) = schedule["flexible_time_window"], schedule["target"]
    (retry,), dead_letters = target["retry_policy"], only(target["dead_letter_config"])
    return present(
        Name=schedule["name"],
        GroupName=schedule["group_name"],
        Description=schedule["description"],
        ScheduleExpression=schedule["schedule_expression"],
        ScheduleExpressionTimezone=schedule["schedule_expression_timezone"],
        State=schedule["state"],
        FlexibleTimeWindow=present(
            Mode=window["mode"], MaximumWindowInMinutes=whole(window["maximum_window_in_minutes"])
        ),
        Target=present(
            Arn=target["arn"],
            RoleArn=target["role_arn"],
            Input=target["input"],
            RetryPolicy={
                "MaximumEventAgeInSeconds": whole(retry["maximum_event_age_in_seconds"]),
                "MaximumRetryAttempts": whole(retry["maximum_retry_attempts"]),
            },
            DeadLetterConfig=dead_letters and {"Arn": dead_letters["arn"]},
        ),
    )


def bucket_requests(stack):
    """Those that create and configure the work bucket."""
    for address, bucket in stack.of_type("aws_s3_bucket").items():
        yield address, "s3", "CreateBucket", {"Bucket": bucket["bucket"]}
    for address, block in stack.of_type("aws_s3_bucket_public_access_block").items():
        yield (
            address,
            "s3",
            "PutPublicAccessBlock",
            {
                "Bucket": block["bucket"],
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": block["block_public_acls"],
                    "IgnorePublicAcls": block["ignore_public_acls"],
                    "BlockPublicPolicy": block["block_public_policy"],
                    "RestrictPublicBuckets": block["restrict_public_buckets"],
                },
            },
        )
    for address, controls in stack.of_type("aws_s3_bucket_ownership_controls").items():
        rules = [{"ObjectOwnership": rule["object_ownership"]} for rule in controls["rule"]]
        yield (
            address,
            "s3",
            "PutBucketOwnershipControls",
            {"Bucket": controls["bucket"], "OwnershipControls": {"Rules": rules}},
        )
    for address, encryption in stack.of_type("aws_s3_bucket_server_side_encryption_configuration").items():
        rules = [
            {
                "BucketKeyEnabled": rule["bucket_key_enabled"],
                "ApplyServerSideEncryptionByDefault": present(
                    SSEAlgorithm=default["sse_algorithm"], KMSMasterKeyID=default["kms_master_key_id"] or None
                ),
            }
            for rule in encryption["rule"]
            for default in rule["apply_server_side_encryption_by_default"]
        ]
        yield (
            address,
            "s3",
            "PutBucketEncryption",
            {"Bucket": encryption["bucket"], "ServerSideEncryptionConfiguration": {"Rules": rules}},
        )
    for address, lifecycle in stack.of_type("aws_s3_bucket_lifecycle_configuration").items():
        rules = [
            present(
                ID=rule["id"],
                Status=rule["status"],
                Filter=present(Prefix=rule["filter"][0]["prefix"] or None),
                Expiration=only([{"Days": whole(one["days"])} for one in rule["expiration"]]),
                AbortIncompleteMultipartUpload=only([
                    {"DaysAfterInitiation": whole(one["days_after_initiation"])}
                    for one in rule["abort_incomplete_multipart_upload"]
                ]),
            )
            for rule in lifecycle["rule"]
        ]
        yield (
            address,
            "s3",
            "PutBucketLifecycleConfiguration",
            {"Bucket": lifecycle["bucket"], "LifecycleConfiguration": {"Rules": rules}},
        )
    for address, policy in stack.of_type("aws_s3_bucket_policy").items():
        yield address, "s3", "PutBucketPolicy", {"Bucket": policy["bucket"], "Policy": policy["policy"]}


def all_requests(stack):
    """(label, service, operation, parameters) of every request with which the stack creates something."""
    if "aws_pipes_pipe.this[0]" in stack:
        yield "pipe", "pipes", "CreatePipe", create_pipe(stack)
    yield "task definition", "ecs", "RegisterTaskDefinition", register_task_definition(stack)
    for address, machine in stack.of_type("aws_sfn_state_machine").items():
        yield (
            address,
            "stepfunctions",
            "CreateStateMachine",
            present(
                name=machine["name"],
                definition=machine["definition"],
                roleArn=machine["role_arn"],
                type=machine["type"],
                tags=[{"key": k, "value": v} for k, v in (machine["tags"] or {}).items()],
            ),
        )
        yield address, "stepfunctions", "StartExecution", {"stateMachineArn": machine["arn"], "input": "[]"}
    for address, rule in stack.of_type("aws_cloudwatch_event_rule").items():
        yield (
            address,
            "events",
            "PutRule",
            present(
                Name=rule["name"],
                Description=rule["description"],
                State=rule["state"],
                EventPattern=rule["event_pattern"],
                Tags=[{"Key": k, "Value": v} for k, v in (rule["tags"] or {}).items()],
            ),
        )
    for address, target in stack.of_type("aws_cloudwatch_event_target").items():
        retry, dead_letters = target["retry_policy"][0], only(target["dead_letter_config"])
        yield (
            address,
            "events",
            "PutTargets",
            {
                "Rule": target["rule"],
                "Targets": [
                    present(
                        Id=target["target_id"],
                        Arn=target["arn"],
                        RoleArn=target["role_arn"] or None,
                        InputPath=target["input_path"] or None,
                        Input=target["input"] or None,
                        RetryPolicy={
                            "MaximumRetryAttempts": whole(retry["maximum_retry_attempts"]),
                            "MaximumEventAgeInSeconds": whole(retry["maximum_event_age_in_seconds"]),
                        },
                        DeadLetterConfig=dead_letters and {"Arn": dead_letters["arn"]},
                    )
                ],
            },
        )
    for address, bucket in stack.of_type("aws_s3_bucket_notification").items():
        yield (
            address,
            "s3",
            "PutBucketNotificationConfiguration",
            {
                "Bucket": bucket["bucket"],
                "NotificationConfiguration": present(
                    EventBridgeConfiguration={} if bucket["eventbridge"] else None,
                    QueueConfigurations=[
                        {
                            "Id": q["id"],
                            "QueueArn": q["queue_arn"],
                            "Events": q["events"],
                            "Filter": {
                                "Key": {
                                    "FilterRules": [
                                        {"Name": name, "Value": q[f"filter_{name}"]}
                                        for name in ("prefix", "suffix")
                                        if q[f"filter_{name}"]
                                    ]
                                }
                            },
                        }
                        for q in bucket["queue"]
                    ],
                ),
            },
        )
    for address, group in stack.of_type("aws_scheduler_schedule_group").items():
        yield address, "scheduler", "CreateScheduleGroup", {"Name": group["name"]}
    for address, schedule in stack.of_type("aws_scheduler_schedule").items():
        yield address, "scheduler", "CreateSchedule", create_schedule(schedule)
    yield from bucket_requests(stack)
    for address, queue in stack.of_type("aws_sqs_queue").items():
        yield (
            address,
            "sqs",
            "CreateQueue",
            {
                "QueueName": queue["name"],
                "Attributes": {
                    "MessageRetentionPeriod": str(queue["message_retention_seconds"]),
                    "MaximumMessageSize": str(queue["max_message_size"]),
                },
            },
        )
    for address, alarm in stack.of_type("aws_cloudwatch_metric_alarm").items():
        yield (
            address,
            "cloudwatch",
            "PutMetricAlarm",
            present(
                AlarmName=alarm["alarm_name"],
                AlarmDescription=alarm["alarm_description"],
                AlarmActions=alarm["alarm_actions"],
                OKActions=alarm["ok_actions"],
                Namespace=alarm["namespace"] or None,
                MetricName=alarm["metric_name"] or None,
                Statistic=alarm["statistic"] or None,
                Dimensions=[{"Name": k, "Value": v} for k, v in (alarm["dimensions"] or {}).items()],
                Period=whole(alarm["period"]) or None,
                EvaluationPeriods=whole(alarm["evaluation_periods"]),
                ComparisonOperator=alarm["comparison_operator"],
                TreatMissingData=alarm["treat_missing_data"],
                Metrics=[
                    present(
                        Id=q["id"],
                        Expression=q["expression"] or None,
                        Label=q["label"] or None,
                        ReturnData=q["return_data"],
                        MetricStat=q["metric"]
                        and {
                            "Stat": q["metric"][0]["stat"],
                            "Period": whole(q["metric"][0]["period"]),
                            "Metric": {
                                "Namespace": q["metric"][0]["namespace"],
                                "MetricName": q["metric"][0]["metric_name"],
                                "Dimensions": [
                                    {"Name": k, "Value": v} for k, v in q["metric"][0]["dimensions"].items()
                                ],
                            },
                        }
                        or None,
                    )
                    for q in alarm["metric_query"]
                ],
            ),
        )
    for address, group in stack.of_type("aws_cloudwatch_log_group").items():
        yield (
            address,
            "logs",
            "CreateLogGroup",
            present(logGroupName=group["name"], kmsKeyId=group["kms_key_id"] or None, tags=group["tags"]),
        )
        yield (
            address,
            "logs",
            "PutRetentionPolicy",
            {"logGroupName": group["name"], "retentionInDays": whole(group["retention_in_days"])},
        )
    for address, role in stack.of_type("aws_iam_role").items():
        yield (
            address,
            "iam",
            "CreateRole",
            {
                "RoleName": role["name"],
                "Description": role["description"],
                "AssumeRolePolicyDocument": role["assume_role_policy"],
            },
        )
    for address, policy in stack.of_type("aws_iam_role_policy").items():
        yield (
            address,
            "iam",
            "PutRolePolicy",
            {"RoleName": policy["role"], "PolicyName": policy["name"], "PolicyDocument": policy["policy"]},
        )
    for address, cluster in stack.of_type("aws_ecs_cluster_capacity_providers").items():
        yield (
            address,
            "ecs",
            "PutClusterCapacityProviders",
            {
                "cluster": cluster["cluster_name"],
                "capacityProviders": cluster["capacity_providers"],
                "defaultCapacityProviderStrategy": [],
            },
        )
