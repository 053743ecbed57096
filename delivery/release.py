#!/usr/bin/env python3
"""Releases the image: the same steps on GitHub's machines, in CodeBuild and by hand.

    release.py build REPOSITORY      on a machine of each kind, ARM64 and x86-64: builds the image, pushes it by digest,
                                     with its SBOM and its provenance; writes target/release/<architecture>.json
    release.py publish REPOSITORY    once, with both of these files: pushes the list of both images under the version's
                                     tag; prints REPOSITORY@sha256:…, and writes it to target/release/image
    release.py previous FAMILY       prints the image that the task definition had before the present one: the rollback

REPOSITORY is HOST/NAME, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe. The tag is the version of
Cargo.toml with a v before it.

    RELEASE_TAG         the git tag that is released: must be that tag, of a folder without changes
    ARCHIVE             an image that exists already, as `docker save` writes it; else image/build.sh builds one
    SBOM                an SBOM that exists already; else image/sbom.py writes one
    PLATFORMS           the images that a release has (default: linux/amd64,linux/arm64)
    REGISTRY_USER, REGISTRY_PASSWORD   for a registry other than ECR that asks for them

Other variables: image/build.sh, which builds.
"""

import datetime
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from registry import (
    CONFIG, ECR_HOST, IMAGE, INDEX, LAYER, RegistryError, Repository, as_json, aws, compressed, descriptor, digest_of,
)  # fmt: skip

TREE = Path(__file__).resolve().parent.parent
TARGET = TREE / os.environ.get("CARGO_TARGET_DIR", "target")
RELEASE = TARGET / "release"
PLATFORMS = "linux/amd64,linux/arm64"

# https://github.com/in-toto/attestation, https://slsa.dev/spec/v1.0/provenance, https://cyclonedx.org/bom
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
IN_TOTO = "application/vnd.in-toto+json"
# What is described in README.md, "What a release consists of".
BUILD_TYPE = "urn:pixpipe:image-build:v1"


class Mistake(Exception):
    """Why nothing is released, in words for the one who releases."""


@dataclass
class Image:
    """An image as an archive of `docker save` or `podman save` has it."""

    config: bytes
    layers: list
    """Compressed by gzip."""

    @property
    def platform(self):
        """The operating system and the architecture that its configuration names."""
        config = json.loads(self.config)
        return {"os": config["os"], "architecture": config["architecture"]}

    def file(self, name):
        """The content of a file of the image."""
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as files:
                if name in files.getnames():
                    return files.extractfile(name).read()
        raise Mistake(f"the image has no file /{name}")


def main(arguments):
    steps = {"build": build, "publish": publish, "previous": previous}
    if len(arguments) != 2 or arguments[0] not in steps:
        print(__doc__, file=sys.stderr)
        return 64
    try:
        steps[arguments[0]](arguments[1])
    except (Mistake, RegistryError) as fault:
        print(f"release.py {arguments[0]}: {fault}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as fault:
        print(f"release.py {arguments[0]}: {fault.cmd[0]} ended with {fault.returncode}", file=sys.stderr)
        return 1
    return 0


# --- build


def build(name):
    repository, tag, begun = Repository(name), release_tag(), now()
    RELEASE.mkdir(parents=True, exist_ok=True)
    archive, base = built_archive()
    image = read_archive(archive)
    bom = sbom(image)
    manifest = push_image(repository, image)
    attestations = push_attestations(repository, image, manifest, {
        CYCLONEDX: bom,
        PROVENANCE: provenance(tag, platform_of(image), base, begun),
    })  # fmt: skip
    architecture = image.platform["architecture"]
    (RELEASE / f"{architecture}.json").write_bytes(as_json({
        "repository": name, "tag": tag, "revision": git("rev-parse", "HEAD"), "platform": platform_of(image),
        "manifests": [manifest, attestations],
    }))  # fmt: skip
    print(f"{architecture}: {name}@{manifest['digest']}")


def built_archive():
    """The image, and the base image that its program was built in; "" for a program that came from elsewhere."""
    if "ARCHIVE" in os.environ:
        return Path(os.environ["ARCHIVE"]), ""
    subprocess.run([TREE / "image/build.sh"], check=True)
    base = (TARGET / "image/base").read_text(encoding="utf-8").strip()
    if not base and "BINARY" not in os.environ:
        raise Mistake("the base image of the Dockerfile could not be pulled, and a release is built in it: try again")
    return TARGET / "image/pixpipe.tar", base


def release_tag():
    """The tag of this version; not if another tag is released, or what no commit has."""
    [version] = re.findall(r'^version = "(.+)"$', (TREE / "Cargo.toml").read_text(), re.M)[:1]
    tag, wanted = f"v{version}", os.environ.get("RELEASE_TAG")
    if wanted and wanted != tag:
        raise Mistake(f"the git tag is \"{wanted}\", but Cargo.toml has the version {version}: the tag must be {tag}")
    if wanted and git("status", "--porcelain"):
        raise Mistake(f"this folder has changes that {tag} has not: release a clean clone")
    return tag


def sbom(image):
    """The list of what the program is made of, as CycloneDX."""
    path = os.environ.get("SBOM")
    if not path:
        program = RELEASE / "pixpipe"
        program.write_bytes(image.file("pixpipe"))
        subprocess.run([sys.executable, TREE / "image/sbom.py", "--program", program], check=True)
        path = TREE / "target/sbom.cdx.json"
    bom = json.loads(Path(path).read_text(encoding="utf-8"))
    if bom.get("bomFormat") != "CycloneDX":
        raise Mistake(f"{path} is no CycloneDX: its bomFormat is \"{bom.get('bomFormat')}\"")
    return bom


def read_archive(path):
    """The image of an archive. Each layer must be what the image's configuration says."""
    with tarfile.open(path) as archive:
        def content(name):
            return archive.extractfile(name).read()

        [entry] = json.loads(content("manifest.json"))
        config = content(entry["Config"])
        layers = [content(name) for name in entry["Layers"]]
    plain = [gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer for layer in layers]
    if [digest_of(layer) for layer in plain] != json.loads(config)["rootfs"]["diff_ids"]:
        raise Mistake(f"{path}: the layers are not those of the image's configuration")
    return Image(config, [compressed(layer) for layer in plain])


def platform_of(image):
    return f"{image.platform['os']}/{image.platform['architecture']}"


def push_image(repository, image):
    """Pushes an image without a tag; returns its descriptor in a list of images."""
    for blob in [image.config, *image.layers]:
        repository.push_blob(blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor(CONFIG, image.config),
        "layers": [descriptor(LAYER, layer) for layer in image.layers],
    }
    repository.push_manifest(manifest)
    return descriptor(IMAGE, as_json(manifest), platform=image.platform)


def push_attestations(repository, image, subject, predicates):
    """Pushes statements on an image, where BuildKit puts them: in a manifest beside the image, in the same list.

    So the digest of the list covers them too, every registry takes them, and they live as long as the image.
    https://docs.docker.com/build/metadata/attestations/attestation-storage/
    """
    layers, blobs = [], []
    for kind, predicate in predicates.items():
        blobs.append(as_json({
            "_type": STATEMENT,
            "subject": [{"name": repository.name, "digest": {"sha256": subject["digest"].removeprefix("sha256:")}}],
            "predicateType": kind,
            "predicate": predicate,
        }))  # fmt: skip
        layers.append(descriptor(IN_TOTO, blobs[-1], annotations={"in-toto.io/predicate-type": kind}))
    # No runtime takes it for an image of its own machine.
    nowhere = {"os": "unknown", "architecture": "unknown"}
    rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
    config = as_json({**nowhere, "config": {}, "rootfs": rootfs})
    for blob in [config, *blobs]:
        repository.push_blob(blob)
    manifest = {"schemaVersion": 2, "mediaType": IMAGE, "config": descriptor(CONFIG, config), "layers": layers}
    repository.push_manifest(manifest)
    return descriptor(IMAGE, as_json(manifest), platform=nowhere, annotations={
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": subject["digest"],
    })  # fmt: skip


def provenance(tag, platform, base, begun):
    """What was built, of what, where and when. It is not signed: whoever may push may write it."""
    environment = os.environ
    if environment.get("GITHUB_ACTIONS"):
        server = environment["GITHUB_SERVER_URL"]
        source = f"{server}/{environment['GITHUB_REPOSITORY']}"
        builder = f"{server}/{environment['GITHUB_WORKFLOW_REF']}"
        run, attempt = environment["GITHUB_RUN_ID"], environment["GITHUB_RUN_ATTEMPT"]
        invocation = f"{source}/actions/runs/{run}/attempts/{attempt}"
    else:
        source = without_password(git("config", "--get", "remote.origin.url", otherwise="unknown"))
        invocation = environment.get("CODEBUILD_BUILD_ARN", "urn:local")
        builder = invocation.rsplit(":", 1)[0] if "CODEBUILD_BUILD_ARN" in environment else "urn:local"
    revision = git("rev-parse", "HEAD")
    materials = [
        {"uri": f"git+{source}@{revision}", "digest": {"gitCommit": revision}},
        {"uri": "Cargo.lock", "digest": {"sha256": digest_of((TREE / "Cargo.lock").read_bytes()).partition(":")[2]}},
    ]
    if base:
        materials.append({"uri": f"docker://{base}", "digest": {"sha256": base.partition("@sha256:")[2]}})
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"source": source, "tag": tag, "platform": platform},
            "internalParameters": {
                "profile": environment.get("PROFILE", "dist"), "modified": bool(git("status", "--porcelain")),
            },
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": {"id": builder},
            "metadata": {"invocationId": invocation, "startedOn": begun, "finishedOn": now()},
        },
    }  # fmt: skip


def without_password(url):
    return re.sub(r"//[^/@]*@", "//", url)


def git(*arguments, otherwise=None):
    done = subprocess.run(["git", *arguments], cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode and otherwise is None:
        raise Mistake(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip() or otherwise or ""


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


# --- publish


def publish(name):
    repository, tag = Repository(name), release_tag()
    wanted = os.environ.get("PLATFORMS", PLATFORMS).split(",")
    built = [json.loads(path.read_bytes()) for path in sorted(RELEASE.glob("*.json"))]
    manifests = [manifest for one in built for manifest in one["manifests"]]
    platforms = [one["platform"] for one in built]
    if sorted(platforms) != sorted(wanted):
        raise Mistake(f"a release has {', '.join(wanted)}; {RELEASE} has {', '.join(platforms) or 'nothing'}")
    here = {"repository": name, "tag": tag, "revision": git("rev-parse", "HEAD")}
    for one in built:
        for fact, value in here.items():
            if one[fact] != value:
                raise Mistake(f"the {fact} of one build is {one[fact]}, not {value}: build all of them again")
    digest = repository.push_manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, tag)
    image = f"{name}@{digest}"
    (RELEASE / "image").write_text(image + "\n", encoding="utf-8")
    print(image)


# --- previous


def previous(family):
    """Prints the newest image of the family's revisions that differs from the present one.

    ECS keeps what it was told: no other record of deployments is needed. Terraform deregisters a revision that it
    replaces, which then is INACTIVE.
    """
    images = []
    for status in ("ACTIVE", "INACTIVE"):
        for arn in revisions(family, status):
            image = image_of(arn)
            if images and image != images[0]:
                exists(image)
                print(image)
                return
            images.append(image)
    if not images:
        raise Mistake(f"there is no task definition of the family \"{family}\" in this account and region")
    raise Mistake(f"no revision of {family} had another image than {images[0]}")


def revisions(family, status):
    """The ARNs of a family's revisions, newest first."""
    command = ["ecs", "list-task-definitions", "--family-prefix", family, "--status", status, "--sort", "DESC"]
    return json.loads(aws(*command, "--output", "json"))["taskDefinitionArns"]


def image_of(arn):
    definition = json.loads(aws("ecs", "describe-task-definition", "--task-definition", arn, "--output", "json"))
    return definition["taskDefinition"]["containerDefinitions"][0]["image"]


def exists(image):
    """Fails if ECR does not have this image any more."""
    repository, _, digest = image.partition("@")
    host, _, name = repository.partition("/")
    ecr = ECR_HOST.fullmatch(host)
    if ecr and digest:
        aws("ecr", "describe-images", "--region", ecr["region"], "--registry-id", host.partition(".")[0],
            "--repository-name", name, "--image-ids", f"imageDigest={digest}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
