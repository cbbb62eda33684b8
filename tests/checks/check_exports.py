#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The interface of the built library: check_exports.py INCLUDE_DIR SHARED [STATIC]

The shared library exports the functions that the headers declare, each of them and nothing else,
and links no driver. In the static library every global symbol has the project's prefix, so that
it cannot clash with a program's own.
"""
import glob
import os
import re
import subprocess
import sys

DECLARATION = re.compile(r"\bMONARCH_API\s+[^;{(]*?\b(\w+)\s*\(")
NEEDED_ALLOWED = re.compile(r"^(libc|libm|libpthread|libdl|librt|ld-linux.*|ld64|libgcc_s)\.so")


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def declared(folder):
    names = set()
    for path in glob.glob(os.path.join(folder, "monarch", "*.h")):
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


def problems(folder, shared, static):
    headers = declared(folder)
    exported = symbols(["nm", "-D", "--defined-only", shared])
    if len(headers) < 10:
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
    if static:
        for name in sorted(symbols(["nm", "-g", "--defined-only", static])):
            if not name.startswith(("monarch_", "mn_")):
                yield f"{name}: global in {static} without the prefix mn_ or monarch_"


def main():
    folder, shared = sys.argv[1:3]
    static = sys.argv[3] if len(sys.argv) > 3 else None
    found = list(problems(folder, shared, static))
    print("\n".join(found) if found else f"{len(declared(folder))} functions, each exported")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
