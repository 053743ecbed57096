output "source_bucket" {
  description = "Bucket that receives the photos."
  value       = aws_s3_bucket.this["source"].id
}

output "destination_bucket" {
  description = "Bucket of the results, under train/<W>x<H>/."
  value       = aws_s3_bucket.this["destination"].id
}

output "pixpipe" {
  description = "All outputs of the module."
  value       = module.pixpipe
}
