# One static binary in an empty image. `make image` builds it, with docker, podman or buildah: image/build.sh.
#
# Linked with glibc and not with musl: on photos of 12 megapixels musl takes 4 % more CPU, 7 % with jemalloc, on PNG 17 %
# and 1 %; mimalloc takes three times the memory. It costs 0.4 MB compressed. The table is in benches/README.md.

# The tag's list for every platform: tag and digest change together, and not below rust-version in Cargo.toml.
FROM docker.io/library/rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
# hadolint ignore=DL3008 # Debian keeps no old versions: a pinned one could not be had after its next update
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates cmake make nasm && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The dependencies on their own: this layer stays until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it benches && touch src/lib.rs src/main.rs tests/it/main.rs tests/ministack.rs benches/stages.rs \
 && cargo build --release --locked --lib --target host-tuple

COPY LICENSE image/files.sh ./
COPY src src
# touch: cargo goes by the time of the file, and the empty one above is younger.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --bin pixpipe --target host-tuple \
 && ./files.sh target/*-linux-gnu/release/pixpipe /image

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
