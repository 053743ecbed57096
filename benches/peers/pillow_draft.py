"""Pillow: decode at a DCT scale that leaves at least twice the target (as pixpipe does), then Lanczos."""

from PIL import Image

from worker import SIDE_PX, pillow_fit, run


def thumbnail(photo, output):
    image = Image.open(photo)
    image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
    pillow_fit(image, output)


run(thumbnail, f"Pillow {Image.__version__}")
