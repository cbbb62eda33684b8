#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables and pictures of docs/models.md from the csv files in docs/models: report.py [FOLDER]

Replaces what stands between `<!-- table NAME -->` and `<!-- end -->` in docs/models.md and
docs/choosing.md, and draws quality.svg and speed.svg.
"""

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TITLES = {"text": "text: all-MiniLM-L6-v2", "reactions": "reactions: rxnmapper's ALBERT",
          "speech": "speech: Whisper tiny.en"}
ORDER = ("text", "reactions", "speech")


def rows(path):
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def table(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in body])


def grouped(quality):
    """One entry per scored model: (fixed columns) -> {metric: value}, in the file's order."""
    found = {}
    for row in quality:
        key = tuple(row[name] for name in ("device", "hardware", "task", "layers", "replaced",
                                           "block_size", "steps", "pad", "commit"))
        found.setdefault(key, {})[row["metric"]] = float(row["value"])
    return found


def block_name(block):
    return "chosen" if block == "0" else block


def quality_table(quality, task):
    entries = [(key, values) for key, values in grouped(quality).items() if key[2] == task]
    if not entries:
        return "not measured"
    metrics = list(entries[0][1])
    body = []
    for (device, _, _, layers, replaced, block, steps, pad, _), values in entries:
        count = {"none": "none", "all": f"all {layers}"}.get(replaced, replaced.replace("+", ", "))
        body.append([count, block_name(block) if block else "", steps, pad,
                     *(f"{values[m]:.4f}" for m in metrics)])
    place = entries[0][0]
    note = f"On {place[0]} ({place[1]}), commit {place[8]}.\n\n"
    return note + table(["layers replaced", "B", "T", "pad", *metrics], body)


def layers_table(layers, task):
    mine = [row for row in layers if row["task"] == task]
    if not mine:
        return "not measured"
    choices = []
    for row in mine:
        choice = (row["block_size"], row["steps"])
        if choice not in choices:
            choices.append(choice)
    errors = {(row["layer"], row["block_size"], row["steps"]): float(row["error"]) for row in mine}
    names = sorted({row["layer"] for row in mine}, key=int)
    body = [[name, *(f"{errors[(name, *choice)]:.3f}" for choice in choices)] for name in names]
    return table(["layer", *(f"B {block_name(b)}, T={t}" for b, t in choices)], body)


def parity_table(quality):
    """Of every device the same models: values to five digits, and the largest difference."""
    found = {}
    for key, values in grouped(quality).items():
        device, hardware, task, _, replaced, block, steps, _, _ = key
        what = "exact" if replaced == "none" else f"all layers, T={steps}"
        for metric, value in values.items():
            if metric != "cosine_to_exact" or replaced != "none":
                found.setdefault((task, what, metric), {})[device] = value
    devices = sorted({d for values in found.values() for d in values})
    body = []
    for (task, what, metric), values in found.items():
        given = list(values.values())
        body.append([task, what, metric,
                     *(f"{values[d]:.5f}" if d in values else "" for d in devices),
                     f"{max(given) - min(given):.5f}"])
    return table(["task", "layers replaced", "metric", *devices, "largest difference"], body)


def times_exact(speed, row):
    """How many times as fast as exact attention, in the way to call it that is fastest for that."""
    same = ("device", "model", "batch", "tokens")
    exact = min(float(other["ms"]) for other in speed if other["attention"] == "exact"
                and all(other[key] == row[key] for key in same))
    return exact / float(row["ms"])


def thousands(text):
    value = float(text) / 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def speed_table(speed, device, call):
    mine = [row for row in speed if row["device"] == device and row["call"] == call]
    if not mine:
        return "not measured"
    body = []
    for row in mine:
        body.append([row["model"], row["batch"], row["tokens"],
                     "exact" if row["attention"] == "exact" else
                     f"T={row['steps']}, B={row['block_size']}",
                     f"{float(row['ms']):.2f} ({float(row['ms_p10']):.2f} to "
                     f"{float(row['ms_p90']):.2f})", thousands(row["tokens_per_s"]),
                     f"{times_exact(speed, row):.2f}",
                     f"{float(row['rel_error']):.0e}" if row["rel_error"] else ""])
    first = mine[0]
    note = (f"{first['hardware']}, driver {first['driver']}, PyTorch {first['torch']}, "
            f"{first['dtype']}, {first['date']}, commit {first['commit']}.\n\n")
    return note + table(["model", "batch", "tokens", "attention", "ms (p10 to p90)",
                         "thousand tokens per s", "times as fast as exact at its fastest",
                         "error to f64"], body)


def plot_quality(quality, path):
    """Each task's first metric against the part of the layers' work that attention has left."""
    from matplotlib import pyplot

    from choose import work
    lengths = {"text": 512, "reactions": 90, "speech": 1500}
    tasks = [task for task in ORDER if any(row["task"] == task for row in quality)]
    figure, axes = pyplot.subplots(1, len(tasks), figsize=(4 * len(tasks), 3.2), squeeze=False)
    for axis, task in zip(axes[0], tasks):
        for steps, color in (("1", "C0"), ("2", "C1"), ("3", "C2")):
            points = []
            for key, values in grouped(quality).items():
                _, _, name, layers, replaced, block, t, _, _ = key
                if name == task and t == steps:
                    part = 1 if replaced == "all" else len(replaced.split("+")) / int(layers)
                    cost = work(lengths[task], int(block), int(t))
                    points.append((1 - part + part * cost, next(iter(values.values()))))
            axis.plot(*zip(*sorted(points)), "o", color=color, label=f"T = {steps}") \
                if points else None
        exact = next(values for key, values in grouped(quality).items()
                     if key[2] == task and key[4] == "none")
        metric, value = next(iter(exact.items()))
        axis.axhline(value, color="k", lw=0.8, label="exact")
        axis.set_title(TITLES[task], fontsize=9)
        axis.set_xlabel(f"work of attention, {lengths[task]} tokens, exact = 1", fontsize=8)
        axis.set_ylabel(metric, fontsize=8)
        axis.legend(fontsize=7)
    figure.tight_layout()
    save(figure, path)


def plot_speed(speed, path):
    from matplotlib import pyplot
    figure, axis = pyplot.subplots(figsize=(5, 3.4))
    for device, call in (("cuda", "graph"), ("cpu", "eager")):
        for steps in ("1", "2"):
            points = {int(row["tokens"]): times_exact(speed, row) for row in speed
                      if row["device"] == device and row["call"] == call
                      and row["model"] == "long-encoder" and row["steps"] == steps}
            if points:
                axis.plot(*zip(*sorted(points.items())), "o-", label=f"{device}, T = {steps}")
    axis.axhline(1, color="k", lw=0.8)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_xlabel("tokens")
    axis.set_ylabel("whole model, times as fast as exact")
    axis.legend(fontsize=8)
    figure.tight_layout()
    save(figure, path)


def save(figure, path):
    """As SVG without the date, and without the spaces that matplotlib leaves at line ends."""
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().split("\n")))


def fill(path, tables):
    text = path.read_text()
    for name in re.findall(r"<!-- table (\S+) -->", text):
        if name not in tables:
            raise SystemExit(f"{path}: no table {name}")
        text = re.sub(rf"(<!-- table {name} -->\n).*?(<!-- end -->)",
                      lambda m: m.group(1) + tables[name] + "\n" + m.group(2), text, flags=re.S)
    path.write_text(text)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/models"
    quality, layers = rows(folder / "quality.csv"), rows(folder / "layers.csv")
    speed = rows(folder / "speed.csv") + rows(folder / "speed_cpu.csv")
    tables = {"parity": parity_table(rows(folder / "parity.csv"))}
    for task in ORDER:
        tables[f"quality-{task}"] = quality_table(quality, task)
        tables[f"layers-{task}"] = layers_table(layers, task)
    for device in ("cuda", "cpu"):
        for call in ("graph", "eager"):
            tables[f"speed-{device}-{call}"] = speed_table(speed, device, call)
    for name in ("reactions", "text"):
        path = folder / f"choose_{name}.txt"
        tables[f"choose-{name}"] = ("```\n" + path.read_text() + "```" if path.exists()
                                    else "not measured")
    for page in ("models.md", "choosing.md"):
        fill(ROOT / "docs" / page, tables)
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "libmonarch"
    plot_quality(quality, folder / "quality.svg")
    if speed:
        plot_speed(speed, folder / "speed.svg")


if __name__ == "__main__":
    main()
