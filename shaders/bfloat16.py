#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a shader's 16-bit floats into bfloat16: bfloat16.py INPUT.spv OUTPUT.spv

Compilers that know cooperative matrices may not know GL_EXT_bfloat16 yet. A shader whose only use
of 16-bit floats is as the component type of its matrices needs nothing else: the type gets the
encoding operand of SPV_KHR_bfloat16, and the module its capabilities and extension. Any other use
of the type (conversions, arithmetic, memory) is an error here.
"""
import struct
import sys

MAGIC, HEADER = 0x07230203, 5
OP_EXTENSION, OP_CAPABILITY, OP_TYPE_FLOAT = 10, 17, 22
OP_TYPE_COOPERATIVE_MATRIX = 4456
CAPABILITY_FLOAT16, CAPABILITY_BFLOAT16, CAPABILITY_BFLOAT16_MATRIX = 9, 5116, 5118
ENCODING_BFLOAT16 = 0
# Instructions before the first type in which a number may equal an identifier by chance.
LAST_BEFORE_TYPES = (3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 16, 17, 71, 72, 73, 330, 331, 332, 5632,
                     5633)


def instructions(words):
    at = HEADER
    while at < len(words):
        count = words[at] >> 16
        if count == 0 or at + count > len(words):
            raise SystemExit("bfloat16.py: not a SPIR-V module")
        yield words[at] & 0xffff, words[at + 1:at + count]
        at += count


def extension(name):
    data = name.encode() + b"\0" * (4 - len(name) % 4)
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def rewrite(words):
    if len(words) < HEADER or words[0] != MAGIC:
        raise SystemExit("bfloat16.py: not a SPIR-V module")
    listed = list(instructions(words))
    halves = [body[0] for op, body in listed if op == OP_TYPE_FLOAT and body[1] == 16]
    if len(halves) != 1:
        raise SystemExit(f"bfloat16.py: {len(halves)} 16-bit float types instead of one")
    half = halves[0]
    out, extended = list(words[:HEADER]), False

    def put(op, body):
        out.extend([(len(body) + 1) << 16 | op, *body])

    for op, body in listed:
        if op == OP_CAPABILITY and body[0] == CAPABILITY_FLOAT16:
            put(op, [CAPABILITY_BFLOAT16])
            put(op, [CAPABILITY_BFLOAT16_MATRIX])
            continue
        if op != OP_CAPABILITY and not extended:  # extensions follow capabilities
            put(OP_EXTENSION, extension("SPV_KHR_bfloat16"))
            extended = True
        if op == OP_TYPE_FLOAT and body[0] == half:
            body = [half, 16, ENCODING_BFLOAT16]
        elif op not in (*LAST_BEFORE_TYPES, OP_TYPE_COOPERATIVE_MATRIX) and body[:1] == [half]:
            # The type of a result, which every instruction names first.
            raise SystemExit(f"bfloat16.py: instruction {op} has a result of the 16-bit float type")
        put(op, body)
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bfloat16.py INPUT.spv OUTPUT.spv")
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    words = list(struct.unpack(f"<{len(data) // 4}I", data[:len(data) // 4 * 4]))
    out = rewrite(words)
    with open(sys.argv[2], "wb") as file:
        file.write(struct.pack(f"<{len(out)}I", *out))


if __name__ == "__main__":
    main()
