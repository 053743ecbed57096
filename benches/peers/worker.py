"""Shared by the Python workers: `WORKER.py jpg|png OUTPUT_FOLDER PHOTO...` makes an output a photo, prints versions."""

import sys
from pathlib import Path

SIDE_PX = 224
QUALITY = 90


def run(thumbnail, version):
    extension, folder, *photos = sys.argv[1:]
    for photo in photos:
        thumbnail(photo, str(Path(folder, Path(photo).stem + "." + extension)))
    print(version)


def is_jpeg(output):
    return output.endswith(".jpg")


def pillow_fit(image, output):
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != "RGB":
        image = image.convert("RGB")
    small = ImageOps.fit(image, (SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    # Outputs have no profile; `info` still holds the photo's.
    small.info.clear()
    small.save(output, **({"quality": QUALITY} if is_jpeg(output) else {}))
