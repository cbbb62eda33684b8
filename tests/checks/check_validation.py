#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs under Vulkan's validation layer:

  check_validation.py PROGRAM... [--variant V] [-- WRAPPER]

Runs test programs on a vulkan device, with a reduced list of cases, under core validation,
synchronisation validation and GPU-assisted validation. A message of the layer fails, as does a
program that fails, and a run in which the loader did not insert the layer at all. Variants are
plain and tiled unless one is named. WRAPPER is a command that runs programs on another driver. Exit
status 77 where there is no vulkan device, no such variant or no layer.
"""
import os
import re
import subprocess
import sys

LAYER = "VK_LAYER_KHRONOS_validation"
MODES = {
    "core": "",
    "synchronisation": "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT",
    "gpu-assisted": "VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT",
}
# Every kind of stage, padding, masks, features that are no multiple of anything, each way to store.
CASES = {"plain": "odd_n_steps_2,mask_random_nan,dim_33_value_31,gaps",
         "tiled": "odd_n_steps_2,mask_random_nan,dim_33_value_31,gaps",
         "coopmat": "odd_n_steps_2,mask_random_nan,gaps",
         "coopmat2": "odd_n_steps_2,mask_random_nan,gaps"}
DTYPES = {"plain": "f32,bf16", "tiled": "f32,f16", "coopmat": "f16", "coopmat2": "f16"}
# The code that watches each access takes the software device most of a minute to compile.
FEW = {"plain": "f32", "tiled": "f32", "coopmat": "f16", "coopmat2": "f16"}
FEW_CASES = {"plain": "odd_n_steps_2,odd_n_begin"}
FEW_CASE = "odd_n_steps_2"
MESSAGE = re.compile(r"VUID-|SYNC-HAZARD|UNASSIGNED-|Validation (Error|Warning|Performance)")
# What newer layers say of themselves: which features they enable for their own use.
OWN = re.compile(r"VALIDATION-SETTINGS|WARNING-GPU-Assisted-Validation")
NOTHING_TO_RUN = 77


def run(wrapper, program, mode, variant):
    """Exit status of the program, its output, and whether the layer was there."""
    environment = dict(os.environ, VK_INSTANCE_LAYERS=LAYER, VK_LOADER_DEBUG="layer")
    if MODES[mode]:
        environment["VK_LAYER_ENABLES"] = MODES[mode]
    few = mode == "gpu-assisted"
    command = [*wrapper, program, "--device", "vulkan", "--variant", variant,
               "--case", FEW_CASES.get(variant, FEW_CASE) if few else CASES[variant],
               "--dtype", FEW[variant] if few else DTYPES[variant]]
    done = subprocess.run(command, env=environment, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    # The loader's own lines name the layer; the layer's messages are on the others.
    loader = [line for line in done.stdout.splitlines() if re.match(r"\s*(\[.*\] )?(LAYER|INFO|"
                                                                    r"WARNING|ERROR|DEBUG)", line)]
    other = [line for line in done.stdout.splitlines() if line not in loader]
    inserted = any(LAYER in line and "nsert" in line for line in loader)
    return done.returncode, other, inserted


def main():
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    programs, wrapper = arguments[:split], arguments[split + 1:]
    variants = ["plain", "tiled"]
    if "--variant" in programs:
        at = programs.index("--variant")
        variants = programs[at + 1:at + 2]
        programs = programs[:at] + programs[at + 2:]
    failures = ran = 0
    for variant in variants:
        for mode in MODES:
            for program in programs[:1] if mode == "gpu-assisted" else programs:
                status, lines, inserted = run(wrapper, program, mode, variant)
                name = f"{os.path.basename(program)} {variant} {mode}"
                if status == NOTHING_TO_RUN:
                    print(f"skipped: {name}: " + next((x for x in lines if "skipped" in x), ""))
                    continue
                if not inserted and status == 0:
                    print(f"skipped: {name}: the loader found no {LAYER}")
                    continue
                ran += 1
                messages = [x for x in lines if MESSAGE.search(x) and not OWN.search(x)]
                bad = status != 0 or messages
                failures += bool(bad)
                print(f"{'FAILED' if bad else 'ok'}: {name}, exit status {status}, "
                      f"{len(messages)} messages of the layer")
                for line in messages[:5] if messages else lines[-20:] if bad else []:
                    print("    " + line[:400])
    if ran == 0:
        return NOTHING_TO_RUN
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
