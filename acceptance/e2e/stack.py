"""A deployed stack: `terraform apply` of a copy of pipe/examples/complete, and its outputs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

NOT_RETURNED = "aws_cloudwatch_metric_alarm"  # ministack forgets most of an alarm
EMULATED = ("cloudwatch", "ec2", "ecs", "events", "iam", "logs", "s3", "scheduler", "sfn", "sqs", "sts")


class Stack:
    """One stack of the example, in a folder of its own."""

    def __init__(self, name, launcher, event_source, module_settings, aws, work):
        self.name, self.launcher, self.event_source = name, launcher, event_source
        self.aws = aws
        # Beside the module, as in the repository: the example's `source` is a relative path.
        self.folder = work / "pipe" / "examples" / name
        self.module_settings = module_settings
        self.outputs, self.running = {}, None

    @property
    def direct(self):
        return self.launcher == "direct"

    def apply(self, image, architecture):
        """Deploys it; raises with Terraform's own message if that fails."""
        shutil.copytree(self.folder.parent / "complete", self.folder, dirs_exist_ok=True)
        (self.folder / "e2e_override.tf.json").write_text(json.dumps(self.override(), indent=2))
        variables = {"name": self.name, "image": image, "cpu_architecture": architecture,
                     "event_source": self.event_source, "force_destroy": True}  # fmt: skip
        (self.folder / "e2e.auto.tfvars.json").write_text(json.dumps(variables, indent=2))
        self.terraform("init", "-input=false")
        self.terraform("apply", "-input=false", "-auto-approve")
        given = json.loads(self.terraform("output", "-json"))
        self.outputs = {name: output["value"] for name, output in given.items()}

    def enable(self, enabled):
        """Applies the kill switch."""
        self.terraform("apply", "-input=false", "-auto-approve", f"-var=enabled={json.dumps(enabled)}")

    def destroy(self):
        """Destroys everything; returns what is left in the state, which should be nothing."""
        self.terraform("destroy", "-input=false", "-auto-approve")
        return self.terraform("state", "list").split()

    def planned_again(self):
        """Addresses of the module's resources that a second plan would change; there should be none."""
        self.terraform("plan", "-input=false", "-out=again.tfplan")
        plan = json.loads(self.terraform("show", "-json", "again.tfplan"))
        changes = {change["address"]: change["change"]["actions"] for change in plan["resource_changes"]}
        # Outside the module, in the network, the emulator does not return everything as it received it.
        return sorted(
            f"{address}: {'+'.join(actions)}"
            for address, actions in changes.items()
            if address.startswith("module.") and NOT_RETURNED not in address and actions not in (["no-op"], ["read"])
        )

    def override(self):
        """The endpoints of the services, and the settings that the example leaves to the module's defaults."""
        endpoints = dict.fromkeys(EMULATED, self.aws.endpoint) | {"pipes": self.aws.stand_in_endpoint}
        return {
            "provider": {"aws": {
                "access_key": "test", "secret_key": "test", "s3_use_path_style": True, "endpoints": [endpoints],
                "skip_credentials_validation": True, "skip_metadata_api_check": True,
            }},
            "module": {"pixpipe": {"launcher": self.launcher, **self.module_settings}},
        }  # fmt: skip

    def terraform(self, *arguments):
        # `terraform state list` takes no -no-color, and has no colours.
        plain = [] if arguments[0] == "state" else ["-no-color"]
        command = ["terraform", f"-chdir={self.folder}", arguments[0], *plain, *arguments[1:]]
        self.running = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "CHECKPOINT_DISABLE": "1"},
        )  # fmt: skip
        out, error = self.running.communicate()
        (self.folder / f"{arguments[0]}.log").write_text(out + error)
        if self.running.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {(out + error)[-6000:]}")
        return out

    def abandon(self):
        """Ends Terraform if it still runs: nothing has to be kept."""
        if self.running and self.running.poll() is None:
            self.running.kill()


def copy_module(repository, work):
    """Copies pipe/ to a folder in which tests may write."""
    shutil.rmtree(work / "pipe", ignore_errors=True)
    shutil.copytree(repository / "pipe", work / "pipe", ignore=shutil.ignore_patterns(".terraform*", "tests"))
    return Path(work / "pipe")
