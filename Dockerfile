# syntax=docker/dockerfile:1.17
# The image of s3seal: the program on a base without shell and package manager, as a user that is not root.
#
#     docker buildx build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#         --output type=image,name=registry.example.test/s3seal:0.1.0,rewrite-timestamp=true,push=true .
#
# Base images are pinned by version. For a build that is the same to the byte pin them by digest: pass
# --build-arg BUILDER=rust@sha256:... and --build-arg BASE=gcr.io/distroless/cc-debian12@sha256:...
ARG BUILDER=rust:1.95.0-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS build
ARG SOURCE_DATE_EPOCH=0
# the builder's own, whatever rust-toolchain.toml would fetch
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /s3seal
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    CARGO_TARGET_DIR=/tmp/target charts/image/build-rootfs.sh build /tmp/s3seal \
    && charts/image/build-rootfs.sh layout /tmp/s3seal /rootfs

FROM ${BASE}
LABEL org.opencontainers.image.title="s3seal" \
    org.opencontainers.image.description="A transparent client-side-encryption proxy in front of S3" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /rootfs/ /
USER 65532:65532
# S3, and metrics with health
EXPOSE 9000 9001
ENTRYPOINT ["/usr/local/bin/s3seal"]
CMD ["serve", "--config", "/etc/s3seal/config/s3seal.toml"]
