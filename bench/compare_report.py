# SPDX-License-Identifier: Apache-2.0
"""What bench/compare.py writes: where a figure comes from, the csv, the table for the docs."""

import csv
import datetime
import re
import subprocess
from pathlib import Path

import torch

COLUMNS = ["date", "commit", "gpu", "driver", "backend", "variant", "dtype", "batch", "heads",
           "tokens", "head_dim", "block", "steps", "us", "floor_us", "fa2_us", "cudnn_us",
           "rel_error", "us_p10", "us_p90", "fa2_p10", "fa2_p90", "cudnn_p10", "cudnn_p90",
           "value_dim", "kv_heads", "pad", "host_us", "sets", "samples", "executions", "copy_gbs",
           "copy_way", "torch", "cuda", "cudnn", "seed"]


def output(command):
    """What a command prints, "" if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    root = Path(__file__).resolve().parent.parent
    return output(["git", "-C", root, "describe", "--always", "--dirty"]) or "unknown"


def provenance(options, device, bandwidth):
    """The columns that are the same for a whole run."""
    driver = output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "commit": options.commit or commit(), "gpu": torch.cuda.get_device_name(),
            "driver": driver.split("\n")[0] or device.info.driver.decode(),
            "backend": device.info.backend.decode(), "copy_gbs": bandwidth.rate / 1e9,
            "copy_way": bandwidth.way,
            "torch": torch.__version__, "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(), "seed": options.seed}


def gpu_slug(name):
    """"h100" for "NVIDIA H100 80GB HBM3"; the whole name where no word is such a model."""
    model = re.search(r"\b[A-Z]{1,2}\d{1,4}[A-Za-z]?\b", name)
    words = model.group() if model else name.removeprefix("NVIDIA ")
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def text(value):
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def short(us):
    """Microseconds with about four digits, never with an exponent."""
    return f"{us:.{0 if us >= 1000 else 1 if us >= 100 else 2}f}"


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: text(value) for key, value in row.items()} for row in rows)


def time_range(row, name):
    """Median (10th - 90th percentile) of one of "us", "fa2" and "cudnn"."""
    median = row.get("us" if name == "us" else f"{name}_us")
    if median is None:
        return "-"
    return f"{short(median)} ({short(row[f'{name}_p10'])}-{short(row[f'{name}_p90'])})"


def ratio(row, column):
    return f"{row[column] / row['us']:.2f}" if row.get(column) else "-"


def markdown_row(row):
    dims = str(row["head_dim"])
    if row["value_dim"] != row["head_dim"]:
        dims += f"/{row['value_dim']}"
    host = row.get("host_us")
    return (f"| {row['batch']}, {row['heads']}, {row['tokens']}, {dims} | {row['block']} "
            f"| {row['steps']} | {row['dtype']} | {row['variant']} | {time_range(row, 'us')} "
            f"| {time_range(row, 'fa2')} | {ratio(row, 'fa2_us')} | {time_range(row, 'cudnn')} "
            f"| {ratio(row, 'cudnn_us')} | {short(row['floor_us'])} "
            f"| {row['us'] / row['floor_us']:.2f} | {row['rel_error']:.1e} "
            f"| {'-' if host is None else f'{host:.3g}'} |")


def markdown(rows):
    head = ("E, H, N, D", "B", "T", "dtype", "variant", "monarch, us", "FA2, us", "FA2 / monarch",
            "cuDNN, us", "cuDNN / monarch", "floor, us", "monarch / floor", "rel. error",
            "host call, us")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + [markdown_row(row) for row in rows]) + "\n"
