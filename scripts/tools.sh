#!/bin/sh
# Installs the tools that the build needs beside Rust: a C compiler, cmake, nasm and make. Debian and Ubuntu; elsewhere
# it says what is missing.
set -eu

missing=""
for tool in cc cmake nasm make; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -z "$missing" ]; then
    # Every build is static (.cargo/config.toml), and some systems ship the static C library apart.
    echo 'int main(void) { return 0; }' | cc -static -x c - -o /dev/null 2>/dev/null ||
        { echo "the static C library is missing: install libc6-dev (Debian) or glibc-static (Fedora)" >&2; exit 1; }
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "missing:$missing. Install them with the package manager of this system." >&2
    exit 1
fi
packages=$(echo "$missing" | sed 's/\bcc\b/gcc libc6-dev/')
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
echo "installing$packages"
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
