# The stack of all tests here, unless a run says otherwise: Terraform reads this file for every test of this folder.
name               = "pp"
image              = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe:test"
source_bucket      = "photos-in"
destination_bucket = "photos-out"
destination_prefix = "train/"
subnet_ids         = ["subnet-0a", "subnet-0b"]
security_group_ids = ["sg-0a"]
