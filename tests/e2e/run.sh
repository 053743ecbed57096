#!/usr/bin/env bash
# The whole flow on this machine: README.md of this folder. Arguments go to e2e.py (--seed, --uploads, which stacks).
#   E2E_IMAGE    an image that is there already
#   E2E_BINARY   else a static binary to make one of; where it is not set, that is built too
# Tools are installed where they are missing: podman from Debian, the rest below target/. PLUGIN_DIR names a mirror of
# Terraform's providers. Ends with 77 where something is missing that cannot be installed.
set -euo pipefail

cd "$(dirname "$0")/../.."
root=$PWD
work=$root/target/e2e
venv=$work/venv
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

tools() {
    command -v terraform >/dev/null || { echo "SKIPPED: terraform is not there" >&2; exit 77; }
    if ! command -v podman >/dev/null || ! command -v runc >/dev/null; then
        local sudo=sudo
        [ "$(id -u)" = 0 ] && sudo=""
        $sudo apt-get update -qq || true
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman runc >/dev/null ||
            { echo "SKIPPED: podman and runc cannot be installed" >&2; exit 77; }
    fi
    if ! cmp -s tests/e2e/requirements.txt "$venv/requirements.txt"; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/e2e/requirements.txt
        cp tests/e2e/requirements.txt "$venv/requirements.txt"
    fi
}

image() { # prints the name of the image to run
    if [ -z "${E2E_IMAGE:-}" ]; then
        ENGINE=podman IMAGE=localhost/pixpipe:e2e BINARY="${E2E_BINARY:-}" image/build.sh >&2 || return
    fi
    echo "${E2E_IMAGE:-localhost/pixpipe:e2e}"
}

mkdir -p "$work"
tools
# shellcheck source=../pipe/provider.sh
. tests/pipe/provider.sh
rm -rf "$work/provider" "$work/pipe"
cp -R pipe "$work/provider"
find_provider "$work" "$work/provider" || exit 77
image=$(image)
podman --cgroup-manager=cgroupfs --runtime=runc run --rm --pull=never --network=host --ulimit=nofile=1024:1024 \
    --ulimit=nproc=1024:1024 "$image" --version ||
    { echo "SKIPPED: podman runs no container here" >&2; exit 77; }
exec "$venv/bin/python" tests/e2e/e2e.py --image "$image" --work "$work" "$@"
