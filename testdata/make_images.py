#!/usr/bin/env python3
"""Makes testdata/images: one small file for every kind of source image that pixpipe reads.

    python testdata/make_images.py

The script is deterministic, but was run only once: the files are committed. Newer encoders would write other JPEG and
WebP bytes, which need other goldens.

Needs testdata/requirements.txt. For the kinds that Pillow cannot write, needs `cjpeg` (libjpeg-turbo-progs), `tiffcp`
(libtiff-tools) and `avifenc` (libavif-bin) from Debian. Kinds that no tool writes (odd PNG depths, 16-bit and planar
TIFF, bit-packed BMP, ICC profiles) are assembled here byte by byte.

All files show the same picture, `picture()`: flat shapes without any symmetry, and a detail of a photo. Kinds without
compression show `small()`, the same picture at 120 x 91 px.
"""

import io
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
OUT = HERE / "images"

WIDTH_PX, HEIGHT_PX = 500, 380
SKY = (24, 64, 96)

# Transposition that turns the upright picture into the stored one, by EXIF orientation (TIFF 6.0, tag 274). A reader
# does the inverse.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


# --- the picture ---------------------------------------------------------------------------------------------------


def picture():
    """The upright picture, RGB, 500 x 380 px."""
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), SKY)
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, 380), (0, 250), (500, 330), (500, 380)], fill=(60, 120, 40))
    draw.ellipse((300, 30, 420, 150), fill=(250, 210, 30))
    draw.polygon([(60, 300), (150, 120), (260, 330)], fill=(200, 60, 40))
    draw.rectangle((20, 20, 120, 50), fill=(255, 255, 255))
    draw.rectangle((20, 20, 50, 110), fill=(255, 255, 255))
    draw.rectangle((440, 180, 470, 300), fill=(255, 0, 255))
    draw.line((0, 140, 500, 160), fill=(0, 255, 255), width=3)
    cat = Image.open(HERE / "photos" / "chelsea.png").crop((110, 40, 350, 220))
    image.paste(cat.resize((120, 90), Image.Resampling.LANCZOS), (290, 200))
    return image


def small():
    """The picture at 120 x 91 px."""
    return picture().resize((120, 91), Image.Resampling.LANCZOS)


def with_alpha(image):
    """`image` with a hole, a half-transparent band and a soft border. The colours do not change."""
    width, height = image.size
    y, x = np.mgrid[0:height, 0:width]
    border = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    alpha = np.minimum(border * 32, 255)
    alpha[height // 2 : height // 2 + height // 10] = 128
    alpha[height // 8 : height // 3, width // 3 : width // 2] = 0
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


def sixteen_bit(samples):
    """`samples` (uint8) as the high bytes of 16-bit samples. The low bytes run through all values.

    A reader that rounds to 8 bits, instead of taking the high byte, gets about a tenth of the values wrong.
    """
    height, width = samples.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    low = (x * 5 + y * 3) & 0xFF
    if samples.ndim == 3:
        low = low[:, :, None]
    return samples.astype(np.uint16) * 256 + low.astype(np.uint16)


def stored(image, orientation):
    """`image` as stored in a file with this `orientation`."""
    transpose = STORED[orientation]
    return image if transpose is None else image.transpose(transpose)


# --- metadata ------------------------------------------------------------------------------------------------------


def exif(orientation, order="<", kind=3):
    """An EXIF block with the orientation only, as a SHORT or a LONG (3, 4), without the `Exif\\0\\0` of JPEG."""
    mark = b"II" if order == "<" else b"MM"
    tag = struct.pack(order + ("HHIHH" if kind == 3 else "HHII"), 274, kind, 1, *([orientation, 0][: 5 - kind]))
    return mark + struct.pack(order + "HIH", 42, 8, 1) + tag + struct.pack(order + "I", 0)


def xmp(orientation, is_element=False):
    """An XMP packet with the orientation only, as an attribute or an element."""
    attribute = "" if is_element else f' tiff:Orientation="{orientation}"'
    element = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if is_element else ""
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attribute}>{element}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )
    return text.encode()


def raw_profile(orientation):
    """The text of ImageMagick's `Raw profile type exif`: 72 hexadecimal digits a line."""
    digits = (b"Exif\0\0" + exif(orientation)).hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    return "\n".join(["", "exif", f"{len(digits) // 2:8}", *lines, ""]).encode()


def icc(description, colour_space, tags, version):
    """An ICC profile of class `mntr` (ICC.1:2010, section 7): header, tag table, tag data."""
    version_2 = version == 2
    text = description.encode("ascii")
    if version_2:
        desc = b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
        copyright_ = b"text" + bytes(4) + b"CC0\0"
    else:
        desc = mluc(description)
        copyright_ = mluc("CC0")
    tags = {b"desc": desc, b"cprt": copyright_, b"wtpt": xyz(*D50), **tags}
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s6H4sIIIIQI3I4s",
        start + len(data), b"\0\0\0\0", 0x02400000 if version_2 else 0x04300000, b"mntr", colour_space, b"XYZ ",
        2024, 1, 1, 0, 0, 0, b"acsp", 0, 0, 0, 0, 0, 0, *(round(v * 65536) for v in D50), b"\0\0\0\0",
    )  # fmt: skip
    return header + bytes(128 - len(header)) + table + data


D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def mluc(text):
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data


def xyz(*values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def colorants(red, green, blue, white):
    """The rXYZ, gXYZ and bXYZ tags of primaries and a white given as CIE xy, adapted to D50 (Bradford)."""
    def to_xyz(x, y):
        return np.array([x / y, 1.0, (1 - x - y) / y])

    primaries = np.stack([to_xyz(*p) for p in (red, green, blue)], axis=1)
    primaries = primaries * np.linalg.solve(primaries, to_xyz(*white))
    ratio = (BRADFORD @ np.array(D50)) / (BRADFORD @ to_xyz(*white))
    adapted = np.linalg.inv(BRADFORD) @ np.diag(ratio) @ BRADFORD @ primaries
    return {name: xyz(*adapted[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}


def gamma_curve(gamma):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def srgb_curve():
    """The curve of IEC 61966-2-1 as a parametric curve of type 3."""
    parameters = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in parameters))


def rgb_profile(description, red, green, blue, curve, version):
    d65 = (0.3127, 0.3290)
    curves = {name: curve for name in (b"rTRC", b"gTRC", b"bTRC")}
    return icc(description, b"RGB ", {**colorants(red, green, blue, d65), **curves}, version)


WIDE = rgb_profile("P3 primaries, sRGB curve", (0.68, 0.32), (0.265, 0.69), (0.15, 0.06), srgb_curve(), 4)
GAMMA_22 = rgb_profile("1998 primaries, gamma 2.2", (0.64, 0.33), (0.21, 0.71), (0.15, 0.06), gamma_curve(563 / 256), 2)
SRGB = rgb_profile("sRGB primaries, sRGB curve", (0.64, 0.33), (0.30, 0.60), (0.15, 0.06), srgb_curve(), 4)
GREY_18 = icc("Grey, gamma 1.8", b"GRAY", {b"kTRC": gamma_curve(1.8)}, 2)
BROKEN = WIDE[:132] + bytes(range(60))  # an intact header, and a tag table whose offsets are out of bounds


# --- JPEG ----------------------------------------------------------------------------------------------------------


def jpeg(image, **options):
    """`image` as a JPEG of Pillow: quality 85, 4:2:0 unless `options` say otherwise."""
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 85, **options})
    return out.getvalue()


def cjpeg(image, *arguments):
    """`image` as a JPEG of cjpeg, quality 85."""
    out = io.BytesIO()
    image.save(out, "PPM")
    command = ["cjpeg", "-quality", "85", *arguments]
    return subprocess.run(command, input=out.getvalue(), capture_output=True, check=True).stdout


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def after_soi(data, *inserted):
    return data[:2] + b"".join(inserted) + data[2:]


def app1_exif(orientation, order="<"):
    return segment(0xE1, b"Exif\0\0" + exif(orientation, order))


def app2_icc(profile, chunks=1):
    size = -(-len(profile) // chunks)
    for i in range(chunks):
        part = profile[i * size : (i + 1) * size]
        yield segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, chunks]) + part)


def cmyk(image):
    """`image` as ink, height x width x CMYK. Black replaces only half of the grey, so no channel is empty."""
    rgb = np.asarray(image).astype(int)
    black = (255 - rgb.max(axis=2)) // 2
    ink = 255 - rgb - black[:, :, None]
    return np.dstack([ink, black]).astype(np.uint8)


def ycck_jpeg(image):
    """A YCCK JPEG: C, M and Y converted to YCbCr as if they were R, G and B; K; an Adobe marker with transform 2.

    Pillow writes four inverted components with transform 0, so only that byte has to change.
    """
    ink = cmyk(image)
    ycc = np.asarray(Image.fromarray(ink[:, :, :3]).convert("YCbCr"))
    data = bytearray(jpeg(Image.fromarray(np.dstack([255 - ycc, ink[:, :, 3]]), "CMYK")))
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    return bytes(data)


def cmyk_jpeg_without_adobe(image):
    """A CMYK JPEG with inverted samples like Adobe's, but without the Adobe marker. Pillow inverts all CMYK samples."""
    data = jpeg(Image.fromarray(cmyk(image), "CMYK"))
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0] :]


def jpegs():
    image = picture()
    grey = image.convert("L")
    plain = jpeg(image)
    for orientation in range(1, 9):
        order = "<" if orientation % 2 else ">"
        data = after_soi(jpeg(stored(image, orientation)), app1_exif(orientation, order))
        yield f"orientation/jpeg-{orientation}.jpg", data
    yield "jpeg/orientation-0.jpg", after_soi(plain, app1_exif(0))
    yield "jpeg/orientation-9.jpg", after_soi(plain, app1_exif(9))

    six, eight = jpeg(stored(image, 6)), jpeg(stored(image, 8))
    namespace = b"http://ns.adobe.com/xap/1.0/\0"
    yield "jpeg/orientation-long.jpg", after_soi(six, segment(0xE1, b"Exif\0\0" + exif(6, ">", kind=4)))
    yield "jpeg/orientation-xmp.jpg", after_soi(six, segment(0xE1, namespace + xmp(6)))
    yield "jpeg/orientation-xmp-element.jpg", after_soi(eight, segment(0xE1, namespace + xmp(8, is_element=True)))
    both = app1_exif(6), segment(0xE1, namespace + xmp(3))
    yield "jpeg/orientation-exif-before-xmp.jpg", after_soi(six, *both)

    yield "jpeg/baseline.jpg", plain
    yield "jpeg/progressive.jpg", jpeg(image, progressive=True)
    yield "jpeg/grey.jpg", jpeg(grey)
    yield "jpeg/grey-progressive.jpg", jpeg(grey, progressive=True)
    yield "jpeg/rgb-adobe-transform-0.jpg", jpeg(image, keep_rgb=True)
    yield "jpeg/cmyk.jpg", jpeg(Image.fromarray(cmyk(image), "CMYK"))
    yield "jpeg/cmyk-no-adobe-marker.jpg", cmyk_jpeg_without_adobe(image)
    yield "jpeg/ycck.jpg", ycck_jpeg(image)
    yield "jpeg/restart-markers.jpg", jpeg(image, restart_marker_blocks=7)
    yield "jpeg/restart-markers-progressive.jpg", jpeg(image, restart_marker_rows=1, progressive=True)
    yield "jpeg/arithmetic.jpg", cjpeg(image, "-arithmetic")
    yield "jpeg/arithmetic-progressive.jpg", cjpeg(image, "-arithmetic", "-progressive")
    yield "jpeg/quality-30.jpg", jpeg(image, quality=30)
    for name, sampling in {
        "444": "1x1",
        "422": "2x1",
        "420": "2x2",
        "440": "1x2",
        "411": "4x1",
        "410": "4x2",
        "441": "1x4",
        "3x1": "3x1",
        "3x2": "3x2",
        "mixed": "2x2,2x1,1x2",
        "chroma-above-luma": "1x1,2x2,2x2",
    }.items():
        yield f"jpeg/sampling-{name}.jpg", cjpeg(image, "-sample", sampling)
    yield "jpeg/sampling-422-progressive.jpg", cjpeg(image, "-sample", "2x1", "-progressive")

    yield "jpeg/icc-wide.jpg", after_soi(plain, *app2_icc(WIDE))
    yield "jpeg/icc-wide-in-3-chunks.jpg", after_soi(plain, *app2_icc(WIDE, 3))
    yield "jpeg/icc-gamma-22.jpg", after_soi(plain, *app2_icc(GAMMA_22))
    yield "jpeg/icc-srgb.jpg", after_soi(plain, *app2_icc(SRGB))
    yield "jpeg/icc-broken.jpg", after_soi(plain, *app2_icc(BROKEN))
    yield "jpeg/icc-grey.jpg", after_soi(jpeg(grey), *app2_icc(GREY_18))
    yield "jpeg/icc-srgb-on-grey.jpg", after_soi(jpeg(grey), *app2_icc(SRGB))

    yield "jpeg/trailing-garbage.jpg", plain + bytes(range(256)) * 4
    yield "jpeg/trailing-jpeg.jpg", plain + jpeg(small())
    yield "jpeg/stray-bytes-before-eoi.jpg", plain[:-2] + bytes(7) + plain[-2:]
    odd = (b"\xff\xff\xff", segment(0xE9, b"private"), segment(0xFE, bytes(range(256))), segment(0xEF, b""), b"\0\1\2")
    yield "jpeg/odd-markers.jpg", after_soi(plain, *odd)
    thumbnail = segment(0xE1, b"Exif\0\0" + exif(1) + jpeg(small()))
    yield "jpeg/thumbnail-in-exif.jpg", after_soi(plain, thumbnail)
    for width, height in ((1, 1), (1, 500), (500, 1), (7, 5), (17, 16)):
        sized = image.resize((width, height), Image.Resampling.LANCZOS)
        yield f"jpeg/size-{width}x{height}.jpg", jpeg(sized)


# --- PNG -----------------------------------------------------------------------------------------------------------

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6

# Adam7: first column, first row, step of columns, step of rows (PNG, section 8.2).
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed(samples, depth):
    """Rows of `samples`, height x bytes, uint8: most significant bits first, each row padded to whole bytes."""
    height = samples.shape[0]
    flat = samples.reshape(height, -1)
    if depth == 16:
        return flat.astype(">u2").view(np.uint8).reshape(height, -1)
    bits = np.unpackbits(flat.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :]
    return np.packbits(bits.reshape(height, -1), axis=1)


def filtered(rows, bytes_per_pixel):
    """The filtered rows, each after its filter byte. A row's filter has the smallest sum of absolute differences."""
    out, above = [], np.zeros(rows.shape[1], np.int32)
    for row in rows.astype(np.int32):
        left, corner = np.zeros_like(row), np.zeros_like(row)
        left[bytes_per_pixel:], corner[bytes_per_pixel:] = row[:-bytes_per_pixel], above[:-bytes_per_pixel]
        estimate = left + above - corner
        near = np.abs(np.stack([estimate - left, estimate - above, estimate - corner]))
        paeth = np.choose(near.argmin(axis=0), [left, above, corner])
        tries = [(row - p).astype(np.uint8) for p in (np.zeros_like(row), left, above, (left + above) // 2, paeth)]
        best = min(range(5), key=lambda i: np.abs(tries[i].astype(np.int8).astype(int)).sum())
        out.append(bytes([best]) + tries[best].tobytes())
        above = row
    return b"".join(out)


def png(samples, colour_type, depth=8, *, interlaced=False, palette=None, before_idat=()):
    """A PNG of unchanged `samples` (height x width, or height x width x channels)."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    bytes_per_pixel = max(1, channels * depth // 8)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b""
    for column, row, step_x, step_y in passes:
        part = samples[row::step_y, column::step_x]
        if part.size:
            rows = packed(part, depth)
            plain = depth < 8 or colour_type == PALETTE
            data += b"".join(b"\0" + r.tobytes() for r in rows) if plain else filtered(rows, bytes_per_pixel)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    out += b"".join(chunk(*c) for c in before_idat if c[0] == b"iCCP")
    if palette is not None:
        out += chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes())
    out += b"".join(chunk(*c) for c in before_idat if c[0] != b"iCCP")
    return out + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def iccp(profile):
    return b"iCCP", b"profile\0\0" + zlib.compress(profile, 9)


def quantized(image, colours):
    """`image` with at most `colours` colours: indices (height x width) and palette (colours x 3)."""
    paletted = image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    indices = np.asarray(paletted)
    palette = np.array(paletted.getpalette()[: 3 * colours], np.uint8).reshape(-1, 3)
    return indices, palette


def pngs():
    image = picture()
    rgb, grey = np.asarray(image), np.asarray(image.convert("L"))
    rgba = np.asarray(with_alpha(image))
    grey_alpha = np.dstack([grey, rgba[:, :, 3]])
    for orientation in range(1, 9):
        turned = np.asarray(stored(image, orientation))
        order = ">" if orientation % 2 else "<"
        data = png(turned, RGB, before_idat=[(b"eXIf", exif(orientation, order))])
        yield f"orientation/png-{orientation}.png", data

    six = np.asarray(stored(image, 6))
    packet, deflated = xmp(6), zlib.compress(xmp(6, is_element=True), 9)
    texts = {
        "xmp": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet),
        "xmp-deflated": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + deflated),
        "raw-profile": (b"tEXt", b"Raw profile type exif\0" + raw_profile(6)),
        "raw-profile-deflated": (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(6), 9)),
    }
    for name, text in texts.items():
        yield f"png/orientation-{name}.png", png(six, RGB, before_idat=[text])

    for depth in (1, 2, 4):
        yield f"png/grey-{depth}.png", png(grey >> (8 - depth), GREY, depth)
    yield "png/grey-8.png", png(grey, GREY)
    yield "png/grey-16.png", png(sixteen_bit(grey), GREY, 16)
    yield "png/rgb-8.png", png(rgb, RGB)
    yield "png/rgb-16.png", png(sixteen_bit(rgb), RGB, 16)
    for depth in (1, 2, 4, 8):
        indices, palette = quantized(image, 2**depth)
        yield f"png/palette-{depth}.png", png(indices, PALETTE, depth, palette=palette)
    yield "png/grey-alpha-8.png", png(grey_alpha, GREY_ALPHA)
    yield "png/grey-alpha-16.png", png(sixteen_bit(grey_alpha), GREY_ALPHA, 16)
    yield "png/rgba-8.png", png(rgba, RGBA)
    yield "png/rgba-16.png", png(sixteen_bit(np.asarray(with_alpha(small()))), RGBA, 16)

    sky_grey = int(grey[5, 5])
    yield "png/grey-8-trns.png", png(grey, GREY, before_idat=[(b"tRNS", struct.pack(">H", sky_grey))])
    sky_grey_4 = sky_grey >> 4
    yield "png/grey-4-trns.png", png(grey >> 4, GREY, 4, before_idat=[(b"tRNS", struct.pack(">H", sky_grey_4))])
    yield "png/rgb-8-trns.png", png(rgb, RGB, before_idat=[(b"tRNS", struct.pack(">3H", *SKY))])
    indices, palette = quantized(image, 16)
    alphas = bytes(range(0, 256, 32))  # the last eight colours have no alpha and are opaque
    trns = [(b"tRNS", alphas)]
    yield "png/palette-4-trns.png", png(indices, PALETTE, 4, palette=palette, before_idat=trns)

    yield "png/interlaced-rgb-8.png", png(rgb, RGB, interlaced=True)
    yield "png/interlaced-rgba-16.png", png(sixteen_bit(np.asarray(with_alpha(small()))), RGBA, 16, interlaced=True)
    yield "png/interlaced-grey-1.png", png(grey >> 7, GREY, 1, interlaced=True)
    yield "png/interlaced-palette-4.png", png(indices, PALETTE, 4, palette=palette, interlaced=True)
    yield "png/interlaced-7x5.png", png(np.asarray(image.resize((7, 5))), RGB, interlaced=True)
    # Coarse noise makes the order of the passes visible.
    noise = np.random.default_rng(7).integers(0, 256, (60, 24, 3), dtype=np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    yield "png/tall.png", png(noise, RGB)
    for name, orientation in (("turned", 6), ("mirrored", 7)):
        samples = np.asarray(stored(Image.fromarray(noise), orientation))
        yield f"png/tall-{name}.png", png(samples, RGB, before_idat=[(b"eXIf", exif(orientation))])
    yield "png/size-1x1.png", png(rgb[200:201, 300:301], RGB)
    yield "png/size-1x500.png", png(np.tile(np.arange(500) // 2, (3, 1)).T.reshape(500, 1, 3), RGB)
    yield "png/size-500x1.png", png(np.tile(np.arange(500) // 2, (3, 1)).T.reshape(1, 500, 3), RGB)

    yield "png/icc-wide.png", png(rgb, RGB, before_idat=[iccp(WIDE)])
    yield "png/icc-wide-rgba.png", png(rgba, RGBA, before_idat=[iccp(WIDE)])
    yield "png/icc-gamma-22-palette.png", png(indices, PALETTE, 4, palette=palette, before_idat=[iccp(GAMMA_22)])
    yield "png/icc-srgb.png", png(rgb, RGB, before_idat=[iccp(SRGB)])
    yield "png/icc-grey.png", png(grey, GREY, before_idat=[iccp(GREY_18)])
    yield "png/icc-broken.png", png(rgb, RGB, before_idat=[iccp(BROKEN)])
    yield "png/icc-not-deflate.png", png(rgb, RGB, before_idat=[(b"iCCP", b"profile\0\0not a zlib stream")])
    yield "png/trailing-garbage.png", png(rgb, RGB) + bytes(range(256))

    out = io.BytesIO()
    frames = [image.transpose(Image.Transpose.ROTATE_180), image.convert("L").convert("RGB")]
    image.save(out, "PNG", save_all=True, append_images=frames, duration=100, optimize=True)
    yield "png/animated.png", out.getvalue()


# --- WebP ----------------------------------------------------------------------------------------------------------


def webp(image, **options):
    out = io.BytesIO()
    image.save(out, "WEBP", **{"method": 6, **options})
    return out.getvalue()


def webps():
    image = picture()
    frames = [image.transpose(Image.Transpose.ROTATE_180), image.convert("L").convert("RGB")]
    for orientation in range(1, 9):
        order = "<" if orientation % 2 else ">"
        data = webp(stored(image, orientation), lossless=True, exif=exif(orientation, order))
        yield f"orientation/webp-{orientation}.webp", data
    yield "webp/orientation-xmp.webp", webp(stored(image, 6), lossless=True, xmp=xmp(6))
    yield "webp/lossless.webp", webp(image, lossless=True)
    yield "webp/lossless-alpha.webp", webp(with_alpha(image), lossless=True, exact=True)
    yield "webp/lossless-palette.webp", webp(image.quantize(16).convert("RGB"), lossless=True)
    yield "webp/lossy.webp", webp(image, quality=80)
    yield "webp/lossy-quality-20.webp", webp(image, quality=20)
    yield "webp/lossy-alpha.webp", webp(with_alpha(image), quality=80)
    yield "webp/lossy-odd-size.webp", webp(small(), quality=80)
    yield "webp/lossy-1x1.webp", webp(image.resize((1, 1)), quality=80)
    yield "webp/icc-wide.webp", webp(image, lossless=True, icc_profile=WIDE)
    yield "webp/animated.webp", webp(image, lossless=True, save_all=True, append_images=frames, duration=100)
    yield "webp/animated-lossy.webp", webp(image, quality=80, save_all=True, append_images=frames, duration=100)


# --- GIF -----------------------------------------------------------------------------------------------------------


def gif(image, **options):
    out = io.BytesIO()
    image.save(out, "GIF", **{"interlace": 0, **options})
    return out.getvalue()


def gifs():
    image = picture()
    paletted = image.quantize(32, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    yield "gif/plain.gif", gif(paletted)
    yield "gif/interlaced.gif", gif(paletted, interlace=1)
    yield "gif/transparent.gif", gif(paletted, transparency=paletted.getpixel((5, 5)))
    yield "gif/two-colours.gif", gif(image.quantize(2, dither=Image.Dither.NONE))
    frames = [paletted.transpose(Image.Transpose.ROTATE_180), image.convert("L")]
    yield "gif/animated.gif", gif(paletted, save_all=True, append_images=frames, duration=100, loop=0)
    # Without a transparent colour, Pillow paints the background colour outside the frame, but browsers paint nothing.
    data = bytearray(gif(paletted, transparency=paletted.getpixel((35, 35))))
    frame = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", WIDTH_PX, HEIGHT_PX))
    data[6:10] = struct.pack("<HH", WIDTH_PX + 60, HEIGHT_PX + 100)
    data[frame + 1 : frame + 5] = struct.pack("<HH", 20, 70)
    yield "gif/first-frame-smaller.gif", bytes(data)
    yield "gif/trailing-garbage.gif", gif(paletted) + b"\0\1\2\3"


# --- BMP -----------------------------------------------------------------------------------------------------------

BI_RGB, BI_RLE8, BI_RLE4, BI_BITFIELDS = 0, 1, 2, 3


def bmp(rows, width, height, bits, *, palette=None, compression=BI_RGB, masks=None, top_down=False):
    """A BMP of rows of bytes, top row first. With `masks`, its header is a BITMAPV4HEADER."""
    if compression in (BI_RLE8, BI_RLE4):
        body = rows
    else:
        rows = [r + bytes(-len(r) % 4) for r in rows]
        body = b"".join(rows if top_down else rows[::-1])
    colours = b"" if palette is None else b"".join(bytes([b, g, r, 0]) for r, g, b in palette.tolist())
    header_bytes = 108 if masks else 40
    start = 14 + header_bytes + len(colours)
    header = struct.pack(
        "<IiiHHIIiiII", header_bytes, width, -height if top_down else height, 1, bits, compression, len(body),
        2835, 2835, 0 if palette is None else len(palette), 0,
    )  # fmt: skip
    if masks:
        header += struct.pack("<4I", *masks) + b"sRGB"[::-1] + bytes(36 + 12)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + colours + body


def run_lengths(indices, pack):
    """`indices` in RLE8 or RLE4, bottom row first, with an end-of-bitmap mark. `pack(index)` is the byte of a run."""
    out = b""
    for row in indices[::-1].tolist():
        x = 0
        while x < len(row):
            run = 1
            while x + run < len(row) and run < 255 and row[x + run] == row[x]:
                run += 1
            out += bytes([run, pack(row[x])])
            x += run
        out += b"\0\0"
    return out[:-2] + b"\0\1"


def bmps():
    image = picture()
    width, height = image.size
    for bits in (1, 4):
        indices, palette = quantized(image, 2**bits)
        rows = [r.tobytes() for r in packed(indices, bits)]
        yield f"bmp/palette-{bits}.bmp", bmp(rows, width, height, bits, palette=palette)
    yield "bmp/rle4.bmp", bmp(
        run_lengths(indices, lambda v: v * 17), width, height, 4, palette=palette, compression=BI_RLE4
    )
    yield "bmp/rle8.bmp", bmp(
        run_lengths(indices, lambda v: v), width, height, 8, palette=palette, compression=BI_RLE8
    )

    image = small()
    width, height = image.size
    indices, palette = quantized(image, 256)
    yield "bmp/palette-8.bmp", bmp([r.tobytes() for r in indices], width, height, 8, palette=palette)
    rgb = np.asarray(image)
    bgr = [r.tobytes() for r in rgb[:, :, ::-1]]
    yield "bmp/rgb-24.bmp", bmp(bgr, width, height, 24)
    yield "bmp/rgb-24-top-down.bmp", bmp(bgr, width, height, 24, top_down=True)
    bgrx = np.dstack([rgb[:, :, ::-1], np.zeros((height, width), np.uint8)])
    yield "bmp/rgb-32.bmp", bmp([r.tobytes() for r in bgrx], width, height, 32)
    bgra = np.asarray(with_alpha(image))[:, :, [2, 1, 0, 3]]
    masks = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    rows = [r.tobytes() for r in bgra]
    yield "bmp/rgba-32.bmp", bmp(rows, width, height, 32, compression=BI_BITFIELDS, masks=masks)
    # Only values for which v * 255 / 31 gives the same 8 bits rounded and truncated, as decoders do either.
    exact = np.array([v for v in range(32) if v * 255 // 31 == (v * 510 + 31) // 62])
    five = exact[np.abs(exact[:, None] - (rgb.reshape(1, -1) >> 3)).argmin(axis=0)].reshape(rgb.shape).astype(np.uint16)
    rows = [r.astype("<u2").tobytes() for r in five[:, :, 0] << 10 | five[:, :, 1] << 5 | five[:, :, 2]]
    yield "bmp/rgb-555.bmp", bmp(rows, width, height, 16)


# --- TIFF ----------------------------------------------------------------------------------------------------------

SHORT, LONG, LONG8, UNDEFINED = 3, 4, 16, 7
TIFF_SIZES = {SHORT: "H", LONG: "I", LONG8: "Q", UNDEFINED: "B"}
NONE, DEFLATE = 1, 8
WHITE_IS_ZERO, BLACK_IS_ZERO, TIFF_RGB, TIFF_PALETTE = 0, 1, 2, 3


def tiff_page(
    samples, photometric, depth=8, *, order="<", compression=DEFLATE, predictor=1, tile_px=None, planar=False,
    extra=None, palette=None, more=(),
):  # fmt: skip
    """A page for `tiff`: its tags without the offsets of the strips or tiles, and the strips or tiles themselves."""
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    channels = samples.shape[2]
    tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [depth] * channels),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        277: (SHORT, [channels]),
        284: (SHORT, [2 if planar else 1]),
        **dict(more),
    }
    if predictor != 1:
        tags[317] = (SHORT, [predictor])
    if extra is not None:
        tags[338] = (SHORT, [extra])
    if palette is not None:
        full = np.zeros((2**depth, 3), int)
        full[: len(palette)] = palette
        tags[320] = (SHORT, (full.T * 257).reshape(-1).tolist())

    planes = [samples[:, :, i : i + 1] for i in range(channels)] if planar else [samples]
    rows_per_strip = 64
    parts = []
    for plane in planes:
        if tile_px:
            for y in range(0, height, tile_px):
                for x in range(0, width, tile_px):
                    part = plane[y : y + tile_px, x : x + tile_px]
                    missing = ((0, tile_px - part.shape[0]), (0, tile_px - part.shape[1]), (0, 0))
                    parts.append(np.pad(part, missing, mode="edge"))
        else:
            parts += [plane[y : y + rows_per_strip] for y in range(0, height, rows_per_strip)]
    blocks = []
    for part in parts:
        if predictor == 2:
            part = np.concatenate([part[:, :1], part[:, 1:] - part[:, :-1]], axis=1)
        data = part.astype(order + "u2").tobytes() if depth == 16 else packed(part, depth).tobytes()
        blocks.append(zlib.compress(data, 9) if compression == DEFLATE else data)
    if tile_px:
        tags[322], tags[323] = (LONG, [tile_px]), (LONG, [tile_px])
    else:
        tags[278] = (LONG, [rows_per_strip])
    return tags, blocks


def tiff(*pages, order="<", big=False):
    """A TIFF, or with `big` a BigTIFF, of pages from `tiff_page`."""
    word, entry, inline = ("Q", "HHQ", 8) if big else ("I", "HHI", 4)
    count = "Q" if big else "H"
    mark = b"II" if order == "<" else b"MM"
    out = bytearray(mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)))
    link = len(out) - inline  # position of the offset of the next directory
    for tags, blocks in pages:
        places = []
        for block in blocks:
            places.append(len(out))
            out += block + bytes(-len(block) % 2)
        tiled = 322 in tags
        kind = LONG8 if big else LONG
        tags = {
            **tags,
            (324 if tiled else 273): (kind, places),
            (325 if tiled else 279): (kind, [len(b) for b in blocks]),
        }
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            body = struct.pack(f"{order}{len(values)}{TIFF_SIZES[kind]}", *values)
            entries += struct.pack(order + entry, tag, kind, len(values))
            if len(body) <= inline:
                entries += body + bytes(inline - len(body))
            else:
                entries += struct.pack(order + word, len(out))
                out += body + bytes(-len(body) % 2)
        out[link : link + inline] = struct.pack(order + word, len(out))
        out += struct.pack(order + count, len(tags)) + entries
        link = len(out)
        out += bytes(inline)
    return bytes(out)


def pillow_tiff(image, **options):
    out = io.BytesIO()
    image.save(out, "TIFF", **options)
    return out.getvalue()


def with_turned_bits(page):
    """A TIFF of this page with `FillOrder` 2: the first bit of a byte is its least significant one."""
    tags, blocks = page
    turn = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    return tiff(({**tags, 266: (SHORT, [2])}, [block.translate(turn) for block in blocks]))


def tiff_page_of(data):
    """The page of a TIFF of Pillow, for `tiff`."""
    tags = Image.open(io.BytesIO(data)).tag_v2
    blocks = [data[at : at + length] for at, length in zip(tags[273], tags[279], strict=True)]
    kinds = {256: LONG, 257: LONG, 258: SHORT, 259: SHORT, 262: SHORT, 277: SHORT, 278: LONG, 284: SHORT}
    values = {tag: tags[tag] for tag in kinds if tag in tags}
    return {tag: (kinds[tag], list(v) if isinstance(v, tuple) else [v]) for tag, v in values.items()}, blocks


def tiffcp(data, *arguments):
    """`data` rewritten by tiffcp with these arguments."""
    source, target = OUT / "in.tif", OUT / "out.tif"
    source.write_bytes(data)
    try:
        subprocess.run(["tiffcp", *arguments, source, target], check=True, capture_output=True)
        return target.read_bytes()
    finally:
        source.unlink()
        target.unlink(missing_ok=True)


def tiffs():
    image = picture()
    rgb, grey = np.asarray(image), np.asarray(image.convert("L"))
    rgba = np.asarray(with_alpha(image))
    little, little_alpha = np.asarray(small()), np.asarray(with_alpha(small()))
    for orientation in range(1, 9):
        order = ">" if orientation % 2 else "<"
        turned = np.asarray(stored(image, orientation))
        more = {274: (SHORT, [orientation])}
        page = tiff_page(turned, TIFF_RGB, order=order, predictor=2, more=more)
        yield f"orientation/tiff-{orientation}.tif", tiff(page, order=order)

    six = np.asarray(stored(image, 6))
    yield "tiff/orientation-long.tif", tiff(tiff_page(six, TIFF_RGB, predictor=2, more={274: (LONG, [6])}))
    packet = {700: (UNDEFINED, list(xmp(6)))}
    yield "tiff/orientation-xmp.tif", tiff(tiff_page(six, TIFF_RGB, predictor=2, more=packet))

    yield "tiff/rgb-8-none.tif", tiff(tiff_page(little, TIFF_RGB, compression=NONE))
    yield "tiff/rgb-8-lzw.tif", pillow_tiff(image, compression="tiff_lzw")
    yield "tiff/rgb-8-lzw-predictor.tif", pillow_tiff(image, compression="tiff_lzw", tiffinfo={317: 2})
    yield "tiff/rgb-8-deflate.tif", tiff(tiff_page(rgb, TIFF_RGB))
    yield "tiff/rgb-8-old-deflate.tif", pillow_tiff(image, compression="tiff_deflate")
    yield "tiff/rgb-8-packbits.tif", pillow_tiff(small(), compression="packbits")
    yield "tiff/rgb-8-big-endian.tif", tiff(tiff_page(rgb, TIFF_RGB, order=">"), order=">")
    yield "tiff/rgb-8-bigtiff.tif", tiff(tiff_page(rgb, TIFF_RGB), big=True)
    yield "tiff/rgb-8-tiled.tif", tiff(tiff_page(rgb, TIFF_RGB, tile_px=128))
    yield "tiff/rgb-8-tiled-lzw.tif", tiffcp(pillow_tiff(image), "-t", "-w", "64", "-l", "64", "-c", "lzw:2")
    yield "tiff/rgb-8-planar.tif", tiff(tiff_page(rgb, TIFF_RGB, planar=True))
    yield "tiff/rgb-8-planar-tiled.tif", tiff(tiff_page(rgb, TIFF_RGB, planar=True, tile_px=128))
    yield "tiff/rgb-8-planar-lzw.tif", tiffcp(pillow_tiff(image), "-p", "separate", "-c", "lzw")
    yield "tiff/rgb-8-jpeg.tif", pillow_tiff(image, compression="jpeg", quality=85)
    yield "tiff/ycbcr-8-jpeg.tif", tiffcp(pillow_tiff(image), "-r", "64", "-c", "jpeg:85")
    yield "tiff/grey-8-jpeg.tif", pillow_tiff(image.convert("L"), compression="jpeg", quality=85)
    yield "tiff/rgb-16.tif", tiff(tiff_page(sixteen_bit(little), TIFF_RGB, 16))
    yield "tiff/rgb-16-predictor.tif", tiff(tiff_page(sixteen_bit(rgb), TIFF_RGB, 16, predictor=2))
    yield "tiff/rgb-16-big-endian.tif", tiff(tiff_page(sixteen_bit(little), TIFF_RGB, 16, order=">"), order=">")
    yield "tiff/rgba-8.tif", tiff(tiff_page(rgba, TIFF_RGB, extra=2))
    yield "tiff/rgba-8-planar.tif", tiff(tiff_page(rgba, TIFF_RGB, extra=2, planar=True))
    yield "tiff/rgba-16.tif", tiff(tiff_page(sixteen_bit(little_alpha), TIFF_RGB, 16, extra=2))
    premultiplied = (rgba[:, :, :3].astype(int) * rgba[:, :, 3:] + 127) // 255
    premultiplied = np.dstack([premultiplied, rgba[:, :, 3]]).astype(np.uint8)
    yield "tiff/rgba-8-premultiplied.tif", tiff(tiff_page(premultiplied, TIFF_RGB, extra=1))
    yield "tiff/rgb-8-unspecified-extra.tif", tiff(tiff_page(rgba, TIFF_RGB, extra=0))
    yield "tiff/grey-1.tif", tiff(tiff_page(grey >> 7, BLACK_IS_ZERO, 1))
    yield "tiff/grey-1-white-is-zero.tif", tiff(tiff_page(1 - (grey >> 7), WHITE_IS_ZERO, 1))
    yield "tiff/grey-1-packbits.tif", pillow_tiff(Image.fromarray(grey >> 7 != 0), compression="packbits")
    yield "tiff/grey-1-turned-bits.tif", with_turned_bits(tiff_page(grey >> 7, BLACK_IS_ZERO, 1, compression=NONE))
    yield "tiff/grey-1-turned-bits-deflate.tif", with_turned_bits(tiff_page(grey >> 7, BLACK_IS_ZERO, 1))
    yield "tiff/rgb-8-turned-bits.tif", with_turned_bits(tiff_page(little, TIFF_RGB, compression=NONE))
    lzw = pillow_tiff(image.convert("L"), compression="tiff_lzw")
    yield "tiff/grey-8-turned-bits-lzw.tif", with_turned_bits(tiff_page_of(lzw))
    packbits = pillow_tiff(Image.fromarray(grey >> 7 != 0), compression="packbits")
    yield "tiff/grey-1-turned-bits-packbits.tif", with_turned_bits(tiff_page_of(packbits))
    yield "tiff/grey-4.tif", tiff(tiff_page(grey >> 4, BLACK_IS_ZERO, 4))
    yield "tiff/grey-8.tif", tiff(tiff_page(grey, BLACK_IS_ZERO))
    yield "tiff/grey-8-white-is-zero.tif", tiff(tiff_page(255 - grey, WHITE_IS_ZERO))
    yield "tiff/grey-16.tif", tiff(tiff_page(sixteen_bit(grey), BLACK_IS_ZERO, 16))
    yield "tiff/grey-16-big-endian.tif", tiff(tiff_page(sixteen_bit(grey), BLACK_IS_ZERO, 16, order=">"), order=">")
    for depth in (4, 8):
        indices, palette = quantized(image, 2**depth)
        yield f"tiff/palette-{depth}.tif", tiff(tiff_page(indices, TIFF_PALETTE, depth, palette=palette))
    yield "tiff/cmyk.tif", pillow_tiff(Image.fromarray(cmyk(small()), "CMYK"), compression="tiff_lzw")
    yield "tiff/multipage.tif", tiff(tiff_page(rgb, TIFF_RGB), tiff_page(grey[::-1], BLACK_IS_ZERO))
    profile = {34675: (UNDEFINED, list(WIDE))}
    yield "tiff/icc-wide.tif", tiff(tiff_page(rgb, TIFF_RGB, more=profile))


# --- AVIF ----------------------------------------------------------------------------------------------------------


def avif(image, **options):
    """`image` as an AVIF of Pillow: quality 75, 4:2:0, full range unless `options` say otherwise."""
    out = io.BytesIO()
    image.save(out, "AVIF", **{"quality": 75, "speed": 6, "max_threads": 1, **options})
    return out.getvalue()


def avifenc(image, *arguments):
    """`image` as an AVIF of avifenc."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "image.png", Path(folder) / "image.avif"
        image.save(source)
        command = ["avifenc", "--speed", "6", "--jobs", "1", "--min", "12", "--max", "12"]
        subprocess.run([*command, *arguments, source, target], capture_output=True, check=True)
        return target.read_bytes()


LOSSLESS = ("--lossless", "--cicp", "1/13/0", "--range", "full")


def avifs():
    image = picture()
    for orientation in range(1, 9):
        turns, mirroring = {1: "", 2: "01", 3: "2", 4: "00", 5: "10", 6: "3", 7: "11", 8: "1"}[orientation].ljust(2)
        turned = ["--irot", turns] * (turns > "0") + ["--imir", mirroring] * (mirroring > " ")
        yield f"orientation/avif-{orientation}.avif", avifenc(stored(image, orientation), *LOSSLESS, *turned)
    # The container has no turn, and what EXIF says does not count.
    yield "avif/orientation-exif-only.avif", avifenc_with_exif(image, exif(6))
    yield "avif/420-8.avif", avif(image)
    yield "avif/422-8-limited.avif", avif(image, subsampling="4:2:2", range="limited")
    yield "avif/444-8.avif", avif(image, subsampling="4:4:4")
    yield "avif/lossless.avif", avifenc(image, *LOSSLESS)
    yield "avif/grey-8.avif", avif(image.convert("L"), subsampling="4:0:0")
    yield "avif/420-10.avif", avifenc(image, "--yuv", "420", "--depth", "10")
    yield "avif/444-10-bt2020.avif", avifenc(image, "--yuv", "444", "--depth", "10", "--cicp", "1/13/9")
    yield "avif/422-12-limited.avif", avifenc(
        image, "--yuv", "422", "--depth", "12", "--range", "limited", "--cicp", "1/13/1"
    )
    yield "avif/grey-10.avif", avifenc(image.convert("L"), "--yuv", "400", "--depth", "10")
    yield "avif/rgba-420-8.avif", avif(with_alpha(image))
    yield "avif/rgba-lossless.avif", avifenc(with_alpha(image), *LOSSLESS)
    yield "avif/rgba-10.avif", avifenc(with_alpha(image), "--yuv", "444", "--depth", "10")
    yield "avif/rgba-premultiplied.avif", avif(with_alpha(image), subsampling="4:4:4", alpha_premultiplied=True)
    yield "avif/grid.avif", avifenc(image.resize((512, 384)), "--yuv", "420", "--grid", "4x3")
    yield "avif/grid-rgba.avif", avifenc(with_alpha(image.resize((512, 384))), *LOSSLESS, "--grid", "2x2")
    yield "avif/cropped.avif", avifenc(image, *LOSSLESS, "--crop", "40,20,400,300")
    yield "avif/icc-wide.avif", avif(image, subsampling="4:4:4", icc_profile=WIDE)
    yield "avif/code-points-p3.avif", avifenc(image, "--yuv", "444", "--cicp", "12/13/6")
    yield "avif/grain.avif", avifenc(image, "--yuv", "420", "--advanced", "film-grain-test=2")
    yield "avif/tiles.avif", avifenc(image, "--yuv", "420", "--tilerowslog2", "2", "--tilecolslog2", "2")
    yield "avif/odd-size.avif", avif(small())
    yield "avif/1x1.avif", avif(image.resize((1, 1)))
    frames = [image.transpose(Image.Transpose.ROTATE_180), image.convert("L").convert("RGB")]
    yield "avif/animated.avif", avif(image, save_all=True, append_images=frames, duration=100)


def avifenc_with_exif(image, block):
    """`image` with an EXIF block, and a turn of zero in its container, which avifenc would set to that of the block."""
    with tempfile.NamedTemporaryFile(suffix=".exif") as file:
        file.write(block)
        file.flush()
        data = bytearray(avifenc(image, *LOSSLESS, "--exif", file.name))
    data[data.index(b"irot") + 4] = 0
    return bytes(data)


def main():
    total = 0
    for family in (jpegs, pngs, webps, gifs, bmps, tiffs, avifs):
        for name, data in family():
            path = OUT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            total += len(data)
    print(f"{total} bytes in {OUT}")


if __name__ == "__main__":
    main()
