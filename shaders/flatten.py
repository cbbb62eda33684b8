#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A source file with the project's own #include lines replaced by what they name:

    flatten.py ROOT INPUT OUTPUT [DEPFILE]

For device code that travels as text and is compiled where no include folder exists. Each file comes
in once, where it is first named. DEPFILE, if given, gets the list of files for the build.
"""
import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"\s*$')


def expand(root, path, seen):
    seen.append(path)
    with open(path, encoding="ascii") as file:
        for line in file:
            match = INCLUDE.match(line)
            if not match:
                yield line
                continue
            inner = os.path.join(root, match.group(1))
            if inner not in seen:
                yield from expand(root, inner, seen)


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: flatten.py ROOT INPUT OUTPUT [DEPFILE]")
    root, path, output = sys.argv[1:4]
    seen = []
    text = "".join(expand(root, path, seen))
    with open(output, "w", encoding="ascii") as file:
        file.write(text)
    if len(sys.argv) == 5:
        with open(sys.argv[4], "w", encoding="ascii") as file:
            file.write(f"{output}: {' '.join(seen)}\n")


if __name__ == "__main__":
    main()
