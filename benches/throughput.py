#!/usr/bin/env python3
"""Measures how well pixpipe fills its cores, if S3 takes its time for every answer.

    benches/throughput.py [--repeat N] [--objects N] [--latency MS] [--photo FILE --size N --cores N] --binary FILE

A server on the loopback interface stands in for S3. It waits before every answer; 30 ms are usual for small objects.
Each object is one JPEG (--photo), and becomes one of --size. pixpipe runs on the first --cores cores, the server on the
others, or on all if none is left. The ideal is what the waiting alone would take: objects x requests a record x latency
/ objects in flight, with the requests as the server counted them. The cores are busy for the CPU time of pixpipe, and
of the server if it shares them, by the seconds that passed.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PHOTO = HERE.parent / "testdata" / "images" / "jpeg" / "baseline.jpg"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="runs (default: %(default)s)")
    parser.add_argument("--objects", type=int, default=1000, help="objects of the batch (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=30, help="ms before every answer (default: %(default)s)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="the file of every object (default: a small JPEG)")
    parser.add_argument("--size", type=int, default=32, help="side of the output in px (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=1, help="cores of pixpipe (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, help="CONCURRENCY (default: that of pixpipe)")
    parser.add_argument("--binary", type=Path, required=True, help="the pixpipe to measure: see `make build`")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for pixpipe, one for the server")
    ours = cores[: arguments.cores]
    os.sched_setaffinity(0, cores[arguments.cores :] or cores)
    server = Server(arguments.photo.read_bytes(), arguments.latency / 1000)
    threading.Thread(target=server.run, daemon=True).start()
    server.is_ready.wait()
    runs = [run(arguments, server, ours) for _ in range(arguments.repeat)]
    in_flight = arguments.concurrency or 32
    requests = runs[0]["requests"] / arguments.objects
    ideal = arguments.objects * requests * arguments.latency / 1000 / in_flight
    share = f"{statistics.median(run['seconds'] for run in runs) / ideal:.2f} times" if ideal else "without"
    seconds = [run["seconds"] for run in runs]
    cpu = statistics.median(run["cpu_ms"] for run in runs) / arguments.objects
    busy = statistics.median(run["cpu_ms"] / run["seconds"] / 10 / len(ours) for run in runs)
    shared = "" if cores[len(ours) :] else ", with the server {:.0f} %".format(
        statistics.median((run["cpu_ms"] + run["server_ms"]) / run["seconds"] / 10 / len(ours) for run in runs)
    )
    print(
        f"{arguments.objects} objects, {arguments.latency:g} ms before every answer, {in_flight} in flight, "
        f"{len(ours)} of {len(cores)} cores: "
        f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, {len(runs)} runs), "
        f"{share} the ideal of {ideal:.2f} s; {requests:g} requests and "
        f"{cpu:.2f} ms of CPU an object; cores busy {busy:.0f} %{shared}; "
        f"{max(run['peak_mib'] for run in runs):.0f} MiB at most"
    )


def run(arguments, server, ours):
    environment = {
        "SQS_BODY": json.dumps([{"bucket": "in", "key": f"{number}.jpg"} for number in range(arguments.objects)]),
        "DEST_BUCKET": "out",
        "SIZES": str(arguments.size),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "throughput",
        "AWS_SECRET_ACCESS_KEY": "throughput",
    }
    if arguments.concurrency:
        environment["CONCURRENCY"] = str(arguments.concurrency)
    server.requests = 0
    before, own = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    start = time.monotonic()
    child = subprocess.Popen(
        [arguments.binary.resolve()],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, set(ours)),
    )
    output, _ = child.communicate(timeout=600)
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = json.loads(output.splitlines()[-1])
    if summary["written"] != arguments.objects:
        sys.exit(f"{summary['written']} of {arguments.objects} objects were written; output:\n{output[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": seconds,
        "cpu_ms": cpu * 1000,
        "server_ms": (time.process_time() - own) * 1000,
        "requests": server.requests,
        "peak_mib": after.ru_maxrss / 1024,
    }


class Server:
    """One source, whatever its key; outputs are taken and forgotten."""

    def __init__(self, photo, latency):
        self.photo, self.latency = photo, latency
        self.requests = 0
        self.port = None
        self.is_ready = threading.Event()

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.is_ready.set()
        await server.serve_forever()

    async def connection(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests += 1
                await asyncio.sleep(self.latency)
                writer.write(self.answer(method, target, headers))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, method, target, headers):
        etag = 'ETag: "0123456789abcdef0123456789abcdef-1"\r\n'
        if method == "HEAD":
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        if method == "GET" and "if-none-match" in headers:
            return f"HTTP/1.1 304 Not Modified\r\n{etag}\r\n".encode()
        body = self.photo if method == "GET" else b""
        return f"HTTP/1.1 200 OK\r\n{etag}Content-Length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    main()
