"""Makes the seeds in corpus/: one tiny image of every kind, after six bytes of settings, and every event.

Run with the Python of testdata/requirements.txt, and jpegtran and tiffcp in the path. Existing seeds and a fuzzer's
findings are kept.
"""

import io
import pathlib
import shutil
import subprocess
import tempfile

from PIL import Image, ImageCms, PngImagePlugin

HERE = pathlib.Path(__file__).parent
TESTDATA = HERE.parent / "testdata"
DECODE = HERE / "corpus" / "decode"
EVENT = HERE / "corpus" / "event"

count = 0


def seed(name, data):
    """Writes a seed. Each has other settings, and every second one has a second size."""
    global count
    count += 1
    shape, filter_, background = (count * 37) % 256, (count * 131) % 256, count * 5 % 256
    settings = bytes([shape, filter_, 6 + count % 9, 8 + count % 7, background, count % 32])
    path = DECODE / name
    if not path.exists():
        path.write_bytes(settings + data)


def saved(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def tool(data, *command, suffix_in=".in", suffix_out=".out"):
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder) / f"a{suffix_in}", pathlib.Path(folder) / f"b{suffix_out}"
        source.write_bytes(data)
        subprocess.run([part.format(source=source, target=target) for part in command], check=True, capture_output=True)
        return target.read_bytes()


def main():
    for folder in (DECODE, EVENT):
        folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((TESTDATA / "events").iterdir()):
        if path.name != "demo.json":
            shutil.copyfile(path, EVENT / path.name)

    photo = Image.open(TESTDATA / "photos" / "chelsea.png").convert("RGB").crop((90, 60, 330, 240))
    photo.info.clear()  # its own profile is larger than all seeds
    rgb = photo.resize((24, 18), Image.Resampling.LANCZOS)
    alpha = Image.linear_gradient("L").resize(rgb.size)
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey, palette, bits = rgb.convert("L"), rgb.quantize(16), rgb.convert("1")
    deep = grey.convert("I;16").point(lambda value: value * 257)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6

    seed("baseline.jpg", saved(rgb, format="JPEG", quality=75))
    seed("orientation.jpg", saved(rgb, format="JPEG", quality=60, exif=exif, icc_profile=profile))
    seed("progressive.jpg", saved(rgb, format="JPEG", quality=75, progressive=True))
    seed("grey.jpg", saved(grey, format="JPEG", quality=75))
    seed("cmyk.jpg", saved(rgb.convert("CMYK"), format="JPEG", quality=60))
    seed("444.jpg", saved(rgb, format="JPEG", quality=75, subsampling=0))
    baseline = saved(rgb.resize((40, 30)), format="JPEG", quality=60)
    for name, *options in [
        ("arithmetic.jpg", "-arithmetic"),
        ("arithmetic-progressive.jpg", "-arithmetic", "-progressive"),
        ("restart.jpg", "-restart", "1B"),
    ]:
        seed(name, tool(baseline, "jpegtran", "-copy", "none", *options, "-outfile", "{target}", "{source}"))
    with tempfile.NamedTemporaryFile("w", suffix=".scans") as script:
        script.write("0; 1; 2;")
        script.flush()
        scans = tool(baseline, "jpegtran", "-copy", "none", "-scans", script.name, "-outfile", "{target}", "{source}")
    seed("scan-per-component.jpg", scans)

    seed("rgb.png", saved(rgb, format="PNG"))
    seed("rgba.png", saved(rgba, format="PNG", exif=exif))
    seed("palette.png", saved(palette, format="PNG", transparency=3))
    seed("grey-16.png", saved(deep, format="PNG"))
    seed("grey-alpha.png", saved(rgba.convert("LA"), format="PNG"))
    seed("one-bit.png", saved(bits, format="PNG"))
    seed("profile.png", saved(rgb.resize((8, 6)), format="PNG", icc_profile=profile))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 64, zip=True)
    frames = [rgb.rotate(90 * turn) for turn in range(3)]
    seed("animated.png", saved(frames[0].resize((10, 8)), format="PNG", pnginfo=text, save_all=True,
                               append_images=[frame.resize((10, 8)) for frame in frames[1:]]))
    seed("interlaced.png", (TESTDATA / "images" / "png" / "interlaced-7x5.png").read_bytes())

    seed("plain.gif", saved(rgb.quantize(32), format="GIF", interlace=0))
    seed("interlaced.gif", saved(rgb.quantize(8), format="GIF", interlace=1))
    seed("animated.gif", saved(frames[0].quantize(16), format="GIF", save_all=True,
                               append_images=[frame.quantize(16) for frame in frames[1:]], transparency=0, disposal=2))

    seed("rgb-24.bmp", saved(rgb, format="BMP"))
    seed("palette-8.bmp", saved(rgb.quantize(32), format="BMP"))
    seed("one-bit.bmp", saved(bits, format="BMP"))
    seed("rgba-32.bmp", saved(rgba, format="BMP"))

    seed("lossless.webp", saved(rgb, format="WEBP", lossless=True))
    seed("lossless-alpha.webp", saved(rgba, format="WEBP", lossless=True, exact=True))
    seed("lossy.webp", saved(rgb, format="WEBP", quality=60))
    seed("lossy-alpha.webp", saved(rgba, format="WEBP", quality=60))
    seed("extended.webp", saved(rgb, format="WEBP", quality=60, exif=exif, icc_profile=profile))
    seed("animated.webp", saved(frames[0], format="WEBP", save_all=True, append_images=frames[1:], quality=50))

    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        seed(f"rgb-{compression}.tif", saved(rgb, format="TIFF", compression=compression))
    seed("rgba.tif", saved(rgba, format="TIFF", compression="tiff_lzw"))
    seed("palette.tif", saved(palette, format="TIFF"))
    seed("grey-16.tif", saved(deep, format="TIFF"))
    seed("one-bit.tif", saved(bits, format="TIFF", compression="tiff_lzw"))
    seed("cmyk.tif", saved(rgb.convert("CMYK"), format="TIFF", compression="tiff_adobe_deflate"))
    raw = saved(rgb, format="TIFF", compression="raw")
    for name, *options in [
        ("tiled.tif", "-t", "-w", "16", "-l", "16", "-c", "lzw"),
        ("planar.tif", "-p", "separate", "-c", "zip"),
        ("predictor.tif", "-c", "lzw:2"),
        ("bigtiff.tif", "-8"),
        ("big-endian.tif", "-B"),
    ]:
        seed(name, tool(raw, "tiffcp", *options, "{source}", "{target}", suffix_in=".tif", suffix_out=".tif"))


if __name__ == "__main__":
    main()
