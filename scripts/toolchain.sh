#!/bin/sh
# Fails unless rust-toolchain.toml, rust-version in Cargo.toml and the Dockerfile's base image name one version of Rust.
# So every test tests rust-version.
set -eu
cd "$(dirname "$0")/.."
channel=$(sed -n 's/^channel = "\([0-9]*\.[0-9]*\).*/\1/p' rust-toolchain.toml)
version=$(sed -n 's/^rust-version = "\([0-9]*\.[0-9]*\)".*/\1/p' Cargo.toml)
base=$(sed -n 's/^FROM .*rust:\([0-9]*\.[0-9]*\)-.* AS build$/\1/p' Dockerfile)
if [ -z "$channel" ] || [ "$channel" != "$version" ] || [ "$channel" != "$base" ]; then
    echo "rust-toolchain.toml has $channel, Cargo.toml $version, Dockerfile $base: make them one version" >&2
    exit 1
fi
