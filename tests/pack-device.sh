#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes from a build folder of Meson a small folder with all that tests/device.sh needs on another
# machine: stripped programs, the libraries they want that may be missing there, scripts, lists.
#
#   tests/pack-device.sh BUILD_DIR PACK_DIR      then there: PACK_DIR/tests/device.sh PACK_DIR OUT
set -euo pipefail

if [ $# -ne 2 ] || [ ! -d "$1/meson-info" ]; then
    echo "usage: tests/pack-device.sh BUILD_DIR PACK_DIR; BUILD_DIR is a build folder of Meson" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$1" && pwd)
if [ -e "$2" ] && [ ! -e "$2/meson-info" ] && [ -n "$(ls -A "$2")" ]; then
    echo "pack-device.sh: $2 is there and is no pack; it is not replaced" >&2
    exit 2
fi
rm -rf "$2"
mkdir -p "$2"
pack=$(cd "$2" && pwd)

# Build and source folder have the same form, so one folder holds both.
mkdir -p "$pack"/{lib,meson-info,bench,tests/checks}
cp "$build"/meson-info/{meson-info,intro-tests}.json "$pack/meson-info/"
cp "$build/bench/build_commit.h" "$pack/bench/"
cp -a "$build"/libmonarch.so* "$pack/"
rm -rf "$pack"/libmonarch.so*.p
(cd "$root" && cp -r --parents tests/*.py tests/*.sh tests/checks/*.py tests/checks/manifest.txt \
    tests/checks/corpus bench/*.py bench/libmonarch bench/shapes bench/monarch.1 bench/completion \
    "$pack")
rm -rf "$pack"/*/__pycache__ "$pack"/*/*/__pycache__

programs=()
while IFS= read -r program; do
    programs+=("$program")
    (cd "$build" && cp --parents "$program" "$pack")
done < <(cd "$build" && find bench tests -maxdepth 3 -type f -perm -u+x ! -name '*.*' |
    LC_ALL=C sort)
# Libraries that tests load instead of the system's.
(cd "$build" && find tests \( -type f -o -type l \) -name '*.so*' ! -path '*.p/*' \
    -exec cp -a --parents {} "$pack" \;)
(cd "$pack" && strip --strip-unneeded "${programs[@]}" && strip --strip-unneeded libmonarch.so.*.*)

# What the programs load, but for the C library, drivers and what the build made itself: a stand-in
# of a driver in lib/ would be taken for the real one by every program.
(cd "$build" && ldd "${programs[@]}") | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
    xargs realpath -s | LC_ALL=C sort -u | while IFS= read -r library; do
    case $library in
    "$build"/* | */libcuda.so.* | */libOpenCL.so.* | */libvulkan.so.*) continue ;;
    esac
    case $(basename "$library") in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.*) ;;
    libgcc_s.so.* | libstdc++.so.*) ;;
    *) cp -L "$library" "$pack/lib/" ;;
    esac
done
echo "$pack: ${#programs[@]} programs, $(du -sm "$pack" | cut -f1) MB, with" "$pack"/lib/*
