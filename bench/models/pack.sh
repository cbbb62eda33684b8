#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a folder with all that evaluate.py and speed.py need on another machine that has PyTorch and
# nothing else: the library, the Python module, prepared data, and the part of transformers in use.
#
#   bench/models/pack.sh BUILD_DIR PREPARED PACK_DIR [PYTHON_VERSION...]     (default: 3.12)
set -euo pipefail

if [ $# -lt 3 ] || [ ! -e "$1/libmonarch.so" ] || [ ! -d "$2" ]; then
    echo "usage: bench/models/pack.sh BUILD_DIR PREPARED PACK_DIR [PYTHON_VERSION...]" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1 prepared=$2 pack=$3
shift 3
[ $# -gt 0 ] || set -- 3.12
python=${PYTHON:-python3}
# As install.sh has them.
transformers=$(sed -n 's/.*\(transformers==[0-9.]*\).*/\1/p' "$root/bench/models/install.sh")

rm -rf "$pack"
mkdir -p "$pack/bench" "$pack/prepared" "$pack/site"
cp -L "$build/libmonarch.so" "$pack/"
strip --strip-unneeded "$pack/libmonarch.so"
cp -r "$root/bench/libmonarch" "$root/bench/models" "$root"/bench/reference_f64.py "$pack/bench/"
cp "$root"/tests/test_module*.py "$pack/"
cp "$prepared"/text.pt "$prepared"/reactions.pt "$pack/prepared/"
git -C "$root" describe --always --dirty --exclude='*' >"$pack/commit"

for version in "$@"; do
    "$python" -m pip --disable-pip-version-check install --quiet --only-binary :all: \
        --python-version "$version" --target "$pack/site-$version" "$transformers"
done
# What is the same for all versions lies in site; of transformers only the models in use.
first=$pack/site-$1
keep=" auto albert bert roberta vit whisper encoder_decoder "
for model in "$first"/transformers/models/*/; do
    [[ $keep == *" $(basename "$model") "* ]] || rm -rf "$model"
done
for item in "$first"/*; do
    name=$(basename "$item")
    case $name in
    numpy* | hf_xet*) ;; # there beside PyTorch; not used
    regex* | yaml* | _yaml* | PyYAML* | pyyaml*) continue ;;
    *) cp -r "$item" "$pack/site/" ;;
    esac
    for version in "$@"; do rm -rf "$pack/site-$version/$name"; done
done
rm -rf "$pack"/site*/bin
find "$pack" -name __pycache__ -o -name tests -path '*/site/*' | xargs rm -rf
du -sm "$pack"/* | sort -n
