/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/variants.h"

#include <stdio.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/fast.h"
#include "backends/cpu/isa.h"

/* Most specific first; naive runs everything everywhere. */
static const mn_cpu_variant *const table[] = {
#if defined(__x86_64__)
    &mn_cpu_avx512,
    &mn_cpu_avx2,
#endif
    &mn_cpu_generic,
    &mn_cpu_naive,
};

enum { VARIANTS = sizeof table / sizeof *table };

static void append(char *list, size_t capacity, const char *word)
{
    size_t length = strlen(list);
    snprintf(list + length, capacity - length, "%s%s", length > 0 ? " " : "", word);
}

static void list_features(monarch_device_info *info)
{
    bool present;
    for (int i = 0; mn_cpu_feature(i, &present); i++)
        if (present)
            append(info->features, sizeof info->features, mn_cpu_feature(i, &present));
}

/* f32 lanes of the vectors that the preferred variant works with. */
static uint32_t widest_lanes(void)
{
    for (int i = 0; i < VARIANTS; i++)
        if (table[i]->kernels && (!table[i]->usable || table[i]->usable()))
            return (uint32_t)((const mn_cpu_kernels *)table[i]->kernels)->lanes;
    return 1;
}

void mn_cpu_describe_isa(monarch_device_info *info)
{
    list_features(info);
    for (int i = 0; i < VARIANTS; i++)
        if (!table[i]->usable || table[i]->usable())
            append(info->variants, sizeof info->variants, table[i]->base.name);
    info->subgroup_size = widest_lanes();
}

monarch_status mn_cpu_select(const monarch_device *device, const mn_program *program,
                             const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                             monarch_error *error)
{
    const mn_variant *bases[VARIANTS];
    for (int i = 0; i < VARIANTS; i++)
        bases[i] = &table[i]->base;
    return mn_select_runs(bases, VARIANTS, device, program, options, runs, run_count, error);
}
