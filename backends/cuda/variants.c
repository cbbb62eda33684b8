/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/cuda/cuda.h"

/* Most specific first; plain runs everything everywhere. */
static const mn_cuda_variant *const table[] = {
    &mn_cuda_fused,
#if defined(MN_HAVE_CUDA_HOPPER)
    &mn_cuda_hopper,
#endif
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

monarch_status mn_cuda_select(const monarch_device *device, const mn_program *program,
                              const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                              monarch_error *error)
{
    const mn_variant *bases[VARIANTS];
    for (int i = 0; i < VARIANTS; i++)
        bases[i] = &table[i]->base;
    return mn_select_runs(bases, VARIANTS, device, program, options, runs, run_count, error);
}
