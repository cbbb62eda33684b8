/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/variants.h"
#include "shaders/cuda/layout.h"

/*
 * All steps of one head in one work-group, for heads that fit into shared memory. Then q, k, v are
 * read once and the output is written once, the least that any way can do.
 */

enum { WIDEST = 128, LARGEST_GROUP = 32, FEW_WARPS = 8, MANY_WARPS = 16 };

static int kernel_width(const monarch_problem *p)
{
    int64_t features = p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
    return features <= 32 ? 32 : features <= 64 ? 64 : features <= 96 ? 96 : 128;
}

/* What follows from the shape of a problem: a pure function, asked by everyone. */
typedef struct shape {
    int width;
    int right_tiles, left_tiles; /* rows of score matrices, in 16s */
    bool once;                   /* whether queries are read twice and take no room: one step */
    int tensors;                 /* in shared memory */
    uint32_t shared_memory;
    int resident; /* work-groups of a multiprocessor, by their memory */
} shape;

static void set_tensors(shape *s, const mn_program *program, const mn_cuda_limits *limits,
                        int tensors)
{
    s->tensors = tensors;
    s->shared_memory =
        (uint32_t)mn_fused_bytes((int)program->blocks, (int)program->problem.block_size, tensors,
                                 mn_tile_pitch(s->width, 2));
    s->resident = s->shared_memory > limits->shared_memory
                      ? 0
                      : (int)(limits->shared_memory_per_multiprocessor /
                              (s->shared_memory + limits->reserved_shared_memory));
}

/* With more than one step values are where the keys were, if heads can share a multiprocessor then
   or would not fit at all. */
static shape shape_of(const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    shape s = {.width = kernel_width(p),
               .right_tiles = p->block_size > MN_TILE_ROWS ? 2 : 1,
               .left_tiles = program->blocks > MN_TILE_ROWS ? 2 : 1};
    bool small = s.right_tiles == 1 && s.left_tiles == 1;
    s.once = p->steps == 1 && (s.width < WIDEST || small);
    if (s.once) {
        set_tensors(&s, program, limits, 2);
        return s;
    }
    set_tensors(&s, program, limits, 4);
    if (s.resident == 0 || (s.resident == 1 && p->batch * p->heads > limits->multiprocessors)) {
        shape apart = s;
        set_tensors(&s, program, limits, 3);
        if (s.resident == apart.resident)
            return apart;
    }
    return s;
}

static bool fits_elements(const monarch_problem *p, mn_reason *reason)
{
    monarch_dtype dtype = p->q.dtype;
    if (dtype == MONARCH_F32 || p->k.dtype != dtype || p->v.dtype != dtype || p->out.dtype != dtype)
        snprintf(reason->text, sizeof reason->text,
                 "q, k, v and out of %s, %s, %s and %s; variant fused needs f16 or bf16 for all",
                 monarch_dtype_name(dtype), monarch_dtype_name(p->k.dtype),
                 monarch_dtype_name(p->v.dtype), monarch_dtype_name(p->out.dtype));
    else if (p->q.strides.feature != 1 || p->k.strides.feature != 1 || p->v.strides.feature != 1 ||
             p->out.strides.feature != 1)
        snprintf(reason->text, sizeof reason->text,
                 "a feature stride other than 1, which variant fused needs");
    else if (p->intermediates == MONARCH_INTERMEDIATES_FP8)
        return mn_cuda_refuse_fp8("fused", reason);
    else
        return true;
    return false;
}

static bool fits_shape(const mn_program *program, const mn_cuda_limits *limits, mn_reason *reason)
{
    const monarch_problem *p = &program->problem;
    if (p->block_size > LARGEST_GROUP || program->blocks > LARGEST_GROUP)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " blocks of %" PRId64 " tokens; variant fused takes up to %d of each",
                 program->blocks, p->block_size, LARGEST_GROUP);
    else if (p->head_dim > WIDEST || p->value_dim > WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant fused takes up to %d",
                 p->head_dim > p->value_dim ? p->head_dim : p->value_dim, WIDEST);
    else {
        shape s = shape_of(program, limits);
        if (s.resident > 0)
            return true;
        snprintf(reason->text, sizeof reason->text,
                 "a head of %" PRIu32 " bytes of shared memory; a work-group has %" PRIu32,
                 s.shared_memory, limits->shared_memory);
    }
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    if (first != 0 || limit != program->step_count)
        snprintf(reason->text, sizeof reason->text, "variant fused runs all stages or none");
    else if (mn_cuda_has_code(limits, "fused", reason) &&
             fits_elements(&program->problem, reason) && fits_shape(program, limits, reason))
        return program->step_count;
    return 0;
}

/*
 * Not where whole heads, one for each work-group, would leave more than half of the GPU idle while
 * their groups are large enough to keep it busy as work-groups of their own. Measured on an H100 at
 * 12 heads of 384 tokens, T = 1: 9.0 us in stages, 14.1 us fused; at 197 tokens 9.1 and 7.9 us.
 */
static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)first;
    (void)count;
    const monarch_problem *p = &program->problem;
    bool small = p->block_size <= 16 && program->blocks <= 16;
    return small || 2 * p->batch * p->heads >= mn_cuda_device_limits(device)->multiprocessors;
}

static uint64_t scratch(const mn_variant *variant, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)program;
    (void)first;
    (void)count;
    return 0;
}

/* Few warps where several heads share a multiprocessor and hide each other's waiting. */
static uint32_t warps_for(const shape *s, const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    bool alone = s->resident == 1 || p->batch * p->heads <= limits->multiprocessors;
    int64_t groups = p->block_size > program->blocks ? p->block_size : program->blocks;
    int64_t most = alone ? MANY_WARPS : FEW_WARPS;
    return (uint32_t)(groups < most ? groups : most);
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    (void)run;
    const mn_program *program = &plan->program;
    const monarch_problem *p = &program->problem;
    const mn_cuda_limits *limits = mn_cuda_device_limits(plan->device);
    shape s = shape_of(program, limits);
    *out = (mn_cuda_launch){
        .module = MN_CUDA_FUSED,
        .threads = 32 * warps_for(&s, program, limits),
        .shared_memory = s.shared_memory,
        .overlaps = true,
        .work_groups = p->batch * p->heads,
    };
    mn_params_from_program(plan, &out->params);
    out->params.block.chunks = s.once || s.tensors == 4;
    snprintf(out->kernel, sizeof out->kernel, "fused_%s_%d_%d%d%s",
             monarch_dtype_name(p->q.dtype), s.width, s.right_tiles, s.left_tiles,
             s.once ? "_once" : "");
    return 1;
}

const mn_cuda_variant mn_cuda_fused = {
    .base = {"fused", covers, suits, scratch},
    .launches = launches,
};
