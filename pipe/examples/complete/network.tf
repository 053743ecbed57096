data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:the first two are taken; a third one changes nothing
  state = "available"
}

locals {
  zones              = slice(data.aws_availability_zones.available.names, 0, 2)
  interface_services = var.private_network ? toset(["ecr.api", "ecr.dkr", "logs", "sqs"]) : toset([])
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:flow logs are the user's choice; nothing listens in here
  cidr_block           = "10.0.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# Nothing may use the default group.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "this" {
  count = 2

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 4, count.index)
  availability_zone = local.zones[count.index]
  tags              = { Name = "${var.name}-${local.zones[count.index]}" }
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_route_table_association" "this" {
  count = 2

  subnet_id      = aws_subnet.this[count.index].id
  route_table_id = aws_route_table.this.id

  # A subnet's association exists only after all of its routes and endpoints.
  depends_on = [aws_route.internet, aws_vpc_endpoint.s3, aws_vpc_endpoint.interface]
}

resource "aws_internet_gateway" "this" {
  count = var.private_network ? 0 : 1

  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_route" "internet" {
  #checkov:skip=CKV2_AWS_44:this is the way to the internet gateway, of one VPC
  count = var.private_network ? 0 : 1

  route_table_id         = aws_route_table.this.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

# Photos and results stay inside AWS, and cost no transfer.
resource "aws_vpc_endpoint" "s3" {
  vpc_id          = aws_vpc.this.id
  service_name    = "com.amazonaws.${var.region}.s3"
  route_table_ids = [aws_route_table.this.id]
  tags            = { Name = "${var.name}-s3" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_services

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.this[*].id
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = { Name = "${var.name}-${each.key}" }
}

resource "aws_security_group" "endpoints" {
  count = var.private_network ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Interface endpoints: HTTPS from the tasks"
  vpc_id      = aws_vpc.this.id

  ingress {
    description     = "HTTPS from the tasks"
    from_port       = 443
    to_port         = 443
    protocol        = "tcp"
    security_groups = [aws_security_group.tasks.id]
  }
}

resource "aws_security_group" "tasks" {
  #checkov:skip=CKV2_AWS_5:the module attaches it to the tasks
  name        = "${var.name}-tasks"
  description = "pixpipe tasks: nothing in, HTTPS out"
  vpc_id      = aws_vpc.this.id

  egress {
    #checkov:skip=CKV_AWS_382:only HTTPS, to the addresses of ECR, S3, SQS and CloudWatch, which change
    description = "HTTPS to AWS"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
