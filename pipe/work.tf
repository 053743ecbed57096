# The work bucket: what is too long for the overrides of a task or for a message.
#   batches/      batches of a drain: what lies there is not done
#   runs/         batches of the other launchers
#   handed-over/  batches whose address is in the failed queue
#   reports/      what tasks did, record by record

locals {
  # Names of buckets are global, of 63 characters at most, and so is this one with the longest name and region.
  new_work_bucket = "${var.name}-work-${local.account_id}-${replace(local.region, "-", "")}"

  # With a name that is written out, the definitions of state machines are known before the bucket is there.
  work_bucket     = coalesce(var.work_bucket, local.new_work_bucket)
  work_bucket_arn = "arn:${local.partition}:s3:::${local.work_bucket}"

  makes_work_bucket = local.works && var.work_bucket == null
}

resource "aws_s3_bucket" "work" {
  #checkov:skip=CKV_AWS_18:access logs need another bucket; only the roles of this module use this one
  #checkov:skip=CKV_AWS_21:batches are written once, and deleted when they are done
  #checkov:skip=CKV_AWS_144:a copy in another region is of no use: the queues are in this one
  #checkov:skip=CKV_AWS_145:work_kms_key_arn puts the user's own key there; S3 encrypts every object with its own one
  #checkov:skip=CKV2_AWS_62:nobody waits for events of this bucket
  count = local.makes_work_bucket ? 1 : 0

  bucket = local.new_work_bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "work" {
  count = local.makes_work_bucket ? 1 : 0

  bucket                  = aws_s3_bucket.work[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "work" {
  count = local.makes_work_bucket ? 1 : 0

  bucket = aws_s3_bucket.work[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "work" {
  count = local.makes_work_bucket ? 1 : 0

  bucket = aws_s3_bucket.work[0].id

  rule {
    bucket_key_enabled = var.work_kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.work_kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.work_kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "work" {
  count = local.makes_work_bucket ? 1 : 0

  bucket = aws_s3_bucket.work[0].id

  # Not batches/: what lies there is still to be done.
  dynamic "rule" {
    for_each = toset(["handed-over", "reports", "runs"])

    content {
      id     = rule.value
      status = "Enabled"

      filter {
        prefix = "${rule.value}/"
      }

      expiration {
        days = 30
      }
    }
  }

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "work" {
  count = local.makes_work_bucket ? 1 : 0

  bucket = aws_s3_bucket.work[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.work_bucket_arn, "${local.work_bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 changes one thing of a bucket at a time.
  depends_on = [aws_s3_bucket_public_access_block.work]
}
