#!/usr/bin/env python3
"""Measures pixpipe and other programs over the same photos, and writes the table into benches/README.md.

    benches/peers/run.py [--repeat N] [--write] [--binary FILE] [PHOTO|FOLDER...]     default: testdata/photos

Each program makes a 224 px JPEG (cover, quality 90, upright) of every JPEG photo, in one process on one core. What
counts is CPU time, user and system, as the kernel accounts it to the child. Programs take turns, so that whatever else
the machine does meets all of them. Installs what it compares with under target/peers, and nothing anywhere else.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
HOME = TREE / "target" / "peers"
PIXPIPE = TREE / "target" / "release" / "pixpipe"
README = HERE.parent / "README.md"
SIDE_PX = 224
PEERS = {
    "Pillow, full decode": "pillow_full.py",
    "Pillow, draft": "pillow_draft.py",
    "pyvips thumbnail": "vips.py",
    "OpenCV, INTER_AREA": "opencv.py",
    "sharp": "sharp.mjs",
}
REFERENCE = "Pillow, full decode"
# One thread each, whatever the machine has.
ENVIRONMENT = {"VIPS_CONCURRENCY": "1", "UV_THREADPOOL_SIZE": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, default=[TREE / "testdata" / "photos"])
    parser.add_argument("--repeat", type=int, default=7, help="rounds; the median counts (default: %(default)s)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--binary", type=Path, default=PIXPIPE, help="the pixpipe that is measured")
    parser.add_argument("--write", action="store_true", help="put the table into benches/README.md")
    arguments = parser.parse_args()
    photos = jpegs(arguments.photos)
    binary = arguments.binary.resolve()
    if not binary.exists():
        sys.exit(f"there is no {arguments.binary}: cargo build --release")
    install()
    os.sched_setaffinity(0, {arguments.core})
    store = Store(photos, binary)
    rounds = {name: [] for name in ["pixpipe", *PEERS]}
    starts = {name: [] for name in rounds}
    loads = []
    for number in range(arguments.repeat + 1):
        for name in rounds:
            empty, full = store.run(name, []), store.run(name, photos)
            # The first round fills the page cache.
            if number > 0:
                starts[name].append(empty)
                rounds[name].append(full)
        loads.append(os.getloadavg()[0])
        print(f"round {number} of {arguments.repeat}, load {loads[-1]:.1f}", file=sys.stderr)
    table = report(rounds, starts, store.quality(photos), photos, loads, arguments)
    print(table)
    if arguments.write:
        begin, end = "<!-- peers: written by peers/run.py -->\n", "<!-- end -->"
        head, rest = README.read_text().split(begin)
        README.write_text(head + begin + table + "\n" + end + rest.split(end)[1])


def jpegs(paths):
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    photos = [file.resolve() for file in files if file.suffix.lower() in (".jpg", ".jpeg")]
    if not photos:
        sys.exit("there is no JPEG photo")
    return photos


def install():
    python = HOME / "venv" / "bin" / "python"
    stamp = HOME / "installed"
    wanted = "".join((HERE / name).read_text() for name in ["requirements.txt", "package.json", "package-lock.json"])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    venv.create(HOME / "venv", with_pip=True, clear=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    for name in ["package.json", "package-lock.json"]:
        shutil.copy(HERE / name, HOME)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HOME, check=True, stdout=subprocess.DEVNULL)
    stamp.write_text(wanted)


class Run:
    """What the kernel says of a child that has ended, and what it printed."""

    def __init__(self, command, environment, cwd=None):
        child = subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.PIPE, text=True)
        self.output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{command[0]} ended with {child.returncode}: {self.output}")
        self.cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
        self.peak_mib = usage.ru_maxrss / 1024


class Store:
    """Folders as buckets for pixpipe, and a folder for what each program writes."""

    def __init__(self, photos, binary):
        self.binary = binary
        self.root = HOME / "store"
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "in").mkdir(parents=True)
        for photo in photos:
            shutil.copy(photo, self.root / "in")

    def run(self, name, photos, extension="jpg"):
        folder = self.root / name / extension
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name == "pixpipe":
            return self.pixpipe(photos, extension)
        environment = {**os.environ, **ENVIRONMENT}
        worker, photos = PEERS[name], [str(photo) for photo in photos]
        program = "node" if worker.endswith(".mjs") else HOME / "venv" / "bin" / "python"
        return Run([str(program), str(HERE / worker), extension, str(folder), *photos], environment, HOME)

    def pixpipe(self, photos, extension):
        # Its default environment, but for what makes it do the same as the others.
        environment = {
            "STORE": f"dir:{self.root}",
            "DEST_BUCKET": "pixpipe",
            "DEST_PREFIX": f"{extension}/",
            "FORMAT": {"jpg": "jpeg"}.get(extension, extension),
            "SQS_BODY": json.dumps([{"bucket": "in", "key": photo.name} for photo in photos]),
        }
        return Run([str(self.binary)], environment)

    def quality(self, photos):
        """PSNR against the reference, of the pixels before they become JPEG."""
        names = ["pixpipe", *PEERS]
        for name in names:
            self.run(name, photos, "png")
        made = self.root / "pixpipe" / "png"
        for file in list((made / f"{SIDE_PX}x{SIDE_PX}").iterdir()):
            file.rename(made / f"{file.name.split('.')[0]}.png")
        folders = [str(self.root / name / "png") for name in names]
        psnr = [str(HOME / "venv" / "bin" / "python"), str(HERE / "psnr.py"), str(self.root / REFERENCE / "png")]
        values = subprocess.run([*psnr, *folders], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return dict(zip(names, map(float, values)))


def report(rounds, starts, quality, photos, loads, arguments):
    version = subprocess.run([str(arguments.binary.resolve()), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = statistics.median(run.cpu_ms for run in rounds["pixpipe"]) / len(photos)
    lines = [
        "| program | CPU ms a photo | times pixpipe | start, CPU ms | with start, ms a photo | peak MiB | PSNR dB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, runs in rounds.items():
        start = statistics.median(run.cpu_ms for run in starts[name])
        whole = statistics.median(run.cpu_ms for run in runs) / len(photos)
        # A batch is a process of its own for pixpipe, so its start counts; the others are libraries.
        free = 0 if name == "pixpipe" else start
        values = [(run.cpu_ms - free) / len(photos) for run in runs]
        counted = statistics.median(values)
        peak = max(run.peak_mib for run in runs)
        decibels = "reference" if name == REFERENCE else f"{quality[name]:.1f}"
        said = version.strip() if name == "pixpipe" else f"{name} ({runs[0].output.strip()})"
        lines.append(
            f"| {said} | {counted:.1f} ({min(values):.1f} to {max(values):.1f}) | {counted / ours:.2f} | {start:.0f} "
            f"| {whole:.1f} | {peak:.0f} | {decibels} |"
        )
    pixels = sum(width * height for width, height in map(jpeg_size, photos)) / len(photos) / 1e6
    size = sum(photo.stat().st_size for photo in photos) / len(photos) / 1e6
    facts = [
        f"{datetime.date.today()}, {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}.",
        f"{len(photos)} photos of {pixels:.1f} megapixels and {size:.1f} MB on average,",
        f"medians of {arguments.repeat} rounds, in brackets the least and the most.",
        f"Load of the machine meanwhile: {min(loads):.1f} to {max(loads):.1f}.",
    ]
    named = [path.name for path in arguments.photos]
    command = f"benches/peers/run.py --repeat {arguments.repeat} {' '.join(named)}"
    return "\n".join([textwrap.fill(" ".join(facts), 120), "", f"    {command}", "", *lines, ""])


def cpu_model():
    facts = dict(
        tuple(part.strip() for part in line.split(":", 1))
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if ":" in line
    )
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"


def jpeg_size(photo):
    """Width and height in the first frame header (ITU-T T.81, B.2.2)."""
    data, position = photo.read_bytes(), 2
    while not (0xC0 <= data[position + 1] <= 0xCF and data[position + 1] not in (0xC4, 0xC8, 0xCC)):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (5, 7))
    return width, height


if __name__ == "__main__":
    main()
