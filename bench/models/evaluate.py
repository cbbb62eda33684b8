#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Task quality and error per layer of pretrained models with attention replaced.

    evaluate.py PREPARED --out FOLDER [--task NAME...] [--device NAME...] [--library FILE]

PREPARED is what prepare.py wrote. For each task: the exact model, all layers replaced with every
block size and T = 1, 2, 3, then growing sets of layers, those with the least error first. Writes
FOLDER/quality.csv and FOLDER/layers.csv, and appends to them when they are there. With --parity
only the exact model and one choice are scored, on every device given: the same model on cpu, cuda,
opencl, vulkan.
"""

import argparse
import csv
import datetime
import os
import time
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from task import layer_errors  # noqa: E402  (first: it finds libmonarch)

import torch  # noqa: E402

import libmonarch  # noqa: E402

STEPS = (1, 2, 3)
QUALITY = ("date", "commit", "device", "hardware", "driver", "torch", "task", "layers", "replaced",
           "block_size", "steps", "pad", "metric", "value", "seconds")
LAYERS = ("date", "commit", "device", "task", "layer", "block_size", "steps", "pad", "error")


def make(name, folder):
    if name == "text":
        from text import Text as kind
    elif name == "reactions":
        from reactions import Reactions as kind
    elif name == "speech":
        from speech import Speech as kind
    else:
        raise SystemExit(f"no task {name}; there are text, reactions, speech")
    return kind(folder)


class Table:
    """Rows of one csv file; the file is there after every row."""

    def __init__(self, path, columns, fixed):
        self.path, self.columns, self.fixed = path, columns, fixed
        if not path.exists():
            with open(path, "w", newline="") as file:
                csv.writer(file).writerow(columns)

    def add(self, **row):
        row = {**self.fixed, **row}
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerow(
                [f"{x:.6g}" if isinstance(x, float) else x
                 for x in (row.get(name, "") for name in self.columns)])


def hardware(device):
    """What computes: the CPU's or the GPU's name, and its driver."""
    info = libmonarch.device_info(device)
    return {"hardware": info["name"], "driver": info["driver"]}


def score(table, task, device, replaced, **settings):
    """Scores the task as it is converted now, one row per metric."""
    start = time.perf_counter()
    values = task.score()
    seconds = time.perf_counter() - start
    for metric in task.metrics:
        table.add(task=task.name, layers=task.layers(), replaced=replaced, metric=metric,
                  value=values[metric], seconds=seconds, **settings)
    print(f"{device:7} {task.name:9} {replaced:8} {settings} "
          + " ".join(f"{m} {values[m]:.4f}" for m in task.metrics) + f" ({seconds:.1f} s)",
          flush=True)
    return values


def placed(device):
    """Where PyTorch keeps the model, and the device that libmonarch is told."""
    return ("cuda", "") if device.startswith("cuda") else ("cpu", device)


def sweep(task, device, quality, layers, blocks):
    told = placed(device)[1]
    task.restore()
    score(quality, task, device, "none")
    choices = [dict(block_size=b, steps=t) for b in blocks for t in STEPS]
    errors = layer_errors(task, [{**choice, "device": told} for choice in choices])
    for (layer, index), error in sorted(errors.items()):
        layers.add(task=task.name, layer=layer, pad="end", error=error, **choices[index])
    for choice in choices:
        task.convert(None, device=told, **choice)
        score(quality, task, device, "all", pad="end", **choice)
    # Sets that grow: the layers whose own output changes least come first.
    count = task.layers()
    for t in STEPS[:2]:
        choice = dict(block_size=blocks[0], steps=t)
        at = choices.index(choice)
        order = sorted(range(count), key=lambda layer: errors[layer, at])
        for size in sorted({1, count // 4, count // 2, 3 * count // 4} - {0, count}):
            chosen = sorted(order[:size])
            task.convert(chosen, device=told, **choice)
            score(quality, task, device, "+".join(map(str, chosen)), pad="end", **choice)
    if "begin" not in task.pads:
        task.convert(None, block_size=blocks[0], steps=2, pad="begin", device=told)
        score(quality, task, device, "all", block_size=blocks[0], steps=2, pad="begin")
    task.restore()


def parity(task, device, quality):
    told = placed(device)[1]
    task.restore()
    score(quality, task, device, "none")
    for t in STEPS[:2]:
        task.convert(None, block_size=0, steps=t, device=told)
        score(quality, task, device, "all", block_size=0, steps=t, pad="end")
    task.restore()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task", nargs="+", default=["text", "reactions", "speech"])
    parser.add_argument("--device", nargs="+", default=["cpu"])
    parser.add_argument("--library", help="a libmonarch.so")
    parser.add_argument("--commit", default="")
    parser.add_argument("--parity", action="store_true", help="the same choice on every device")
    parser.add_argument("--blocks", nargs="+", type=int, help="default: the task's own")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no device after this")
    args = parser.parse_args()
    if args.library:
        libmonarch.load(args.library)
    torch.backends.cuda.matmul.allow_tf32 = False
    args.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    for name in args.task:
        task = make(name, args.prepared)
        for device in args.device:
            if time.monotonic() - begin > args.seconds:
                print(f"no time for {name} on {device}")
                continue
            fixed = {"date": datetime.date.today().isoformat(), "commit": args.commit,
                     "device": device, "torch": torch.__version__,
                     **hardware(device if ":" in device else device + ":0")}
            task.to(placed(device)[0])
            quality = Table(args.out / "quality.csv", QUALITY, fixed)
            layers = Table(args.out / "layers.csv", LAYERS, fixed)
            if args.parity:
                parity(task, device, quality)
            else:
                sweep(task, device, quality, layers, args.blocks or task.blocks)
    print(f"{time.monotonic() - begin:.1f} s in all")


if __name__ == "__main__":
    main()
