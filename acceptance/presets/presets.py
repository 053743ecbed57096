"""Compares each PRESET with its library's own code on photos; acceptance/presets/run installs the libraries.

    python acceptance/presets/presets.py --binary FILE FOLDER...

Each photo is opened as `ImageFolder` opens it, and given to the library's evaluation transform without its last step,
the normalisation, or with that undone. At most one level of difference on any value. clean-fid works in floats, which
no file of 8 bits holds: there the mean difference is that of two roundings, and a stored image is left as it is. Ends
with status 1 if anything failed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import open_clip
import timm.data
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from torchvision import models
from torchvision.transforms.functional import pil_to_tensor
from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.models.vit.image_processing_vit import ViTImageProcessor

MAX_LEVELS = 1
# Of clean-fid: a rounding is 0.25 on average, and Pillow rounds between its two passes as well; the share is that of
# values which it clips there.
FID_MAX_MEAN_LEVELS = 0.35
FID_MAX_SHARE_ABOVE_ONE = 0.001


def levels(tensor, mean, std):
    """A normalised tensor (3, H, W) as levels of shape (H, W, 3)."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    return ((tensor * std + mean) * 255).round().permute(1, 2, 0).numpy()


def of_torchvision(weights, as_tensor=False):
    transform = weights.transforms()

    def apply(image):
        return levels(transform(pil_to_tensor(image) if as_tensor else image), transform.mean, transform.std)

    return apply


def of_timm(crop_pct, interpolation="bicubic"):
    transform = timm.data.create_transform(
        (3, 224, 224), is_training=False, crop_pct=crop_pct, interpolation=interpolation, normalize=False
    )
    return lambda image: transform(image).permute(1, 2, 0).numpy()


def of_open_clip(image):
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return levels(open_clip.image_transform(224, is_train=False, mean=mean, std=std)(image), mean, std)


def of_transformers(processor):
    def apply(image):
        values = processor(images=image, do_rescale=False, do_normalize=False, return_tensors="pt")["pixel_values"][0]
        return values.permute(1, 2, 0).numpy()

    return apply


def of_clean_fid(image):
    return build_resizer("clean")(np.asarray(image))


LIBRARIES = (
    ("torchvision-256-224", "torchvision, ResNet50 V1", of_torchvision(models.ResNet50_Weights.IMAGENET1K_V1)),
    ("torchvision-256-224", "torchvision, uint8 tensors", of_torchvision(models.ResNet50_Weights.IMAGENET1K_V1, True)),
    ("torchvision-256-224", "timm, 0.875 bilinear", of_timm(0.875, "bilinear")),
    ("torchvision-232-224", "torchvision, ResNet50 V2", of_torchvision(models.ResNet50_Weights.IMAGENET1K_V2)),
    ("torchvision-342-299", "torchvision, Inception", of_torchvision(models.Inception_V3_Weights.IMAGENET1K_V1)),
    ("timm-875-224", "timm, 0.875 bicubic", of_timm(0.875)),
    ("timm-900-224", "timm, 0.9 bicubic", of_timm(0.9)),
    ("timm-950-224", "timm, 0.95 bicubic", of_timm(0.95)),
    ("timm-965-224", "timm, 0.965 bicubic", of_timm(0.965)),
    ("clip-224", "open_clip", of_open_clip),
    ("clip-224", "timm, 1.0 bicubic", of_timm(1.0)),
    ("hf-clip-224", "transformers, CLIP", of_transformers(CLIPImageProcessor())),
    ("hf-clip-224", "transformers, CLIP by PIL", of_transformers(CLIPImageProcessorPil())),
    ("hf-vit-224", "transformers, ViT", of_transformers(ViTImageProcessor())),
    ("hf-vit-224", "transformers, ViT by PIL", of_transformers(ViTImageProcessorPil())),
    ("fid-299", "clean-fid, floats", of_clean_fid),
)


def find_photos(folders):
    """Every JPEG and PNG in the folders that is stored upright and opaque, by its key in the bucket."""
    photos = {}
    for number, folder in enumerate(folders):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                image = Image.open(path)
                if image.getexif().get(0x0112, 1) == 1 and not image.has_transparency_data:
                    photos[f"{number}/{path.name}"] = path
    return photos


def run_pixpipe(binary, root, keys, preset):
    """One run over all photos, into a bucket of the preset's name."""
    environment = {
        "PRESET": preset,
        "SQS_BODY": json.dumps([{"bucket": "photos", "key": key} for key in keys]),
        "DEST_BUCKET": preset,
        "STORE": f"dir:{root}",
    }
    done = subprocess.run([binary], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr, file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    arguments = parser.parse_args()
    photos = find_photos(arguments.folders)
    if not photos:
        parser.error("no upright JPEG or PNG found: name folders that have some")

    passed, failed = 0, []
    print(f"{len(photos)} photos; each column shows the worst of them")
    print(f"\n{'preset':<22} {'library':<28} {'max levels':>11} {'mean':>7} {'above 1':>9}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for key, path in photos.items():
            (root / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / "photos" / key)
        for preset in dict.fromkeys(preset for preset, _, _ in LIBRARIES):
            run_pixpipe(arguments.binary.resolve(), root, list(photos), preset)
        for preset, library, apply in LIBRARIES:
            most, mean, share = 0.0, 0.0, 0.0
            for key, path in photos.items():
                wanted = apply(Image.open(path).convert("RGB")).astype(np.float64)
                side_px = wanted.shape[0]
                output = root / preset / f"{side_px}x{side_px}" / (key if key.endswith(".png") else f"{key}.png")
                if not output.exists():
                    failed.append(f"{preset} {library} {key}: no output of {side_px} px")
                    continue
                actual = np.asarray(Image.open(output)).astype(np.float64)
                difference = np.abs(actual - wanted)
                above = float(np.mean(difference > MAX_LEVELS))
                most, mean, share = max(most, difference.max()), max(mean, difference.mean()), max(share, above)
                if library.startswith("clean-fid"):
                    is_left = np.array_equal(apply(Image.open(output)), actual)
                    is_good = difference.mean() <= FID_MAX_MEAN_LEVELS and above <= FID_MAX_SHARE_ABOVE_ONE and is_left
                else:
                    is_good = above == 0
                passed += is_good
                if not is_good:
                    failed.append(
                        f"{preset} {library} {key}: max {difference.max():.2f}, mean {difference.mean():.3f} levels, "
                        f"{above:.3%} of values above {MAX_LEVELS}"
                    )
            print(f"{preset:<22} {library:<28} {most:>11.2f} {mean:>7.3f} {share:>9.4%}")

    print("", *failed, f"{passed} passed, {len(failed)} failed", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
