/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
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

static bool adjacent(const mn_operand *operand, monarch_dtype dtype, const char *variant,
                     mn_reason *reason)
{
    if (operand->width == 0)
        return true;
    if (operand->dtype != dtype)
        snprintf(reason->text, sizeof reason->text,
                 "tensors of both %s and %s; variant %s needs one dtype", monarch_dtype_name(dtype),
                 monarch_dtype_name(operand->dtype), variant);
    else if (operand->feature != 1)
        snprintf(reason->text, sizeof reason->text,
                 "a feature stride of %" PRId64 "; variant %s needs 1", operand->feature, variant);
    else
        return true;
    return false;
}

bool mn_cuda_same_elements(const mn_step *step, const char *variant, mn_reason *reason)
{
    monarch_dtype dtype = step->queries.dtype;
    return adjacent(&step->queries, dtype, variant, reason) &&
           adjacent(&step->keys, dtype, variant, reason) &&
           adjacent(&step->values, dtype, variant, reason) &&
           adjacent(&step->mean, dtype, variant, reason) &&
           adjacent(&step->result, dtype, variant, reason);
}

uint64_t mn_cuda_step_scratch(const mn_variant *variant, const monarch_device *device,
                              const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)count;
    const mn_step *step = &program->steps[first];
    return step->kind == MONARCH_STAGE_LEFT ? mn_params_stats_size(program, step) : 0;
}
