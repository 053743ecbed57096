#!/usr/bin/env python3
"""Measures pixpipe and other thumbnail programs over the same photos, and prints the table of benches/README.md.

    benches/peers/run.py [--repeat N] [--write] --binary FILE [PHOTO|FOLDER...]     default: testdata/photos

Each program makes a 224 px JPEG (cover, quality 90, upright) of every JPEG photo, in one process on one core. A process
handles 200 photos: the given ones, linked under new names until there are that many. Start-up is measured by itself, as
a process that handles one photo of 16 x 16 px. Measured is CPU time, user and system, of the process and its children,
as the kernel reports it when they have ended. Programs take turns, and each round begins with another one, so that
other load on the machine meets all of them. A run that does not leave one JPEG of 224 x 224 px a photo ends the
measurement.

Installs the other programs below target/peers, and nothing elsewhere. All samples go to target/peers/samples.json.
"""

import argparse
import datetime
import hashlib
import itertools
import json
import os
import platform
import re
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
README = HERE.parent / "README.md"
BEGIN, END = "<!-- peers:begin -->\n", "<!-- peers:end -->"
SIDE_PX = 224
TINY_PX = 16
MIN_ROUNDS = 9  # a table with fewer is not written
MAX_VARIABLE_BYTES = 128 * 1024  # Linux: MAX_ARG_STRLEN, one variable of the environment
PEERS = {
    "sharp": "sharp.mjs",
    "pyvips": "vips.py",
    "Pillow, draft": "pillow_draft.py",
    "Pillow, full decode": "pillow_full.py",
    "OpenCV": "opencv.py",
}
PROGRAMS = ["pixpipe", *PEERS]
RIVAL = "sharp"  # the program that ratios are given to
REFERENCE = "Pillow, full decode"
# One thread each, whatever the machine has; an empty PYTHONDONTWRITEBYTECODE lets Python keep its bytecode.
ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",
    "UV_THREADPOOL_SIZE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "",
}


def main():
    arguments = parse_arguments()
    photos = jpegs(arguments.photos)
    if len(photos) > arguments.photos_per_process:
        sys.exit(f"{len(photos)} photos do not fit into {arguments.photos_per_process}: raise --photos-per-process")
    binary = arguments.binary.resolve()
    if not binary.exists():
        sys.exit(f"{arguments.binary} does not exist: run `cargo build --locked --profile dist`")
    install()
    os.sched_setaffinity(0, {arguments.core})  # children inherit it
    store = Store(photos, arguments.photos_per_process, binary)
    # Round 0 fills the page cache and is not counted.
    rounds = [measure(store, number, arguments.repeat) for number in range(arguments.repeat + 1)][1:]
    facts = {
        "date": str(datetime.date.today()),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "core": arguments.core,
        "kernel": platform.release().split("-")[0],
        "command": command_of(arguments),
        "binary": {"bytes": binary.stat().st_size, "sha256": hashlib.sha256(binary.read_bytes()).hexdigest()},
        "photos": [described(photo) for photo in photos],
        "photos_per_process": arguments.photos_per_process,
        "versions": store.versions,
        "least_peak_mib": Run(["true"], {}, HOME).peak_mib,
        "psnr_db": store.quality(),
        "rounds": rounds,
    }
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n")
    text = report(facts)
    print(text)
    print(f"all samples: {arguments.json}", file=sys.stderr)
    if arguments.write:
        write(text)


def write(text):
    parts = re.fullmatch(f"(.*{BEGIN}).*({END}.*)", README.read_text(), re.DOTALL)
    if not parts:
        sys.exit(f"{README} lacks the marks {BEGIN.strip()} and {END}: put them around its table")
    README.write_text(f"{parts[1]}{text}\n{parts[2]}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, default=[TREE / "testdata" / "photos"])
    parser.add_argument("--repeat", type=int, default=MIN_ROUNDS, help="rounds (default: %(default)s)")
    parser.add_argument("--photos-per-process", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--binary", type=Path, required=True, help="the pixpipe to measure: see `make build`")
    parser.add_argument("--json", type=Path, default=HOME / "samples.json", help="the file for all samples")
    parser.add_argument("--write", action="store_true", help="put the table into benches/README.md")
    arguments = parser.parse_args()
    if arguments.repeat < (MIN_ROUNDS if arguments.write else 1):
        parser.error(f"--repeat must be at least {MIN_ROUNDS} with --write, and at least 1 without")
    return arguments


def jpegs(paths):
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    photos = [file.resolve() for file in files if file.suffix.lower() in (".jpg", ".jpeg")]
    if not photos:
        sys.exit("no JPEG photo found: name files or folders that have some")
    return photos


def command_of(arguments):
    """The command that takes the same measurement, without the folders of this machine."""
    options = [f"--repeat {arguments.repeat}"]
    if arguments.photos_per_process != 200:
        options.append(f"--photos-per-process {arguments.photos_per_process}")
    binary = arguments.binary.resolve()
    options.append(f"--binary {binary.relative_to(TREE) if binary.is_relative_to(TREE) else binary.name}")
    return " ".join(["benches/peers/run.py", *options, *(path.name for path in arguments.photos)])


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


def measure(store, number, last):
    """One round: start-up and a full batch of every program. Figures by program, and the load of the machine."""
    first = number % len(PROGRAMS)
    order = PROGRAMS[first:] + PROGRAMS[:first]
    figures = {}
    for name in order:
        start, batch = store.run(name, [store.tiny]), store.run(name, store.batch)
        figures[name] = {"start_ms": start.cpu_ms, "batch_ms": batch.cpu_ms, "peak_mib": batch.peak_mib}
    load = os.getloadavg()[0]
    print(f"round {number} of {last}, load {load:.1f}", file=sys.stderr)
    return {"load": load, "order": order, "programs": figures}


class Run:
    """A process that has ended: its output, and the kernel's account of it."""

    def __init__(self, command, environment, folder):
        # Into a file, not a pipe: nothing shall run beside the child on its core.
        with open(HOME / "output.txt", "w+") as output:
            child = subprocess.Popen(command, env=environment, cwd=folder, stdout=output)
            # The usage includes that of the child's own children, as in RUSAGE_CHILDREN.
            _, status, usage = os.wait4(child.pid, 0)
            output.seek(0)
            self.output = output.read()
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{command[0]} ended with status {child.returncode}; its output ends with:\n{self.output[-2000:]}")
        self.cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
        self.peak_mib = usage.ru_maxrss / 1024


class Store:
    """Folders as buckets: the photos in `in`, and a folder a program for its outputs."""

    def __init__(self, photos, count, binary):
        self.binary = binary
        self.root = HOME / "store"
        self.versions = {}
        shutil.rmtree(self.root, ignore_errors=True)
        folder = self.root / "in"
        folder.mkdir(parents=True)
        self.batch = [folder / f"{number:03}-{photo.stem}.jpg" for number, photo in enumerated(photos, count)]
        self.distinct = self.batch[: len(photos)]
        for photo, copy in zip(photos, self.distinct):
            shutil.copyfile(photo, copy)
        for copy, link in zip(itertools.cycle(self.distinct), self.batch[len(photos) :]):
            link.hardlink_to(copy)
        self.tiny = folder / "tiny.jpg"
        make = f"import sys, PIL.Image as I; I.new('RGB', ({TINY_PX}, {TINY_PX}), 'teal').save(sys.argv[1])"
        subprocess.run([python(), "-c", make, self.tiny], check=True)

    def run(self, name, photos, extension="jpg"):
        folder = self.root / name / extension
        for stale in [folder, self.root / ".pixpipe"]:
            shutil.rmtree(stale, ignore_errors=True)
        folder.mkdir(parents=True)
        run = self.pixpipe(photos, extension) if name == "pixpipe" else self.peer(name, photos, extension, folder)
        outputs = [path for path in folder.rglob("*") if path.is_file()]
        if len(outputs) != len(photos):
            sys.exit(f"{name} left {len(outputs)} outputs of {len(photos)} photos: see {folder}")
        odd = [path for path in outputs if extension == "jpg" and jpeg_size(path) != (SIDE_PX, SIDE_PX)]
        if odd:
            sys.exit(f"{name}: {odd[0]} has {jpeg_size(odd[0])} px instead of {SIDE_PX} x {SIDE_PX}")
        return run

    def peer(self, name, photos, extension, folder):
        worker = PEERS[name]
        program = "node" if worker.endswith(".mjs") else python()
        command = [program, str(HERE / worker), extension, str(folder), *map(str, photos)]
        run = Run(command, {**os.environ, **ENVIRONMENT}, HOME)
        self.versions[name] = run.output.strip()
        return run

    def pixpipe(self, photos, extension):
        # Its defaults, except for the settings that make it do the same as the others.
        environment = {
            "STORE": f"dir:{self.root}",
            "DEST_BUCKET": "pixpipe",
            "DEST_PREFIX": f"{extension}/",
            "FORMAT": {"jpg": "jpeg"}.get(extension, extension),
            "SQS_BODY": json.dumps([f"s3://in/{photo.name}" for photo in photos]),
        }
        if len(environment["SQS_BODY"]) >= MAX_VARIABLE_BYTES:
            sys.exit(f"{len(photos)} photos do not fit into one variable: lower --photos-per-process")
        if "pixpipe" not in self.versions:
            self.versions["pixpipe"] = Run([str(self.binary), "--version"], {}, HOME).output.strip()
        return Run([str(self.binary)], environment, HOME)

    def quality(self):
        """PSNR in dB against the reference by program, of the pixels before they become JPEG; each photo once."""
        for name in PROGRAMS:
            self.run(name, self.distinct, "png")
        made = self.root / "pixpipe" / "png"
        for file in list((made / f"{SIDE_PX}x{SIDE_PX}").iterdir()):
            file.rename(made / file.name.replace(".jpg.png", ".png"))
        folders = [str(self.root / name / "png") for name in [REFERENCE, *PROGRAMS]]
        command = [python(), str(HERE / "psnr.py"), *folders]
        values = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return {name: float(value) for name, value in zip(PROGRAMS, values, strict=True) if name != REFERENCE}


def enumerated(photos, count):
    return enumerate(itertools.islice(itertools.cycle(photos), count))


def python():
    return str(HOME / "venv" / "bin" / "python")


def report(facts):
    """The table as Markdown, with the facts that it depends on."""
    rounds, count, versions = facts["rounds"], facts["photos_per_process"], facts["versions"]

    def whole(figures, name):
        return figures[name]["batch_ms"] / count

    def without_start(figures, name):
        return (figures[name]["batch_ms"] - figures[name]["start_ms"]) / count

    def row(label, figure, digits):
        cells = [spread([figure(a_round["programs"], name) for a_round in rounds], digits) for name in PROGRAMS]
        return f"| {' | '.join([label, *cells])} |"

    def ratio(measured):
        return lambda figures, name: measured(figures, RIVAL) / measured(figures, name)

    peaks = [f"{max(a_round['programs'][name]['peak_mib'] for a_round in rounds):.0f}" for name in PROGRAMS]
    quality = [f"{facts['psnr_db'][name]:.1f}" if name != REFERENCE else "reference" for name in PROGRAMS]
    table = [
        f"| | {' | '.join(PROGRAMS)} |",
        f"|---|{'--:|' * len(PROGRAMS)}",
        row("**CPU ms a photo**, whole process", whole, 1),
        row(f"{RIVAL} ÷ program", ratio(whole), 2),
        row("**start-up**, CPU ms a process", lambda figures, name: figures[name]["start_ms"], 1),
        row("CPU ms a photo, without start-up", without_start, 1),
        row(f"{RIVAL} ÷ program, without start-up", ratio(without_start), 2),
        f"| peak, MiB | {' | '.join(peaks)} |",
        f"| PSNR, dB | {' | '.join(quality)} |",
    ]
    photos, loads = facts["photos"], [a_round["load"] for a_round in rounds]
    profiles = sum(photo["has_profile"] for photo in photos)
    megapixels = statistics.mean(photo["width_px"] * photo["height_px"] for photo in photos) / 1e6
    megabytes = statistics.mean(photo["bytes"] for photo in photos) / 1e6
    conditions = [
        f"{facts['date']}, {facts['cpu']}, {facts['cores']} cores, one of them used, Linux {facts['kernel']}.",
        f"{count} photos a process: {len(photos)} of {megapixels:.1f} megapixels and {megabytes:.1f} MB on average,",
        f"linked until there are {count}.",
        f"Photos with an embedded profile, which only pixpipe and {RIVAL} apply: {profiles}." if profiles else "",
        f"Medians of {len(rounds)} rounds, in brackets the least and the most.",
        f"Load of the machine meanwhile: {min(loads):.1f} to {max(loads):.1f}.",
        f"A process that does nothing has a peak of {facts['least_peak_mib']:.0f} MiB here.",
        f"Versions: {'; '.join(dict.fromkeys(versions[name] for name in PROGRAMS))}.",
    ]
    head = textwrap.fill(" ".join(filter(None, conditions)), 120)
    command = facts["command"].replace("/pixpipe ", "/pixpipe \\\n        ")
    return "\n".join([head, "", f"    {command}", "", *table, ""])


def spread(values, digits):
    least, median, most = min(values), statistics.median(values), max(values)
    return f"{median:.{digits}f} ({least:.{digits}f}–{most:.{digits}f})"


def cpu_model():
    facts = dict(
        tuple(part.strip() for part in line.split(":", 1))
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if ":" in line
    )
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"


def described(photo):
    width, height = jpeg_size(photo)
    facts = {"name": photo.name, "width_px": width, "height_px": height, "bytes": photo.stat().st_size}
    return {**facts, "has_profile": b"ICC_PROFILE\0" in photo.read_bytes()}


def jpeg_size(photo):
    """Width and height in the first frame header (ITU-T T.81, B.2.2)."""
    data, position = photo.read_bytes(), 2
    while not (0xC0 <= data[position + 1] <= 0xCF and data[position + 1] not in (0xC4, 0xC8, 0xCC)):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (5, 7))
    return width, height


if __name__ == "__main__":
    main()
