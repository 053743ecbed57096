"""What the workers in Python share: `WORKER.py jpg|png OUTPUT_FOLDER PHOTO...`, one output a photo.

Prints its version. Without photos: the cost of starting.
"""

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
    # "info" still holds the photo's profile; outputs carry none.
    small.info.clear()
    small.save(output, **({"quality": QUALITY} if is_jpeg(output) else {}))
