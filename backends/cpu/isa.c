/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/isa.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Not every compiler's __builtin_cpu_supports knows this one. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

const char *mn_cpu_feature(int index, bool *present)
{
    switch (index) {
    case 0:
        *present = __builtin_cpu_supports("avx2");
        return "avx2";
    case 1:
        *present = __builtin_cpu_supports("fma");
        return "fma";
    case 2:
        *present = has_f16c();
        return "f16c";
    case 3:
        *present = __builtin_cpu_supports("avx512f");
        return "avx512f";
    case 4:
        *present = __builtin_cpu_supports("avx512vl");
        return "avx512vl";
    case 5:
        *present = __builtin_cpu_supports("avx512bw");
        return "avx512bw";
    case 6:
        *present = __builtin_cpu_supports("avx512dq");
        return "avx512dq";
    default:
        *present = false;
        return NULL;
    }
}
#else
const char *mn_cpu_feature(int index, bool *present)
{
    (void)index;
    *present = false;
    return NULL;
}
#endif

/* Whether the first `count` features are all there. */
static bool has_first(int count)
{
    for (int i = 0; i < count; i++) {
        bool present;
        if (!mn_cpu_feature(i, &present) || !present)
            return false;
    }
    return true;
}

bool mn_cpu_has_avx2(void)
{
    return has_first(3);
}

bool mn_cpu_has_avx512(void)
{
    return has_first(7);
}
