#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a program on a software Vulkan device that has cooperative matrices (the one that
# tests/install-deps.sh --test unpacks). Where there is none: says so, exit status 77.
#
#   tests/vulkan_software.sh PROGRAM [ARGUMENT...]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/lavapipe/root
libraries=$root/usr/lib/x86_64-linux-gnu
if [ ! -e "$libraries/libvulkan_lvp.so" ]; then
    echo "skipped: no software Vulkan device with cooperative matrices;" \
        "tests/install-deps.sh --test fetches one"
    exit 77
fi
driver=$(mktemp --suffix .json)
trap 'rm -f "$driver"' EXIT
printf '{"ICD": {"api_version": "1.4.0", "library_path": "%s"}, "file_format_version": "1.0.0"}\n' \
    "$libraries/libvulkan_lvp.so" >"$driver"
export VK_ICD_FILENAMES=$driver VK_LAYER_PATH=$root/usr/share/vulkan/explicit_layer.d
"$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$@"
