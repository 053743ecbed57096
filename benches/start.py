#!/usr/bin/env python3
"""Measures the CPU time of pixpipe from the start of the process to its first request to S3.

    benches/start.py [--repeat N] --binary FILE

A server on the loopback interface stands in for S3. It takes the reading while the process waits for its first answer:
the sum over all threads of the first number in /proc/PID/task/*/schedstat, in nanoseconds. The answer is 404, so the
process ends with a failed record.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=21, help="runs (default: %(default)s)")
    parser.add_argument("--binary", type=Path, required=True, help="the pixpipe to measure: see `make build`")
    arguments = parser.parse_args()
    if not arguments.binary.exists():
        sys.exit(f"{arguments.binary} does not exist: run `make build`")
    # The first run fills the page cache and is not counted.
    runs = [cpu_ms(arguments.binary.resolve()) for _ in range(arguments.repeat + 1)][1:]
    print(
        f"start to first S3 request: {statistics.median(runs):.1f} ms of CPU "
        f"({min(runs):.1f} to {max(runs):.1f}, {len(runs)} runs)"
    )


def cpu_ms(binary):
    """CPU time of one process at its first request, in milliseconds."""
    child = None
    started = threading.Event()
    readings = []

    class S3(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            started.wait()
            if not readings:
                tasks = Path(f"/proc/{child.pid}/task").glob("*/schedstat")
                readings.append(sum(int(task.read_text().split()[0]) for task in tasks))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET = do_PUT = answer

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), S3) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "SQS_BODY": json.dumps([{"bucket": "in", "key": "photo.jpg"}]),
            "DEST_BUCKET": "out",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "start",
            "AWS_SECRET_ACCESS_KEY": "start",
        }
        child = subprocess.Popen([binary], env=environment, stdout=subprocess.PIPE, text=True)
        started.set()
        output, _ = child.communicate(timeout=60)
        server.shutdown()
    if not readings:
        sys.exit(f"pixpipe sent no request and ended with status {child.returncode}; its output:\n{output}")
    if not readings[0]:
        sys.exit("the kernel keeps no /proc/PID/task/*/schedstat: run this on one built with CONFIG_SCHED_INFO")
    return readings[0] / 1e6


if __name__ == "__main__":
    main()
