#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fp8 intermediates change on activations of a real encoder: fp8_error.py TOOL [options]

Runs `monarch run` on the layers in bench/data with intermediates as usual and in fp8, and prints a
table: the relative error (Frobenius norm, masked tokens left out) of each result against the same
problem in f32, which the tests hold within 2e-6 of an evaluation in f64; and beside it how far
MonarchAttention itself is from exact attention, without and with fp8. Needs Python alone.
"""
import argparse
import array
import ast
import itertools
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
WAYS = [("f16", "default"), ("f16", "fp8"), ("bf16", "default"), ("bf16", "fp8")]


def read_npy(path):
    """Shape and elements of an array of float32 or uint8."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10:10 + length].decode())
    values = array.array({"<f4": "f", "|u1": "B"}[header["descr"]])
    values.frombytes(data[10 + length:])
    return header["shape"], values


def compute(options, layer, block, steps, way, folder):
    """The result of one run and the distance from exact attention that it prints."""
    out = folder / "out.npy"
    files = [word for name in "qkv" for word in (f"--{name}", str(DATA / f"{layer}_{name}.npy"))]
    command = [options.tool, "run", *files, "--mask", str(DATA / "mask.npy"), "--out", str(out),
               "--block", str(block), "--steps", str(steps), "--dtype", way[0], "--intermediates",
               way[1], "--device", options.device, "--compare", "exact"]
    if options.variant:
        command += ["--variant", options.variant]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr}{done.stdout}")
    words = next(line.split() for line in done.stdout.splitlines() if "relative error" in line)
    return read_npy(out), float(words[2])


def relative_error(found, wanted, mask):
    (batch, heads, tokens, width), wanted = wanted
    found = found[1]
    difference = norm = 0.0
    for row in range(batch * heads * tokens):
        if not mask[row // (heads * tokens) * tokens + row % tokens]:
            continue
        for i in range(row * width, (row + 1) * width):
            difference += (found[i] - wanted[i]) ** 2
            norm += wanted[i] ** 2
    return math.sqrt(difference / norm)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", help="the monarch tool")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variant")
    parser.add_argument("--blocks", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    _, mask = read_npy(DATA / "mask.npy")
    print("| layer | B | T | " + " | ".join(f"{dtype}, {kind}" for dtype, kind in WAYS) +
          " | exact attention, f32 | exact attention, f16, fp8 |")
    print("|---" * (3 + len(WAYS) + 2) + "|")
    with tempfile.TemporaryDirectory() as name:
        for layer, block, steps in itertools.product((0, 3, 5), options.blocks, options.steps):
            found, apart = zip(*[compute(options, f"layer{layer}", block, steps, way, Path(name))
                                 for way in [("f32", "default"), *WAYS]])
            errors = [relative_error(f, found[0], mask) for f in found[1:]]
            print(f"| {layer} | {block} | {steps} | " + " | ".join(f"{e:.1e}" for e in errors) +
                  f" | {apart[0]:.4f} | {apart[2]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
