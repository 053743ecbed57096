module "pixpipe" {
  source = "../.."

  name               = var.name
  image              = var.image
  cpu_architecture   = var.cpu_architecture
  source_bucket      = aws_s3_bucket.this["source"].id
  destination_bucket = aws_s3_bucket.this["destination"].id
  destination_prefix = "train/"

  batch_size   = var.batch_size
  event_source = var.event_source
  sizes        = var.sizes

  # By way of their routes: before the first task, its way out must be there. (A depends_on here would make the module's
  # data sources unknown at every change of the network, and replace the task definition.)
  subnet_ids         = aws_route_table_association.this[*].subnet_id
  security_group_ids = [aws_security_group.tasks.id]
  assign_public_ip   = !var.private_network

  alarm_topic_arn = var.alarm_topic_arn
}
