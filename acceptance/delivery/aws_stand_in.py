"""The AWS CLI as far as delivery/release.py uses it: world.json beside it has what the account has.

A request that AWS's models do not know ends with 252, as with the AWS CLI.
"""

import json
import sys
from pathlib import Path


def main():
    service, command, *options = sys.argv[1:]
    given = dict(zip(options[::2], options[1::2], strict=True))
    world = json.loads((Path(__file__).parent / "world.json").read_text())
    if command == "get-login-password":  # the CLI's own: it calls GetAuthorizationToken
        print(f"password-of-{given['--region']}")
        return
    known, required = world["models"][f"{service} {command}"]
    unknown = set(given) - {*known, "--output", "--region"}
    missing = set(required) - set(given)
    if unknown or missing:
        sys.exit(252)
    revisions = [(f"arn:aws:ecs:eu-west-1:123456789012:task-definition/photos:{number}", status, image)
                 for number, (status, image) in enumerate(world["revisions"], 1)]  # fmt: skip
    if command == "list-task-definitions":
        arns = [arn for arn, status, _ in revisions if status == given["--status"]]
        print(json.dumps({"taskDefinitionArns": arns[::-1] if given["--sort"] == "DESC" else arns}))
    elif command == "describe-task-definition":
        [image] = [image for arn, _, image in revisions if arn == given["--task-definition"]]
        print(json.dumps({"taskDefinition": {"containerDefinitions": [{"name": "pixpipe", "image": image}]}}))
    elif command == "describe-images":
        wanted = (given["--registry-id"], given["--repository-name"], given["--image-ids"].removeprefix("imageDigest="))
        if wanted not in [("123456789012", "pixpipe", digest) for digest in world["images"]]:
            sys.exit(f"An error occurred (ImageNotFoundException) when calling DescribeImages: {wanted}")
        print("{}")


main()
