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

  subnet_ids         = aws_subnet.this[*].id
  security_group_ids = [aws_security_group.tasks.id]
  assign_public_ip   = !var.private_network

  alarm_topic_arn = var.alarm_topic_arn

  # Before the first task, its way out must be there.
  depends_on = [aws_route.internet, aws_route_table_association.this, aws_vpc_endpoint.s3, aws_vpc_endpoint.interface]
}
