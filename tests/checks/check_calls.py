#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls that the library must not make: check_calls.py ROOT

Host memory comes from the instance's allocator, so only core/alloc.c may call the C library's.
The library never ends the process, never writes to the standard streams, and never reads the
environment, which would let it change results.
"""
import os
import re
import sys
import tempfile

MEMORY = ("malloc calloc realloc free aligned_alloc posix_memalign memalign valloc strdup strndup "
          "asprintf vasprintf getline alloca").split()
PROCESS = "abort exit _exit _Exit quick_exit atexit system".split()
OUTPUT = "printf puts putchar perror vprintf".split()
ENVIRONMENT = "getenv secure_getenv setenv putenv setlocale".split()
ALLOWED = {"core/alloc.c": set(MEMORY)}
REASONS = [(MEMORY, "memory comes from the instance's allocator"),
           (PROCESS, "a library does not end the process"),
           (OUTPUT, "messages go to the caller's log"),
           (ENVIRONMENT, "the environment must not change results")]
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def code_of(text):
    """The text with comments and literals blanked, line numbers kept."""
    return NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def calls(text):
    # A member such as allocator->release or vtable.free is a call through a pointer, not libc.
    pattern = re.compile(r"(?<![\w.>])(\w+)\s*\(")
    for number, line in enumerate(code_of(text).split("\n"), 1):
        for name in pattern.findall(line):
            yield number, name


def check(root):
    found, count = [], 0
    for top in ("core", "backends"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for file in sorted(f for f in files if f.endswith((".c", ".h"))):
                path = os.path.join(folder, file)
                name = os.path.relpath(path, root)
                count += 1
                with open(path, encoding="utf-8") as stream:
                    text = stream.read()
                for number, call in calls(text):
                    for words, reason in REASONS:
                        if call in words and call not in ALLOWED.get(name, ()):
                            found.append(f"{name}:{number}: {call}(): {reason}")
    return count, found


def self_test():
    good = "/* malloc(1) */ char *s = \"free(p)\"; x->free(p); my_malloc(2); // exit(1)\n"
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "core"))
        bad = "p = malloc (1);\nabort();\ngetenv(\"A\");\nprintf(s);\n"
        files = {"good.c": good, "alloc.c": "p = malloc(1);\n", "bad.c": bad}
        for name, text in files.items():
            with open(os.path.join(root, "core", name), "w", encoding="utf-8") as file:
                file.write(text)
        found = check(root)[1]
    if [line.split(":")[:2] for line in found] != [["core/bad.c", str(n)] for n in (1, 2, 3, 4)]:
        sys.exit(f"self-test: {found}")


def main():
    self_test()
    count, found = check(sys.argv[1])
    print("\n".join(found) if found else f"{count} files make no forbidden call")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
