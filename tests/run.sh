#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs every test on every device found: a release build, one with ASan and UBSan, one
# with TSan, a fuzzing build with clang, then static analysis. The last line counts the cases.
#
#   tests/run.sh [--quick]      --quick: the release build and its tests only
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
exec </dev/null

quick=false
case ${1:-} in
'') ;;
--quick) quick=true ;;
-h | --help)
    echo "usage: tests/run.sh [--quick]"
    exit 0
    ;;
*)
    echo "run.sh: unknown option \"$1\"; usage: tests/run.sh [--quick]" >&2
    exit 2
    ;;
esac

root=build-test
log=$root/log
mkdir -p "$log"
own=$log/own.txt # results of steps that are not Meson tests
: >"$own"
records=("run=$own")
jobs=$(nproc)

header() {
    printf '\n==== %s\n' "$*"
    started=$SECONDS
}

footer() {
    printf -- '---- %s s\n' "$((SECONDS - started))"
}

# note RESULT NAME REASON
note() {
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$own"
    printf '%s: %s%s\n' "$2" "$1" "${3:+ ($3)}"
}

# check NAME COMMAND...: one step that passes or fails; shows the end of its output when it fails.
check() {
    local name=$1
    shift
    if "$@" >"$log/$name.txt" 2>&1; then
        note passed "$name" ""
    else
        tail -n 40 "$log/$name.txt"
        note failed "$name" "see $log/$name.txt"
        return 1
    fi
}

configure() {
    local folder=$1
    shift
    if [ -f "$folder/build.ninja" ]; then
        meson setup --reconfigure "$folder" "$@" || meson setup --wipe "$folder" "$@"
    else
        meson setup "$folder" "$@"
    fi
}

# build NAME OPTIONS...: configures and builds build-test/NAME.
build() {
    local name=$1
    shift
    check "configure-$name" configure "$root/$name" -Dwerror=true "$@" &&
        check "build-$name" ninja -C "$root/$name"
}

# run_tests NAME OPTIONS...: runs the tests of build-test/NAME and shows how they went.
run_tests() {
    local name=$1
    shift
    rm -f "$root/$name/meson-logs/testlog.json"
    meson test -C "$root/$name" --no-rebuild --no-stdsplit "$@" >"$log/test-$name.txt" 2>&1
    local record=$name=$root/$name/meson-logs/testlog.json
    records+=("$record")
    sed -n 's/^ *[0-9]*\/[0-9]* //p' "$log/test-$name.txt"
    python3 tests/checks/summary.py --brief "$record"
}

# Undefined behaviour and races are failures, and a refused allocation is an answer, not an abort.
# ASan's fake stack is off: gcc 13 aligns it to 32 bytes and stores 64-byte vectors as if aligned.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1
# OpenCL on processors: what it compiles stays here, what it leaves behind at the end is not ours.
export LSAN_OPTIONS=suppressions=$PWD/tests/checks/lsan.supp
export POCL_CACHE_DIR=$PWD/$root/pocl
mkdir -p "$POCL_CACHE_DIR"

header "What the tests need"
tests/install-deps.sh --test || {
    note failed install-deps "see above"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
footer

header "Release build"
build release --buildtype=release
# Says which backends are left out, and why.
sed -n '/^  Backends$/,/^$/p' "$log/configure-release.txt"
if grep -q '^    cuda .*: no: ' "$log/configure-release.txt"; then
    note skipped cuda "the backend is not compiled: $(
        sed -n 's/^    cuda .*: no: //p' "$log/configure-release.txt")"
fi
if grep -q '^    opencl .*: no: ' "$log/configure-release.txt"; then
    note skipped opencl "the backend is not compiled: $(
        sed -n 's/^    opencl .*: no: //p' "$log/configure-release.txt")"
fi
if grep -q '^    vulkan .*: \(no: \|without \)' "$log/configure-release.txt"; then
    note skipped vulkan "not all of the backend is compiled: $(
        sed -n 's/^    vulkan .*: \(no: \|without\)/\1/p' "$log/configure-release.txt")"
fi
footer
header "Tests"
run_tests release
footer

leave_out_plain() {
    echo "left out here, they say nothing new: the tests of suite 'plain' (headers, style, exports,"
    echo "installation: the same files, whatever the compiler adds); code for any GPU but sm_90a,"
    echo "which the release build has: the same files again, and nvcc adds no checks to them"
}

# Nothing on the host side depends on which GPUs there is code for; compiling for all takes minutes.
one_gpu=(-Dsm_archs=90a)

# Vulkan's loader unloads drivers, and what they keep in their own variables then looks leaked.
leave_out_vulkan() {
    echo "left out as well: Vulkan on the software device, whose driver the loader unloads, so that"
    echo "what it holds seems leaked; the host side of the backend runs on the stand-in driver;"
    echo "leaks in the tests 'manifest...', where the check itself crashes behind so many of PoCL's"
    echo "kernels"
    export VK_ICD_FILENAMES=/nonexistent.json VK_DRIVER_FILES=/nonexistent.json
}

# The tests of numbers once more where OpenCL device code is compiled otherwise, or watched.

# has_opencl DIR: whether there is a device; DIR holds another libOpenCL.so.1, or nothing.
has_opencl() {
    LD_LIBRARY_PATH=$1 "$root/release/bench/monarch" devices 2>/dev/null |
        grep '^opencl:0 ' >/dev/null
}

# PoCL without optimisation: all tests on both variants, side by side.
opencl_unoptimised() {
    local variant program status=0 pids=()
    for variant in tiled plain; do
        (
            export POCL_EXTRA_BUILD_FLAGS=-cl-opt-disable
            for program in plan stage property objective bitwise; do
                "$root/release/tests/test_$program" --device opencl --variant "$variant" \
                    --quick --manifest tests/checks/manifest.txt || exit 1
            done
        ) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || status=1; done
    return "$status"
}

# Oclgrind runs the kernels of GPUs, item by item, and reports races and bytes out of bounds. It has
# no exit status for that.
oclgrind_case() {
    local output
    output=$(LD_LIBRARY_PATH=$oclgrind_dir OCLGRIND_DATA_RACES=1 OCLGRIND_MAX_ERRORS=20 \
        OCLGRIND_BUILD_OPTIONS="-cl-opt-disable -DINLINE=static" \
        "$root/release/tests/test_stage" --device opencl \
        --variant "$1" --dtype "$2" --case "$3" 2>&1)
    local status=$?
    printf '%s\n' "$output"
    [ "$status" -eq 0 ] && ! grep -qiE 'data race|invalid (read|write)|oclgrind' <<<"$(
        grep -v 'Oclgrind Simulator' <<<"$output")"
}

oclgrind_cases() {
    local status=0 variant dtype name
    while read -r variant dtype name; do
        oclgrind_case "$variant" "$dtype" "$name" || status=1
    done <<'END'
tiled f16 even
tiled f16 tiles_of_16
tiled f16 two_blocks_first_short
tiled f32 mask_random_nan_q
tiled bf16 dim_33_value_31
tiled f16 block_1_steps_3
plain bf16 odd_n_begin
plain f16 mask_random_nan_q
END
    return "$status"
}

opencl_otherwise() {
    if has_opencl "${LD_LIBRARY_PATH:-}"; then
        check opencl-unoptimised opencl_unoptimised
    else
        note skipped opencl-unoptimised "there is no opencl device"
    fi
    oclgrind_dir=$root/oclgrind
    local library
    library=$(find /usr/lib -name liboclgrind-rt.so 2>/dev/null | head -n 1)
    mkdir -p "$oclgrind_dir"
    ln -sf "$library" "$oclgrind_dir/libOpenCL.so.1"
    if [ -n "$library" ] && has_opencl "$oclgrind_dir"; then
        check oclgrind oclgrind_cases
    else
        note skipped oclgrind "there is no oclgrind, or the backend is left out"
    fi
}

# The Python module: pip builds and installs it, its tests run on the release build.

module_installed() {
    (cd / && "$OLDPWD/.venv/models/bin/python" -c "import libmonarch, torch
q = torch.randn(1, 2, 40, 8)
exact = torch.nn.functional.scaled_dot_product_attention(q, q, q)
assert 'site-packages' in str(libmonarch.load().path), libmonarch.load().path
assert (libmonarch.monarch_attention(q, q, q, block_size=40) - exact).abs().max() < 1e-5")
}

module_tests() {
    local python=.venv/models/bin/python devices=(--device cpu) backend
    for backend in opencl vulkan; do
        if "$root/release/bench/monarch" devices 2>/dev/null | grep -q "^$backend:0 "; then
            devices+=(--device "$backend")
        fi
    done
    check module "$python" tests/test_module.py --library "$root/release/libmonarch.so" \
        "${devices[@]}"
    check module-transformers "$python" tests/test_module_transformers.py \
        --library "$root/release/libmonarch.so"
}

if ! $quick; then
    header "Python module"
    if bench/models/install.sh --module-only >"$log/module-install.txt" 2>&1; then
        check module-pip env MONARCH_MESON_ARGS=-Dcuda=disabled \
            .venv/models/bin/python -m pip install --quiet --no-deps --force-reinstall ./bench &&
            check module-installed module_installed
        rm -rf bench/build bench/*.egg-info # what pip built there is not the project's source
        module_tests
    else
        tail -n 5 "$log/module-install.txt"
        note skipped module "PyTorch and transformers could not be installed from PyPI"
    fi
    footer

    header "OpenCL, unoptimised and under oclgrind"
    opencl_otherwise
    footer

    header "ASan and UBSan"
    leave_out_plain
    leave_out_vulkan
    build asan --buildtype=debugoptimized "${one_gpu[@]}" -Db_sanitize=address,undefined &&
        run_tests asan --no-suite plain --timeout-multiplier 4
    footer

    header "TSan"
    leave_out_plain
    echo "left out here as well: the tests of numbers but 'bitwise', which varies the threads;"
    echo "the others compare what single threads compute"
    build tsan --buildtype=debugoptimized "${one_gpu[@]}" -Db_sanitize=thread &&
        run_tests tsan --no-suite plain --timeout-multiplier 8
    footer

    header "Fuzzing with clang"
    echo "left out here: the cuda, opencl and vulkan backends; this is also the build without them"
    # fuzz NAME CORPUS SECONDS LENGTH
    fuzz() {
        # New inputs go to a folder of their own; the committed ones are only read.
        mkdir -p "$log/corpus/$2"
        "$root/fuzz/tests/checks/$1" -max_total_time="$3" -max_len="$4" -print_final_stats=1 \
            -artifact_prefix="$log/" "$log/corpus/$2" "tests/checks/corpus/$2"
    }
    export CC=clang
    build fuzz --buildtype=debugoptimized -Dfuzz=true -Dbench=false -Dcuda=disabled \
        -Dopencl=disabled -Dvulkan=disabled -Dc_args=-fsanitize=fuzzer-no-link \
        -Db_sanitize=address,undefined -Db_lundef=false &&
        check fuzz-problem fuzz fuzz_problem problem 30 96 &&
        check fuzz-npy fuzz fuzz_npy npy 20 512 &&
        run_tests fuzz cuda_absent opencl_absent vulkan_absent
    unset CC
    footer

    header "Static analysis"
    sources() {
        find include core backends shaders tests bench -name "*.$1" -type f | LC_ALL=C sort
    }
    tidy() {
        python3 tests/checks/list_sources.py "$root/release" |
            xargs -r -P "$jobs" -n 1 clang-tidy --quiet -p "$root/release"
    }
    static_check() {
        cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability \
            --inline-suppr --suppressions-list=.cppcheck-suppressions --error-exitcode=1 \
            -j "$jobs" -D__x86_64__ -D__GNUC__=12 -I include -I . -I tests -i tests/soft_cuda \
            core backends bench tests &&
            cppcheck --quiet --std=c++17 --language=c++ --enable=warning,performance,portability \
                --inline-suppr --suppressions-list=.cppcheck-suppressions --error-exitcode=1 \
                -j "$jobs" -D__x86_64__ -D__GNUC__=12 -I include -I . \
                tests/soft_cuda/{boxes,copies,device,machine,products,stack,wait}.cpp
    }
    format() {
        for ending in c h cpp cu cuh cl clh; do sources "$ending"; done |
            xargs clang-format --dry-run --Werror
    }
    check clang-tidy tidy
    check cppcheck static_check
    check clang-format format
    footer
fi

header "All together"
echo "logs: $log/, $root/*/meson-logs/; $SECONDS s in all"
python3 tests/checks/summary.py "${records[@]}"
