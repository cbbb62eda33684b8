#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a result: installs what is missing, builds the library and its tool, runs
# MonarchAttention on real activations, compares with exact attention and draws the attention map.
#
#   bench/quickstart.sh [BUILD_DIR]     default: build-quickstart
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
-h | --help)
    echo "usage: bench/quickstart.sh [BUILD_DIR]"
    exit 0
    ;;
-*)
    echo "quickstart: unknown option \"$1\"; usage: bench/quickstart.sh [BUILD_DIR]" >&2
    exit 2
    ;;
esac
build=${1:-build-quickstart}
layer=bench/data/layer3
steps=2

step() {
    printf '\n== %s\n' "$*"
}

# Shows a command as it can be typed again, then runs it.
show() {
    printf '$'
    printf ' %s' "$@"
    printf '\n'
    "$@"
}

# The same for a command whose output matters only when it fails: quietly LOG COMMAND...
quietly() {
    local log=$1
    shift
    if ! show "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "quickstart: this failed: $*" >&2
        exit 1
    fi
    head -n 1 "$log"
}

echo "This will: 1. install what the build needs and is not there (apt, may ask for your password)"
echo "           2. configure and build libmonarch in $build/"
echo "           3. run MonarchAttention on queries, keys and values of a sentence encoder and"
echo "              compare with exact softmax attention"
echo "           4. write the exact attention map beside the Monarch one as a picture"

step "1. What the build needs"
tests/install-deps.sh

step "2. Build"
mkdir -p "$build"
again=()
if [ -f "$build/build.ninja" ]; then
    again=(--reconfigure)
fi
quietly "$build/configure.log" meson setup "${again[@]}" "$build" --buildtype=release -Dtests=false
quietly "$build/build.log" ninja -C "$build"
monarch=$build/bench/monarch
echo "built $monarch"

step "3. MonarchAttention on real input, compared with exact attention"
show "$monarch" run --q "${layer}_q.npy" --k "${layer}_k.npy" --v "${layer}_v.npy" \
    --mask bench/data/mask.npy --steps "$steps" --out "$build/out.npy" --compare exact

step "4. The attention map"
show "$monarch" map --q "${layer}_q.npy" --k "${layer}_k.npy" --mask bench/data/mask.npy \
    --head 2 --steps "$steps" --out "$build/map.png"

step "Done"
cat <<END
The picture:  $PWD/$build/map.png   (exact attention left, Monarch right)
The output:   $PWD/$build/out.npy   (float32, [batch, heads, tokens, features])

Try next:
  $monarch run --help                 your own .npy tensors, block size, steps, dtype
  $monarch bench --shape 1,12,4096,64 --steps 1
  $monarch devices                    what else could run it, and why not
  tests/run.sh                        every test
END
