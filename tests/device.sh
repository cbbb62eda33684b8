#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a build that was made elsewhere on a machine with a GPU: all tests, the sanitizers, the
# benchmarks. Compiles nothing. docs/testing.md tells how the build gets there.
set -uo pipefail

usage() {
    cat <<'END'
usage: tests/device.sh BUILD_DIR OUT_DIR [options]

  --sanitizers       also run a reduced list of cases under each tool of compute-sanitizer
  --bench            also time the lists of problems, alone and beside FlashAttention-2 and cuDNN
  --large            also problems beyond 32 bits, on every variant (40 GB of device memory)
  --no-tests         leave out the tests
  --alone            tests of numbers on --device alone, not on every device of the machine
  --device NAME      device of the sanitizers and benchmarks (default cuda); on "cpu" the script
                     itself can be tried: what needs a GPU is left out and said
  --jobs N           programs at a time (default: the processors)
  --seconds S        time for bench/compare.py (default 75)
  --limit S          time for one test program (default 300)
  --help             print this text

BUILD_DIR is a build folder of Meson or what tests/pack-device.sh made of one; libraries in its
folder lib/ are found. OUT_DIR gets summary.txt, log.txt.gz, bench.csv and compare/GPU.csv, .md.
Exit status 1 when anything failed, 2 for a wrong command line.
END
}

wrong() {
    echo "device.sh: $1; --help prints the options" >&2
    exit 2
}

tests=true alone=() sanitizers=false bench=false large=false
device=cuda jobs=$(nproc) seconds=75 limit=300
folders=()
while [ $# -gt 0 ]; do
    case $1 in
    --sanitizers) sanitizers=true ;;
    --bench) bench=true ;;
    --large) large=true ;;
    --no-tests) tests=false ;;
    --alone) alone=(--alone) ;;
    --device | --jobs | --seconds | --limit)
        [ $# -gt 1 ] || wrong "no value after $1"
        declare "${1#--}=$2"
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*) wrong "unknown option \"$1\"" ;;
    *) folders+=("$1") ;;
    esac
    shift
done
[ ${#folders[@]} -eq 2 ] || wrong "BUILD_DIR and OUT_DIR are needed, ${#folders[@]} were given"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
build=$(cd "${folders[0]}" 2>/dev/null && pwd) || wrong "there is no folder ${folders[0]}"
[ -e "$build/libmonarch.so" ] || wrong "there is no $build/libmonarch.so"
mkdir -p "${folders[1]}" && out=$(cd "${folders[1]}" && pwd) || exit 2
exec </dev/null

summary=$out/summary.txt
log=$out/log.txt
: >"$summary"
: >"$log"
failures=0
scratch=$(mktemp) || exit 2
trap 'rm -f "$scratch"' EXIT

say() {
    printf '%s\n' "$*" | tee -a "$summary"
}

# fail PART REASON
fail() {
    say "FAILED $1: $2"
    failures=$((failures + 1))
}

# Programs of the build find it and the libraries it carries; python3 must not see the latter.
built() {
    LD_LIBRARY_PATH=$build:$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"
}

# The first line that a command prints, or that there is none.
first_line() {
    local line
    line=$("$@" 2>/dev/null | sed -n 1p)
    printf '%s' "${line:-not there}"
}

commit=$(sed -n 's/^#define BUILD_COMMIT "\(.*\)"/\1/p' "$build/bench/build_commit.h" 2>/dev/null)
commit=${commit:-unknown}

describe() {
    say "date      $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    say "commit    $commit"
    say "GPU       $(first_line nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)"
    say "system    $(uname -sr), $(nproc) processors, $(first_line getconf GNU_LIBC_VERSION)"
    say "monarch   $(first_line built "$build/bench/monarch" --version)"
    say "PyTorch   $(first_line python3 -c 'import torch
print(torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())')"
    say "sanitizer $(compute-sanitizer --version 2>/dev/null | sed -n 's/^Version *//p')"
    {
        printf '#### devices\n'
        built "$build/bench/monarch" devices
        printf '\n#### nvidia-smi\n'
        nvidia-smi
    } >>"$log" 2>&1
    if ! built "$build/bench/monarch" devices 2>&1 | grep -q "^$device:0 "; then
        built "$build/bench/monarch" devices | sed -n "/^$device/,/^[^ ]/p"
        fail device "the library lists no $device:0; log.txt.gz says why"
    fi
}

# part NAME OPTIONS...: one part of device_jobs.py.
part() {
    local name=$1
    shift
    python3 -B "$root/tests/device_jobs.py" "$name" "$build" --log "$log" --report "$summary" \
        --jobs "$jobs" "$@" || failures=$((failures + 1))
}

run_sanitizers() {
    local tool
    if ! command -v compute-sanitizer >/dev/null; then
        fail sanitizers "compute-sanitizer is not on PATH"
        return
    fi
    for tool in memcheck racecheck initcheck synccheck; do
        part "$tool" --device "$device" --timeout 150
    done
}

# measured NAME FILES COMMAND...: a benchmark whose rows come in the one csv that FILES matches.
measured() {
    local name=$1 files=$2 started=$SECONDS status file rows=0
    shift 2
    "$@" >"$scratch" 2>&1
    status=$?
    { printf '\n#### %s\n# %s\n' "$name" "$*" && cat "$scratch"; } >>"$log"
    file=$(compgen -G "$files" | sed -n 1p)
    [ -s "$file" ] && rows=$(($(wc -l <"$file") - 1))
    say "$name: exit status $status, $rows rows, $((SECONDS - started)) s"
    if [ "$status" -ne 0 ] || [ "$rows" -lt 1 ]; then
        fail "$name" "the end of its output:"
        tail -n 15 "$scratch" | cut -c1-200 | sed 's/^/    /' | tee -a "$summary"
    fi
}

tool_bench() {
    built "$build/bench/monarch" bench --device "$device" --csv --seconds 0.3 --list "$1" >"$2"
}

run_bench() {
    local list=$root/bench/shapes/performance.txt
    [ "$device" = cpu ] && list=$root/bench/shapes/cpu.txt
    measured "monarch bench" "$out/bench.csv" tool_bench "$list" "$out/bench.csv"
    if [ "$device" = cpu ]; then
        say "compare.py: left out: it needs a CUDA device, and this run is for cpu"
        return
    fi
    rm -rf "$out/compare"
    measured "compare.py" "$out/compare/*.csv" \
        python3 -B "$root/bench/compare.py" --library "$build/libmonarch.so" --commit "$commit" \
        --list "$list" --seconds "$seconds" --out "$out/compare"
}

# Problems beyond 32 bits; bench/compare.py because it can make the input on the device.
run_large() {
    rm -rf "$out/large"
    measured "large problems" "$out/large/*.csv" \
        python3 -B "$root/bench/compare.py" --library "$build/libmonarch.so" --commit "$commit" \
        --list "$root/bench/shapes/large.txt" --variants --no-peers --once --heads 6 \
        --out "$out/large"
}

describe
$tests && part tests --device "$device" --timeout "$limit" "${alone[@]}"
$sanitizers && run_sanitizers
$bench && run_bench
$large && run_large
gzip -9 -f "$log"
if [ "$failures" -eq 0 ]; then
    say "all parts passed, $SECONDS s"
else
    say "$failures parts FAILED, $SECONDS s"
    exit 1
fi
