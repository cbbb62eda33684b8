#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles OpenCL device code that this machine may not be able to run.

check_kernels.py ROOT CLANG [PTXAS]

Every form of every variant goes through clang as OpenCL C, a warning being an error: the tiled
kernels for GPUs and for processors, the plain ones, variant matrix_intel with the built-in
functions of its extension declared (opencl_intel.h), and variant matrix for nvptx64 (opencl_ptx.h),
whose inline assembly ptxas then turns into machine code, if there is one. Nothing is run.
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

FORMS = range(5)
WIDTHS = (32, 64, 128)
STAGES = {"right": [""], "right_value": [""], "left": ["", "-DMN_STATS"], "left_out": [""]}
ITEMS = ("-DMN_TX=16 -DMN_TY=8 -DMN_RI=8 -DMN_COLUMNS=128 -DMN_CHUNK=16 -DMN_ONE_TILE=1 "
         "-DMN_WHOLE=1", "-DMN_TX=16 -DMN_TY=2 -DMN_RI=4 -DMN_COLUMNS=16 -DMN_CHUNK=8 "
         "-DMN_ONE_TILE=0 -DMN_WHOLE=0", "-DMN_ROWS=32")
WARPS = ("-DMN_COLUMNS=32 -DMN_WARPS=8 -DMN_PACKED=1 -DMN_STAGES=2",
         "-DMN_COLUMNS=16 -DMN_WARPS=1 -DMN_PACKED=2 -DMN_STAGES=1")
COMMON = ["-x", "cl", "-Xclang", "-finclude-default-header", "-Wall", "-Wextra", "-Werror",
          "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-sign-compare"]
SPIR = ["-target", "spir64", "-O1", "-S", "-emit-llvm", "-cl-std=CL1.2"]
INTEL = ["-target", "spir64", "-O1", "-S", "-emit-llvm", "-cl-std=CL3.0", "-Xclang", "-cl-ext=+all"]
PTX = ["-target", "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", "sm_80", "-Xclang",
       "-target-feature", "-Xclang", "+ptx71", "-O3", "-S", "-cl-std=CL1.2"]


def compilations(checks):
    """(name, file of device code, options, whether ptxas takes the result)"""
    yield "plain", "plain", SPIR, False
    for stage, launches in STAGES.items():
        for items in ITEMS:
            for launch in launches:
                for dtype in range(3):
                    options = f"{items} -DMN_DTYPE={dtype} -DMN_WIDTH=64 {launch}"
                    yield f"{stage} {options}", stage, SPIR + options.split(), False
    for form in FORMS:
        for dtype in (1, 2):
            options = f"-DMN_FORM={form} -DMN_DTYPE={dtype} -DMN_WIDTH=96"
            header = ["-include", f"{checks}/opencl_intel.h"]
            yield (f"matrix_intel {options}", "matrix_intel", INTEL + header + options.split(),
                   False)
    header = ["-include", f"{checks}/opencl_intel.h"]
    yield ("matrix_intel, self test", "matrix_intel",
           INTEL + header + "-DMN_PROBE -DMN_FORM=0 -DMN_DTYPE=1 -DMN_WIDTH=32".split(), False)
    header = ["-include", f"{checks}/opencl_ptx.h"]
    for form in FORMS:
        for number, width in enumerate(WIDTHS):
            warps = WARPS[0] if width < 128 else WARPS[1]
            options = f"-DMN_FORM={form} -DMN_DTYPE={1 + number % 2} -DMN_WIDTH={width} {warps}"
            yield f"matrix {options}", "matrix", PTX + header + options.split(), True
    yield "matrix, self test", "matrix_probe", PTX + header + ["-DMN_DTYPE=1"], True


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def compile_one(task):
    name, source, options, clang, ptxas, output = task
    good, text = run([clang, *COMMON, *options, "-o", output, source])
    if good and ptxas:
        good, text = run([ptxas, "-arch=sm_80", "-v", "-o", output + ".o", output])
        # Registers that did not suffice would go to memory.
        spilled = re.search(r"([1-9]\d*) bytes spill", text)
        good = good and not spilled
    return name, good, text


def main():
    root, clang = sys.argv[1:3]
    ptxas = sys.argv[3] if len(sys.argv) > 3 else None
    checks = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        tasks = []
        for number, (name, file, options, is_ptx) in enumerate(compilations(checks)):
            source = os.path.join(folder, file + ".cl")
            if not os.path.exists(source):
                subprocess.run([sys.executable, f"{root}/shaders/flatten.py", root,
                                f"{root}/shaders/opencl/{file}.cl", source], check=True)
            tasks.append((name, source, options, clang, ptxas if is_ptx else None,
                          os.path.join(folder, str(number))))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(compile_one, tasks))
    failed = [result for result in results if not result[1]]
    for name, _, text in failed:
        print(f"FAILED {name}\n{text[:2000]}")
    print(f"{len(results) - len(failed)} of {len(results)} compiled"
          + ("" if ptxas else "; no ptxas: inline assembly was not looked at"))
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
