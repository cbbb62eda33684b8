#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draw time against tokens from a csv of bench/compare.py, as SVG.

    bench/plot_gpu.py docs/benchmarks/h100.csv docs/benchmarks/h100.svg

Both axes are logarithmic. Of each number of tokens the fastest block size is drawn, its variant
shown by the shape of the marker; the peers and the floor are those of the same rows.
"""

import argparse
import csv
import math
import sys
from html import escape

WIDTH, HEIGHT = 860, 560
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 64, 60
LEGEND_LINE = 20
CURVES = [  # column, label, colour, dashes
    ("fa2_us", "FlashAttention-2", "#c0392b", ""),
    ("cudnn_us", "cuDNN", "#d68910", ""),
    ("us", "this library, by variant:", "#1a5276", ""),
    ("floor_us", "floor: q, k, v, out moved once", "#7f8c8d", "6 4"),
]
ROUND = (24, 0)
# Corners and turn in degrees of the markers of variants, in the order in which these appear;
# more variants than shapes begin again.
SHAPES = [(4, 45), (3, -90), (4, 0), (3, 90), (5, -90), (6, 0), ROUND]


def fastest(path, options):
    """Of each number of tokens the fastest row of the curve that the options choose."""
    best = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chosen = {"batch": options.batch, "heads": options.heads, "kv_heads": options.heads,
                      "head_dim": options.head_dim, "value_dim": options.head_dim,
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
            f'fill="{colour}"{turn}>{escape(words)}</text>')


def line(points, colour, width=1.0, dashes=""):
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (f'<polyline points="{places}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}"{dashed}/>')


def marker(x, y, shape, colour):
    """A regular polygon with a white rim, which keeps markers on one another apart."""
    corners, turn = shape
    size = 4.5 if shape == ROUND else 6.5
    angles = [math.radians(turn + 360 * corner / corners) for corner in range(corners)]
    places = " ".join(f"{x + size * math.cos(angle):.1f},{y + size * math.sin(angle):.1f}"
                      for angle in angles)
    return f'<polygon points="{places}" fill="{colour}" stroke="#fff"/>'


def legend(shapes):
    """The curves and, under this library's, the variants; in the corner that curves leave empty."""
    lines = len(CURVES) + len(shapes)
    parts = [f'<rect x="{LEFT + 16}" y="{TOP + 12}" width="300" '
             f'height="{lines * LEGEND_LINE + 12}" fill="#fff" stroke="#ccd1d1"/>']
    left, y = LEFT + 28, TOP + 28
    for column, label, colour, dashes in CURVES:
        parts.append(line([(left, y), (left + 32, y)], colour, 2.5, dashes))
        parts.append(text(left + 42, y + 4, label, "start"))
        if column in ("fa2_us", "cudnn_us"):
            parts.append(marker(left + 16, y, ROUND, colour))
        y += LEGEND_LINE
        for variant, shape in shapes.items() if column == "us" else ():
            parts.append(marker(left + 52, y, shape, colour))
            parts.append(text(left + 66, y + 4, variant, "start"))
            y += LEGEND_LINE
    return parts


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
    variants = dict.fromkeys(row["variant"] for row in rows)
    shapes = {name: SHAPES[place % len(SHAPES)] for place, name in enumerate(variants)}
    parts = grid(rows, x, y, low, high)
    for column, label, colour, dashes in CURVES:
        points = [(x(int(row["tokens"])), y(float(row[column]))) for row in rows if row[column]]
        parts.append(line(points, colour, 2.5, dashes))
        for row, point in zip(rows, points) if column == "us" else ():
            parts.append(marker(*point, shapes[row["variant"]], colour))
        if column in ("fa2_us", "cudnn_us"):
            parts += [marker(*point, ROUND, colour) for point in points]
    parts += legend(shapes)
    parts.append(text(WIDTH / 2, 26, f'{first["gpu"]}, driver {first["driver"]}, {first["date"]}',
                      size=16))
    parts.append(text(WIDTH / 2, 45, f'{options.batch} x {options.heads} heads of '
                      f'{options.head_dim} features, T = {options.steps}, {options.dtype}; peers '
                      "compute exact attention", size=12, colour="#555"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "tokens N"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(22, middle, "time, microseconds",
                      turn=f' transform="rotate(-90 22 {middle})"'))
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
