#!/bin/sh
# Builds the image with the first of docker, podman and buildah that works (podman from Debian where none does), as
# IMAGE (default: pixpipe) and as target/image/pixpipe.tar, which `docker load` and `podman load` take. Fails where that
# is larger than 8 MiB when compressed. Where the base image cannot be pulled, a folder with what the Dockerfile's build
# stage would make takes the place of that stage; the binary in it is built on this machine.
#
# Ends with 77 where no engine works. ENGINE names the engine; BINARY names a static binary that is there already, so that nothing is compiled.
set -eu

cd "$(dirname "$0")/.."
image=${IMAGE:-pixpipe}
folder=${CARGO_TARGET_DIR:-target}/image
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
    # Inside a container there may be no overlay file system, and no namespaces to make.
    export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
    for engine in ${ENGINE:-podman buildah}; do
        if works "$engine"; then return; fi
    done
    return 1
}

if ! first_that_works; then
    echo "installing podman"
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq || true
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman runc >/dev/null || true
    unset STORAGE_DRIVER BUILDAH_ISOLATION
    if ! first_that_works; then
        echo "SKIPPED: none of ${ENGINE:-docker, podman and buildah} works here" >&2
        exit 77
    fi
fi

mkdir -p "$folder"
set -- --file Dockerfile --tag "$image" \
    --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)" \
    --build-arg "REVISION=$(git rev-parse HEAD || true)" \
    --build-arg "CREATED=$(git log -1 --format=%cI || true)"

base=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' Dockerfile)
if [ -z "${BINARY:-}" ] && "$engine" pull "$base" >"$folder/pull.log" 2>&1; then
    echo "$engine builds everything"
else
    echo "$engine builds the final stage alone"
    if [ -z "${BINARY:-}" ]; then
        make --no-print-directory tools
        target=$(uname -m)-unknown-linux-gnu
        RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin pixpipe --target "$target"
        BINARY=${CARGO_TARGET_DIR:-target}/$target/release/pixpipe
    fi
    rm -rf "$folder/build"
    image/files.sh "$BINARY" "$folder/build/image"
    set -- "$@" --build-context "build=$folder/build"
fi
# Only buildah would throw the layer of the dependencies away.
[ "$engine" != buildah ] || set -- "$@" --layers
"$engine" build "$@" .

rm -f "$archive"
case $engine in
buildah) buildah push --quiet "$image" "docker-archive:$archive:$image" ;;
*) "$engine" save --output "$archive" "$image" ;;
esac
# The layers are nearly all of the archive, and registries keep them as gzip makes them.
size_bytes=$(gzip -c "$archive" | wc -c)
echo "$archive: $size_bytes bytes compressed, $limit_bytes are allowed"
[ "$size_bytes" -le "$limit_bytes" ]
