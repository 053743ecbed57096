"""`psnr.py REFERENCE_FOLDER FOLDER...` prints the mean PSNR in dB (RGB) of each folder over the reference's files."""

import sys
from math import log10
from pathlib import Path

import numpy
from PIL import Image


def pixels(path):
    return numpy.asarray(Image.open(path).convert("RGB"), dtype=numpy.float64)


def psnr_db(one, other):
    mean_square = ((one - other) ** 2).mean()
    return 10 * log10(255**2 / mean_square) if mean_square else float("inf")


reference = {path.name: pixels(path) for path in Path(sys.argv[1]).glob("*.png")}
for folder in sys.argv[2:]:
    values = [psnr_db(pixels(Path(folder, name)), image) for name, image in reference.items()]
    print(sum(values) / len(values))
