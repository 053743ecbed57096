"""A container registry over HTTP: what a release needs of the OCI distribution specification, with Python alone.

The machines that release (GitHub's, CodeBuild's, yours) have docker, podman or buildah; none of these pushes by digest,
without a tag, in the same way as another, and none attaches an SBOM that it has not made itself.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ECR_HOST = re.compile(r"\d{12}\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z.]+")
LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
REPOSITORY = re.compile(r"(?P<host>[A-Za-z0-9.\[\]:-]+)/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)")
ATTEMPTS = 3
TIMEOUT_SECONDS = 60


class RegistryError(Exception):
    """What went wrong, in words for the one who releases."""


def digest_of(data):
    """The digest by which a registry knows these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(media_type, data, **more):
    """How a manifest refers to these bytes."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def compressed(layer):
    """The layer by gzip, the same bytes each time."""
    return gzip.compress(layer, 6, mtime=0)


def as_json(document):
    """The bytes of a document whose digest counts."""
    return json.dumps(document, indent=1).encode()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A registry that sends on to its storage has the blob; and the storage must not see the password."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


class Repository:
    """One repository of a registry, `HOST/NAME`. HTTPS, but for a registry on this machine."""

    def __init__(self, repository):
        match = REPOSITORY.fullmatch(repository)
        if not match or not re.search(r"[.:]|^localhost$", match["host"]):
            raise RegistryError(
                f"\"{repository}\" is no repository: HOST/NAME without tag is accepted, such as "
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe"
            )
        self.name = repository
        scheme = "http" if LOOPBACK.fullmatch(match["host"]) else "https"
        self.url = f"{scheme}://{match['host']}/v2/{match['name']}/"
        self.headers = authorization(match["host"])

    def push_blob(self, data):
        """Uploads bytes that the repository does not have yet."""
        digest = digest_of(data)
        if self.request("HEAD", f"blobs/{digest}", missing=None, redirected=True) is not None:
            return
        begun = self.request("POST", "blobs/uploads/", b"")
        sent = self.request(
            "PATCH", begun.headers["Location"], data, {"Content-Type": "application/octet-stream"}, attempts=1
        )
        separator = "&" if "?" in sent.headers["Location"] else "?"
        place = f"{sent.headers['Location']}{separator}{urllib.parse.urlencode({'digest': digest})}"
        self.request("PUT", place, b"", attempts=1)

    def push_manifest(self, manifest, tag=None):
        """Stores a manifest by its digest, or by a tag, which must be free or already mean it. Returns its digest."""
        data = as_json(manifest)
        digest = digest_of(data)
        there = self.digest_at(tag or digest)
        if there not in (None, digest):
            raise RegistryError(
                f"the tag {tag} of {self.name} is {there} already, and a tag never moves: raise the version"
            )
        if there is None:
            self.request("PUT", f"manifests/{tag or digest}", data, {"Content-Type": manifest["mediaType"]})
        stored = self.digest_at(tag or digest)
        if stored != digest:
            raise RegistryError(f"{self.name} has stored {stored}, not {digest}")
        return digest

    def digest_at(self, reference):
        """The digest of the manifest at a tag or a digest; None if there is none."""
        answer = self.request("GET", f"manifests/{reference}", headers={"Accept": f"{IMAGE}, {INDEX}"}, missing=None)
        return answer if answer is None else digest_of(answer.body)

    def request(self, method, path, body=None, headers=None, attempts=ATTEMPTS, **otherwise):
        """The answer; `missing` for a 404 and `redirected` for a 307, if they are given. Tries again what failed for no
        fault of the request."""
        url = urllib.parse.urljoin(self.url, path)
        request = urllib.request.Request(url, body, {**self.headers, **(headers or {})}, method=method)
        for attempt in range(1, attempts + 1):
            try:
                with OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                    answer.body = answer.read()
                    return answer
            except urllib.error.HTTPError as error:
                fate = {404: "missing", 307: "redirected"}.get(error.code)
                if fate in otherwise:
                    return otherwise[fate]
                said = error.read(1000).decode(errors="replace").strip()
                fault = f"{error.code} {error.reason}{f': {said}' if said else ''}"
                final = error.code < 500 and error.code != 429
            except OSError as error:
                fault, final = str(error), False
            if final or attempt == attempts:
                raise RegistryError(f"{method} {url}: {fault}")
            time.sleep(attempt)


def authorization(host):
    """REGISTRY_USER and REGISTRY_PASSWORD; else, for ECR, what the AWS CLI gives; else nothing."""
    user, password = os.environ.get("REGISTRY_USER"), os.environ.get("REGISTRY_PASSWORD")
    ecr = ECR_HOST.fullmatch(host)
    if ecr and not password:
        user, password = "AWS", aws("ecr", "get-login-password", "--region", ecr["region"])
    if not password:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def aws(*arguments):
    """What the AWS CLI prints."""
    try:
        done = subprocess.run(["aws", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RegistryError("the AWS CLI is missing: install the program aws") from None
    if done.returncode:
        raise RegistryError(f"aws {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
