#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Profile single executions on an NVIDIA GPU: hardware counters of each kernel, by ncu.

    bench/profile_gpu.py MONARCH [SHAPE:BLOCK:STEPS ...]

MONARCH is the tool of a build. Each problem is run by `monarch bench`, which checks its result
against f64; the kernels of one execution after the warm-up are profiled. Clocks and caches are left
as they are. A kernel under ncu starts on an idle, slower GPU: compare counters, not times.
"""

import argparse
import csv
import subprocess
import sys

PROBLEMS = ["1,12,1024,64:32:1", "1,12,4096,64:64:1", "1,12,16384,64:128:1", "64,12,256,64:16:1",
            "1,12,16384,64:128:2"]
METRICS = {  # what is printed: counter, scale, unit
    "gpu__time_duration.sum": (1e-3, "us"),
    "dram__bytes_read.sum": (1e-6, "MB DRAM read"),
    "dram__bytes_write.sum": (1e-6, "MB DRAM written"),
    "lts__t_bytes.sum": (1e-6, "MB L2"),
    "lts__t_sector_hit_rate.pct": (1, "% L2 hits"),
    "lts__throughput.avg.pct_of_peak_sustained_elapsed": (1, "% of L2's most"),
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed": (1, "% tensor"),
    "sm__inst_executed_pipe_xu.avg.pct_of_peak_sustained_elapsed": (1, "% MUFU"),
    "smsp__issue_active.avg.pct_of_peak_sustained_elapsed": (1, "% issue"),
}


def profile(tool, problem, options):
    shape, block, steps = problem.split(":")
    command = ["ncu", "--clock-control", "none", "--cache-control", "none", "--csv",
               "--print-units", "base", "--metrics", ",".join(METRICS),
               "--launch-skip", str(options.skip), "--launch-count", str(options.count),
               tool, "bench", "--device", options.device, "--shape", shape, "--block", block,
               "--steps", steps, "--dtype", options.dtype, "--seconds", "0"]
    if options.variant:
        command += ["--variant", options.variant]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        output = done.stdout[-800:] + done.stderr[-800:]
        sys.exit(f"profile_gpu.py: {' '.join(command)} failed:\n{output}")
    return done.stdout.splitlines()


def kernels(lines):
    """Counters of each kernel, in the order in which they ran."""
    rows = list(csv.reader(line for line in lines if line.startswith('"')))
    if not rows:
        sys.exit("profile_gpu.py: ncu profiled no kernel")
    column = {name: index for index, name in enumerate(rows[0])}
    found = {}
    for row in rows[1:]:
        name = row[column["Kernel Name"]].split("(")[0]
        value = float(row[column["Metric Value"]].replace(",", ""))
        found.setdefault((int(row[column["ID"]]), name), {})[row[column["Metric Name"]]] = value
    return [(name, values) for (_, name), values in sorted(found.items())]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", metavar="MONARCH")
    parser.add_argument("problems", metavar="SHAPE:BLOCK:STEPS", nargs="*", default=PROBLEMS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant")
    parser.add_argument("--dtype", default="f16")
    parser.add_argument("--skip", type=int, default=4, help="kernels before (default 4)")
    parser.add_argument("--count", type=int, default=2, help="kernels profiled (default 2)")
    options = parser.parse_args()
    for problem in options.problems:
        for name, values in kernels(profile(options.tool, problem, options)):
            counters = ", ".join(f"{values[metric] * scale:.1f} {unit}"
                                 for metric, (scale, unit) in METRICS.items() if metric in values)
            print(f"{problem} {name}: {counters}", flush=True)


if __name__ == "__main__":
    main()
