#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peak memory of `monarch run` against the number of tokens. Python's standard library only.

For each N it writes random float16 tensors [1, heads, N, dim], runs the tool on them in f32 and
reads the child's peak resident memory; beside it stand the tensors' own size and what N x N
scores would take. In the same run `monarch bench` checks the same shape against the f64 oracle;
memory.py stops when it fails.
"""

import argparse
import csv
import io
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Keeps sign and top mantissa bits of a random high byte and sets the exponent to 2^-1 or 2^0.
TO_ORDINARY = bytes((b & 0x83) | 0x38 for b in range(256))


def write_npy(path, shape):
    """Random float16 values, evenly spread over +-[0.5, 2)."""
    header = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    count = 1
    for extent in shape:
        count *= extent
    values = bytearray(os.urandom(2 * count))
    values[1::2] = values[1::2].translate(TO_ORDINARY)
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        file.write(values)


def peak_of(command):
    """Runs a command and returns its peak resident memory in bytes."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} {command[1]} failed with status {child.returncode}")
    return usage.ru_maxrss * 1024


def measure(tool, tokens, heads, dim):
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(Path(folder) / f"{name}.npy") for name in ("q", "k", "v", "out")}
        for name in ("q", "k", "v"):
            write_npy(paths[name], (1, heads, tokens, dim))
        command = [tool, "run"] + [part for name, path in paths.items()
                                   for part in (f"--{name}", path)]
        peak = peak_of(command)
    checked = subprocess.run([tool, "bench", "--shape", f"1,{heads},{tokens},{dim}", "--steps", "1",
                              "--dtype", "f32", "--seconds", "0.1", "--csv"],
                             check=True, capture_output=True, text=True)
    row = list(csv.DictReader(io.StringIO(checked.stdout)))[-1]
    tensors = 4 * heads * tokens * dim * 4
    scores = heads * tokens * tokens * 4
    return tokens, row["block"], peak, tensors, scores, row["rel_error"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", default=str(ROOT / "build/bench/monarch"))
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    lines = ["| tokens | block | peak of `monarch run`, MB | q, k, v, out in f32, MB "
             "| N x N scores in f32, MB | rel. error to f64 oracle |", "|---|---|---|---|---|---|"]
    for tokens in args.tokens:
        tokens, block, peak, tensors, scores, error = measure(args.tool, tokens, args.heads,
                                                              args.dim)
        lines.append(f"| {tokens} | {block} | {peak / 1e6:.0f} | {tensors / 1e6:.0f} "
                     f"| {scores / 1e6:.0f} | {error} |")
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
