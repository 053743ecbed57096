"""Makes the seeds in corpus/: one tiny image of every kind, after six bytes of settings, and every event.

Run with the Python of testdata/requirements.txt, and jpegtran, tiffcp and avifenc in the path. Existing seeds and a
fuzzer's findings are kept.
"""

import io
import pathlib
import shutil
import struct
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


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def icc_part(part, number, count):
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + part)


def blocks(data):
    """Sub-blocks of a GIF."""
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def webp_of_groups(groups):
    """A lossless WebP of 4x4 pixels in one block that names the last of so many groups of prefix codes."""
    bits = []

    def put(count, value):
        bits.extend(value >> place & 1 for place in range(count))

    def one_symbol(symbol):
        put(3, 0b101)
        put(8, symbol)

    put(8, 0x2F)
    put(28, 3 | 3 << 14)
    put(4, 0)
    put(2, 0)  # no transform, no cache of colours
    put(4, 1)  # groups, for blocks of 4x4
    put(1, 0)
    for symbol in (groups - 1, 0, 0, 0, 0):
        one_symbol(symbol)
    for _ in range(groups * 5):
        # Two symbols of one bit each.
        put(3, 0b111)
        put(8, 7)
        put(8, 9)
    put(256, 0)  # the pixels
    data = bytes(int("".join(map(str, bits[at : at + 8][::-1])), 2) for at in range(0, len(bits) // 8 * 8, 8))
    data += bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


def tiff(tags, offsets, counts, data):
    """A little-endian TIFF of one strip or tile."""
    tags = {**tags, offsets: 8 + 2 + 12 * (len(tags) + 2) + 4, counts: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + data


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

    seed("420.avif", saved(rgb, format="AVIF", quality=60))
    seed("444-alpha.avif", saved(rgba, format="AVIF", quality=60, subsampling="4:4:4", icc_profile=profile, exif=exif))
    seed("premultiplied.avif", saved(rgba, format="AVIF", quality=60, alpha_premultiplied=True))
    seed("grey.avif", saved(grey, format="AVIF", quality=60, subsampling="4:0:0"))
    seed("animated.avif", saved(frames[0], format="AVIF", save_all=True, append_images=frames[1:], quality=60))
    lossless = ["--lossless", "--cicp", "1/13/0", "--range", "full"]
    for name, *options in [
        ("422-12.avif", "--yuv", "422", "--depth", "12", "--range", "limited"),
        ("grain-10.avif", "--yuv", "420", "--depth", "10", "--advanced", "film-grain-test=2"),
        ("code-points.avif", "--yuv", "444", "--cicp", "12/13/9", "--irot", "1", "--imir", "0"),
        ("cropped.avif", *lossless, "--crop", "4,2,16,12"),
    ]:
        seed(name, tool(saved(rgb, format="PNG"), "avifenc", "--jobs", "1", *options, "{source}", "{target}",
                        suffix_in=".png", suffix_out=".avif"))
    grid = saved(rgba.resize((128, 128)), format="PNG")
    seed("grid.avif", tool(grid, "avifenc", "--jobs", "1", "--grid", "2x2", "--yuv", "420", "{source}", "{target}",
                           suffix_in=".png", suffix_out=".avif"))

    # Small ones of the worst cases in crates/pixels/tests/hostile/files/worst.rs.
    plain = saved(rgb, format="JPEG", quality=75)
    seed("faults.jpg", plain[:2] + b"\xff\x01\0" * 40 + plain[2:])
    parts = [profile[at : at + 100] for at in range(0, len(profile), 100)]
    seed("profile-in-parts.jpg", plain[:2] + b"".join(icc_part(part, number, len(parts))
                                                     for number, part in enumerate(parts, 1)) + plain[2:])
    packet = b'<x tiff:Orientation="6"/>'
    seed("xmp.jpg", plain[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) + plain[2:])
    texts = PngImagePlugin.PngInfo()
    for number in range(20):
        texts.add_text(f"Comment {number}", "x")
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    texts.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
    seed("texts.png", saved(rgb, format="PNG", pnginfo=texts))
    still = saved(rgb.quantize(32), format="GIF", interlace=0)
    table = 13 + 3 * 32
    assert still[table] == 0x2C, "the image follows the palette"
    extensions = [b"!\xff\x0b" + name + blocks(data) for name, data in
                  ((b"ICCRGBG1012", profile), (b"XMP DataXMP", packet))]
    seed("extensions.gif", still[:table] + b"".join(extensions) + b"!\xfe\1a\0" * 20 + still[table:])
    seed("groups.webp", webp_of_groups(20))
    seed("xmp.webp", saved(rgb, format="WEBP", lossless=True, xmp=packet))
    grey_tile = {256: 24, 257: 18, 258: 1, 259: 1, 262: 1, 266: 2, 277: 1, 322: 256, 323: 256}
    seed("large-tile-of-bits.tif", tiff(grey_tile, 324, 325, bytes(range(256)) * 32))
    strips = {256: 24, 257: 18, 258: 8, 259: 1, 262: 1, 266: 2, 277: 1, 278: 18}
    seed("turned-bits.tif", tiff(strips, 273, 279, grey.tobytes()))


if __name__ == "__main__":
    main()
