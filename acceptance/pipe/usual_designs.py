"""The costs of pipe/docs/usual-designs.md: each usual design beside the launcher that does the same."""

from readme_tables import LOG_BYTES_PER_RECORD, MINIMUM_SECONDS, PRICES, SECONDS_PER_IMAGE, cost

IMAGES = 1e6
MONTH_HOURS = 730
SMALL, WORKER = (0.25, 1), (1, 2)  # vCPU and GB: of a task for an image, and of one for many


def hour(size, spot=False):
    """Dollars for an hour of a task, and of its public address."""
    vcpu, gb = size
    price = vcpu * PRICES["vcpu_hour"]["ARM64"] + gb * PRICES["gb_hour"]["ARM64"]
    return price * (PRICES["spot_share"] if spot else 1) + PRICES["address_hour"]


def table():
    """The table of the page. Usual designs read a source once, write once, and log as much."""
    storage = IMAGES * (PRICES["s3_get"] + PRICES["s3_put"] + LOG_BYTES_PER_RECORD / 1e9 * PRICES["log_gb"])
    queue = IMAGES * 1.2 * PRICES["sqs_request"]  # a send an image, a receive and a delete for ten
    each = IMAGES * MINIMUM_SECONDS / 3600 * hour(SMALL)  # a task an image: the least that Fargate bills
    worked_hours = IMAGES * SECONDS_PER_IMAGE / 3600  # workers that always have work
    worker = worked_hours * hour(WORKER) + queue + storage
    mixed = worked_hours * (hour(WORKER) / 4 + hour(WORKER, spot=True) * 3 / 4) + queue + storage
    idle = f"{MONTH_HOURS * hour(WORKER):.0f} $ a month for the one task that always runs"
    empty = f"{MONTH_HOURS / 5 * hour(WORKER):.0f} $ a month for looking every 5 minutes"  # a minute each
    drain = ("drain", cost("drain", 500, True, 1, *WORKER))
    rows = [
        ("a rule per upload", each + IMAGES * PRICES["opt_in_event"] + storage, "", "event", cost("event", 1)),
        ("a service scaled by the queue", worker, idle, *drain),
        ("alarm → SNS → Lambda → task", worker, "", *drain),
        ("a cron worker", worker, empty, *drain),
        ("Spot and on-demand, 3 to 1", mixed, idle, *drain),
        ("Step Functions over a CSV", each + IMAGES * 3 * PRICES["transition"] + storage, "", "backfill",
         cost("backfill", 1000, True, 1, *WORKER)),
    ]  # fmt: skip
    head = "| usual design | $ per million images | and always | here | $ per million images |"
    lines = [head, "|---|--:|---|---|--:|"]
    for design, there, always, launcher, here in rows:
        lines.append(f"| {design} | {there:.1f} | {always or '–'} | `{launcher}` | {sum(here.values()):.1f} |")
    return "\n".join(lines)
