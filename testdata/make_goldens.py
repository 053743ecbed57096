#!/usr/bin/env python3
"""Makes testdata/golden: the expected outputs of pixpipe, computed by Pillow alone.

    python testdata/make_goldens.py           # adds missing cases
    python testdata/make_goldens.py --check   # writes nothing: checks hashes, names, coverage, and all pixels

A case is one source with one environment. Its golden is a PNG named by the hash of its pixels, so cases with the same
pixels share one file. LEDGER.tsv has one row for each case.

A golden is never overwritten. If Pillow now gives other pixels for a case than its row names, nothing is written and
the case is reported. To accept such a change, remove the row first, and give the reason in the commit. Tolerances are
different: each run takes them from `TOLERANCES`.

Needs testdata/requirements.txt.
"""

import argparse
import datetime
import fnmatch
import hashlib
import io
import math
import sys
from pathlib import Path

import numpy as np
import PIL
from make_images import WIDE
from PIL import Image, ImageCms, ImageColor, ImageOps

HERE = Path(__file__).parent
IMAGES = HERE / "images"
GOLDEN = HERE / "golden"
LEDGER = GOLDEN / "LEDGER.tsv"

COLUMNS = (
    "case", "source", "FIT", "SIZES", "FILTER", "DECODE", "COLOR", "BACKGROUND", "CROP_ROUND", "PRESET",
    "golden", "sha256", "max_levels", "max_share", "cpu", "made_by", "cause",
)  # fmt: skip
SETTINGS = COLUMNS[2:10]
DEFAULTS = {
    "FIT": "cover",
    "SIZES": "224",
    "FILTER": "lanczos3",
    "DECODE": "exact",
    "COLOR": "srgb",
    "BACKGROUND": "000000",
    "CROP_ROUND": "even",
    "PRESET": "",
}
# An empty value counts as not set: beside a preset, the geometry is the preset's.
BESIDE_PRESET = {"FIT": "", "SIZES": "", "FILTER": "", "DECODE": "", "COLOR": "", "CROP_ROUND": ""}
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}

STRAIGHT = "Pillow rounds once more: it goes back to straight alpha between resizing and compositing"
ENGINE = "moxcms and lcms2 are up to 2 levels apart, and dark saturated colours amplify one level of the resize to 4"
LIBYUV = "libavif converts with libyuv, whose coefficients have 6 bits"
# Mean difference to the picture that was encoded, at 224 px: 0.1 to 0.9 levels here, 0.9 to 1.9 by Pillow.
DROPPED_BITS = "libavif drops the lower bits of 10-bit and 12-bit samples before it converts them"

# Pattern of the case's name; largest difference of a value, in levels; largest share of values that may differ; cause,
# if that is more than usual. The first matching row counts.
TOLERANCES = (
    ("* ignore", 1, 0.01, ""),
    ("avif/rgba-lossless *", 2, 0.07, STRAIGHT),
    ("avif/*lossless *", 1, 0.01, ""),
    ("avif/grey-*", 1, 0.01, ""),
    ("avif/cropped *", 1, 0.01, ""),
    ("avif/grid-rgba *", 1, 0.01, ""),
    ("avif/orientation-*", 1, 0.01, ""),
    ("avif/*-10*", 4, 0.75, DROPPED_BITS),
    ("avif/422-12-limited *", 11, 0.95, DROPPED_BITS),
    ("avif/icc-wide *", 6, 0.25, f"{ENGINE}; {LIBYUV}"),
    ("avif/code-points-p3 *", 5, 0.1, f"{ENGINE}; {LIBYUV}"),
    ("avif/grid *", 12, 0.2, f"{LIBYUV}; chroma is interpolated within each tile, in libavif across their edges"),
    ("avif/grain *", 3, 0.4, LIBYUV),
    ("avif/*", 3, 0.3, LIBYUV),
    ("png/icc-wide-rgba *", 4, 0.13, f"{ENGINE}; {STRAIGHT}"),
    ("png/tall* cover 224", 2, 0.001, "coarse noise, enlarged: one level of the first pass can become two"),
    ("*/icc-wide*", 4, 0.07, ENGINE),
    ("*/icc-gamma-22*", 4, 0.07, ENGINE),
    ("*/icc-grey*", 2, 0.01, ENGINE),
    ("png/palette-4-trns *", 2, 0.17, STRAIGHT),
    ("*rgba-*", 2, 0.07, STRAIGHT),
    ("*-alpha*", 2, 0.07, STRAIGHT),
    ("*-trns *", 2, 0.07, STRAIGHT),
    ("gif/transparent *", 2, 0.03, STRAIGHT),
    ("tiff/ycbcr-8-jpeg *", 4, 0.13, "zune-jpeg decodes JPEG inside TIFF; its IDCT and chroma upsampling differ"),
    ("*", 1, 0.01, ""),
)


# --- the reference -------------------------------------------------------------------------------------------------


def is_srgb(profile):
    """Whether a conversion from `profile` (an opened RGB profile) changes no value by more than one level."""
    steps = np.linspace(0, 255, 18).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3)
    before = Image.fromarray(lattice)
    after = ImageCms.profileToProfile(
        before, profile, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    return np.abs(np.asarray(after).astype(int) - lattice).max() <= 1


# What Pillow does not read of an AVIF: the crop (left, top, width, height), and the profile that code points stand for.
CROPPED = {"cropped.avif": (40, 20, 400, 300)}
CODE_POINTS = {"code-points-p3.avif": WIDE}


def profile_of(image):
    """The image's embedded profile. None if there is none, or it is broken, for other channels, or sRGB."""
    data = image.info.get("icc_profile") or CODE_POINTS.get(Path(image.filename).name)
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, ImageCms.PyCMSError):
        return None
    colour_space = profile.profile.xcolor_space.strip()
    if image.mode in ("1", "L", "I;16", "I;16B"):
        # An RGB profile on a grey image matters only by its tone curve, which in practice is that of sRGB.
        return profile if colour_space == "GRAY" else None
    if image.mode == "CMYK" or colour_space != "RGB" or is_srgb(profile):
        return None
    return profile


def upright(source):
    """The first frame of a path or a file, upright, in mode L, RGB or RGBA of 8 bits a sample; its profile or None."""
    image = Image.open(source)
    profile = profile_of(image)
    transparent = image.has_transparency_data
    if getattr(source, "name", None) in CROPPED:
        # Pillow ignores the crop.
        left, top, width, height = CROPPED[source.name]
        image = image.crop((left, top, left + width, top + height))
    if image.format == "PNG" and image.tile[0].args in ("L;2", "L;4"):
        # Pillow scales samples of 2 and 4 bits to 8 bits, but not the transparent sample value (PNG, 11.3.2.1).
        bits = int(image.tile[0].args[-1])
        if "transparency" in image.info:
            image.info["transparency"] *= 255 // (2**bits - 1)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if transparent:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image, profile


def to_srgb(image, profile):
    """`image` (RGB, L or RGBA) with its colours converted to sRGB. Alpha does not change."""
    colours = image if image.mode == "L" else image.convert("RGB")
    converted = ImageCms.profileToProfile(
        colours,
        profile,
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted


def reference(path, settings, size, short_px=None):
    """The expected output of `path` with `settings`: an RGB image of `size` (width, height).

    With `short_px` it is cut out of the source scaled to that short side; with FIT=short it has the short side of
    `size`.
    """
    return rendered(*upright(path), settings, size, short_px)


def rendered(image, profile, settings, size, short_px=None):
    """The results of `upright`, rendered to an RGB image of `size` (width, height).

    First resize, then convert colours, then fill in the background: its colour is sRGB and is not converted.
    """
    resample = FILTERS[settings["FILTER"]]
    match settings["FIT"]:
        case "cover" if short_px:
            whole = math.floor if settings["CROP_ROUND"] == "floor" else round
            image = centre_crop(resize_short_side(image, short_px, resample), size, whole)
        case "short":
            image = resize_short_side(image, size[0], resample)
        case "cover":
            image = ImageOps.fit(image, size, resample, centering=(0.5, 0.5))
        case "contain":
            image = contained(image, size, resample)
        case "stretch":
            image = image.resize(size, resample)
    if profile is not None and settings["COLOR"] == "srgb":
        image = to_srgb(image, profile)
    background = ImageColor.getrgb("#" + settings["BACKGROUND"])
    if image.mode == "RGBA":
        below = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(below, image)
    image = image.convert("RGB")
    if settings["FIT"] == "contain":
        image = ImageOps.pad(image, size, resample, color=background)
    return image


def resize_short_side(image, short_px, resample):
    """The calls of torchvision's `Resize(short_px)` on a PIL image: the fraction of the long side is dropped.

    torchvision/transforms/functional.py, `_compute_resized_output_size`; the same in timm, open_clip and transformers.
    """
    width, height = image.size
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = short_px, int(short_px * long / short)
    return image.resize((new_short, new_long) if width <= height else (new_long, new_short), resample)


def centre_crop(image, size, whole):
    """The calls of torchvision's `CenterCrop`, with `round`: half a pixel goes to even.

    torchvision/transforms/functional.py, `center_crop`; transformers/image_transforms.py has `//`, that is `floor`.
    """
    left, top = (int(whole((n - side) / 2.0)) for n, side in zip(image.size, size, strict=True))
    return image.crop((left, top, left + size[0], top + size[1]))


def shrunk_and_cut(short_px, size, filter_, whole=round):
    return lambda image: centre_crop(resize_short_side(image, short_px, FILTERS[filter_]), (size, size), whole)


def stretched(size, filter_):
    return lambda image: image.resize((size, size), FILTERS[filter_])


# The PIL calls of each library, from their sources; docs/presets.md names the files. `make presets` compares with the
# libraries themselves.
PRESETS = {
    # torchvision.models: ResNet50_Weights.IMAGENET1K_V1, IMAGENET1K_V2, Inception_V3_Weights; bilinear.
    "torchvision-256-224": shrunk_and_cut(256, 224, "bilinear"),
    "torchvision-232-224": shrunk_and_cut(232, 224, "bilinear"),
    "torchvision-342-299": shrunk_and_cut(342, 299, "bilinear"),
    # timm.data.transforms_imagenet_eval: math.floor(224 / crop_pct), interpolation="bicubic".
    "timm-875-224": shrunk_and_cut(math.floor(224 / 0.875), 224, "bicubic"),
    "timm-900-224": shrunk_and_cut(math.floor(224 / 0.9), 224, "bicubic"),
    "timm-950-224": shrunk_and_cut(math.floor(224 / 0.95), 224, "bicubic"),
    "timm-965-224": shrunk_and_cut(math.floor(224 / 0.965), 224, "bicubic"),
    # open_clip.image_transform, OpenAI's clip._transform: Resize(224, BICUBIC), CenterCrop(224).
    "clip-224": shrunk_and_cut(224, 224, "bicubic"),
    # transformers.CLIPImageProcessor: shortest_edge 224, then a crop that rounds down.
    "hf-clip-224": shrunk_and_cut(224, 224, "bicubic", math.floor),
    # transformers.ViTImageProcessor: size 224x224, resample BILINEAR.
    "hf-vit-224": stretched(224, "bilinear"),
    # cleanfid.resize: (299, 299), PIL_BICUBIC; there in floats, here in the 8 bits that a file holds.
    "fid-299": stretched(299, "bicubic"),
}


def of_preset(path, preset):
    """What the library makes of a file: opened as by `ImageFolder`, without its orientation and its profile."""
    return PRESETS[preset](Image.open(path).convert("RGB"))


def contained(image, size, resample):
    """ImageOps.contain with sides of at least one pixel. Pillow itself fails if a side is rounded to zero."""
    width, height = image.size
    scale = min(size[0] / width, size[1] / height)
    if round(width * scale) == 0 or round(height * scale) == 0:
        return image.resize((max(1, round(width * scale)), max(1, round(height * scale))), resample)
    return ImageOps.contain(image, size, resample)


# --- the cases -----------------------------------------------------------------------------------------------------


def case(source, **settings):
    """A case. Its name is the source, the fit, the size, and every other setting that is not the default."""
    settings = {**DEFAULTS, **(BESIDE_PRESET if "PRESET" in settings else {}), **settings}
    shown = [settings["FIT"], settings["SIZES"]]
    shown += [v for k, v in settings.items() if k not in ("FIT", "SIZES") and v != DEFAULTS[k]]
    shown = [value for value in shown if value]
    return " ".join([source.rsplit(".", 1)[0], *shown]), source, settings


def cases():
    """Every case, in the order of the ledger."""
    sources = sorted(p.relative_to(IMAGES).as_posix() for p in IMAGES.rglob("*.*"))
    for source in sources:
        if source.startswith("orientation/"):
            for fit in ("cover", "contain", "stretch"):
                for size in ("224", "299"):
                    yield case(source, FIT=fit, SIZES=size)
        else:
            yield case(source)
    for source in ("png/rgb-8.png", "png/rgba-8.png"):
        for filter_ in FILTERS:
            if filter_ != DEFAULTS["FILTER"]:
                for size in ("224", "299"):
                    yield case(source, FIT="stretch", FILTER=filter_, SIZES=size)
    for size in ("96x32", "32x96", "7", "1", "640x480"):
        for fit in ("cover", "contain"):
            yield case("png/rgb-8.png", FIT=fit, SIZES=size)
    # The height shrinks much more than the width, so Pillow makes the vertical pass first.
    for source in ("png/tall.png", "png/tall-turned.png", "png/tall-mirrored.png"):
        for filter_ in FILTERS:
            for fit in ("stretch", "cover"):
                yield case(source, FIT=fit, SIZES="32", FILTER=filter_)
    for thin in ("png/size-1x500.png", "png/size-500x1.png"):
        for fit in ("contain", "stretch"):
            yield case(thin, FIT=fit)
    for alpha in ("png/rgba-8.png", "png/grey-8-trns.png", "webp/lossless-alpha.webp", "gif/transparent.gif"):
        yield case(alpha, BACKGROUND="ff8000")
    yield case("png/rgba-8.png", FIT="contain", BACKGROUND="ff8000")
    yield case("png/icc-wide-rgba.png", FIT="contain", BACKGROUND="ff8000")
    yield case("jpeg/icc-wide.jpg", FIT="contain", BACKGROUND="ff8000")
    for source in ("jpeg/icc-wide.jpg", "png/icc-wide.png", "png/icc-grey.png", "tiff/icc-wide.tif"):
        yield case(source, COLOR="ignore")
    yield case("webp/icc-wide.webp", COLOR="ignore")
    # Resize, then crop.
    for exif in range(1, 9):
        yield case(f"orientation/jpeg-{exif}.jpg", SIZES="224@256")
        yield case(f"orientation/jpeg-{exif}.jpg", SIZES="96", FIT="short")
    for filter_ in FILTERS:
        yield case("png/rgb-8.png", SIZES="160x96@160", FILTER=filter_)
        # Pillow goes by the picture that is cut from, which loses more of its height; the output does not.
        for source in ("png/tall.png", "png/tall-turned.png", "png/tall-mirrored.png"):
            yield case(source, SIZES="8x40@40", FILTER=filter_)
        yield case("png/tall.png", SIZES="32", FIT="short", FILTER=filter_)
    # 295 px leave 71 px beside 224 px.
    for round_ in ("even", "floor"):
        yield case("bmp/rgb-24.bmp", SIZES="224@224", FILTER="bicubic", CROP_ROUND=round_)
    yield case("png/rgba-8.png", SIZES="224@256", BACKGROUND="ff8000")
    yield case("png/rgba-8.png", SIZES="96", FIT="short", BACKGROUND="ff8000")
    yield case("jpeg/icc-wide.jpg", SIZES="224@256")
    yield case("png/size-1x1.png", SIZES="7@9")
    for thin in ("png/size-1x500.png", "png/size-500x1.png"):
        yield case(thin, SIZES="8@16")
    for preset in PRESETS:
        yield case("jpeg/baseline.jpg", PRESET=preset)
        if "clip" in preset:
            yield case("bmp/rgb-24.bmp", PRESET=preset)
    yield case("jpeg/icc-wide.jpg", PRESET="torchvision-256-224")


def sizes(text):
    """Width and height of the output that `SIZES` names."""
    width, _, height = text.partition("@")[0].partition("x")
    return int(width), int(height or width)


def short_side(text):
    """The short side that an output of `SIZES` is cut out of, or None."""
    return int(text.partition("@")[2]) if "@" in text else None


def expected(source, settings):
    """The expected output of a case."""
    if settings["PRESET"]:
        return of_preset(IMAGES / source, settings["PRESET"])
    return reference(IMAGES / source, settings, sizes(settings["SIZES"]), short_side(settings["SIZES"]))


def tolerance(name):
    for pattern, levels, share, cause in TOLERANCES:
        if fnmatch.fnmatchcase(name, pattern):
            return str(levels), str(share), cause or "-"
    raise AssertionError("the last pattern matches every name")


# --- ledger and files ----------------------------------------------------------------------------------------------


def read_ledger():
    """The rows of the ledger by case."""
    if not LEDGER.exists():
        return {}
    lines = [line for line in LEDGER.read_text().splitlines() if line and not line.startswith("#")]
    columns = lines[0].split("\t")
    assert set(columns) <= set(COLUMNS), "the ledger has columns that this script does not know"
    rows = (dict(zip(columns, line.split("\t"), strict=True)) for line in lines[1:])
    return {row["case"]: row for row in rows}


def golden_name(image):
    """The name of the golden with these pixels."""
    return f"{image.width}x{image.height}-{hashlib.sha256(image.tobytes()).hexdigest()[:16]}.png"


def write_golden(image):
    """Writes the golden unless it exists."""
    path = GOLDEN / golden_name(image)
    if not path.exists():
        image.save(path, "PNG", optimize=True)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def row_of(name, source, settings, golden, made_by):
    levels, share, cause = tolerance(name)
    values = (name, source, *(settings[s] for s in SETTINGS), golden.name, sha256(golden))
    return dict(zip(COLUMNS, (*values, levels, share, "all", made_by, cause), strict=True))


def faults_of_files(ledger, wanted):
    """All faults of the ledger and of the files that it names. Computes no golden."""
    for name, row in ledger.items():
        path = GOLDEN / row["golden"]
        if name not in wanted:
            yield f"{name}: no such case in this script"
        if not path.exists():
            yield f"{name}: {path.name} is missing"
        elif sha256(path) != row["sha256"]:
            yield f"{name}: the hash of {path.name} is not that of the ledger"
        elif golden_name(Image.open(path)) != path.name:
            yield f"{name}: the pixels of {path.name} do not match its name"
    for path in sorted({p.name for p in GOLDEN.glob("*.png")} - {row["golden"] for row in ledger.values()}):
        yield f"{path}: no row of the ledger names it"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, report all faults")
    check = parser.parse_args().check

    GOLDEN.mkdir(exist_ok=True)
    ledger = read_ledger()
    made_by = f"Pillow {PIL.__version__}, {datetime.date.today().isoformat()}"
    wanted, faults, new = {}, [], {}
    for name, source, settings in cases():
        assert name not in wanted, name
        image = expected(source, settings)
        wanted[name] = (source, settings)
        if name not in ledger:
            new[name] = image
        elif ledger[name]["golden"] != golden_name(image):
            faults.append(f"{name}: now gives {golden_name(image)}, the ledger has {ledger[name]['golden']}")
    if check:
        faults += [f"{name}: not in the ledger" for name in new]
        faults += faults_of_files(ledger, wanted)
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        print(f"{len(faults)} faults; nothing written", file=sys.stderr)
        return 1
    if not check:
        rows = []
        for name, (source, settings) in wanted.items():
            golden = write_golden(new[name]) if name in new else GOLDEN / ledger[name]["golden"]
            rows.append(row_of(name, source, settings, golden, ledger.get(name, {}).get("made_by", made_by)))
        LEDGER.write_text("".join("\t".join(line) + "\n" for line in (COLUMNS, *(r.values() for r in rows))))
        for orphan in {p.name for p in GOLDEN.glob("*.png")} - {row["golden"] for row in rows}:
            (GOLDEN / orphan).unlink()
    total = sum(p.stat().st_size for p in GOLDEN.glob("*.png"))
    files = len(list(GOLDEN.glob("*.png")))
    print(f"{len(wanted)} cases, {len(new)} new, {files} goldens, {total} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
