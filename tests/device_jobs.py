#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the programs of a build made elsewhere, many at a time: a part of tests/device.sh.

device_jobs.py PART BUILD [options], where PART is

    tests         all tests that `meson test` would run, without the suites 'plain' and 'soft'
    memcheck, racecheck, initcheck, synccheck
                  tests of numbers under that tool of compute-sanitizer, on a reduced list of cases

What ran and what failed is appended to --report, everything printed to --log. Counting is that of
tests/checks/summary.py: a case without a result is a failure. Exit status 1 after a failure.
"""

import argparse
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/checks"))
from summary import LINES_SHOWN, Sum, add_meson_test  # noqa: E402

DTYPES = ("f32", "f16", "bf16")
SPLIT = ("plan", "stage", "property", "objective", "bitwise")  # run once for each dtype: they last
LONGEST = ("plan", "stage")  # with --alone also for each variant: references take their time
FAILURES_SHOWN, FAILURE_LINES = 12, 12  # in the report; the log has all
ERROR_STATUS = "86"  # of compute-sanitizer when it found something
TOOLS = {
    "memcheck": ["--leak-check", "full"],
    "racecheck": ["--racecheck-report", "all"],
    "initcheck": [],
    "synccheck": [],
}

# The cases under the sanitizers, in groups that run side by side: every relation of tokens, block
# and features; masks with NaN behind them; each way in which tensors may lie in memory.
CASES = {
    "shapes": "one_token block_1_steps_3 block_n even odd_n_begin odd_n_steps_3_begin "
              "two_blocks_first_short value_dim_above dim_17 dim_33_value_31 dim_80",
    "tiles": "dim_128_value_64 dim_256 vit_steps_2 vit_steps_3 roberta minilm tiles_plus_1 "
             "block_290",
    "masks": "mask_random_nan_q mask_blocks_nan mask_position mask_sequence_nan mask_one "
             "mask_block_large huge_logits_steps_2 mixed_mask",
    "fp8": "fp8_steps_2 fp8_mask_nan fp8_dim_200_value_150 fp8_block_64",
    "slices": "slices_few slices_offset slices_bshd slices_blocks_128 heads_of_384_mask",
    "pairs": "slices_90 slices_90_gaps slices_127_blocks_66 slices_steps_gaps",
    "ring": "ring_256_largest ring_192_mask ring_160_bshd ring_40_value_100_begin "
            "ring_136_value_200_begin many_block_70 many_blocks_70",
    "shares": "shares_256_steps_3 shares_200_value_136_begin shares_130_mask shares_130_value_64 "
              "shares_160_blocks_4 shares_256_largest",
    "memory": "bshd qkv_grouped broadcast_token grid_short_begin gaps_begin offset "
              "negative_begin feature_stride one_kv_head",
}

# Racecheck did not end in minutes with those: whole programs of few and small cases, whose groups
# are large enough for work to be shared.
RACE_CASES = {
    "shapes": "odd_n_steps_3_begin dim_33_value_31 dim_80",
    "tiles": "vit_steps_2 dim_128_value_64",
    "masks": "mask_random_nan_q mask_block_large",
    "long": "tiles_plus_1",
    "fp8": "fp8_steps_2",
    "slices": "slices_few",
    "pairs": "slices_90_gaps",
    "steps": "slices_steps_gaps",
    "ring": "ring_192_mask ring_160_bshd ring_136_value_200_begin",
    "many": "many_block_70 many_blocks_70",
    "shares": "shares_200_value_136_begin shares_130_mask",
}

# The tool's executions have a workspace that nothing wrote to before, as users' have.
PROBLEMS = """\
shape=2,3,256,64    block=16 steps=1 dtype=f16
shape=1,2,1024,64   block=32 steps=1 dtype=f16
shape=1,2,1000,64   block=32 steps=2 dtype=bf16
shape=2,2,197,64    block=14 steps=3 dtype=f16 pad=begin
shape=1,2,700,128   block=150 steps=1 dtype=bf16
shape=1,2,300,40,24 block=17 steps=2 dtype=f32 pad=begin
"""

Job = collections.namedtuple("Job", "name command timeout environment")


def libraries(build, first=""):
    """The environment in which programs of the build find it and what it carries. `first`: where
    they look before that, such as for a stand-in of a driver."""
    folders = [first, str(build), str(build / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": ":".join(folder for folder in folders if folder)}


def meson_info(build):
    try:
        with open(build / "meson-info/meson-info.json", encoding="utf-8") as file:
            info = json.load(file)
        with open(build / "meson-info/intro-tests.json", encoding="utf-8") as file:
            return info["directories"], json.load(file)
    except OSError as error:
        sys.exit(f"device_jobs.py: {build} is no build folder of Meson: {error}")


def moved(argument, build, directories):
    """An argument of a test's command where paths begin with this machine's folders."""
    if not argument.startswith("/"):
        return argument
    path = os.path.normpath(argument)
    for old, new in ((directories["build"], build), (directories["source"], ROOT)):
        if path == old or path.startswith(old + "/"):
            return str(new) + path[len(old):]
    # A program of the machine that built: the one of that name here.
    return shutil.which(os.path.basename(path)) or path


def variants_of(build, device):
    """Of the first device of that name, by the tool's list; none if it is not there."""
    program = [str(build / "bench/monarch"), "devices"]
    text = subprocess.run(program, env={**os.environ, **libraries(build)}, check=False,
                          capture_output=True, text=True).stdout
    name = device if ":" in device else f"{device}:0"
    for entry in re.split(r"\n(?=\S)", text):
        found = re.search(r"^ +variants +(.+)$", entry, re.MULTILINE)
        if entry.startswith(f"{name} ") and found:
            return found.group(1).split()
    return []


def split(name, command, variants):
    """Jobs of a test of numbers: one for each dtype, of those that last longest and variant."""
    for dtype in DTYPES:
        job, arguments = f"{name}-{dtype}", command + ["--dtype", dtype]
        if name not in LONGEST or not variants:
            yield job, arguments
        else:
            for variant in variants:
                yield f"{job}-{variant}", arguments + ["--variant", variant]


def test_jobs(build, options):
    variants = variants_of(build, options.device) if options.alone else []
    directories, tests = meson_info(build)
    for test in tests:
        if any(suite.endswith((":plain", ":soft")) for suite in test["suite"]):
            continue
        command = [moved(argument, build, directories) for argument in test["cmd"]]
        wanted = test["env"].get("LD_LIBRARY_PATH", "").split(":")
        first = ":".join(moved(folder, build, directories) for folder in wanted if folder)
        environment = {**test["env"], **libraries(build, first)}
        numeric = any(suite.endswith(":numeric") for suite in test["suite"])
        if options.alone and (numeric or test["name"].startswith("verify")):
            if "--device" in command or test["name"] == "faults":
                continue
            command += ["--device", options.device]
        if numeric and test["name"] in SPLIT:
            for job, arguments in split(test["name"], command, variants):
                yield Job(job, arguments, options.timeout, environment)
        else:
            yield Job(test["name"], command, options.timeout, environment)


def sanitizer_jobs(build, options):
    tool = [options.sanitizer, "--tool", options.part, "--error-exitcode", ERROR_STATUS,
            "--print-limit", "20", *TOOLS[options.part]]
    narrow = ["--device", options.device]
    race = options.part == "racecheck"
    for name in ("plan",) if race else ("stage", "plan"):
        for group, cases in (RACE_CASES if race else CASES).items():
            for dtype in DTYPES:
                program = [str(build / f"tests/test_{name}"), *narrow, "--dtype", dtype,
                           "--case", ",".join(cases.split()),
                           "--manifest", str(ROOT / "tests/checks/manifest.txt")]
                yield Job(f"{name}-{group}-{dtype}", tool + program, options.timeout,
                          libraries(build))
    problems = Path(options.scratch) / "problems.txt"
    lines = PROBLEMS.splitlines(keepends=True)
    # Racecheck takes minutes for the large ones; its findings do not need them.
    small = [line for line in lines if not race or ",256," in line or ",197," in line]
    problems.write_text("".join(small), encoding="utf-8")
    program = [str(build / "bench/monarch"), "bench", *narrow, "--seconds", "0", "--list",
               str(problems)]
    yield Job("bench", tool + program, options.timeout, libraries(build))


def run(job, build):
    """Runs a job; its record is like a line of Meson's test log."""
    start = time.monotonic()
    record = {"name": job.name, "returncode": None}
    try:
        # A session of its own: what compute-sanitizer started must go when the time is up.
        process = subprocess.Popen(job.command, cwd=build, env={**os.environ, **job.environment},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as error:
        return {**record, "result": "FAIL", "stdout": str(error), "duration": 0.0}
    try:
        text, _ = process.communicate(timeout=job.timeout)
        record["returncode"] = process.returncode
        result = {0: "OK", 77: "SKIP"}.get(process.returncode, "FAIL")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        text += f"\nstopped after {job.timeout:.0f} s\n".encode()
        result = "TIMEOUT"
    return {**record, "result": result, "stdout": text.decode(errors="replace"),
            "duration": time.monotonic() - start}


def sanitizer_findings(text):
    """(errors, what the tool's own summaries say), or (None, ...) where a summary is missing."""
    lines = re.findall(r"^=+ ((?:ERROR|RACECHECK|LEAK) SUMMARY: .*)$", text, re.MULTILINE)
    counts = [re.search(r"SUMMARY: (\d+) (error|hazard)", line) for line in lines]
    counts = [int(count.group(1)) for count in counts if count]
    return (sum(counts) if counts else None), lines


def add_sanitizer(total, name, record):
    """Counts the tool itself as one more test; returns its number of errors."""
    errors, lines = sanitizer_findings(record["stdout"])
    reports = [line for line in record["stdout"].split("\n") if line.startswith("=====")]
    text = "\n".join(reports[:FAILURE_LINES - len(lines)] + lines)
    if errors is None:
        total.add("failed", f"{name}: no summary of compute-sanitizer", text)
    else:
        clean = errors == 0 and record["returncode"] != int(ERROR_STATUS)
        total.add("passed" if clean else "failed", name, text)
    return errors or 0


def skip_reasons(skipped):
    """Skips counted by reason: a variant that refuses a kind of problem does so in many tests."""
    reasons = collections.Counter()
    for _, text in skipped:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        # Numbers differ from case to case.
        reasons[re.sub(r"\d+", "#", lines[-1])[:150] if lines else "no reason printed"] += 1
    return [f"    {count:5} skipped: {reason}" for reason, count in reasons.most_common(25)]


def report(options, jobs, records, seconds):
    total, errors = Sum(), 0
    for record in records:
        add_meson_test(total, options.part, record)
        if options.part in TOOLS:
            errors += add_sanitizer(total, f"{options.part}: {record['name']}", record)
    lines = [f"{options.part}: {total.line()}, {len(jobs)} programs, {seconds:.0f} s"]
    if options.part in TOOLS:
        lines.append(f"    {errors} errors or hazards reported by compute-sanitizer")
    lines += skip_reasons(total.skipped)
    for name, text in total.failed[:FAILURES_SHOWN]:
        lines.append(f"    FAILED {name}")
        lines += [f"        {line[:200]}" for line in text.split("\n")[-FAILURE_LINES:]
                  if line.strip()]
    if len(total.failed) > FAILURES_SHOWN:
        lines.append(f"    and {len(total.failed) - FAILURES_SHOWN} more that FAILED, in the log")
    text = "\n".join(lines) + "\n"
    print(text, end="", flush=True)
    with open(options.report, "a", encoding="utf-8") as file:
        file.write(text)
    with open(options.log, "a", encoding="utf-8") as file:
        for job, record in zip(jobs, records):
            file.write(f"\n#### {options.part}: {job.name}: {record['result']} "
                       f"{record['duration']:.1f} s\n# {' '.join(job.command)}\n")
            file.write(record["stdout"])
    return 1 if total.failed or total.passed == 0 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["tests", *TOOLS])
    parser.add_argument("build", type=Path)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda", help="of the sanitizers")
    parser.add_argument("--alone", action="store_true", help="tests of numbers on --device alone")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for each program")
    parser.add_argument("--sanitizer", default="compute-sanitizer")
    options = parser.parse_args()
    build = options.build.resolve()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as options.scratch:
        make = sanitizer_jobs if options.part in TOOLS else test_jobs
        # Those that take longest first.
        jobs = sorted(make(build, options), key=lambda job: not job.name.startswith(SPLIT))
        with ThreadPoolExecutor(max(1, options.jobs)) as pool:
            records = list(pool.map(lambda job: run(job, build), jobs))
    return report(options, jobs, records, time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
