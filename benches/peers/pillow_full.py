"""Pillow: full decode, then Lanczos."""

from PIL import Image

from worker import pillow_fit, run

run(lambda photo, output: pillow_fit(Image.open(photo), output), f"Pillow {Image.__version__}")
