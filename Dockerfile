# One static binary in an empty image. `make image` builds it, with docker, podman or buildah: image/build.sh.
#
# The binary is linked with glibc, not with musl: docs/decisions/007-static-glibc.md has the figures.

# The tag's list for every platform: tag and digest change together; the version is that of rust-toolchain.toml.
FROM docker.io/library/rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
# hadolint ignore=DL3008 # Debian keeps no old versions: a pinned one could not be had after its next update
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates cmake make nasm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ARG PROFILE=dist

# The dependencies on their own: this layer stays until a manifest or Cargo.lock changes. Empty files stand for all
# sources that the manifests name.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY crates/pixels/Cargo.toml crates/pixels/
COPY tools/contact-sheet/Cargo.toml tools/contact-sheet/
COPY tests/support/Cargo.toml tests/support/
RUN mkdir -p src crates/pixels/src crates/pixels/benches tools/contact-sheet/src tests/support/src tests/it \
        tests/chaos acceptance/ministack \
 && touch src/lib.rs src/main.rs crates/pixels/src/lib.rs crates/pixels/benches/stages.rs \
        tools/contact-sheet/src/main.rs tests/support/src/lib.rs tests/it/main.rs tests/chaos/main.rs \
        acceptance/ministack/ministack.rs \
 && cargo build --locked --package pixpipe --lib --profile "$PROFILE"

COPY LICENSE image/files.sh ./
COPY crates/pixels/src crates/pixels/src
COPY src src
# touch: cargo goes by the time of a file, and the empty ones above are younger.
RUN touch src/lib.rs src/main.rs crates/pixels/src/lib.rs \
 && cargo build --locked --package pixpipe --bin pixpipe --profile "$PROFILE" \
 && ./files.sh target/*-linux-gnu/"$PROFILE"/pixpipe /image

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/pixpipe"]
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="pixpipe" \
      org.opencontainers.image.description="Turns S3 events into exact-size training images, once, and exits" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
