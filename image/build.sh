#!/bin/sh
# Builds the container image with the first of docker, podman and buildah that works; installs podman from Debian if
# none does. The result is tagged IMAGE and saved as target/image/pixpipe.tar, which `docker load` and `podman load`
# read. If the base image cannot be pulled, the program is built on this machine, and a folder replaces the Dockerfile's
# stage `build`.
#
#   IMAGE     name of the image (default: pixpipe)
#   PROFILE   Cargo profile: dist (default, the one that ships; at most 8 MiB compressed) or release (faster to build)
#   ENGINE    the only engine to try
#   BINARY    a static program that exists already; nothing is compiled
#
# Exit 77 = skipped: no engine works and none can be installed.
set -eu

cd "$(dirname "$0")/.."
image=${IMAGE:-pixpipe}
profile=${PROFILE:-dist}
target_folder=${CARGO_TARGET_DIR:-target}
folder=$target_folder/image
archive=$folder/pixpipe.tar
limit_bytes=8388608

works() {
    case $1 in
    docker) docker version ;;
    *) "$1" info ;;
    esac >/dev/null 2>&1
}

first_that_works() {
    for engine in ${ENGINE:-docker podman buildah}; do
        if works "$engine"; then return; fi
    done
    # A container may lack overlay file systems and the right to create namespaces.
    export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
    for engine in ${ENGINE:-podman buildah}; do
        if works "$engine"; then return; fi
    done
    return 1
}

if ! first_that_works; then
    echo "no container engine works: installing podman"
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq || true
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends podman runc >/dev/null || true
    unset STORAGE_DRIVER BUILDAH_ISOLATION
    if ! first_that_works; then
        echo "SKIPPED: no container engine works (tried ${ENGINE:-docker, podman, buildah}); install or start one" >&2
        exit 77
    fi
fi

mkdir -p "$folder"
set -- --file Dockerfile --tag "$image" \
    --build-arg "PROFILE=$profile" \
    --build-arg "VERSION=$(sed -n '/^version = /{s/.*"\(.*\)".*/\1/p;q;}' Cargo.toml)" \
    --build-arg "REVISION=$(git rev-parse HEAD || true)" \
    --build-arg "CREATED=$(git log -1 --format=%cI || true)"

# target/image/base names the base image that the program was built in, if it was built in one.
base=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' Dockerfile)
if [ -z "${BINARY:-}" ] && "$engine" pull "$base" >"$folder/pull.log" 2>&1; then
    echo "$engine builds all stages"
    echo "$base" >"$folder/base"
else
    echo "$engine builds the final stage only"
    : >"$folder/base"
    if [ -z "${BINARY:-}" ]; then
        make --no-print-directory tools
        cargo build --locked --package pixpipe --bin pixpipe --profile "$profile"
        BINARY=$target_folder/$(rustc --print host-tuple)/$profile/pixpipe
    fi
    rm -rf "$folder/build"
    image/files.sh "$BINARY" "$folder/build/image"
    set -- "$@" --build-context "build=$folder/build"
fi
# Only buildah discards the layer of the dependencies by default.
[ "$engine" != buildah ] || set -- "$@" --layers
"$engine" build "$@" .

rm -f "$archive"
case $engine in
buildah) buildah push --quiet "$image" "docker-archive:$archive:$image" ;;
*) "$engine" save --output "$archive" "$image" ;;
esac
# The layers are nearly all of the archive, and registries store them compressed by gzip.
size_bytes=$(gzip -c "$archive" | wc -c)
if [ "$profile" != dist ]; then
    echo "$archive: $size_bytes bytes compressed (profile $profile: no limit)"
elif [ "$size_bytes" -le "$limit_bytes" ]; then
    echo "$archive: $size_bytes bytes compressed, the limit is $limit_bytes"
else
    echo "$archive: $size_bytes bytes compressed exceed the limit of $limit_bytes; see what grew, or move the limit" >&2
    exit 1
fi
