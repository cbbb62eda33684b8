/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/variants.h"
#include "shaders/cuda/fused.h"

/*
 * All steps of one head in one work-group, for heads that fit into shared memory. Then q, k, v are
 * read once and the output is written once, the least that any way can do. On GPUs of compute
 * capability 9.0 a cluster shares heads with too many features for that.
 */

enum {
    WIDEST = 128, /* features of a work-group */
    MOST_SHARES = 2,
    MOST_SHARED_HEADS = 1 << 26, /* their clusters are counted on one axis of the grid */
    LARGEST_GROUP = 32,
    MOST_WARPS = 16, /* of a work-group */
    LEAST_TENSORS = 3,
    MOST_TENSORS = 4,
    MASKS = 2 /* of heads at a time, where a work-group takes several */
};

#if defined(MN_HAVE_CUDA_SM_90A)
static const bool has_clusters = true; /* whether the build has kernels for them */
#else
static const bool has_clusters = false;
#endif

static int64_t features_of(const monarch_problem *p)
{
    return p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
}

static int kernel_width(int64_t features)
{
    return features <= 32 ? 32 : features <= 64 ? 64 : features <= 96 ? 96 : 128;
}

/* What follows from the shape of a problem: a pure function, asked by everyone. */
typedef struct shape {
    int shares;                  /* work-groups that share a head */
    int width;                   /* features of each */
    int right_tiles, left_tiles; /* rows of score matrices, in 16s */
    bool once;                   /* kernels of one step, that take one head after another */
    int64_t work_groups;         /* of all heads */
    int tensors;                 /* that shared memory has room for */
    int warps, most_warps;       /* of a work-group; that share a multiprocessor, by registers */
    uint32_t shared_memory;
    int resident; /* work-groups of a multiprocessor; 0 if one does not fit */
} shape;

static int least(int64_t a, int64_t b)
{
    return (int)(a < b ? a : b);
}

static void make_room(shape *s, const mn_program *program, const mn_cuda_limits *limits,
                      int tensors)
{
    const monarch_problem *p = &program->problem;
    s->tensors = tensors;
    s->shared_memory = (uint32_t)mn_fused_bytes((int)program->blocks, (int)p->block_size, tensors,
                                                s->once && p->has_mask ? MASKS : 1,
                                                mn_tile_pitch(s->width, 2), s->shares);
    s->resident = s->shared_memory > limits->shared_memory
                      ? 0
                      : least(limits->shared_memory_per_multiprocessor /
                                  (s->shared_memory + limits->reserved_shared_memory),
                              s->most_warps / s->warps);
}

/*
 * As many work-groups of a multiprocessor as possible; with a tensor more where that costs none
 * that could work: so that values need not lie where the keys were, with one step for tensors of
 * the next head. The latter helps only a work-group that is alone. Where each head can have a
 * multiprocessor to itself the larger size sees to it: launches overlap, and the next one's
 * work-groups would else gather where there is room first.
 */
static void divide_memory(shape *s, const mn_program *program, const mn_cuda_limits *limits)
{
    make_room(s, program, limits, LEAST_TENSORS);
    if (s->once && s->resident > 1 && s->work_groups > limits->multiprocessors)
        return;
    shape more = *s;
    make_room(&more, program, limits, MOST_TENSORS);
    if (more.resident > 0 && (more.resident == s->resident ||
                              s->work_groups <= (int64_t)more.resident * limits->multiprocessors))
        *s = more;
}

static shape shape_of(const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    int64_t groups = p->block_size > program->blocks ? p->block_size : program->blocks;
    const int shares = features_of(p) > WIDEST ? MOST_SHARES : 1;
    shape s = {.shares = shares,
               .width = kernel_width((features_of(p) + shares - 1) / shares),
               .work_groups = p->batch * p->heads * shares,
               .right_tiles = p->block_size > MN_TILE_ROWS ? 2 : 1,
               .left_tiles = program->blocks > MN_TILE_ROWS ? 2 : 1,
               .warps = least(groups, MOST_WARPS)};
    const bool narrow = s.width <= 64, small = s.right_tiles + s.left_tiles == 2;
    s.once = p->steps == 1 && (narrow || small);
    s.most_warps = narrow && small ? 2 * MOST_WARPS : MOST_WARPS;
    divide_memory(&s, program, limits);
    return s;
}

static bool fits_elements(const monarch_problem *p, mn_reason *reason)
{
    monarch_dtype dtype = p->q.dtype;
    if (dtype == MONARCH_F32 || p->k.dtype != dtype || p->v.dtype != dtype || p->out.dtype != dtype)
        snprintf(reason->text, sizeof reason->text,
                 "q, k, v and out of %s, %s, %s and %s; variant fused needs f16 or "
                 "bf16 for all",
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

/* Kernels for several work-groups have one group of a stage for each warp. */
static bool fits_shares(const mn_program *program, const mn_cuda_limits *limits, mn_reason *reason)
{
    const monarch_problem *p = &program->problem;
    if (features_of(p) <= WIDEST)
        return true;
    if (limits->capability != 90 || !has_clusters || features_of(p) > MOST_SHARES * WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant fused takes up to %d, and up to %d on compute "
                 "capability 9.0 in a build for sm_90a",
                 features_of(p), WIDEST, MOST_SHARES * WIDEST);
    else if (p->block_size > MN_TILE_ROWS || program->blocks > MN_TILE_ROWS)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " blocks of %" PRId64 " tokens with %" PRId64
                 " features; variant fused takes up to %d of each with more than %d",
                 program->blocks, p->block_size, features_of(p), MN_TILE_ROWS, WIDEST);
    else if (p->batch * p->heads > MOST_SHARED_HEADS)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " heads in the batch with %" PRId64
                 " features; variant fused takes up to %d with more than %d",
                 p->batch * p->heads, features_of(p), MOST_SHARED_HEADS, WIDEST);
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
    else if (fits_shares(program, limits, reason)) {
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

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    (void)run;
    const mn_program *program = &plan->program;
    const monarch_problem *p = &program->problem;
    const mn_cuda_limits *limits = mn_cuda_device_limits(plan->device);
    shape s = shape_of(program, limits);
    /* Neighbours hide each other's loading better than a work-group that goes on: 768 heads of 256
       tokens 39.0 and 40.9 us on an H100, 6144 of them 272 and 286. */
    const bool goes_on = s.once && s.resident == 1 && s.work_groups > limits->multiprocessors;
    *out = (mn_cuda_launch){
        .module = s.shares > 1 ? MN_CUDA_FUSED_SHARES : MN_CUDA_FUSED,
        .threads = 32 * (uint32_t)s.warps,
        .shared_memory = s.shared_memory,
        .overlaps = true,
        .cluster = s.shares > 1 ? (uint32_t)s.shares : 0,
        .work_groups = goes_on ? limits->multiprocessors / s.shares * s.shares : s.work_groups,
    };
    mn_params_from_program(plan, &out->params);
    out->params.block.stages = s.tensors;
    snprintf(out->kernel, sizeof out->kernel, "fused_%s_%d%s_%d%d%s",
             monarch_dtype_name(p->q.dtype), s.width, s.shares > 1 ? "x2" : "", s.right_tiles,
             s.left_tiles, s.once ? "_once" : "");
    return 1;
}

const mn_cuda_variant mn_cuda_fused = {
    .base = {"fused", covers, suits, scratch},
    .launches = launches,
};
