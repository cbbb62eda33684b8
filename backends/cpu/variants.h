/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_VARIANTS_H
#define MN_CPU_VARIANTS_H

#include "backends/common/select.h"
#include "backends/cpu/exec.h"

typedef struct mn_cpu_variant {
    mn_variant base;
    bool (*usable)(void); /* whether this processor has the instructions; NULL = any has */
    const char *needs;    /* what it lacks otherwise */
    /* Runs `count` steps from `first` on. */
    void (*run)(const struct mn_cpu_variant *variant, mn_cpu_exec *exec, uint32_t first,
                uint32_t count);
    const void *kernels; /* the variant's own */
} mn_cpu_variant;

/* naive.c: plain loops, the readable form of the program. */
extern const mn_cpu_variant mn_cpu_naive;

/* schedule.c: register-blocked kernels, one table for each instruction set. */
extern const mn_cpu_variant mn_cpu_generic;
#if defined(__x86_64__)
extern const mn_cpu_variant mn_cpu_avx2;
extern const mn_cpu_variant mn_cpu_avx512;
#endif

/* Writes features, names of usable variants and vector width to `info`. */
void mn_cpu_describe_isa(monarch_device_info *info);

#endif
