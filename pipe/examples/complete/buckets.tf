data "aws_caller_identity" "current" {}

# Photos in, training images out: two buckets, so that no output ever starts a task.
locals {
  buckets = {
    source      = "${var.name}-source-${data.aws_caller_identity.current.account_id}"
    destination = "${var.name}-destination-${data.aws_caller_identity.current.account_id}"
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:access logs need a third bucket, and are the user's choice
  #checkov:skip=CKV_AWS_21:the outputs can be made again; versions of the originals are the user's choice
  #checkov:skip=CKV_AWS_144:a copy in another region is the user's choice
  #checkov:skip=CKV_AWS_145:S3 encrypts every object with its own key; the module takes the ARN of another one
  #checkov:skip=CKV2_AWS_61:expiry is the user's choice
  #checkov:skip=CKV2_AWS_62:the source bucket's events are switched on below, the destination needs none
  for_each = local.buckets

  bucket        = each.value
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# With event_source = "eventbridge" the bucket sends its events to EventBridge, and any number of stacks can listen.
resource "aws_s3_bucket_notification" "eventbridge" {
  count = var.event_source == "eventbridge" ? 1 : 0

  bucket      = aws_s3_bucket.this["source"].id
  eventbridge = true
}
