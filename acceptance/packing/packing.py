#!/usr/bin/env python3
"""Runs the recipes of docs/reading-back.md that pack by the manifest, on what the program makes of the shipped photos.

usage: packing.py --binary PIXPIPE

The recipe for MDS runs if its library can be imported. Last line: "N passed, M failed".
"""
import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "testdata" / "photos"


def recipes():
    """The scripts of the page by the first word of their docstring's command: wds.py, mds.py."""
    page = (ROOT / "docs" / "reading-back.md").read_text(encoding="utf-8")
    scripts = re.findall(r"```python\n(\"\"\"python (\w+\.py) .*?)```", page, flags=re.S)
    return {name: script for script, name in scripts}


def make(binary, folder):
    """Two tasks: the second one replaces a photo that the first has done."""
    photos = folder / "photos"
    for index, photo in enumerate(sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png"))):
        place = photos / ("cats" if index % 2 else "dogs") / photo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, place)
    keys = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*") if path.is_file())
    replaced = photos / keys[0]
    env = {"STORE": f"dir:{folder}", "DEST_BUCKET": "data", "SOURCE_BUCKET": "photos", "SIZES": "224,64",
           "MANIFEST_PREFIX": "manifests/", "FORMAT": "png"}  # fmt: skip
    for batch in ["\n".join([*keys, "missing.jpg"]), keys[0]]:
        ended = subprocess.run([binary], env={**env, "SQS_BODY": batch}, capture_output=True, text=True)
        assert ended.returncode in (0, 1), ended.stdout + ended.stderr
        shutil.copyfile(photos / keys[1], replaced)
    return keys


def run(script, folder, target):
    path = folder / "recipe.py"
    path.write_text(script, encoding="utf-8")
    command = [sys.executable, path, folder / "data", "224x224", target]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})


def expected(folder, keys):
    """What must be in the shards: of each source the bytes that lie there now, and its folder."""
    outputs = {}
    for key in keys:
        name = key if key.endswith(".png") else f"{key}.png"
        outputs[key] = ((folder / "data" / "224x224" / name).read_bytes(), key.split("/")[0])
    return outputs


def check_wds(folder, keys, script):
    target = folder / "wds"
    run(script, folder, target)
    found = {}
    with tarfile.open(target / "000000.tar") as shard:
        samples = {}
        for member in shard:
            number, _, end = member.name.partition(".")
            samples.setdefault(number, {})[end] = shard.extractfile(member).read()
    for sample in samples.values():
        line = json.loads(sample["json"])
        assert hashlib.sha256(sample["png"]).hexdigest() in {file["sha256"] for file in line["outputs"]}
        found[line["key"]] = (sample["png"], sample["cls"].decode())
    assert found == expected(folder, keys), sorted(found)


def check_mds(folder, keys, script):
    from streaming import LocalDataset

    target = folder / "mds"
    run(script, folder, target)
    found = {sample["key"]: (sample["image"], sample["label"]) for sample in LocalDataset(str(target))}
    assert found == expected(folder, keys), sorted(found)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", required=True, type=Path)
    binary = arguments.parse_args().binary.resolve()
    scripts = recipes()
    assert sorted(scripts) == ["mds.py", "wds.py"], sorted(scripts)
    checks = {"wds.py": check_wds}
    if importlib.util.find_spec("streaming"):
        checks["mds.py"] = check_mds
    else:
        print("mosaicml-streaming is not installed: the recipe for MDS is run by `make presets`")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = make(binary, folder)
        for recipe, check in checks.items():
            lines = sum(bool(line) for line in scripts[recipe].splitlines())
            try:
                check(folder, keys, scripts[recipe])
                print(f"ok    {recipe}: {len(keys)} images, {lines} lines")
            except (AssertionError, subprocess.CalledProcessError, KeyError) as error:
                failed += 1
                print(f"FAIL  {recipe}: {error}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
