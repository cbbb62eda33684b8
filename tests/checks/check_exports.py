#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The interface of the built libraries: check_exports.py INCLUDE_DIR SHARED VERIFY [STATIC]

Each shared library, the library itself and that of monarch/verify.h, exports the functions that
its headers declare, each of them and nothing else, and links no driver. In the static library every
global symbol has the project's prefix, so that it cannot clash with a program's own.
"""
import glob
import os
import re
import subprocess
import sys

DECLARATION = re.compile(r"\bMONARCH_API\s+[^;{(]*?\b(\w+)\s*\(")
VERIFY_HEADERS = {"verify.h"}
NEEDED_ALLOWED = re.compile(
    r"^(libmonarch|libc|libm|libpthread|libdl|librt|ld-linux.*|ld64|libgcc_s)\.so")


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def declared(folder, verify):
    """What the headers of one of the two libraries declare."""
    names = set()
    for path in glob.glob(os.path.join(folder, "monarch", "*.h")):
        if (os.path.basename(path) in VERIFY_HEADERS) != verify:
            continue
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/|^\s*#[^\n]*", " ", file.read(), flags=re.S | re.M)
        names |= set(DECLARATION.findall(text))
    return names


def symbols(command):
    """Names from lines of nm: [value] type name."""
    names = set()
    for line in run(command).splitlines():
        fields = line.split()
        if len(fields) >= 2 and not line.endswith(":"):
            names.add(fields[-1].split("@")[0])
    return names


def needed(shared):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run(["readelf", "-d", shared]))


def problems(folder, shared, verify):
    headers = declared(folder, verify)
    exported = symbols(["nm", "-D", "--defined-only", shared])
    if len(headers) < (5 if verify else 10):
        yield f"only {len(headers)} declarations found in {folder}: is the pattern right?"
    for name in sorted(headers - exported):
        yield f"{name}: declared in a header, not exported by {shared}"
    for name in sorted(exported - headers):
        yield f"{name}: exported by {shared}, declared in no header"
    for name in sorted(headers | exported):
        if not name.startswith("monarch_"):
            yield f"{name}: public without the prefix monarch_"
    for library in needed(shared):
        if not NEEDED_ALLOWED.match(library):
            yield f"{shared} needs {library}: drivers are opened at run time"


def static_problems(static):
    for name in sorted(symbols(["nm", "-g", "--defined-only", static])):
        if not name.startswith(("monarch_", "mn_")):
            yield f"{name}: global in {static} without the prefix mn_ or monarch_"


def main():
    folder, shared, verify = sys.argv[1:4]
    found = list(problems(folder, shared, False)) + list(problems(folder, verify, True))
    if len(sys.argv) > 4:
        found += static_problems(sys.argv[4])
    count = len(declared(folder, False)) + len(declared(folder, True))
    print("\n".join(found) if found else f"{count} functions, each exported")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
