"""delivery/release.py against a real registry on this machine, with the image that podman builds.

    BINARY      a static program, from which image/build.sh makes the image
    REGISTRY    Debian's docker-registry (default: docker-registry)
"""

import contextlib
import hashlib
import http.server
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import botocore.session

TREE = Path(__file__).resolve().parents[2]
SCRIPT = TREE / "delivery" / "release.py"
# In a folder of its own: other suites build images at the same time.
TARGET = TREE / "target" / "delivery"
WORK = TARGET / "work"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
USER, PASSWORD = "releaser", "right"
# PASSWORD by bcrypt, the only form that the registry reads.
HTPASSWD = f"{USER}:$2b$04$drIbTzJgnsPh3mW1e5Bz6ONYVYIBkJie1rQib1/NEDjcv6cbnjHzO\n"
PODMAN = ["podman", "--cgroup-manager=cgroupfs", "--runtime=runc"]
ULIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
VERSION = next(
    line.split('"')[1] for line in (TREE / "Cargo.toml").read_text().splitlines() if line.startswith("version = ")
)
TAG = f"v{VERSION}"

sys.path.insert(0, str(TREE / "delivery"))
import registry  # noqa: E402
import release  # noqa: E402


class Registry:
    """Debian's docker-registry over files, which asks for a password."""

    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "htpasswd").write_text(HTPASSWD)
        self.port = free_port()
        (folder / "config.yml").write_text(json.dumps({
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
            "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
        }))  # fmt: skip
        program = os.environ.get("REGISTRY", "docker-registry")
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=self.log, stderr=self.log)
        self.repository = f"localhost:{self.port}/team/pixpipe"
        until = time.monotonic() + 60
        while True:
            try:
                self.get("")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def get(self, path, accept="*/*"):
        """The bytes at a path below /v2/."""
        request = urllib.request.Request(f"http://localhost:{self.port}/v2/{path}", headers={"Accept": accept})
        request.add_header("Authorization", registry.authorization(f"localhost:{self.port}")["Authorization"])
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def manifest(self, reference):
        return json.loads(self.get(f"team/pixpipe/manifests/{reference}", f"{INDEX}, {MANIFEST}"))

    def blob(self, digest):
        return self.get(f"team/pixpipe/blobs/{digest}")

    def tags(self):
        """The tags; without one, the registry does not know the repository."""
        try:
            return json.loads(self.get("team/pixpipe/tags/list"))["tags"] or []
        except urllib.error.HTTPError as error:
            return [] if error.code == 404 else [str(error)]


def free_port():
    with http.server.HTTPServer(("127.0.0.1", 0), None) as server:
        return server.server_port


def run(*arguments, **variables):
    """The script in a process of its own. (Some `python3` put programs of their own before those of PATH.)"""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("GITHUB_", "CODEBUILD_", "RELEASE_", "PLATFORMS"))}  # fmt: skip
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, env=environment | variables
    )


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Release(unittest.TestCase):
    """Two builds and a list, in the order of a release."""

    @classmethod
    def setUpClass(cls):
        shutil.rmtree(TARGET / "release", ignore_errors=True)
        WORK.mkdir(parents=True, exist_ok=True)
        os.environ |= {
            "REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD, "CARGO_TARGET_DIR": str(TARGET.relative_to(TREE)),
            "ENGINE": "podman", "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "vfs"), "PROFILE": "dev",
            "BUILDAH_ISOLATION": "chroot", "IMAGE": "localhost/pixpipe:delivery", "SBOM": str(WORK / "sbom.json"),
        }  # fmt: skip
        cls.bom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [{"type": "library", "name": "x"}]}
        (WORK / "sbom.json").write_text(json.dumps(cls.bom))
        cls.registry = Registry(WORK / "registry")
        cls.addClassCleanup(cls.registry.close)
        cls.repository = cls.registry.repository
        built = run("build", cls.repository)
        assert built.returncode == 0, built.stdout + built.stderr
        cls.tags_after_the_build = cls.registry.tags()
        # The machine of the other kind: the same image under the other name, since none runs here.
        cls.here = json.loads(next((TARGET / "release").glob("*.json")).read_text())["platform"]
        cls.there = {"linux/amd64": "linux/arm64", "linux/arm64": "linux/amd64"}[cls.here]
        other = rewritten(TARGET / "image" / "pixpipe.tar", WORK / "other.tar", cls.there.rpartition("/")[2])
        built = run("build", cls.repository, ARCHIVE=str(other))
        assert built.returncode == 0, built.stdout + built.stderr
        published = run("publish", cls.repository)
        assert published.returncode == 0, published.stdout + published.stderr
        cls.image = published.stdout.strip()
        cls.list = cls.registry.manifest(cls.image.partition("@")[2])

    def test_a_build_pushes_without_a_tag(self):
        self.assertEqual(self.tags_after_the_build, [])
        self.assertEqual(self.registry.tags(), [TAG])

    def test_the_digest_that_is_printed_is_that_of_the_list_under_the_tag(self):
        name, _, digest = self.image.partition("@")
        self.assertEqual(name, self.repository)
        self.assertEqual(digest, sha256(self.registry.get(f"team/pixpipe/manifests/{TAG}", INDEX)))
        self.assertEqual((TARGET / "release" / "image").read_text(), self.image + "\n")

    def test_the_list_has_both_images_and_what_is_stated_of_each(self):
        images = [one for one in self.list["manifests"] if one["platform"]["os"] != "unknown"]
        stated = [one for one in self.list["manifests"] if one["platform"]["os"] == "unknown"]
        self.assertEqual(
            sorted(one["platform"]["architecture"] for one in images), ["amd64", "arm64"]
        )
        self.assertEqual(
            [one["annotations"]["vnd.docker.reference.digest"] for one in stated], [one["digest"] for one in images]
        )
        for image, statements in zip(images, stated, strict=True):
            platform_name = f"linux/{image['platform']['architecture']}"
            manifest = self.registry.manifest(statements["digest"])
            documents = {}
            for layer in manifest["layers"]:
                statement = json.loads(self.registry.blob(layer["digest"]))
                self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
                self.assertEqual(statement["predicateType"], layer["annotations"]["in-toto.io/predicate-type"])
                [subject] = statement["subject"]
                self.assertEqual(f"sha256:{subject['digest']['sha256']}", image["digest"])
                documents[statement["predicateType"]] = statement["predicate"]
            self.assertEqual(documents.pop("https://cyclonedx.org/bom"), self.bom)
            provenance = documents.pop("https://slsa.dev/provenance/v1")
            self.assertEqual(documents, {})
            definition = provenance["buildDefinition"]
            self.assertEqual(definition["externalParameters"]["platform"], platform_name)
            self.assertEqual(definition["externalParameters"]["tag"], TAG)
            commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=TREE, text=True).strip()
            self.assertEqual(definition["resolvedDependencies"][0]["digest"], {"gitCommit": commit})

    def test_podman_pulls_it_by_its_digest_and_it_runs(self):
        for architecture in ("amd64", "arm64"):
            pulled = subprocess.run(
                [*PODMAN, "pull", "--quiet", "--tls-verify=false", f"--creds={USER}:{PASSWORD}",
                 f"--arch={architecture}", self.image], capture_output=True, text=True,
            )  # fmt: skip
            self.assertEqual(pulled.returncode, 0, pulled.stderr)
            image = pulled.stdout.strip()
            inspected = subprocess.check_output([*PODMAN, "image", "inspect", image], text=True)
            self.assertEqual(json.loads(inspected)[0]["Architecture"], architecture)
            if f"linux/{architecture}" == self.here:
                ran = subprocess.run(
                    [*PODMAN, "run", "--rm", "--pull=never", "--network=host", *ULIMITS, image, "--version"],
                    capture_output=True, text=True,
                )  # fmt: skip
                self.assertEqual(ran.stdout, f"pixpipe {VERSION}\n", ran.stderr)

    def test_publishing_again_changes_nothing(self):
        again = run("publish", self.repository)
        self.assertEqual((again.returncode, again.stdout.strip()), (0, self.image), again.stderr)

    def test_a_tag_never_moves(self):
        with other_facts(manifests=lambda manifests: [{**manifests[0], "annotations": {"x": "y"}}, manifests[1]]):
            refused = run("publish", self.repository)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"the tag {TAG} of {self.repository} is {self.image.partition('@')[2]} already", refused.stderr)
        there = self.registry.get(f"team/pixpipe/manifests/{TAG}", INDEX)
        self.assertEqual(sha256(there), self.image.partition("@")[2])

    def test_builds_that_do_not_belong_together_are_refused(self):
        for fact, value in [("revision", "0" * 40), ("tag", "v0.0.0"), ("repository", "localhost:1/other")]:
            with self.subTest(fact), other_facts(**{fact: lambda _, value=value: value}):
                refused = run("publish", self.repository)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(f"the {fact} of one build is {value}", refused.stderr)

    def test_half_a_release_is_refused(self):
        file = TARGET / "release" / f"{self.there.rpartition('/')[2]}.json"
        content = file.read_bytes()
        file.unlink()
        try:
            refused = run("publish", self.repository)
        finally:
            file.write_bytes(content)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("a release has linux/amd64, linux/arm64", refused.stderr)

    def test_a_wrong_password_is_told_and_not_shown(self):
        refused = run("publish", self.repository, REGISTRY_PASSWORD="wrong-one")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("401", refused.stderr)
        self.assertNotIn("wrong-one", refused.stdout + refused.stderr)

    def test_layers_that_were_changed_are_refused(self):
        changed = WORK / "changed.tar"
        with tarfile.open(TARGET / "image" / "pixpipe.tar") as source, tarfile.open(changed, "w") as target:
            layers = json.loads(source.extractfile("manifest.json").read())[0]["Layers"]
            for member in source.getmembers():
                data = source.extractfile(member).read() if member.isfile() else b""
                if member.name in layers:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                target.addfile(member, io.BytesIO(data))
        with self.assertRaisesRegex(release.Mistake, "not those of the image's configuration"):
            release.read_archive(changed)

    def test_the_sbom_names_the_glibc_that_the_program_carries(self):
        """Linked on this machine, so it is this machine's."""
        sys.path.insert(0, str(TREE / "image"))
        import sbom  # it lies in image/

        image = release.read_archive(TARGET / "image" / "pixpipe.tar")
        program = WORK / "pixpipe"
        program.write_bytes(image.file("pixpipe"))
        self.assertEqual(sbom.glibc(program)["version"], platform.libc_ver()[1])


@contextlib.contextmanager
def other_facts(**changes):
    """The file of one build with other facts, for a while."""
    file = sorted((TARGET / "release").glob("*.json"))[0]
    content = file.read_bytes()
    facts = json.loads(content)
    file.write_text(json.dumps(facts | {name: change(facts[name]) for name, change in changes.items()}))
    try:
        yield
    finally:
        file.write_bytes(content)


def rewritten(source, target, architecture):
    """An archive with the same image, said to be of another architecture."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        [entry] = json.loads(old.extractfile("manifest.json").read())
        for member in old.getmembers():
            data = old.extractfile(member).read() if member.isfile() else b""
            if member.name == entry["Config"]:
                data = json.dumps(json.loads(data) | {"architecture": architecture}).encode()
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return target


class Tag(unittest.TestCase):
    """Which tag is released."""

    def test_the_tag_is_the_version(self):
        for given, message in [(TAG, None), ("v0.0.1", f"the tag must be {TAG}"), (VERSION, f"the tag must be {TAG}")]:
            with self.subTest(given), Folder() as folder, variable("RELEASE_TAG", given):
                if message:
                    with self.assertRaisesRegex(release.Mistake, message):
                        release.release_tag()
                    continue
                self.assertEqual(release.release_tag(), TAG)
                (folder / "new").write_text("x")
                with self.assertRaisesRegex(release.Mistake, "has changes"):
                    release.release_tag()

    def test_it_is_checked_before_anything_is_built(self):
        refused = run("build", "localhost:1/x", RELEASE_TAG="v0.0.1")
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))

    def test_a_repository_is_a_host_and_a_name(self):
        for wrong in ["pixpipe", "team/pixpipe", "localhost:5000/pixpipe:v1", "https://localhost:5000/pixpipe", "",
                      "localhost:5000/Pix", "localhost:5000/a@sha256:0"]:  # fmt: skip
            with self.subTest(wrong), self.assertRaisesRegex(registry.RegistryError, "is no repository"):
                registry.Repository(wrong)
        self.assertEqual(registry.Repository("localhost:5000/a/b").url, "http://localhost:5000/v2/a/b/")
        self.assertEqual(registry.Repository("r.example.com/a").url, "https://r.example.com/v2/a/")

    def test_anything_else_is_a_usage_error(self):
        for arguments in [[], ["build"], ["publish", "a", "b"], ["push", "a"]]:
            ended = run(*arguments)
            self.assertEqual(ended.returncode, 64)
            self.assertIn("release.py previous FAMILY", ended.stderr)


class Folder:
    """A clean clone: a git repository with the version's Cargo.toml, for release_tag."""

    def __enter__(self):
        path = WORK / "clone"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        shutil.copy(TREE / "Cargo.toml", path)
        for command in (["init", "--quiet"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@example.com",
                                                           "commit", "--quiet", "--message=x"]):  # fmt: skip
            subprocess.run(["git", *command], cwd=path, check=True)
        release.TREE = path
        return path

    def __exit__(self, *_):
        release.TREE = TREE


@contextlib.contextmanager
def variable(name, value):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


class Wire(unittest.TestCase):
    """What a registry may answer, and this one never does."""

    def answers(self, *answers):
        """A server that gives these (status, headers) one after the other; and the requests that it saw."""
        seen, left = [], list(answers)

        class Exchange(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                seen.append((self.command, self.path, self.headers.get("Authorization")))
                status, headers = left.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return registry.Repository(f"127.0.0.1:{server.server_port}/x"), seen

    def setUp(self):
        pauses = []
        self.pauses, before = pauses, registry.time.sleep
        registry.time.sleep = pauses.append
        self.addCleanup(setattr, registry.time, "sleep", before)

    def test_a_registry_that_is_busy_is_asked_again(self):
        repository, seen = self.answers((503, {}), (429, {}), (404, {}))
        self.assertIsNone(repository.digest_at("v1"))
        self.assertEqual((len(seen), self.pauses), (3, [1, 2]))

    def test_a_registry_that_stays_busy_is_given_up(self):
        repository, seen = self.answers(*[(503, {})] * 3)
        with self.assertRaisesRegex(registry.RegistryError, "GET http.*manifests/v1: 503"):
            repository.digest_at("v1")
        self.assertEqual(len(seen), 3)

    def test_a_registry_that_forbids_is_not_asked_again(self):
        repository, seen = self.answers((403, {}))
        with self.assertRaisesRegex(registry.RegistryError, "403"):
            repository.digest_at("v1")
        self.assertEqual(len(seen), 1)

    def test_a_blob_in_another_store_is_there_and_the_store_sees_no_password(self):
        with variable("REGISTRY_USER", USER), variable("REGISTRY_PASSWORD", PASSWORD):
            repository, seen = self.answers((307, {"Location": "/store/x"}))
            repository.push_blob(b"x")
        [(method, path, password)] = seen
        self.assertEqual((method, path), ("HEAD", f"/v2/x/blobs/{sha256(b'x')}"))
        self.assertTrue(password)


def hyphenated(name):
    """A name of the API as the AWS CLI writes it."""
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


class Aws(unittest.TestCase):
    """What is asked of the AWS CLI. A stand-in answers, after it has looked the request up in AWS's own models."""

    FAMILY = "arn:aws:ecs:eu-west-1:123456789012:task-definition/photos:"
    REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixpipe"

    @classmethod
    def setUpClass(cls):
        """The options of each request, and those that it must have, from AWS's own models."""
        session, cls.models = botocore.session.get_session(), {}
        for service, operation in [
            ("ecs", "ListTaskDefinitions"), ("ecs", "DescribeTaskDefinition"), ("ecr", "DescribeImages"),
        ]:  # fmt: skip
            shape = session.get_service_model(service).operation_model(operation).input_shape
            cls.models[f"{service} {hyphenated(operation)}"] = (
                [f"--{hyphenated(member)}" for member in shape.members],
                [f"--{hyphenated(member)}" for member in shape.required_members],
            )

    def aws(self, revisions, images=()):
        """Sets the program `aws` that knows (status, image) of the revisions 1, 2, …, and the digests in ECR."""
        folder = WORK / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        world = {"revisions": revisions, "images": list(images), "models": self.models}
        (folder / "world.json").write_text(json.dumps(world))
        stand_in = folder / "aws"
        stand_in.write_text(f"#!{sys.executable}\n" + (Path(__file__).parent / "aws_stand_in.py").read_text())
        stand_in.chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}

    def previous(self, *revisions, images=("sha256:a", "sha256:b")):
        return run("previous", "photos", **self.aws(revisions, images))

    def test_the_image_before_is_that_of_the_newest_revision_with_another_one(self):
        a, b = f"{self.REPOSITORY}@sha256:a", f"{self.REPOSITORY}@sha256:b"
        for revisions in (
            [("INACTIVE", a), ("ACTIVE", b)],
            [("INACTIVE", a), ("INACTIVE", b), ("INACTIVE", b), ("ACTIVE", b)],
            [("INACTIVE", "example.com/x:old"), ("INACTIVE", a), ("ACTIVE", b)],
            [("ACTIVE", a), ("ACTIVE", b)],
            # After a rollback, it leads forward again.
            [("INACTIVE", b), ("INACTIVE", a), ("ACTIVE", b)],
        ):
            with self.subTest(revisions):
                ended = self.previous(*revisions)
                self.assertEqual((ended.returncode, ended.stdout), (0, a + "\n"), ended.stderr)

    def test_an_image_that_ecr_has_no_longer_is_no_way_back(self):
        a, b = f"{self.REPOSITORY}@sha256:a", f"{self.REPOSITORY}@sha256:b"
        ended = self.previous(("INACTIVE", a), ("ACTIVE", b), images=["sha256:b"])
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("ImageNotFoundException", ended.stderr)

    def test_without_an_image_before_it_says_so(self):
        for revisions, message in (
            ([], 'no task definition of the family "photos"'),
            ([("ACTIVE", "x:1")], "no revision of photos had another image than x:1"),
            ([("INACTIVE", "x:1"), ("ACTIVE", "x:1")], "no revision of photos had another image than x:1"),
        ):
            with self.subTest(revisions):
                ended = self.previous(*revisions)
                self.assertEqual((ended.returncode, ended.stdout), (1, ""))
                self.assertIn(message, ended.stderr)

    def test_the_login_of_ecr_is_that_of_the_registrys_region(self):
        with variable("PATH", self.aws([])["PATH"]), variable("REGISTRY_PASSWORD", ""):
            for host in ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr-ecr.eu-west-1.on.aws"):
                # Basic, of AWS:password-of-eu-west-1
                self.assertEqual(
                    registry.authorization(host), {"Authorization": "Basic QVdTOnBhc3N3b3JkLW9mLWV1LXdlc3QtMQ=="}
                )

    def test_without_the_aws_cli_it_says_so(self):
        with variable("PATH", "/nowhere"), self.assertRaisesRegex(registry.RegistryError, "install the program aws"):
            registry.aws("ecr", "x")
