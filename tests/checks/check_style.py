#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Style that a machine can check: check_style.py ROOT [--self-test]

Looks at the files as they are, not at history: no tab, no trailing space, no character outside
ASCII, at most 100 columns and 500 lines in sources, an SPDX line at the top of each, a newline at
the end, and nothing at the top level that docs/architecture.md does not name.
"""
import os
import subprocess
import sys
import tempfile

SOURCE_ENDINGS = (".c", ".h", ".cpp", ".hpp", ".cu", ".cuh", ".cl", ".comp", ".glsl", ".py",
                  ".sh", ".bash", ".in", "meson.build", "meson_options.txt")
TEXT_ENDINGS = SOURCE_ENDINGS + (".md", ".txt", ".1")
TOP_LEVEL = {"meson.build", "meson_options.txt", "LICENSE", "README.md", "include", "core",
             "backends", "shaders", "tests", "bench", "docs"}
MAX_COLUMNS = 100
MAX_LINES = 500
SPDX = "SPDX-License-Identifier: Apache-2.0"


def tracked(root):
    """Files of the repository: those git knows, or without git all but build output."""
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if os.path.isdir(os.path.join(root, ".git")) or os.path.isfile(os.path.join(root, ".git")):
            names = sorted(set(listing.splitlines()))
            return [name for name in names if os.path.isfile(os.path.join(root, name))]
    except (OSError, subprocess.CalledProcessError):
        pass
    names = []
    for folder, folders, files in os.walk(root):
        top = os.path.relpath(folder, root) == "."
        folders[:] = [f for f in folders if f not in (".git", ".venv", "__pycache__")
                      and not (top and f.startswith("build"))]
        names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return sorted(names)


def is_script(data):
    return data.startswith(b"#!")


def check_lines(name, text, source):
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{name}:{number}"
        if line != line.rstrip():
            yield f"{place}: trailing space"
        if not source:
            continue
        if "\t" in line:
            yield f"{place}: tab"
        if not line.isascii():
            yield f"{place}: character outside ASCII"
        if len(line) > MAX_COLUMNS:
            yield f"{place}: {len(line)} columns, at most {MAX_COLUMNS}"


def check_file(root, name):
    with open(os.path.join(root, name), "rb") as file:
        data = file.read()
    source = name.endswith(SOURCE_ENDINGS) or is_script(data)
    if not source and not name.endswith(TEXT_ENDINGS):
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield f"{name}: not UTF-8: {error}"
        return
    if "\r" in text:
        yield f"{name}: carriage return"
    if text and not text.endswith("\n"):
        yield f"{name}: no newline at the end"
    yield from check_lines(name, text, source)
    if source:
        lines = text.count("\n")
        if lines > MAX_LINES:
            yield f"{name}: {lines} lines, at most {MAX_LINES}"
        if not any(SPDX in line for line in text.split("\n")[:3]):
            yield f"{name}: no '{SPDX}' in the first three lines"


def check_top_level(names):
    for entry in sorted({name.split("/")[0] for name in names}):
        if not entry.startswith(".") and entry not in TOP_LEVEL:
            yield f"{entry}: not an entry of the top level"


def check(root):
    names = tracked(root)
    problems = list(check_top_level(names))
    for name in names:
        problems += check_file(root, name)
    return names, problems


def self_test():
    """Every rule must find its own violation in a tree made for it."""
    head = f"/* {SPDX} */\n"
    bad = {
        "core/tab.c": (head + "\tint a;\n", "tab"),
        "core/space.c": (head + "int a; \n", "trailing space"),
        "core/ascii.c": (head + "/* \u00e9 */\n", "outside ASCII"),
        "core/wide.c": (head + "x" * 101 + "\n", "101 columns"),
        "core/long.c": (head + "\n" * 500, "501 lines"),
        "core/licence.c": ("int a;\n", "no 'SPDX"),
        "core/end.c": (head + "int a;", "no newline"),
        "docs/space.md": ("text \n", "trailing space"),
        "stray.txt": ("text\n", "not an entry"),
    }
    with tempfile.TemporaryDirectory() as root:
        for name, (text, _) in bad.items():
            os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text)
        found = check(root)[1]
    missed = [name for name, (_, words) in bad.items()
              if not any(line.startswith(name.split(":")[0]) and words in line for line in found)]
    if missed or len(found) != len(bad):
        sys.exit(f"self-test: missed {missed}, found {found}")


def main():
    self_test()
    names, problems = check(sys.argv[1])
    print("\n".join(problems) if problems else f"{len(names)} files, nothing to object to")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
