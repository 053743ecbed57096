"""pyvips: the thumbnail operation of libvips, which decodes JPEG at a DCT scale."""

import pyvips

from worker import QUALITY, SIDE_PX, is_jpeg, run

pyvips.cache_set_max(0)


def thumbnail(photo, output):
    image = pyvips.Image.thumbnail(photo, SIDE_PX, height=SIDE_PX, crop="centre")
    image.write_to_file(output, **({"Q": QUALITY} if is_jpeg(output) else {}), keep="none")


version = ".".join(str(pyvips.version(part)) for part in range(3))
run(thumbnail, f"libvips {version}, pyvips {pyvips.__version__}")
