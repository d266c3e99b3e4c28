#!/bin/sh
# Sees to it that guests can be built for wasm32-unknown-unknown, and says by which route. Run by `make guest-toolchain`.
#   1. the active toolchain has the target's standard library already;
#   2. `rustup target add` brings it;
#   3. Debian's rustc-web builds it from rust-web-src (needs root, or sudo without a password).
# Build scripts look for the outcome of 1 and 2, then of 3; they never install.
set -u

target=wasm32-unknown-unknown
rustc=${RUSTC:-rustc}
debian_rustc=${ISOBAR_DEBIAN_RUSTC:-/usr/bin/rustc}
debian_lock=${ISOBAR_DEBIAN_LIBRARY:-/usr/lib/rustlib/src/rust/library}/Cargo.lock
# Two minutes: the download is 30 MB; where there is no way out to the network, rustup can hang for much longer.
rustup_timeout_s=${ISOBAR_RUSTUP_TIMEOUT_S:-120}
# Ten minutes: compiler and sources are 150 MB.
apt_timeout_s=${ISOBAR_APT_TIMEOUT_S:-600}

has_std() {
    libdir=$("$rustc" --print target-libdir --target "$target" 2>/dev/null) || return 1
    for library in "$libdir"/libstd-*.rlib; do
        [ -e "$library" ] && return 0
    done
    return 1
}

has_debian() {
    [ -x "$debian_rustc" ] && [ -e "$debian_lock" ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

if has_std; then
    echo "guest toolchain: route 1, the active toolchain has $target"
    exit 0
fi

if command -v rustup >/dev/null 2>&1; then
    echo "guest toolchain: trying route 2, rustup target add $target (at most $rustup_timeout_s s)"
    timeout "$rustup_timeout_s" rustup target add "$target" || echo "guest toolchain: rustup could not add it"
    if has_std; then
        echo "guest toolchain: route 2, rustup has added $target"
        exit 0
    fi
else
    echo "guest toolchain: no rustup here, so no route 2"
fi

if ! has_debian && command -v apt-get >/dev/null 2>&1; then
    echo "guest toolchain: trying route 3, Debian's rustc-web and rust-web-src"
    export DEBIAN_FRONTEND=noninteractive
    as_root timeout "$apt_timeout_s" apt-get update -qq || echo "guest toolchain: apt-get update failed, going on with the lists there are"
    as_root timeout "$apt_timeout_s" apt-get install -y -qq --no-install-recommends rustc-web rust-web-src ||
        echo "guest toolchain: apt-get could not install them"
fi
if has_debian; then
    echo "guest toolchain: route 3, $debian_rustc builds $target from source"
    exit 0
fi

cat >&2 <<END
guest toolchain: none of the routes stands.
  Policies are WebAssembly components, built from source with the standard library of $target. Do one of:
  - rustup target add $target          (needs the way to static.rust-lang.org)
  - apt-get install rustc-web rust-web-src    (Debian 12 or later, as root)
  then run this again.
END
exit 1
