"""The uploads, and the outcome that each must have."""

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

TESTDATA = Path(__file__).resolve().parents[2] / "testdata"
sys.path.insert(0, str(TESTDATA))
from make_goldens import DEFAULTS, reference, sizes  # noqa: E402

MAX_LEVELS = 1  # as in testdata/make_goldens.py
MAX_SHARE = 0.02  # twice as in there: of an output as small as these, 1.06 % of the values was off, once in 4,000

# Keys that a part on the way might misread: URLs, forms, JSON, templates, JSONata, shells, XML, listings.
NASTY = (
    "plain.jpg", "two words.jpg", " leading and trailing .jpg ", "plus+plus.jpg", "a%20b+c d%2Be.jpg", "100%.jpg",
    "%", "%zz.jpg",
    "a&b=c?d#e.jpg", "semi;colon,comma:at@.jpg", 'quote".jpg', '""', "apostrophe's.jpg", "back\\slash.jpg",
    '\\"\\\\".jpg', "\\n.jpg",
    "{braces}.jpg", "[0].jpg", "<$.body>.jpg", "$.body", "$$.body", "{% $states.input %}.jpg", "${var.name}.jpg",
    "$(id).jpg", "`id`.jpg",
    "*.jpg", "?.jpg", "|>&.jpg", "~.jpg", "^.jpg", "!.jpg", "(1).jpg", "-rf", "<tag attribute='x'>&amp;.jpg", "null",
    "0", "{}", "[]",
    "äöüß.jpg", "e\u0301 is not é.jpg", "日本語/写真 1.jpg", "עברית.jpg", "ﷺ.jpg", "🦀.jpg", "👩‍👩‍👧 a+b.jpg",
    "\U0001f4f7\u200d\ufe0f.jpg",
    "new\nline.jpg", "carriage\r\nreturn.jpg", "tab\t.jpg", "line\u2028separator.jpg", "next\u0085line.jpg",
    "\u00a0nbsp.jpg", "\ufeffbom.jpg",
    "a//b.jpg", "/leading.jpg", ".hidden", "no extension", "UPPER.JPG", "two.dots..jpg",
    "train/64x64/like an output.jpg",
    "Records", "s3:TestEvent", "ObjectRemoved:Delete.jpg", "http://a/b?c.jpg", "s3://bucket/key.jpg",
    # Long ones: an output's key has to stay within 1,024 bytes.
    "l" * 1000, "l" * 990 + "+% é.jpg", "ü" * 500, "写" * 330, "🦀" * 250, '"' * 1000, "\\" * 1000, "+" * 1000,
    " " * 999 + "x",
    "/".join(["deep"] * 200), "%2F" * 333,
)  # fmt: skip

ALPHABET = "abcXYZ019 +%&=?#\"'\\/{}[]<>$@:;,.~!*()|^`-_äßéñ日本語한국🦀📷\n\t"


@dataclasses.dataclass
class Photo:
    """A good photo: its bytes determine its outputs."""

    key: str
    body: bytes


@dataclasses.dataclass
class Bad:
    """A file that every task refuses, and the reason."""

    key: str
    body: bytes
    reason: str


class Album:
    """Photos cut from testdata/photos at random, no two alike."""

    def __init__(self, random):
        self.random = random
        self.originals = [Image.open(path).convert("RGB") for path in sorted((TESTDATA / "photos").glob("*.*"))]

    def body(self, side_px=None):
        """A photo as a file: JPEG mostly, else PNG or WebP; of about 200 pixels a side by default."""
        original = self.random.choice(self.originals)
        # Broad, not tall: of small tall pictures Pillow 13 does the vertical pass first, and pixpipe never.
        width, height = self.random.randint(200, 250), self.random.randint(150, 200)
        left, top = self.random.randint(0, original.width - width), self.random.randint(0, original.height - height)
        photo = original.crop((left, top, left + width, top + height))
        photo.info.clear()  # no colour profile: the engines differ by some levels, and that is for the goldens
        if side_px:
            photo = photo.resize((side_px, side_px))
        file = io.BytesIO()
        match self.random.choice(("jpeg", "jpeg", "jpeg", "png", "webp")):
            case "jpeg":
                photo.save(file, "JPEG", quality=self.random.randint(70, 95), subsampling=self.random.choice((0, 2)))
            case "png":
                photo.save(file, "PNG")
            case "webp":
                photo.save(file, "WEBP", lossless=True)
        return file.getvalue()

    def good(self, count):
        """Photos under nasty keys, and under random ones until there are enough."""
        keys = list(dict.fromkeys(NASTY))
        while len(keys) < count:
            key = "".join(self.random.choices(ALPHABET, k=self.random.randint(1, 60)))
            # The AWS SDK for Rust takes a key that is only white space for an empty one.
            if key.strip() and key not in keys and not key.endswith("/"):
                keys.append(key)
        return [Photo(key, self.body()) for key in keys[:count]]

    def bad(self):
        """Files that are refused, each for a different reason."""
        files = {}
        for format_ in ("JPEG", "PNG"):
            file = io.BytesIO()
            self.originals[0].crop((0, 0, 200, 200)).save(file, format_)
            files[format_] = file.getvalue()
        middle = len(files["PNG"]) // 2
        flipped = files["PNG"][:middle] + bytes([files["PNG"][middle] ^ 255]) + files["PNG"][middle + 1 :]
        return [
            Bad("bad/truncated +.jpg", files["JPEG"][: len(files["JPEG"]) // 2], "truncated"),
            Bad("bad/corrupt é.png", flipped, "corrupt"),
            Bad("bad/not an image.jpg", b"This is not an image.", "unsupported-format"),
            Bad("bad/empty.jpg", b"", "truncated"),
        ]


def output_key(prefix, size, key, extension):
    """Where the output of a source goes."""
    own = key if key.lower().endswith(extension) else key + extension
    width, height = sizes(size)
    return f"{prefix}{width}x{height}/{own}"


def difference(body, output, size, extension):
    """The fault of an output, in words; None if it is what Pillow makes of the source."""
    wanted = np.asarray(reference(io.BytesIO(body), DEFAULTS, sizes(size))).astype(np.int16)
    actual = np.load(io.BytesIO(output)) if extension == ".npy" else np.asarray(Image.open(io.BytesIO(output)))
    if actual.shape != wanted.shape:
        return f"its shape is {actual.shape}, not {wanted.shape}"
    levels = np.abs(actual.astype(np.int16) - wanted)
    if levels.max() > MAX_LEVELS or np.mean(levels > 0) >= MAX_SHARE:
        return f"max {levels.max()} levels, mean {levels.mean():.4f}, {np.mean(levels > 0):.3%} of values off"
    return None
