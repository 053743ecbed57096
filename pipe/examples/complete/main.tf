module "pixpipe" {
  source = "../.."

  name               = var.name
  image              = var.image
  cpu_architecture   = var.cpu_architecture
  source_bucket      = aws_s3_bucket.this["source"].id
  destination_bucket = aws_s3_bucket.this["destination"].id
  destination_prefix = "train/"

  enabled      = var.enabled
  launcher     = var.launcher
  event_source = var.event_source
  sizes        = var.sizes

  # The bucket is this example's own, so the module may write its whole notification configuration. A change of
  # event_source is then a change in place, of one resource.
  manage_bucket_notification = true

  # Taken from the route associations, so that the tasks' routes exist before the first task. (With depends_on here,
  # every change of the network would make the module's data sources unknown, and replace the task definition.)
  subnet_ids         = aws_route_table_association.this[*].subnet_id
  security_group_ids = [aws_security_group.tasks.id]
  assign_public_ip   = !var.private_network

  alarm_topic_arn = var.alarm_topic_arn
}
