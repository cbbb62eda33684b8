/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/cuda/cuda.h"
#include "core/error.h"

/* Most specific first; plain runs everything everywhere. */
static const mn_cuda_variant *const table[] = {
#if defined(MN_HAVE_CUDA_SM_90A)
    &mn_cuda_slice, &mn_cuda_cluster,
#endif
    &mn_cuda_fused,
#if defined(MN_HAVE_CUDA_SM_90A)
    &mn_cuda_ring,  &mn_cuda_hopper,
#endif
    &mn_cuda_tiled, &mn_cuda_plain,
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
 * Whether the build has code for a device: that of an architecture (sm_archs) runs on its own and
 * on later ones of the same major number, with an 'a' on its own alone; the first one is there as
 * PTX too, which any later device takes.
 */
bool mn_cuda_has_code(const mn_cuda_limits *limits, const char *variant, mn_reason *reason)
{
    static const char archs[] = MN_CUDA_ARCHS;
    const int32_t device = limits->capability;
    for (const char *at = archs; *at != '\0';) {
        char *end;
        int32_t arch = (int32_t)strtol(at, &end, 10);
        bool exact = *end == 'a';
        if (arch == device || (!exact && arch / 10 == device / 10 && arch < device) ||
            (at == archs && arch <= device))
            return true;
        at = end + strcspn(end, ",");
        at += *at == ',';
    }
    snprintf(reason->text, sizeof reason->text,
             "compute capability %" PRId32 ".%" PRId32 ", for which this build has no code of "
             "variant %s; it has %s",
             device / 10, device % 10, variant, archs);
    return false;
}

/* Kernels count these in 32 bits. */
static monarch_status check_counts(const mn_program *program, monarch_error *error)
{
    const monarch_problem *p = &program->problem;
    int64_t largest = p->heads > program->blocks ? p->heads : program->blocks;
    largest = p->block_size > largest ? p->block_size : largest;
    if (largest <= INT32_MAX)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "%" PRId64 " heads, %" PRId64 " blocks of %" PRId64
                   " tokens; a cuda device takes up to %" PRId32 " of each",
                   p->heads, program->blocks, p->block_size, INT32_MAX);
}

monarch_status mn_cuda_select(const monarch_device *device, const mn_program *program,
                              const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                              monarch_error *error)
{
    const mn_variant *bases[VARIANTS];
    MN_TRY(check_counts(program, error));
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

bool mn_cuda_refuse_fp8(const char *variant, mn_reason *reason)
{
    snprintf(reason->text, sizeof reason->text,
             "fp8 intermediates, which variant %s does not have; plain has them", variant);
    return false;
}

static bool same_dtype(const mn_step *step, const char *variant, mn_reason *reason)
{
    monarch_dtype dtype = step->queries.dtype;
    return adjacent(&step->queries, dtype, variant, reason) &&
           adjacent(&step->keys, dtype, variant, reason) &&
           adjacent(&step->values, dtype, variant, reason) &&
           adjacent(&step->mean, dtype, variant, reason) &&
           adjacent(&step->result, dtype, variant, reason);
}

bool mn_cuda_same_elements(const mn_step *step, const char *variant, mn_reason *reason)
{
    if (step->keys.e4m3 || step->mean.e4m3)
        return mn_cuda_refuse_fp8(variant, reason);
    return same_dtype(step, variant, reason);
}

static bool same_elements(const mn_program *program, const char *variant, mn_reason *reason)
{
    for (uint32_t i = 0; i < program->step_count; i++)
        if (!same_dtype(&program->steps[i], variant, reason))
            return false;
    return true;
}

bool mn_cuda_takes_whole(const mn_variant *variant, const mn_cuda_limits *limits,
                         const mn_program *program, uint32_t first, uint32_t limit,
                         const mn_cuda_most *most, mn_reason *reason)
{
    const char *name = variant->name;
    const monarch_problem *p = &program->problem;
    const int64_t features = p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
    if (first != 0 || limit != program->step_count)
        snprintf(reason->text, sizeof reason->text, "variant %s runs all stages or none", name);
    else if (limits->capability != 90)
        snprintf(reason->text, sizeof reason->text,
                 "compute capability %d.%d; variant %s needs 9.0", limits->capability / 10,
                 limits->capability % 10, name);
    else if (p->intermediates == MONARCH_INTERMEDIATES_FP8 && !most->fp8)
        return mn_cuda_refuse_fp8(name, reason);
    else if (p->q.dtype == MONARCH_F32)
        snprintf(reason->text, sizeof reason->text, "f32; variant %s needs f16 or bf16", name);
    else if (features > most->features)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant %s takes up to %d", features, name, most->features);
    else if (p->block_size > most->group || program->blocks > most->group)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " blocks of %" PRId64 " tokens; variant %s takes up to %d of each",
                 program->blocks, p->block_size, name, most->group);
    else if (p->batch * p->heads > most->heads)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " heads in the batch; variant %s takes up to %d", p->batch * p->heads,
                 name, most->heads);
    else
        return same_elements(program, name, reason);
    return false;
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
