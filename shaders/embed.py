#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Any file as a C array: embed.py INPUT OUTPUT NAME

Writes `const unsigned char NAME[]`, aligned to 64 bytes, with a zero byte behind the file's own,
and `const unsigned long long NAME_size`. The bytes are one string literal: compilers read several
megabytes of that in well under a second, where a list of numbers takes many.
"""
import sys

LINE = 64  # bytes of the file in one line


def escape(byte):
    char = chr(byte)
    # Three octal digits always: a digit may follow. '?' could begin a trigraph.
    return char if 32 <= byte < 127 and char not in '"\\?' else f"\\{byte:03o}"


TABLE = [escape(byte) for byte in range(256)]


def source(data, name):
    yield "/* Made by shaders/embed.py. */\n"
    yield f"extern const unsigned char {name}[];\n"
    yield f"extern const unsigned long long {name}_size;\n"
    yield f"const unsigned long long {name}_size = {len(data)}ULL;\n"
    yield f"_Alignas(64) const unsigned char {name}[{len(data) + 1}] =\n"
    if not data:
        yield '    ""\n'
    for start in range(0, len(data), LINE):
        yield '    "' + "".join([TABLE[byte] for byte in data[start:start + LINE]]) + '"\n'
    yield "    ;\n"


def main():
    if len(sys.argv) != 4 or not sys.argv[3].isidentifier():
        sys.exit("usage: embed.py INPUT OUTPUT NAME")
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    with open(sys.argv[2], "w", encoding="ascii") as file:
        file.writelines(source(data, sys.argv[3]))


if __name__ == "__main__":
    main()
