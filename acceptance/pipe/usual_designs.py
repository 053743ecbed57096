"""The costs of pipe/docs/usual-designs.md: each usual design beside the launcher that does the same."""

import math

from readme_tables import (
    LOG_BYTES_PER_RECORD, MINIMUM_SECONDS, PRICES, PULL_SECONDS, READS_PER_IMAGE, SECONDS_PER_IMAGE, START_SECONDS,
)  # fmt: skip

IMAGES = 1e6
MONTH_HOURS = 730
SMALL, WORKER = (0.25, 1), (1, 2)  # vCPU and GB: of a task for an image, and of one for many


def hour(size, spot):
    """Dollars for an hour of a task, and of its public address."""
    vcpu, gb = size
    price = vcpu * PRICES["vcpu_hour"]["ARM64"] + gb * PRICES["gb_hour"]["ARM64"]
    return price * (PRICES["spot_share"] if spot else 1) + PRICES["address_hour"]


def tasks(images_each, size, spot):
    """Dollars for the tasks of a million images."""
    seconds = PULL_SECONDS + START_SECONDS + images_each * SECONDS_PER_IMAGE / size[0]
    return math.ceil(IMAGES / images_each) * max(MINIMUM_SECONDS, seconds) / 3600 * hour(size, spot)


def busy(spot):
    """Dollars for workers that always have work: the most that a service can reach."""
    return IMAGES * SECONDS_PER_IMAGE / 3600 * hour(WORKER, spot)


def storage(reads):
    """Requests to S3, and the log. A worker that looks at nothing but the source reads once."""
    log = IMAGES * LOG_BYTES_PER_RECORD / 1e9 * PRICES["log_gb"]
    return IMAGES * (reads * PRICES["s3_get"] + PRICES["s3_put"]) + log


QUEUE = IMAGES * 1.2 * PRICES["sqs_request"]  # a send an image, a receive and a delete for ten
THERE, HERE = storage(1), storage(READS_PER_IMAGE)


def transitions(each, images_each=1):
    """Dollars for the steps of Step Functions."""
    return each * IMAGES / images_each * PRICES["transition"]


def table():
    """The table of the page. The steps of the launchers are those of cost.md and of the drain and the backfill."""
    idle = f"{MONTH_HOURS * hour(WORKER, spot=False):.0f} $ a month for the one task that always runs"
    empty = f"{8640 / 60 * hour(WORKER, spot=False):.0f} $ a month for looking every 5 minutes"
    drain = tasks(500, WORKER, True) + QUEUE + transitions(6, 500) + HERE
    rows = [
        ("a rule per upload", tasks(1, SMALL, False) + THERE, "", "event",
         tasks(1, SMALL, True) + transitions(5) + HERE),
        ("a service scaled by the queue", busy(False) + QUEUE + THERE, idle, "drain", drain),
        ("alarm → SNS → Lambda → task", busy(False) + QUEUE + THERE, "", "drain", drain),
        ("a cron worker", busy(False) + QUEUE + THERE, empty, "drain", drain),
        ("Spot and on-demand, 3 to 1", busy(False) / 4 + busy(True) * 3 / 4 + QUEUE + THERE, idle, "drain", drain),
        ("Step Functions over a CSV", tasks(1, SMALL, False) + transitions(3) + THERE, "", "backfill",
         tasks(1000, WORKER, True) + transitions(5, 1000) + HERE),
    ]  # fmt: skip
    head = "| usual design | $ per million images | and always | here | $ per million images |"
    lines = [head, "|---|--:|---|---|--:|"]
    for design, there, always, launcher, here in rows:
        lines.append(f"| {design} | {there:.1f} | {always or '–'} | `{launcher}` | {here:.1f} |")
    return "\n".join(lines)
