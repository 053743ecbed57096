"""Compares pixpipe with Pillow on photos; acceptance/parity/run installs Pillow and starts it.

    python acceptance/parity/parity.py --binary FILE FOLDER...

Exact, at 224 and 299 px: every FILTER x FIT stretch and cover, PNG photos and JPEG photos with DECODE=exact. At most
one level of difference on any value, and less than 1 % of the values differ.

Fast, at 224 px: JPEG photos with DECODE=fast and Lanczos. 48 dB on average against Pillow's full decode, over the
photos that are large enough for a scaled decode.

Both sides ignore embedded profiles (COLOR=ignore): this is about decoding and resizing. Ends with status 1 if anything
failed.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "testdata"))
from make_goldens import DEFAULTS, FILTERS, rendered, upright  # noqa: E402

SIZES_PX = (224, 299)
FITS = ("stretch", "cover")

# The tolerance for one photo: levels of any value, and the share of values that differ at all.
MAX_LEVELS = 1
MAX_SHARE = 0.01

FAST_SIZE_PX = 224
MIN_MEAN_PSNR_DB = 48.0
# The decoder scales if half of each side is at least twice the output's.
MIN_SCALED_SIDE_PX = 4 * FAST_SIZE_PX

EXACT = [{**DEFAULTS, "FILTER": f, "FIT": fit, "COLOR": "ignore"} for f in FILTERS for fit in FITS]
FAST = [{**DEFAULTS, "DECODE": "fast", "FIT": fit, "COLOR": "ignore"} for fit in FITS]


def name(settings):
    return f"{settings['DECODE']} {settings['FILTER']} {settings['FIT']}"


def find_photos(folders):
    """Every JPEG and PNG in the folders, by its key in the bucket."""
    photos = {}
    for number, folder in enumerate(folders):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                photos[f"{number}/{path.name}"] = path
    return photos


def run_pixpipe(binary, root, keys, settings, sizes_px):
    """One run over all photos, into a bucket named after the settings."""
    environment = {
        **settings,
        "SQS_BODY": json.dumps([{"bucket": "photos", "key": key} for key in keys]),
        "DEST_BUCKET": name(settings).replace(" ", "-"),
        "SIZES": ",".join(map(str, sizes_px)),
        "FORMAT": "npy",
        "STORE": f"dir:{root}",
    }
    done = subprocess.run([binary], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr, file=sys.stderr)


def read_output(root, settings, size_px, key):
    """The output as signed integers, or None if it is missing."""
    path = root / name(settings).replace(" ", "-") / f"{size_px}x{size_px}" / f"{key}.npy"
    return np.load(path).astype(np.int16) if path.exists() else None


def expected(photo, settings, size_px):
    return np.asarray(rendered(*photo, settings, (size_px, size_px))).astype(np.int16)


def psnr_db(actual, wanted):
    mean_square = np.mean(np.square((actual - wanted).astype(np.float64)))
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


class Row:
    """The results of one configuration over all photos."""

    def __init__(self):
        self.max_levels, self.max_share = 0, 0.0
        self.passed, self.failed = 0, []

    def add(self, key, actual, wanted):
        if actual is None or actual.shape != wanted.shape:
            self.failed.append(f"{key}: no output of the expected shape")
            return
        difference = np.abs(actual - wanted)
        levels, share = int(difference.max()), float(np.mean(difference > 0))
        self.max_levels = max(levels, self.max_levels)
        self.max_share = max(share, self.max_share)
        if levels <= MAX_LEVELS and share < MAX_SHARE:
            self.passed += 1
        else:
            mean = difference.mean()
            self.failed.append(f"{key}: max {levels} levels, mean {mean:.4f}, {share:.3%} of values differ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    arguments = parser.parse_args()
    for folder in arguments.folders:
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    photos = find_photos(arguments.folders)
    binary = arguments.binary.resolve()
    if not photos:
        parser.error("no JPEG or PNG found: name folders that have some")

    rows = {(name(s), size): Row() for s in EXACT for size in SIZES_PX}
    fast_db = {name(s): {} for s in FAST}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for key, path in photos.items():
            (root / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / "photos" / key)
        jpegs = [key for key, path in photos.items() if path.suffix.lower() != ".png"]
        for settings in EXACT:
            run_pixpipe(binary, root, list(photos), settings, SIZES_PX)
        for settings in FAST if jpegs else ():
            run_pixpipe(binary, root, jpegs, settings, [FAST_SIZE_PX])

        for key, path in photos.items():
            photo = upright(path)
            for settings in EXACT:
                for size in SIZES_PX:
                    actual = read_output(root, settings, size, key)
                    rows[name(settings), size].add(key, actual, expected(photo, settings, size))
            if key not in jpegs or min(photo[0].size) < MIN_SCALED_SIDE_PX:
                continue
            for settings in FAST:
                actual, wanted = read_output(root, settings, FAST_SIZE_PX, key), expected(photo, settings, FAST_SIZE_PX)
                if actual is None or actual.shape != wanted.shape:
                    failed.append(f"{name(settings)} {key}: no output of the expected shape")
                else:
                    fast_db[name(settings)][key] = psnr_db(actual, wanted)

    print(f"{len(photos)} photos; each column shows the worst of them")
    columns = f"{'max levels':>11} {'differing':>11} {'passed':>7} {'failed':>7}"
    print(f"\n{'configuration':<26} {'px':>4} {columns}")
    for (configuration, size), row in rows.items():
        counts = f"{row.passed:>7} {len(row.failed):>7}"
        print(f"{configuration:<26} {size:>4} {row.max_levels:>11} {row.max_share:>11.4%} {counts}")
        failed += [f"{configuration} {size} {fault}" for fault in row.failed]
    passed = sum(row.passed for row in rows.values())

    for configuration, decibels in fast_db.items():
        if not decibels:
            continue
        print(f"\n{configuration + ', ' + str(FAST_SIZE_PX) + ' px':<40} {'PSNR':>8}")
        for key, value in decibels.items():
            print(f"{key:<40} {value:>5.1f} dB")
        mean = sum(decibels.values()) / len(decibels)
        print(f"{'mean':<40} {mean:>5.1f} dB")
        if mean >= MIN_MEAN_PSNR_DB:
            passed += 1
        else:
            failed.append(f"{configuration}: {mean:.2f} dB on average, less than {MIN_MEAN_PSNR_DB}")

    print("", *failed, f"{passed} passed, {len(failed)} failed", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
