#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: check_includes.py ROOT

The rules are those of docs/architecture.md. A rule names, for the files under one folder, which
folders of the project their #include lines may reach and which foreign headers they may use.
"""
import os
import re
import sys
import tempfile

C_STANDARD = set("""assert ctype errno fenv float inttypes iso646 limits locale math setjmp signal
stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath time uchar
wchar wctype""".split())
# What core may use beyond the C standard: the process id, for fork detection. No threads, no files.
CORE_EXTRA = {"unistd.h", "sys/types.h"}
CORE_FORBIDDEN = {"threads.h", "locale.h", "signal.h", "setjmp.h"}
NATIVE = {"cuda": r"cuda\w*\.h", "opencl": r"CL/\w+\.h", "vulkan": r"vulkan/\w+\.h"}
NATIVE_PUBLIC = {f"include/monarch/{name}.h": name for name in NATIVE}
# Tests that link the static library on purpose and look inside it.
WHITE_BOX = re.compile(r"^tests/(checks/)?white_\w+\.[ch]$")
# Device code as C++, and what stands in for the files that it includes by these names.
DEVICE_CODE = re.compile(r"^tests/soft_cuda/(device|kernels_\w+|words/.*)\.(cpp|cuh)$")
# Fuzz targets of what the tool reads.
FUZZES_TOOL = re.compile(r"^tests/checks/fuzz_\w+\.c$")
INCLUDE = re.compile(r"^\s*#\s*include\s*([<\"])([^>\"]+)[>\"]")


def is_standard(header):
    return header.endswith(".h") and header[:-2] in C_STANDARD


def native_of(header):
    for name, pattern in NATIVE.items():
        if re.fullmatch(pattern, header):
            return name
    return None


def resolve(root, folder, header):
    """Path inside the project that a header stands for, or None for a foreign one."""
    for base in (folder, ".", "include", "tests"):
        path = os.path.normpath(os.path.join(base, header))
        # A header that the build makes from a template counts as lying beside it.
        if any(os.path.isfile(os.path.join(root, path + end)) for end in ("", ".in")):
            return path
    return None


def may_reach(name, target):
    """Whether the project file `name` may include the project file `target`."""
    public = target.startswith("include/monarch/")
    neutral = public and target not in NATIVE_PUBLIC
    top = name.split("/")[0]
    if top == "include":
        return neutral or target == name
    if top == "core":
        return neutral or target.startswith("core/")
    if top == "backends":
        own = name.split("/")[1]
        return (neutral or target == f"include/monarch/{own}.h"
                or target.startswith(("core/", "backends/common/", f"backends/{own}/", "shaders/")))
    if re.match(r"tests/oracle\w*\.[ch]$", name):
        return bool(re.match(r"tests/oracle\w*\.h$", target))
    if top == "tests":
        return (public or target.startswith("tests/") or bool(WHITE_BOX.match(name))
                or (target.startswith("shaders/") and bool(DEVICE_CODE.match(name)))
                or (target.startswith("bench/") and bool(FUZZES_TOOL.match(name))))
    if top == "bench":
        return public or target.startswith(("bench/", "tests/"))
    return target.startswith("shaders/")


def foreign_allowed(name, header):
    """Whether `name` may include a header that is not the project's."""
    top = name.split("/")[0]
    native = native_of(header)
    if native:
        owner = NATIVE_PUBLIC.get(name) or (name.split("/")[1] if top == "backends" else None)
        return native == owner or top in ("tests", "bench", "shaders")
    if top == "core":
        return header not in CORE_FORBIDDEN and (is_standard(header) or header in CORE_EXTRA)
    if top == "include" or re.match(r"tests/oracle", name):
        return is_standard(header)
    return True


def check_file(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, header = match.group(1) == '"', match.group(2)
        place = f"{name}:{number}: {line.strip()}"
        target = resolve(root, os.path.dirname(name), header)
        if target is None or (not quoted and not target.startswith("include/")):
            if quoted and not name.startswith(("backends/", "shaders/")):
                yield f"{place}: no such file in the project"
            elif not foreign_allowed(name, header):
                yield f"{place}: foreign header not allowed here"
        elif not may_reach(name, target):
            yield f"{place}: {name.rsplit('/', 1)[0]}/ may not include {target}"


def sources(root):
    for top in ("include", "core", "backends", "shaders", "tests", "bench"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for file in sorted(files):
                if file.endswith((".c", ".h", ".cpp", ".cu", ".cuh")):
                    yield os.path.relpath(os.path.join(folder, file), root)


def check(root):
    names = list(sources(root))
    return names, [line for name in names for line in check_file(root, name)]


def self_test():
    good = {
        "include/monarch/a.h": "#include <stdint.h>\n",
        "include/monarch/cuda.h": "#include <cuda.h>\n#include <monarch/a.h>\n",
        "core/a.h": "#include <monarch/a.h>\n",
        "core/a.c": '#include "core/a.h"\n#include <unistd.h>\n',
        "backends/common/c.h": '#include "core/a.h"\n',
        "backends/cuda/a.c": '#include "backends/common/c.h"\n#include <cuda.h>\n',
        "backends/cpu/a.h": "#include <pthread.h>\n",
        "tests/oracle.h": "#include <math.h>\n",
        "tests/help.h": "#include <monarch/a.h>\n",
        "tests/white_a.c": '#include "core/a.h"\n',
        "tests/checks/b.c": '#include "help.h"\n#include <cmocka.h>\n',
        "tests/checks/fuzz_a.c": '#include "../../bench/made.h"\n',
        "shaders/cuda/k.cu": "#include <cuda_fp16.h>\n",
        "tests/soft_cuda/kernels_k.cpp": '#include "shaders/cuda/k.cu"\n',
        "bench/a.c": '#include "tests/help.h"\n#include "made.h"\n',
    }
    bad = {
        "include/monarch/b.h": "#include <pthread.h>\n",
        "include/monarch/c.h": "#include <monarch/cuda.h>\n",
        "core/b.c": '#include "backends/cpu/a.h"\n',
        "core/c.c": "#include <pthread.h>\n",
        "core/d.c": "#include <monarch/cuda.h>\n",
        "backends/cuda/b.c": '#include "backends/cpu/a.h"\n',
        "backends/cpu/b.c": "#include <CL/cl.h>\n",
        "tests/oracle.c": '#include "help.h"\n',
        "tests/black.c": '#include "core/a.h"\n',
        "tests/soft_cuda/machine.cpp": '#include "shaders/cuda/k.cu"\n',
        "tests/checks/b.h": '#include "../../bench/made.h"\n',
        "bench/b.c": '#include "core/a.h"\n',
        "bench/c.c": '#include "absent.h"\n',
    }
    with tempfile.TemporaryDirectory() as root:
        for name, text in {**good, **bad, "bench/made.h.in": ""}.items():
            os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text)
        found = {line.split(":")[0] for line in check(root)[1]}
    if found != set(bad):
        sys.exit(f"self-test: missed {set(bad) - found}, wrongly found {found - set(bad)}")


def main():
    self_test()
    names, problems = check(sys.argv[1])
    print("\n".join(problems) if problems else f"{len(names)} files keep to the include rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
