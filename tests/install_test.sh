#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the build into a folder of its own, then uses the copy as a stranger would: with
# pkg-config (shared and static), and after the tree has been moved with CMake's find_package.
#
#   tests/install_test.sh BUILD_DIR SOURCE_DIR
set -euo pipefail

build=$(cd "$1" && pwd)
source=$(cd "$2" && pwd)
work=$build/install-test
read -ra cc <<<"${CC:-cc}"

fail() {
    echo "install_test: $*" >&2
    exit 1
}

# Runs a built example; it checks its own result.
run_example() {
    local name=$1
    shift
    env "$@" "$work/$name" || fail "$name ended with status $?"
    echo "$name: works"
}

need_file() {
    local found
    found=$(find "$prefix" -path "*/$1" | head -n 1)
    [ -n "$found" ] || fail "nothing was installed as $1"
    [ -s "$found" ] || fail "$found is empty"
    echo "installed: ${found#"$prefix"/}"
}

rm -rf "$work"
mkdir -p "$work"
prefix=$work/stage$(meson introspect --buildoptions "$build" | python3 -c '
import json, sys
print([o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"][0])')
export DESTDIR=$work/stage
if ! meson install -C "$build" --no-rebuild --quiet >"$work/install.log" 2>&1; then
    cat "$work/install.log" >&2
    fail "meson install failed"
fi
unset DESTDIR

for header in "$source"/include/monarch/*.h; do
    need_file "include/monarch/$(basename "$header")"
done
need_file 'libmonarch.so'
need_file 'libmonarch.a'
need_file 'libmonarch-verify.so'
need_file 'pkgconfig/monarch.pc'
need_file 'pkgconfig/monarch-verify.pc'
need_file 'cmake/monarch/monarch-config.cmake'
need_file 'cmake/monarch/monarch-config-version.cmake'
libdir=$(dirname "$(find "$prefix" -name libmonarch.so)")
if [ -x "$build/bench/monarch" ]; then
    need_file 'bin/monarch'
    need_file 'man1/monarch.1*'
    need_file 'completions/monarch'
    LD_LIBRARY_PATH=$libdir "$prefix/bin/monarch" devices >"$work/devices.txt" ||
        fail "the installed tool does not run"
    grep -q cpu "$work/devices.txt" || fail "the installed tool lists no cpu device"
else
    echo "the tool is not part of this build: not looked for"
fi
expected='/(include/monarch/|bin/monarch$|libmonarch\.|libmonarch-verify\.|man1/|completions/|'
expected+='share/monarch/|pkgconfig/|cmake/monarch/)'
stray=$(find "$prefix" -type f | grep -vE "$expected" || true)
[ -z "$stray" ] || fail "installed, but not expected: $stray"

soname=$(readelf -d "$libdir/libmonarch.so" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
case $soname in
libmonarch.so.[0-9]*) echo "soname: $soname" ;;
*) fail "soname is \"$soname\", not libmonarch.so.N" ;;
esac
[ -e "$libdir/$soname" ] || fail "$soname is not installed"

# pkg-config: the tree lies below DESTDIR, so its prefix is given anew.
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_LIBDIR=$libdir/pkgconfig
pc() {
    pkg-config --define-variable=prefix="$prefix" "$@" "${package:-monarch}"
}
version=$(pc --modversion)
grep -q "\"$version\"" "$source/include/monarch/version.h" ||
    fail "monarch.pc says version $version"
# shellcheck disable=SC2046 # flags are words
"${cc[@]}" -std=c11 -Wall -Wextra -Werror "$source/tests/example.c" $(pc --cflags --libs) \
    -o "$work/shared"
run_example shared LD_LIBRARY_PATH="$libdir"
# shellcheck disable=SC2046
"${cc[@]}" -std=c11 $(pc --cflags) "$source/tests/example.c" \
    $(pc --static --libs | sed 's/-lmonarch/-l:libmonarch.a/') -o "$work/static"
if readelf -d "$work/static" | grep -q 'NEEDED.*libmonarch'; then
    fail "the static program needs libmonarch.so"
fi
run_example static

package=monarch-verify
# shellcheck disable=SC2046
"${cc[@]}" -std=c11 -Wall -Wextra -Werror "$source/tests/example_verify.c" $(pc --cflags --libs) \
    -lm -o "$work/verify"
run_example verify LD_LIBRARY_PATH="$libdir"

if ! command -v cmake >/dev/null; then
    echo "skipped: the CMake half, there is no cmake here"
    exit 77
fi
mkdir -p "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(user C)
find_package(monarch 0.1 CONFIG REQUIRED)
add_executable(user_shared ${EXAMPLE})
target_link_libraries(user_shared PRIVATE monarch::monarch)
add_executable(user_static ${EXAMPLE})
target_link_libraries(user_static PRIVATE monarch::monarch_static)
CMAKE
# Moved, to show that no path of the build is left in the package.
mv "$prefix" "$work/moved"
libdir=$work/moved/${libdir#"$prefix"/}
if ! {
    cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$work/moved" \
        -DEXAMPLE="$source/tests/example.c" && cmake --build "$work/cmake/build"
} >"$work/cmake.log" 2>&1; then
    cat "$work/cmake.log" >&2
    fail "the CMake project does not build"
fi
run_example cmake/build/user_shared LD_LIBRARY_PATH="$libdir"
run_example cmake/build/user_static
sed 's/monarch 0.1/monarch 99.0/' "$work/cmake/CMakeLists.txt" >"$work/cmake/wrong.txt"
mkdir -p "$work/wrong"
mv "$work/cmake/wrong.txt" "$work/wrong/CMakeLists.txt"
if cmake -S "$work/wrong" -B "$work/wrong/build" -DCMAKE_PREFIX_PATH="$work/moved" \
    -DEXAMPLE="$source/tests/example.c" >"$work/wrong.log" 2>&1; then
    fail "find_package(monarch 99.0) succeeds"
fi
grep -q '99.0' "$work/wrong.log" || fail "find_package(monarch 99.0) fails for another reason"
rm -rf "$work"
echo "an installed copy works with pkg-config and CMake, shared and static"
