#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time the cpu device beside PyTorch's exact attention, on the same tensors in one run.

Needs PyTorch. Every result is checked in the same run against a float64 evaluation of
MonarchAttention (reference_f64.py) on one head picked by the seed; a result that is too far from
it stops the program. Writes a csv and a table for the docs.
"""

import argparse
import csv
import datetime
import secrets
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from monarch_ctypes import DTYPES, Device, Library, Problem, Tensor
from reference_f64 import LIMITS, monarch_f64, relative_error

ROOT = Path(__file__).resolve().parent.parent
TORCH_DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
COLUMNS = ["date", "commit", "device", "driver", "threads", "variant", "dtype", "batch", "heads",
           "tokens", "head_dim", "block", "steps", "us", "us_p10", "us_p90", "torch", "torch_us",
           "torch_us_p10", "torch_us_p90", "ratio", "naive_us", "naive_ratio", "rel_error", "seed"]


def spread(seconds):
    """Median, 10th and 90th percentile in microseconds."""
    ordered = sorted(1e6 * s for s in seconds)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return statistics.median(ordered), at(0.1), at(0.9)


def time_torch(q, k, v, count):
    attention = torch.nn.functional.scaled_dot_product_attention
    attention(q, k, v)
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        attention(q, k, v)
        seconds.append(time.perf_counter() - start)
    return seconds


def repetitions(first, budget):
    return max(3, min(50, int(budget / max(first, 1e-6))))


def measure(device, shape, dtype, args, generator):
    batch, heads, tokens, dim, block, steps = shape
    tensor = Tensor(dtype=DTYPES[dtype])
    problem = Problem(batch=batch, heads=heads, tokens=tokens, head_dim=dim, block_size=block,
                      steps=steps, q=tensor, k=tensor, v=tensor, out=tensor)
    q, k, v = (torch.randn(batch, heads, tokens, dim, generator=generator).to(TORCH_DTYPES[dtype])
               for _ in range(3))
    out = torch.full_like(q, torch.nan)
    plan = device.plan(problem, args.variant)
    call = plan.args(q, k, v, out)
    plan.execute(call)
    head = torch.randint(heads, (1,), generator=generator).item()
    wanted = monarch_f64(q[-1, head], k[-1, head], v[-1, head], plan.problem().block_size, steps)
    error = relative_error(out[-1, head], wanted)
    if not error <= LIMITS[dtype]:
        sys.exit(f"{shape} {dtype}: relative error {error:.3g} is above {LIMITS[dtype]}")
    ours = spread(plan.time(call, repetitions(plan.time(call, 1)[0], args.seconds)))
    theirs = spread(time_torch(q, k, v, 3 if tokens > 8192 else 7))
    row = {"variant": plan.variant(), "dtype": dtype, "batch": batch, "heads": heads,
           "tokens": tokens, "head_dim": dim, "block": plan.problem().block_size, "steps": steps,
           "us": ours[0], "us_p10": ours[1], "us_p90": ours[2], "torch_us": theirs[0],
           "torch_us_p10": theirs[1], "torch_us_p90": theirs[2], "ratio": theirs[0] / ours[0],
           "rel_error": error}
    plan.close()
    if args.naive:
        naive = device.plan(problem, "naive")
        call = naive.args(q, k, v, out)
        row["naive_us"] = spread(naive.time(call, 3))[0]
        row["naive_ratio"] = row["naive_us"] / ours[0]
        naive.close()
    return row


def formatted(row):
    numbers = {key: f"{value:.4g}" for key, value in row.items() if isinstance(value, float)}
    return {**row, **numbers}


def markdown(rows):
    lines = ["| E, H, N, D | B | T | dtype | variant | monarch, ms | torch exact, ms | ratio "
             "| naive, ms | rel. error |", "|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        naive = f"{r['naive_us'] / 1e3:.4g}" if "naive_us" in r else "-"
        lines.append(
            f"| {r['batch']}, {r['heads']}, {r['tokens']}, {r['head_dim']} | {r['block']} "
            f"| {r['steps']} | {r['dtype']} | {r['variant']} "
            f"| {r['us'] / 1e3:.4g} ({r['us_p10'] / 1e3:.4g}-{r['us_p90'] / 1e3:.4g}) "
            f"| {r['torch_us'] / 1e3:.4g} ({r['torch_us_p10'] / 1e3:.4g}-"
            f"{r['torch_us_p90'] / 1e3:.4g}) "
            f"| {r['ratio']:.1f} | {naive} | {r['rel_error']:.1e} |")
    return "\n".join(lines) + "\n"


def commit():
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=ROOT / "build/libmonarch.so")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 1024, 4096, 16384])
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--block", type=int, default=0)
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["f32"])
    parser.add_argument("--variant", help="force a variant")
    parser.add_argument("--naive", action="store_true", help="time the naive variant too")
    parser.add_argument("--seconds", type=float, default=3.0, help="spent on each of our timings")
    parser.add_argument("--seed", type=int, default=secrets.randbits(31))
    parser.add_argument("--out", type=Path, help="folder for cpu.csv and cpu.md")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(args.seed)
    device = Device(Library(args.library), "cpu", args.threads)
    rows = []
    for dtype in args.dtype:
        for tokens in args.tokens:
            shape = (1, 12, tokens, 64, args.block, args.steps)
            row = measure(device, shape, dtype, args, generator)
            row.update(date=datetime.date.today().isoformat(), commit=commit(),
                       device=device.info.name.decode(), driver=device.info.driver.decode(),
                       threads=args.threads, torch=torch.__version__, seed=args.seed)
            rows.append(row)
            print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    device.close()
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        with open(args.out / "cpu.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(formatted(row) for row in rows)
        (args.out / "cpu.md").write_text(markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
