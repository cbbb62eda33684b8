#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The C sources that a build compiles, each once: list_sources.py BUILD_DIR"""
import json
import os
import sys


def main():
    build = sys.argv[1]
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    paths = {os.path.normpath(os.path.join(e["directory"], e["file"])) for e in entries}
    generated = os.path.abspath(build) + os.sep
    for path in sorted(paths):
        if path.endswith(".c") and not path.startswith(generated):
            print(path)


if __name__ == "__main__":
    main()
