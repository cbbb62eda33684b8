#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much faster than exact attention in the same kernels: compare_exact.py TOOL [options]

Runs `monarch bench` with the block that the library chooses and with blocks of one token, which is
exact attention (docs/algorithm.md): the second stage is then a softmax over all keys, in the very
kernels that MonarchAttention uses. Both check one head against a reference in f64. Repeats the pair
and prints the medians as a row of a table; exit status 1 if a check fails.
"""
import argparse
import csv
import io
import statistics
import subprocess
import sys


def measure(options, block):
    """Microseconds and relative error of one run of the tool."""
    command = [options.tool, "bench", "--device", options.device, "--shape", options.shape,
               "--dtype", options.dtype, "--block", str(block), "--seconds", str(options.seconds),
               "--csv"]
    if options.variant:
        command += ["--variant", options.variant]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr}{done.stdout}")
    lines = done.stdout[done.stdout.index("date,"):]
    row = next(csv.DictReader(io.StringIO(lines)))
    return float(row["us_median"]), float(row["rel_error"]), row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", help="the monarch tool")
    parser.add_argument("--device", default="opencl")
    parser.add_argument("--variant", default="tiled")
    parser.add_argument("--shape", default="1,12,4096,64")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    times, errors, row = {0: [], 1: []}, {}, {}
    for _ in range(options.rounds):
        for block in times:
            microseconds, error, row[block] = measure(options, block)
            times[block].append(microseconds)
            errors[block] = max(error, errors.get(block, 0.0))
    monarch, exact = (statistics.median(times[block]) for block in (0, 1))
    print("| device | E, H, N, D | B | dtype | variant | monarch, ms | exact, ms | ratio | "
          "rel. error, of either |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(f"| {row[0]['device']} | {options.shape.replace(',', ', ')} | {row[0]['block']} | "
          f"{options.dtype} | {row[0]['variant']} | {monarch / 1e3:.4g} | {exact / 1e3:.4g} | "
          f"{exact / monarch:.1f} | {errors[0]:.1e}, {errors[1]:.1e} |")


if __name__ == "__main__":
    main()
