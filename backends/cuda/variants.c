/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/cuda/cuda.h"

/* Most specific first; plain runs everything everywhere. Fused comes first: see too_few_heads. */
static const mn_cuda_variant *const table[] = {
    &mn_cuda_fused,
    &mn_cuda_tiled,
    &mn_cuda_plain,
};

enum { VARIANTS = sizeof table / sizeof *table };

void mn_cuda_list_variants(monarch_device_info *info)
{
    size_t length = 0;
    for (int i = 0; i < VARIANTS && length < sizeof info->variants; i++)
        length += (size_t)snprintf(info->variants + length, sizeof info->variants - length, "%s%s",
                                   i > 0 ? " " : "", table[i]->base.name);
}

/*
 * Whether whole heads, one for each work-group, would leave more than half of the GPU idle, while
 * their groups are large enough to keep it busy as work-groups of their own. Measured on an H100 at
 * 12 heads of 384 tokens, T = 1: 9.0 us in stages, 14.1 us fused; at 197 tokens 9.1 and 7.9 us.
 */
static bool too_few_heads(const monarch_device *device, const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    bool large = p->block_size > 16 || program->blocks > 16;
    return large && 2 * p->batch * p->heads < mn_cuda_device_limits(device)->multiprocessors;
}

monarch_status mn_cuda_select(const monarch_device *device, const mn_program *program,
                              const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                              monarch_error *error)
{
    const mn_variant *bases[VARIANTS];
    for (int i = 0; i < VARIANTS; i++)
        bases[i] = &table[i]->base;
    if (too_few_heads(device, program)) {
        const mn_variant *fused = bases[0];
        bases[0] = bases[1];
        bases[1] = fused;
    }
    return mn_select_runs(bases, VARIANTS, device, program, options, runs, run_count, error);
}
