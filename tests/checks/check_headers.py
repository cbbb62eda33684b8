#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header alone, as C11 and as C++17, with no warning.

check_headers.py INCLUDE_DIR COMPILER... [-- C++ COMPILER...]

Headers of a native interface that this machine lacks are left out with the reason printed.
Exit status 77 when there is no C++ compiler and the C half passed.
"""
import glob
import os
import re
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Wshadow", "-Wconversion", "-Werror"]
C_ONLY = ["-Wstrict-prototypes", "-Wmissing-prototypes"]

NATIVE = re.compile(r"cuda\w*\.h$|CL/|vulkan/")
# A public header that repeats types of a native one, so that it needs none: both must go together.
BESIDE = {"monarch/cuda.h": ["cuda.h", "cuda_runtime_api.h"], "monarch/opencl.h": ["CL/cl.h"]}


def compile_text(compiler, language, text):
    command = compiler + language + WARNINGS + ["-fsyntax-only", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr.strip()


def native_headers(path):
    with open(path, encoding="utf-8") as file:
        headers = re.findall(r"^\s*#\s*include\s*<([^>]+)>", file.read(), re.M)
    return [header for header in headers if NATIVE.match(header)]


def check(folder, compiler, language):
    failed = []
    for path in sorted(glob.glob(os.path.join(folder, "monarch", "*.h"))):
        name = "monarch/" + os.path.basename(path)
        absent = [header for header in native_headers(path)
                  if not compile_text(compiler, language, f"#include <{header}>\n")[0]]
        if absent:
            print(f"{name}: left out, <{absent[0]}> is not on this machine")
            continue
        # Twice, because the guard has to work; a declaration after it, because a file without
        # one is itself a pedantic warning.
        text = f"#include <{name}>\n#include <{name}>\nextern int only_the_header;\n"
        orders = {"": text}
        for native in BESIDE.get(name, ()):
            line = f"#include <{native}>\n"
            if compile_text(compiler, language, line)[0]:
                orders[f" before <{native}>"] = text + line
                orders[f" after <{native}>"] = line + text
            else:
                print(f"{name}: not tried beside <{native}>, which is not on this machine")
        for order, source in orders.items():
            good, message = compile_text(compiler, language + ["-I", folder], source)
            print(f"{name}{order}: {' '.join(language)}: {'ok' if good else 'FAILED'}")
            if not good:
                print(message)
                failed.append(name)
    return failed


def main():
    folder, compilers = sys.argv[1], sys.argv[2:]
    split = compilers.index("--") if "--" in compilers else len(compilers)
    c_compiler, cpp_compiler = compilers[:split], compilers[split + 1:]
    # The check itself: a header that needs a declaration from elsewhere must be refused.
    if compile_text(c_compiler, ["-xc", "-std=c11"], "uint32_t missing;\n")[0]:
        sys.exit("self-test: an undeclared type was accepted")
    failed = check(folder, c_compiler, ["-xc", "-std=c11"] + C_ONLY)
    if cpp_compiler:
        failed += check(folder, cpp_compiler, ["-xc++", "-std=c++17"])
    if failed:
        return 1
    if not cpp_compiler:
        print("skipped: the C++17 half, there is no C++ compiler")
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
