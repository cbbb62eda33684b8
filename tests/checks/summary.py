#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what a whole test run did: summary.py [--brief] RECORD...

A RECORD is PHASE=PATH. A path that ends in .json is a log of `meson test --no-stdsplit`; any other
holds lines 'passed|failed|skipped TAB name TAB reason'. Each cmocka case counts as one; a program
without cases counts as one by its exit status (77 = skipped), or by a last line of the form
'N passed, N failed, N skipped'. A case that was announced and has no result counts as failed, so a
crash is never lost. Failures and skips are listed with what was printed about them, skips for the
same reason as one; the last line is the sum, and the exit status is 1 when something failed or
nothing ran.
"""
import json
import re
import sys

ANNOUNCED = re.compile(r"^\[==========\] Running (\d+) test\(s\)\.")
STARTED = re.compile(r"^\[ RUN      \] (.*)$")
ENDED = re.compile(r"\[ {1,7}(OK|FAILED|SKIPPED|ERROR) {1,3}\] (.*)$")
OWN_COUNT = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
LINES_SHOWN = 30


class Sum:
    """Counts, and the cases worth showing."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, result, name, text):
        if result == "passed":
            self.passed += 1
        elif result == "skipped":
            self.skipped.append((name, text))
        else:
            self.failed.append((name, text))

    def add_many(self, counts, name, text):
        self.passed += counts[0]
        self.failed += [(name, text)] * counts[1]
        self.skipped += [(name, text)] * counts[2]

    def line(self):
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def add_cases(total, name, output, returncode):
    """Counts the cmocka cases in `output`; returns False when there are none."""
    announced = seen = failures = 0
    case, text = None, []
    for line in output.split("\n"):
        match = ANNOUNCED.match(line)
        if match:
            announced += int(match.group(1))
        match = STARTED.match(line)
        if match:
            if case is not None:
                total.add("failed", f"{name}: {case}", "\n".join(text + ["no result"]))
                failures += 1
            case, text = match.group(1), []
            seen += 1
            continue
        match = ENDED.search(line)
        if case is not None and match and match.group(2) == case:
            result = {"OK": "passed", "SKIPPED": "skipped"}.get(match.group(1), "failed")
            failures += result == "failed"
            total.add(result, f"{name}: {case}", "\n".join(text))
            case, text = None, []
        else:
            text.append(line)
    if not announced:
        return False
    end = "\n".join(text[-LINES_SHOWN:])
    if case is not None:
        total.add("failed", f"{name}: {case}", f"{end}\nended by exit status {returncode}")
        failures += 1
    for _ in range(announced - seen):
        total.add("failed", f"{name}: a case that did not run", "")
        failures += 1
    if returncode != 0 and failures == 0:
        total.add("failed", name, f"{end}\nexit status {returncode}")
    return True


def add_meson_test(total, phase, record):
    name = f"{phase}: {record['name'].split(' / ')[-1]}"
    output = record.get("stdout") or ""
    result, returncode = record["result"], record.get("returncode")
    if add_cases(total, name, output, returncode):
        return
    lines = [line for line in output.split("\n") if line.strip()]
    text = "\n".join(lines[-LINES_SHOWN:])
    own = OWN_COUNT.match(lines[-1]) if lines else None
    if own and (int(own.group(2)) > 0) == (result not in ("OK", "SKIP")):
        total.add_many([int(count) for count in own.groups()], name, text)
    elif result == "SKIP":
        total.add("skipped", name, next((l for l in lines if "skip" in l.lower()), text))
    else:
        total.add("passed" if result == "OK" else "failed", name, f"{text}\n{result}")


def add_record(total, phase, path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line for line in file.read().split("\n") if line]
    except OSError as error:
        total.add("failed", phase, str(error))
        return
    for line in lines:
        if path.endswith(".json"):
            add_meson_test(total, phase, json.loads(line))
        else:
            result, name, reason = (line.split("\t") + ["", ""])[:3]
            total.add(result, f"{phase}: {name}", reason)


def grouped(cases):
    """Cases with the same text as one, named after the first."""
    names = {}
    for name, text in cases:
        names.setdefault(text, []).append(name)
    return [(group[0] + (f" and {len(group) - 1} more" if len(group) > 1 else ""), text)
            for text, group in names.items()]


def show(title, cases):
    if cases:
        print(f"\n{title}:")
    for name, text in cases:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) == 1:
            print(f"  {name}: {lines[0].strip()}")
            continue
        print(f"  {name}")
        for line in lines:
            print(f"      {line}")


def self_test():
    output = ("[==========] Running 6 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n"
              "skipped: no device\n[  SKIPPED ] b\n[ RUN      ] c\n[  ERROR   ] --- 1 != 2\n"
              "half a line[  FAILED  ] c\n[ RUN      ] a\n[  ERROR   ] a\n[ RUN      ] d\ngone")
    total = Sum()
    assert add_cases(total, "t", output, -11)
    assert total.line() == "1 passed, 4 failed, 1 skipped", total.line()
    assert total.skipped[0][1] == "skipped: no device"
    total = Sum()
    base = {"name": "p / s", "stdout": "", "returncode": 1}
    for result in ("OK", "FAIL", "TIMEOUT", "SKIP"):
        add_meson_test(total, "x", {**base, "result": result})
    own = {**base, "result": "OK", "stdout": "3 passed, 0 failed, 1 skipped\n"}
    add_meson_test(total, "x", own)
    assert total.line() == "4 passed, 2 failed, 2 skipped", total.line()
    many = grouped([("a", "x"), ("b", "y"), ("c", "x")])
    assert many == [("a and 1 more", "x"), ("b", "y")], many


def main():
    self_test()
    total = Sum()
    brief = sys.argv[1:2] == ["--brief"]
    for argument in sys.argv[2 if brief else 1:]:
        phase, _, path = argument.partition("=")
        add_record(total, phase, path)
    if not brief:
        show("Skipped", grouped(total.skipped))
        show("Failed", total.failed)
        print()
    print(total.line(), flush=True)
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
