#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs and is not there yet, through apt (Debian 12, Ubuntu 24.04), after
# saying what and why. Does nothing when all is there; asks nothing.
#
#   tests/install-deps.sh [--test]      --test: also what only the tests and checks need
set -euo pipefail

usage="usage: tests/install-deps.sh [--test]"
with_tests=false
for argument in "$@"; do
    case $argument in
    --test) with_tests=true ;;
    -h | --help)
        echo "$usage"
        exit 0
        ;;
    *)
        echo "install-deps: unknown option \"$argument\"; $usage" >&2
        exit 2
        ;;
    esac
done

# One line each: how to tell that it is there | Debian package | what for.
needed='
command cc        | gcc            | compiles the library
header stdlib.h   | libc6-dev      | the C library to compile against
command g++       | g++            | checks the public headers as C++             | test
command meson     | meson          | build system
command ninja     | ninja-build    | runs the build
command python3   | python3        | Meson and the checks are written in it
command pkg-config| pkg-config     | finds libraries
module libpng     | libpng-dev     | map pictures of the monarch tool
debian dpkg-architecture|dpkg-dev  | tells Meson where Debian keeps libraries
module cmocka     | libcmocka-dev  | test framework                               | test
command cmake     | cmake          | tries find_package(monarch)                  | test
command make      | make           | runs what CMake writes                       | test
command clang     | clang          | second compiler, fuzzing                     | test
runtime fuzzer    | libclang-rt-dev| libFuzzer for clang                          | test
command clang-tidy| clang-tidy     | static analysis                              | test
command clang-format|clang-format  | formatting check                             | test
command cppcheck  | cppcheck       | static analysis                              | test
command man       | man-db         | checks the manual page                       | test
command git       | git            | lists the files to check                     | test
'

have() {
    case $1 in
    command) command -v "$2" >/dev/null 2>&1 ;;
    module) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$2" ;;
    debian) ! command -v dpkg >/dev/null 2>&1 || command -v "$2" >/dev/null 2>&1 ;;
    header) command -v cc >/dev/null 2>&1 && echo "#include <$2>" | cc -E -xc - >/dev/null 2>&1 ;;
    runtime)
        command -v clang >/dev/null 2>&1 &&
            echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' |
            clang -fsanitize=fuzzer -xc - -o /dev/null >/dev/null 2>&1
        ;;
    esac
}

trim() {
    local text=$1
    text=${text#"${text%%[![:space:]]*}"}
    printf '%s' "${text%"${text##*[![:space:]]}"}"
}

# Fills `missing` with packages and `reasons` with a line for each.
find_missing() {
    local check package reason scope kind name
    missing=()
    reasons=()
    while IFS='|' read -r check package reason scope; do
        check=$(trim "$check")
        [ -n "$check" ] || continue
        if [ "$(trim "${scope:-}")" = test ] && ! $with_tests; then
            continue
        fi
        read -r kind name <<<"$check"
        if ! have "$kind" "$name"; then
            missing+=("$(trim "$package")")
            reasons+=("$(printf '%-16s %s' "$(trim "$package")" "$(trim "$reason")")")
        fi
    done <<<"$needed"
}

check_meson() {
    local version
    version=$(meson --version)
    if [ "$(printf '%s\n1.0\n' "$version" | sort -V | head -n 1)" != 1.0 ]; then
        echo "install-deps: meson is $version here; 1.0 or newer is needed." >&2
        echo "Debian 12 and Ubuntu 24.04 have it; elsewhere: pip install meson" >&2
        exit 1
    fi
}

# The package with clang's run-time libraries carries clang's major version in its name.
name_of_clang_runtime() {
    local version
    version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1)
    echo "libclang-rt-${version}-dev"
}

find_missing
if [ ${#missing[@]} -eq 0 ]; then
    check_meson
    echo "install-deps: everything needed is there."
    exit 0
fi

echo "install-deps: missing on this machine:"
printf '  %s\n' "${reasons[@]}"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: this system has no apt. Please install the above by its own means (the" >&2
    echo "names are Debian's) and try again." >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-deps: neither root nor sudo. As root, please run:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
    # Without a terminal nobody can type a password.
    [ -t 0 ] || as_root=(sudo -n)
fi
as_root+=(env DEBIAN_FRONTEND=noninteractive)

# apt's own account of it matters only when it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt_get() {
    if ! "${as_root[@]}" apt-get -q -y -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "install-deps: apt-get $* failed; the lines above say why." >&2
        exit 1
    fi
}

echo "install-deps: installing them with apt-get ..."
apt_get update
packages=()
for package in "${missing[@]}"; do
    [ "$package" = libclang-rt-dev ] && package=$(name_of_clang_runtime)
    packages+=("$package")
done
apt_get install --no-install-recommends "${packages[@]}"

find_missing
if [ ${#missing[@]} -gt 0 ]; then
    echo "install-deps: still missing after the installation:" >&2
    printf '  %s\n' "${reasons[@]}" >&2
    exit 1
fi
check_meson
echo "install-deps: everything needed is there now."
