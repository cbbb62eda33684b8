/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include <monarch/vulkan.h>

#include "backends/vulkan/vulkan.h"
#include "core/error.h"

/* Most specific first; plain runs everything everywhere. */
static const mn_vulkan_variant *const table[] = {
    &mn_vulkan_coopmat2,
    &mn_vulkan_coopmat,
    &mn_vulkan_tiled,
    &mn_vulkan_plain,
};

enum { VARIANTS = sizeof table / sizeof *table };

void mn_vulkan_list_variants(const mn_vulkan_limits *limits, monarch_device_info *info)
{
    size_t length = 0;
    for (int i = 0; i < VARIANTS && length < sizeof info->variants; i++) {
        if (table[i] != &mn_vulkan_plain && !limits->by_address)
            continue;
        if (table[i] == &mn_vulkan_coopmat &&
            (limits->matrix_count == 0 || !mn_vulkan_has_module(MN_VULKAN_COOPMAT_F16)))
            continue;
        if (table[i] == &mn_vulkan_coopmat2 &&
            (limits->matrix_count == 0 || !mn_vulkan_has_module(MN_VULKAN_COOPMAT2_F16) ||
             !(limits->features & MONARCH_VULKAN_COOPERATIVE_MATRIX2)))
            continue;
        length += (size_t)snprintf(info->variants + length, sizeof info->variants - length, "%s%s",
                                   length > 0 ? " " : "", table[i]->base.name);
    }
}

/* Shaders count these in 32 bits. */
static monarch_status check_counts(const mn_program *program, monarch_error *error)
{
    const monarch_problem *p = &program->problem;
    int64_t largest = p->heads > program->blocks ? p->heads : program->blocks;
    largest = p->block_size > largest ? p->block_size : largest;
    if (largest <= INT32_MAX)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "%" PRId64 " heads, %" PRId64 " blocks of %" PRId64
                   " tokens; a vulkan device takes up to %" PRId32 " of each",
                   p->heads, program->blocks, p->block_size, INT32_MAX);
}

monarch_status mn_vulkan_select(const monarch_device *device, const mn_program *program,
                                const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                                monarch_error *error)
{
    const mn_variant *bases[VARIANTS];
    MN_TRY(check_counts(program, error));
    MN_TRY(mn_refuse_fp8(device, program, error));
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

bool mn_vulkan_same_elements(const mn_step *step, const char *variant, mn_reason *reason)
{
    monarch_dtype dtype = step->queries.dtype;
    return adjacent(&step->queries, dtype, variant, reason) &&
           adjacent(&step->keys, dtype, variant, reason) &&
           adjacent(&step->values, dtype, variant, reason) &&
           adjacent(&step->mean, dtype, variant, reason) &&
           adjacent(&step->result, dtype, variant, reason);
}

uint64_t mn_vulkan_step_scratch(const mn_variant *variant, const monarch_device *device,
                                const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)count;
    const mn_step *step = &program->steps[first];
    return step->kind == MONARCH_STAGE_LEFT ? mn_params_stats_size(program, step) : 0;
}
