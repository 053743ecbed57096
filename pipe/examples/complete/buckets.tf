data "aws_caller_identity" "current" {}

# Photos in, training images out: two buckets, so that no output ever starts a task.
locals {
  buckets = {
    source      = "${var.name}-source-${data.aws_caller_identity.current.account_id}-${var.region}"
    destination = "${var.name}-destination-${data.aws_caller_identity.current.account_id}-${var.region}"
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:access logs need a third bucket, and are the user's choice
  #checkov:skip=CKV_AWS_21:the outputs can be made again; versions of the originals are the user's choice
  #checkov:skip=CKV_AWS_144:a copy in another region is the user's choice
  #checkov:skip=CKV_AWS_145:S3 encrypts every object with its own key; the module takes the ARN of another one
  #checkov:skip=CKV2_AWS_61:expiry is the user's choice
  #checkov:skip=CKV2_AWS_62:the module switches the source bucket's events on, the destination needs none
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

resource "aws_s3_bucket_policy" "tls" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 changes one thing of a bucket at a time.
  depends_on = [aws_s3_bucket_public_access_block.this]
}
