output "source_bucket" {
  description = "Photos go in here."
  value       = aws_s3_bucket.this["source"].id
}

output "destination_bucket" {
  description = "Results come out here, under train/<W>x<H>/."
  value       = aws_s3_bucket.this["destination"].id
}

output "pixpipe" {
  description = "Everything that the module gives out."
  value       = module.pixpipe
}
