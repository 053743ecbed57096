#!/usr/bin/env python3
"""Tests the container image as ECS runs it: its files, its configuration, and that it needs nothing else.

    [ARCHIVE=FILE] acceptance/image/image.py [-k TEST]     default: target/image/pixpipe.tar, from image/build.sh

Needs docker, or podman with runc. Containers have a read-only root without any writable path, no capability and 512 MB.
This process stands in for S3, over HTTP, or over HTTPS with a certificate of its own. Ends with "N passed, M failed",
or with status 77 if no engine works.
"""

import http.server
import json
import os
import shutil
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
import uuid
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PHOTO = TREE / "testdata" / "photos" / "rocket.jpg"
TARGET = TREE / os.environ.get("CARGO_TARGET_DIR", "target")
ARCHIVE = Path(os.environ.get("ARCHIVE", TARGET / "image" / "pixpipe.tar")).resolve()
# Engines run here: podman's monitor leaves a file `oom` in its folder if a container is killed for memory.
WORK = TARGET / "image-test"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
USER = 65532
ELF_INTERPRETER = 3
SKIPPED = 77
# Without limits of their own, containers would raise those of the caller, who may not be allowed to.
RUN_OPTIONS = [
    "--pull=never", "--network=host", "--read-only", "--cap-drop=all", "--memory=512m",
    "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
]  # fmt: skip
AWS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def find_engine():
    """The command line of the first engine that works, and the options of its `run`."""
    if works("docker", "version"):
        return ["docker"], []
    if not works("podman", "info"):
        # A container may lack overlay file systems.
        os.environ["STORAGE_DRIVER"] = "vfs"
        if not works("podman", "info"):
            print("SKIPPED: neither docker nor podman works here; on Debian, install podman and runc", file=sys.stderr)
            sys.exit(SKIPPED)
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    # Without this option podman mounts writable folders such as /tmp.
    return ["podman", "--cgroup-manager=cgroupfs", *runtime], ["--read-only-tmpfs=false"]


def works(*command):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


class S3(http.server.ThreadingHTTPServer):
    """A store with one source object and no outputs. If it `hangs`, the source is never sent."""

    daemon_threads = True

    def __init__(self, hangs=False, certificate=None):
        super().__init__(("127.0.0.1", 0), Exchange)
        self.hangs = hangs
        self.asked = threading.Event()
        self.ended = threading.Event()
        self.written = {}
        self.url = f"http://127.0.0.1:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.url = f"https://s3.test:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Silence: in some tests the client goes away, or does not trust the certificate."""


class Exchange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(404)

    def do_GET(self):
        self.server.asked.set()
        if self.server.hangs:
            self.server.ended.wait()
        self.answer(200, PHOTO.read_bytes())

    def do_PUT(self):
        self.server.written[self.path.split("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("ETag", '"0123456789abcdef0123456789abcdef-1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine, cls.run_options = find_engine()
        cls.image = f"localhost/pixpipe-image-test-{uuid.uuid4().hex[:8]}"
        loaded = subprocess.run([*cls.engine, "load", "--input", ARCHIVE], check=True, capture_output=True, text=True)
        # "Loaded image: NAME" or "Loaded image(s): NAME,NAME": the last word of the last line.
        name = loaded.stdout.split()[-1].split(",")[-1]
        subprocess.run([*cls.engine, "tag", name, cls.image], check=True)
        cls.addClassCleanup(subprocess.run, [*cls.engine, "rmi", cls.image], stdout=subprocess.DEVNULL)

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="pixpipe-image-")))

    def command(self, *args, env=(), options=()):
        variables = [f"--env={name}={value}" for name, value in dict(env).items()]
        return [*self.engine, "run", *RUN_OPTIONS, *self.run_options, *options, *variables, self.image, *args]

    def run_to_end(self, *args, env=(), options=()):
        return subprocess.run(self.command(*args, env=env, options=["--rm", *options]), capture_output=True, text=True)

    def inspect(self, what, template):
        command = [*self.engine, "inspect", "--format", template, what]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def test_it_holds_the_program_the_certificates_and_the_licences(self):
        with tarfile.open(ARCHIVE) as archive:
            [manifest] = json.load(archive.extractfile("manifest.json"))
            files = {}
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(layer)) as layer_archive:
                    files |= {
                        member.name.lstrip("./"): (member.mode & 0o7777, layer_archive.extractfile(member).read())
                        for member in layer_archive
                        if not member.isdir()
                    }
        modes = {name: oct(mode) for name, (mode, _) in files.items()}
        self.assertEqual(modes, {"pixpipe": "0o755", CERTIFICATES: "0o644", "licenses/THIRD-PARTY.txt": "0o644"})
        self.assertGreater(files[CERTIFICATES][1].count(b"-----BEGIN CERTIFICATE-----"), 100)
        licences = files["licenses/THIRD-PARTY.txt"][1].decode()
        for text in ["Independent JPEG Group", "Apache License", "GNU LESSER GENERAL PUBLIC LICENSE", "aws-sdk-s3 v"]:
            self.assertIn(text, licences)
        binary = files["pixpipe"][1]
        self.assertEqual(binary[:5], b"\x7fELF\x02")
        # Program headers of ELF64: their offset, the size of each, their number.
        start, size, count = *struct.unpack_from("<Q", binary, 32), *struct.unpack_from("<HH", binary, 54)
        kinds = [struct.unpack_from("<I", binary, start + number * size)[0] for number in range(count)]
        self.assertNotIn(ELF_INTERPRETER, kinds, "the program needs a dynamic linker")

    def test_its_configuration_names_user_entry_point_and_origin(self):
        self.assertEqual(self.inspect(self.image, "{{.Config.User}}"), f"{USER}:{USER}")
        self.assertEqual(self.inspect(self.image, "{{json .Config.Entrypoint}}"), '["/pixpipe"]')
        self.assertIn(self.inspect(self.image, "{{json .Config.Cmd}}"), ("null", "[]"))
        labels = json.loads(self.inspect(self.image, "{{json .Config.Labels}}"))
        for name in ["title", "description", "licenses", "version", "revision", "created"]:
            self.assertTrue(labels[f"org.opencontainers.image.{name}"], name)

    def test_it_says_its_version_and_its_help(self):
        self.assertRegex(self.run_to_end("--version").stdout, r"^pixpipe \d+\.\d+\.\d+(-rc\.\d+)?\n$")
        self.assertIn("SQS_BODY", self.run_to_end("--help").stdout)

    def test_without_configuration_it_exits_with_78(self):
        ended = self.run_to_end()
        self.assertEqual(ended.returncode, 78, ended.stderr)
        self.assertIn("DEST_BUCKET", ended.stderr)

    def test_it_sees_the_memory_limit_of_its_container(self):
        ended = self.run_to_end("--check-config", env={"SQS_BODY": "[]", "DEST_BUCKET": "out"})
        self.assertRegex(ended.stdout, rf"MEMORY_LIMIT_BYTES={512 << 20} ")

    def test_a_batch_over_folders_writes_its_outputs(self):
        (self.folder / "in").mkdir()
        shutil.copy(PHOTO, self.folder / "in")
        (self.folder / "out").mkdir()
        for path in [self.folder, self.folder / "out"]:
            path.chmod(0o777)
        variables = {"STORE": "dir:/store", "DEST_BUCKET": "out", "SIZES": "224,32x16", "FORMAT": "npy",
                     "SQS_BODY": f'"s3://in/{PHOTO.name}"'}  # fmt: skip
        ended = self.run_to_end(env=variables, options=[f"--volume={self.folder}:/store"])
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        for size, shape in [("224x224", b"(224, 224, 3)"), ("32x16", b"(16, 32, 3)")]:
            output = self.folder / "out" / size / f"{PHOTO.name}.npy"
            self.assertIn(shape, output.read_bytes()[:128])
            self.assertEqual(output.stat().st_uid, USER)

    def test_https_is_trusted_by_the_certificates_of_the_image_alone(self):
        certificate, both = self.folder / "ca.crt", self.folder / "both.pem"
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
                "-days", "2", "-subj", "/CN=pixpipe test", "-addext", "subjectAltName=DNS:s3.test",
                "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", both, "-out", certificate]  # fmt: skip
        subprocess.run(make, check=True, capture_output=True)
        with both.open("a") as key_and_certificate:
            key_and_certificate.write(certificate.read_text())
        for path in [self.folder, certificate]:
            path.chmod(0o755)
        with S3(certificate=both) as s3:
            env = {**AWS, "AWS_ENDPOINT_URL": s3.url, "DEST_BUCKET": "out", "SQS_BODY": f'"s3://in/{PHOTO.name}"'}
            by_name = ["--add-host=s3.test:127.0.0.1"]
            stranger = self.run_to_end(env=env, options=by_name)
            self.assertEqual(stranger.returncode, 75, stranger.stdout + stranger.stderr)
            self.assertIn("UnknownIssuer", stranger.stdout)
            trusted = [f"--volume={certificate}:/{CERTIFICATES}:ro"]
            ended = self.run_to_end(env=env, options=[*by_name, *trusted])
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
            self.assertEqual(s3.written[f"/out/224x224/{PHOTO.name}"][:2], b"\xff\xd8")

    def test_a_task_that_is_stopped_says_so_within_its_grace(self):
        name = self.image.rpartition("/")[2]
        with S3(hangs=True) as s3:
            env = {**AWS, "AWS_ENDPOINT_URL": s3.url, "DEST_BUCKET": "out", "SQS_BODY": '"s3://in/a.jpg"',
                   "GRACE_SECONDS": 1}  # fmt: skip
            command = self.command(env=env, options=["--detach", f"--name={name}"])
            self.addCleanup(subprocess.run, [*self.engine, "rm", "--force", name], stdout=subprocess.DEVNULL)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            self.assertTrue(s3.asked.wait(60), "the source was never asked for")
            status = Path(f"/proc/{self.inspect(name, '{{.State.Pid}}')}/status")
            if status.exists():
                facts = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
                self.assertEqual(facts["NSpid"].split()[-1], "1")
                self.assertEqual(set(facts["Uid"].split()), {str(USER)})
                self.assertEqual(int(facts["CapEff"], 16), 0)
            # SIGTERM; if that is ignored, SIGKILL after a minute, which gives 137.
            subprocess.run([*self.engine, "stop", "--time=60", name], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(self.inspect(name, "{{.State.ExitCode}}"), "75")
        log = subprocess.run([*self.engine, "logs", name], check=True, capture_output=True, text=True).stdout
        self.assertIn('"reason":"interrupted"', log)


def main():
    if not ARCHIVE.exists():
        sys.exit(f"{ARCHIVE} does not exist: run image/build.sh, or set ARCHIVE")
    # The image's user reads files that the tests write.
    os.umask(0o022)
    WORK.mkdir(parents=True, exist_ok=True)
    os.chdir(WORK)
    result = unittest.main(verbosity=2, exit=False).result
    failed = len(result.failures) + len(result.errors)
    print(f"{max(result.testsRun - failed, 0)} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
