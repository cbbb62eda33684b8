#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draw time against tokens from a csv of bench/compare.py, as SVG.

    bench/plot_gpu.py docs/benchmarks/h100.csv docs/benchmarks/h100.svg

Both axes are logarithmic. Of each number of tokens the fastest block size is drawn; the peers and
the floor are those of the same rows.
"""

import argparse
import csv
import math
import sys

WIDTH, HEIGHT = 860, 560
LEFT, RIGHT, TOP, BOTTOM = 80, 180, 60, 60
CURVES = [  # column, label, colour, dashes
    ("fa2_us", "FlashAttention-2", "#c0392b", ""),
    ("cudnn_us", "cuDNN", "#d68910", ""),
    ("us", "this library", "#1a5276", ""),
    ("floor_us", "memory floor", "#7f8c8d", "6 4"),
]


def fastest(path, options):
    """Of each number of tokens the fastest row of the curve that the options choose."""
    best = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chosen = {"batch": options.batch, "heads": options.heads, "head_dim": options.head_dim,
                      "steps": options.steps, "dtype": options.dtype}
            if any(row[key] != value for key, value in chosen.items()):
                continue
            tokens = int(row["tokens"])
            if tokens not in best or float(row["us"]) < float(best[tokens]["us"]):
                best[tokens] = row
    if not best:
        sys.exit(f"plot_gpu.py: no row of {path} fits; --help lists what is chosen by")
    return [best[tokens] for tokens in sorted(best)]


class Axis:
    """Places of values on a logarithmic axis."""

    def __init__(self, low, high, start, end):
        self.low, self.high = math.log(low), math.log(high)
        self.start, self.end = start, end

    def __call__(self, value):
        part = (math.log(value) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def text(x, y, words, anchor="middle", size=13, colour="#222", turn=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{colour}"{turn}>{words}</text>')


def line(points, colour, width=1.0, dashes=""):
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (f'<polyline points="{places}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}"{dashed}/>')


def grid(rows, x, y, low, high):
    parts = []
    for row in rows:
        at = x(int(row["tokens"]))
        parts.append(line([(at, TOP), (at, HEIGHT - BOTTOM)], "#e5e7e9"))
        parts.append(text(at, HEIGHT - BOTTOM + 20, row["tokens"], size=11))
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = y(10 ** power)
        parts.append(line([(LEFT, at), (WIDTH - RIGHT, at)], "#ccd1d1"))
        parts.append(text(LEFT - 8, at + 4, f"{10 ** power:,}", anchor="end", size=12))
    return parts


def draw(rows, options):
    tokens = [int(row["tokens"]) for row in rows]
    values = [float(row[column]) for row in rows for column, *_ in CURVES if row[column]]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    x = Axis(min(tokens) / 1.2, max(tokens) * 1.2, LEFT, WIDTH - RIGHT)
    y = Axis(low, high, HEIGHT - BOTTOM, TOP)
    first = rows[0]
    parts = grid(rows, x, y, low, high)
    for column, label, colour, dashes in CURVES:
        points = [(x(int(row["tokens"])), y(float(row[column]))) for row in rows if row[column]]
        parts.append(line(points, colour, 2.5, dashes))
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>'
                  for px, py in points if not dashes]
        parts.append(text(points[-1][0] + 14, points[-1][1] + 4, label, "start", 13, colour))
    for row in rows:
        parts.append(text(x(int(row["tokens"])), y(float(row["us"])) + 20, row["variant"], size=10,
                          colour="#1a5276"))
    parts.append(text(WIDTH / 2, 26, f'{first["gpu"]}, driver {first["driver"]}, {first["date"]}',
                      size=16))
    parts.append(text(WIDTH / 2, 45, f'{options.batch} x {options.heads} heads of '
                      f'{options.head_dim} features, T = {options.steps}, {options.dtype}; peers '
                      "compute exact attention", size=12, colour="#555"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "tokens"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(22, middle, "microseconds", turn=f' transform="rotate(-90 22 {middle})"'))
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
            f"{body}\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("svg")
    for name, value in (("batch", "1"), ("heads", "12"), ("head-dim", "64"), ("steps", "1"),
                        ("dtype", "f16")):
        parser.add_argument(f"--{name}", default=value, help=f"(default {value})")
    options = parser.parse_args()
    picture = draw(fastest(options.csv, options), options)
    with open(options.svg, "w", encoding="utf-8") as file:
        file.write(picture)


if __name__ == "__main__":
    main()
