#!/usr/bin/env bash
# Makes what the container image has above its base. The Dockerfile calls it, and so does a test.
#
#     build-rootfs.sh build BINARY        compiles the program for a release, without `s3seal dev`
#     build-rootfs.sh layout BINARY ROOT  lays ROOT out, the same to the byte for the same binary
#     build-rootfs.sh archive ROOT TAR    packs it, the same to the byte again
#
# SOURCE_DATE_EPOCH is the time of every file; default: 0.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What gcr.io/distroless/cc-debian12 has: glibc 2.36 and what GCC's code needs.
BASE_LIBRARIES='^(libc|libm|libdl|libpthread|librt|libresolv|libgcc_s)\.so\.[0-9]+$|^ld-linux-[-_a-z0-9]+\.so\.[0-9]+$|^linux-vdso\.so\.1$'
BASE_GLIBC=2.36

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Paths of the machine are no part of the program, and nothing is taken over from a build before.
build() {
    cd "$REPO"
    export CARGO_INCREMENTAL=0
    local home=${CARGO_HOME:-$HOME/.cargo} target=${CARGO_TARGET_DIR:-$REPO/target}
    export RUSTFLAGS="--remap-path-prefix=$REPO=/s3seal --remap-path-prefix=$home=/cargo ${RUSTFLAGS:-}"
    # aws-lc's C code names its files, too
    export CFLAGS="-ffile-prefix-map=$home=/cargo -ffile-prefix-map=$target=/target ${CFLAGS:-}"
    cargo build --locked --release --no-default-features --features proxy --bin s3seal
    install -D -m 0755 "$target/release/s3seal" "$1"
}

layout() {
    local binary=$1 root=$2
    check_libraries "$binary"
    [ ! -e "$root" ] || [ -z "$(ls -A "$root")" ] || fail "$root is not empty"
    install -d -m 0755 "$root"/{usr/local/bin,usr/share/doc/s3seal,etc/s3seal}
    install -m 0755 "$binary" "$root/usr/local/bin/s3seal"
    install -m 0644 "$REPO/LICENSE" "$root/usr/share/doc/s3seal/LICENSE"
    install -m 0644 "$REPO/config/example.toml" "$root/usr/share/doc/s3seal/example.toml"
    find "$root" -depth -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# The base has no package manager: what it lacks would be missed at the first start only.
check_libraries() {
    local library version
    while read -r library; do
        grep -qE "$BASE_LIBRARIES" <<<"$library" || fail "$1 needs $library, which the base has not"
    done < <(libraries "$1")
    version=$(grep -aoE 'GLIBC_[0-9]+\.[0-9]+' "$1" | sed 's/GLIBC_//' | sort -uV | tail -1)
    [ "$(printf '%s\n' "$BASE_GLIBC" "$version" | sort -V | tail -1)" = "$BASE_GLIBC" ] ||
        fail "$1 needs glibc $version, the base has $BASE_GLIBC"
}

# Names of the shared libraries, without their folders.
libraries() {
    local found
    found=$(ldd "$1") || fail "$1 is no program of this machine that needs shared libraries"
    awk '{ print $1 }' <<<"$found" | sed 's,.*/,,'
}

archive() {
    tar --create --file "$2" --directory "$1" --sort=name --format=pax \
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
        --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner .
}

case ${1:-} in
build) build "${2:?BINARY}" ;;
layout) layout "${2:?BINARY}" "${3:?ROOT}" ;;
archive) archive "${2:?ROOT}" "${3:?TAR}" ;;
*) fail "usage: $0 build BINARY | layout BINARY ROOT | archive ROOT TAR" ;;
esac
