"""The whole flow on one machine: deploys pipe/examples/complete once per launcher, and lives through a bad day.

Usage: e2e.py --image IMAGE --work FOLDER [--seed N] [--uploads N] [LAUNCHER:EVENT_SOURCE …]

LAUNCHER is direct, batched, burst (batched, with 500 uploads at once and a quota of two tasks), drain (with backfills
beside it), backfill (beside batched) or measured (a backfill of all uploads, 1,000 a task), EVENT_SOURCE s3 or
eventbridge. README.md of this folder says which parts are real.
"""

import argparse
import collections
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY / "acceptance" / "pipe"))

import botocore.exceptions  # noqa: E402
import stand_in  # noqa: E402
from aws import Aws  # noqa: E402
from backfill import Backfill, DrainAndBackfill, Measured  # noqa: E402
from burst import Burst  # noqa: E402
from flow import Flow  # noqa: E402
from photos import Album  # noqa: E402
from pipes import Pipes  # noqa: E402
from stack import Stack, copy_module  # noqa: E402
from tasks import Ecs  # noqa: E402
from waiting import wait_until  # noqa: E402

# Small batches, so that many tasks run; and no minute of waiting for a batch to fill.
SETTINGS = {
    "direct": {"format": "png"},
    "batched": {"format": "npy", "batch_size": 10, "batch_window_seconds": 20},
    "burst": {"format": "png", "batch_size": 20, "batch_window_seconds": 20},
    "drain": {
        "format": "png", "batch_objects": 40, "max_tasks": 3, "on_demand_tasks": 1, "drain_start_messages": 40,
        "drain_start_age_seconds": 60, "drain_schedule": "rate(10 minutes)", "schedule_window_minutes": 0,
        "backfill_enabled": True, "backfill_batch_objects": 50,
    },
    "backfill": {
        "format": "png", "batch_size": 20, "batch_window_seconds": 20, "backfill_enabled": True, "max_tasks": 3,
        "backfill_batch_objects": 50,
    },
    # No drain starts: the uploads are for the backfill.
    "measured": {
        "format": "jpeg", "drain_start_messages": 1_000_000, "drain_start_age_seconds": 604_800, "max_tasks": 4,
        "backfill_enabled": True, "backfill_batch_objects": 1000,
    },
}  # fmt: skip
LIVES = {
    "direct": Flow, "batched": Flow, "burst": Burst, "drain": DrainAndBackfill, "backfill": Backfill,
    "measured": Measured,
}  # fmt: skip
# The launcher of the module, where it has another name.
LAUNCHERS = {"burst": "batched", "backfill": "batched", "measured": "drain"}
# Factor by which AWS's waits are shortened: a redrive after 4 minutes comes after 8 seconds. Tasks run in real time.
TIME_SCALE = 30
TASKS_AT_A_TIME = 4
ARCHITECTURES = {"x86_64": "X86_64", "aarch64": "ARM64"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument(
        "stacks",
        nargs="*",
        default=["direct:s3", "batched:eventbridge", "burst:eventbridge", "drain:eventbridge"],
        metavar="LAUNCHER:EVENT_SOURCE",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments.work = arguments.work.resolve()
    # podman's monitor creates a file "oom" in its working directory when it kills a container: never in the repository.
    os.chdir(arguments.work)
    print(f"seed {arguments.seed}", flush=True)

    server = stand_in.bound()
    own_endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    with Emulator(own_endpoint, arguments.work / "aws.log") as emulator:
        aws = Aws(emulator.endpoint, own_endpoint)
        pipes = Pipes(aws, TIME_SCALE)
        ecs = Ecs(aws, arguments.image, own_endpoint, TASKS_AT_A_TIME, arguments.work)
        stand_in.serve(server, pipes, ecs)
        copy_module(REPOSITORY, arguments.work)
        runs = [Run(name, aws, pipes, ecs, arguments) for name in arguments.stacks]
        try:
            for run in runs:
                run.start()
            for run in runs:
                run.join()
            failed = sum(run.report() for run in runs)
        finally:
            for run in runs:
                run.stack.abandon()
            server.shutdown()
            ecs.close()
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed else 0


class Run(threading.Thread):
    """One stack from its deployment to the verdict."""

    def __init__(self, name, aws, pipes, ecs, arguments):
        super().__init__(daemon=True, name=name)
        launcher, _, event_source = name.partition(":")
        settings = {
            "sizes": ["64", "96x48"], "decode": "exact", "grace_seconds": 3,
            "aws_environment": {"AWS_ENDPOINT_URL": aws.endpoint}, **SETTINGS[launcher],
        }  # fmt: skip
        self.life, stack = LIVES[launcher], f"{launcher}-{event_source}"
        if settings.get("backfill_enabled"):
            # Not the source bucket: a list there would be an upload.
            settings["list_bucket"] = f"{stack}-lists"
            aws.client("s3").create_bucket(Bucket=settings["list_bucket"])
        self.stack = Stack(stack, LAUNCHERS.get(launcher, launcher), event_source, settings, aws, arguments.work)
        self.pipes, self.ecs, self.arguments = pipes, ecs, arguments
        self.flow, self.error, self.seconds = None, None, {}

    def run(self):
        try:
            with Timer(self.seconds, "deploying"):
                self.stack.apply(self.arguments.image, ARCHITECTURES[platform.machine()])
            album = Album(random.Random(f"{self.arguments.seed} {self.name}"))
            self.flow = self.life(self.stack, self.pipes, self.ecs, album, self.arguments.uploads)
            with Timer(self.seconds, "running"):
                self.flow.run()
        except Exception:  # noqa: BLE001 the report shows every error
            self.error = traceback.format_exc()

    def report(self):
        """Prints the result; True if it failed."""
        took = ", ".join(f"{seconds:.0f} s {what}" for what, seconds in self.seconds.items())
        print(f"\n== {self.name}: {took}")
        if self.flow:
            print(self.flow.summary())
            (self.arguments.work / f"tasks-{self.stack.name}.log").write_text(self.flow.all_logs())
        problems = [*(self.flow.problems if self.flow else []), *([self.error] if self.error else [])]
        for problem in problems:
            print(f"FAIL  {problem}")
        if problems:
            said = collections.Counter(line for line in self.pipes.log if line.startswith(self.stack.name))
            print(*[f"pipe  {times} × {line}" for line, times in said.items()], sep="\n")
            print(f"logs: {self.arguments.work}")
        return bool(problems)


class Timer:
    """Measures the seconds that a block takes."""

    def __init__(self, seconds, what):
        self.seconds, self.what = seconds, what

    def __enter__(self):
        self.started = time.monotonic()

    def __exit__(self, *_):
        self.seconds[self.what] = time.monotonic() - self.started


class Emulator:
    """ministack, started by local_aws.py, for the duration of the block."""

    def __init__(self, tasks_endpoint, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint, self.log = f"http://127.0.0.1:{port}", log
        self.command = [sys.executable, HERE / "local_aws.py", tasks_endpoint, str(TIME_SCALE)]
        self.environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AUTH": "true",
                            "TMPDIR": str(log.parent)}  # fmt: skip

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.log.parent, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self.answers, "ministack to answer", seconds=60)
        except BaseException:
            self.process.kill()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            said = self.log.read_text()[-3000:]
            raise RuntimeError(f"ministack ended with exit code {self.process.returncode}: {said}")
        try:
            Aws(self.endpoint, None).client("s3").list_buckets()
        except botocore.exceptions.BotoCoreError:
            return False
        return True

    def __exit__(self, *_):
        self.process.kill()  # it has nothing to save, and would wait for its executions
        self.process.wait()


if __name__ == "__main__":
    sys.exit(main())
