/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/ring.h"

/*
 * All stages of all heads in one launch, for GPUs of compute capability 9.0: what a stage hands to
 * the next stays in the L2 cache, in a ring of a few heads. The work-groups wait for each other, so
 * there are only as many as run at once, and the launch is a cooperative one, which makes sure that
 * they do.
 */

enum {
    WIDEST = 256,
    WIDEST_FP8 = 128,
    LARGEST_GROUP = 256, /* rows of a box */
    MOST_HEADS = 1 << 22,
    LEAST_GROUP = 24,
    LARGE_GROUP = 40,
    LEAST_TASKS = 15,     /* of a work-group; ... */
    LEAST_WIDE_TASKS = 8, /* with 65 to 128 features in large groups */
    VECTOR = 8,           /* elements */
    MOST_NARROW = 128,    /* blocks and tokens in a block up to which ... */
    THREADS = 512,        /* up to 64 features */
    THREADS_OF_MORE = 384,
    LEAST_LAG = 2,
    LEAST_LAG_OF_ONE = 1, /* where nothing is loaded ahead */
    LONG_LAG = 4,         /* where the ring has no more bytes than ... */
    LONG_RING = 22 << 20,
    LEAST_FP8_STAGES = 2,
    MOST_STAGES = 4
};

static const float LEAST_SCALE = 0x1p-40f, MOST_SCALE = 0x1p40f;

/* What follows from the shape of a problem: a pure function, asked by everyone. */
typedef struct shape {
    int blocks, block, steps, panels;
    bool fp8;
    int stages; /* of the pipeline; 0 where shared memory does not suffice */
    int64_t heads, work_groups;
    int lag, slots;
} shape;

static int64_t slot_bytes(const shape *s)
{
    return s->fp8 ? mn_ring_fp8_slot_bytes(s->blocks, s->block, s->panels)
                  : mn_ring_slot_bytes(s->blocks, s->block, s->panels, s->steps);
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* So a slot is written again lag + 1 heads after it was read; lag heads made short ones wait. */
static int64_t slots_of(int64_t lag)
{
    return 2 * lag + 2;
}

/*
 * A work-group loads `stages` tasks ahead. A stage of a head follows the one before it so much
 * later, and so does the head that gets its slot, that hardly anybody waits: by as many tasks as
 * are on their way in all work-groups, or up to a sixteenth of a head less. More is a larger ring,
 * and more of it is to be kept in the cache, but waits less where it stays small. What was tried is
 * in docs/benchmarks/h100_notes.md.
 */
static void set_ring(shape *s)
{
    int64_t ahead = s->work_groups * s->stages, head = (int64_t)s->steps * (s->blocks + s->block);
    int64_t slot = slot_bytes(s);
    int64_t lag = divide_up(ahead - head / 16, head);
    int64_t least = s->stages > 1 ? LEAST_LAG : LEAST_LAG_OF_ONE;
    lag = lag < least ? least : lag;
    while (lag < LONG_LAG && slots_of(lag + 1) * slot <= LONG_RING)
        lag++;
    s->lag = (int)(lag < s->heads ? lag : s->heads);
    s->slots = (int)(slots_of(lag) < s->heads ? slots_of(lag) : s->heads);
}

static int64_t features_of(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    return p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
}

static int panels_of(const mn_program *program)
{
    return (int)divide_up(features_of(program), MN_PANEL_FEATURES);
}

static bool is_narrow(const mn_program *program)
{
    return program->blocks <= MOST_NARROW && program->problem.block_size <= MOST_NARROW;
}

static int least_stages(const mn_program *program)
{
    return program->problem.intermediates == MONARCH_INTERMEDIATES_FP8 ? LEAST_FP8_STAGES : 1;
}

static shape shape_of(const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    shape s = {.blocks = (int)program->blocks,
               .block = (int)p->block_size,
               .steps = p->steps,
               .panels = panels_of(program),
               .fp8 = p->intermediates == MONARCH_INTERMEDIATES_FP8,
               .heads = p->batch * p->heads};
    int side = mn_ring_side(s.blocks, s.block);
    for (int stages = least_stages(program); stages <= MOST_STAGES; stages++)
        if ((uint32_t)mn_ring_bytes(side, s.panels, stages) <= limits->shared_memory)
            s.stages = stages;
    int64_t tasks = s.heads * (s.blocks > s.block ? s.blocks : s.block);
    s.work_groups = tasks < limits->multiprocessors ? tasks : limits->multiprocessors;
    if (s.stages > 0)
        set_ring(&s);
    return s;
}

bool mn_cuda_has_panels(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    return !p->has_mask && p->head_dim % MN_PANEL_FEATURES == 0 && p->value_dim == p->head_dim &&
           p->scale > LEAST_SCALE && p->scale < MOST_SCALE;
}

bool mn_cuda_is_whole(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    return mn_cuda_has_panels(program) && p->tokens == program->blocks * p->block_size &&
           program->blocks % MN_PANEL_FEATURES == 0 && p->block_size % MN_PANEL_FEATURES == 0;
}

static bool fits_fp8(const mn_program *program, mn_reason *reason)
{
    const monarch_problem *p = &program->problem;
    if (p->intermediates != MONARCH_INTERMEDIATES_FP8 ||
        (mn_cuda_is_whole(program) && p->steps == 1 && p->block_size <= MOST_NARROW &&
         features_of(program) <= WIDEST_FP8))
        return true;
    snprintf(reason->text, sizeof reason->text,
             "fp8 intermediates, which variant ring has for T = 1, blocks of 64 or 128 tokens, a "
             "multiple of 64 of them, 64 or 128 features and no mask alone");
    return false;
}

/* Whether there is a kernel: of more features, none takes both outputs of more columns at once. */
static bool fits_panels(const mn_program *program, mn_reason *reason)
{
    const int panels = panels_of(program);
    if (panels <= 2 || is_narrow(program))
        return true;
    snprintf(reason->text, sizeof reason->text,
             "%" PRId64 " blocks of %" PRId64 " tokens with %" PRId64
             " features; variant ring takes up to %d of each with more than %d",
             program->blocks, program->problem.block_size, features_of(program), MOST_NARROW,
             2 * MN_PANEL_FEATURES);
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    static const mn_cuda_most most = {WIDEST, LARGEST_GROUP, MOST_HEADS, true};
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    if (!mn_cuda_takes_whole(variant, limits, program, first, limit, &most, reason) ||
        !fits_panels(program, reason) || !fits_fp8(program, reason))
        return 0;
    if (shape_of(program, limits).stages > 0)
        return program->step_count;
    snprintf(reason->text, sizeof reason->text,
             "%d bytes of shared memory in a work-group, the device has %" PRIu32,
             mn_ring_bytes(mn_ring_side((int)program->blocks, (int)program->problem.block_size),
                           panels_of(program), least_stages(program)),
             limits->shared_memory);
    return 0;
}

/* Whether the rows of a tensor begin at multiples of 16 bytes of each other and are whole. */
static bool has_vectors(const monarch_tensor *tensor, int64_t width)
{
    const monarch_strides *s = &tensor->strides;
    return (s->batch | s->head | s->block | s->token | width) % VECTOR == 0;
}

/*
 * Groups that leave most of a warpgroup's 64 rows empty are not enough, nor is less work than hides
 * the start. Measured on an H100, 12 heads of 64 features, T = 1, beside variant hopper: 28.2 and
 * 25.0 us at 4096 tokens in blocks of 64, 11.6 tasks a work-group; 46.3 and 47.7 us at 8192 in
 * blocks of 64, 17.5 tasks. With more features less is: 2048 tokens in blocks of 45, 8.3 tasks,
 * take 29.9 us with 80 and 30.3 with 128, tiled 37.1 and 43.1; but in blocks of 32 28.8 and 29.3,
 * tiled 24.6 and hopper 27.1. Above 128 there is only tiled beside it, which needs several passes
 * over the features: with 256 12 heads of 4096 tokens take 85 us, tiled 150.
 */
static bool is_enough(const mn_program *program, int32_t multiprocessors)
{
    const monarch_problem *p = &program->problem;
    const int panels = panels_of(program);
    int64_t tasks = p->steps * p->batch * p->heads * (program->blocks + p->block_size);
    int64_t group = p->block_size < program->blocks ? p->block_size : program->blocks;
    int64_t least = panels > 2                            ? 1
                    : panels == 2 && group >= LARGE_GROUP ? LEAST_WIDE_TASKS
                                                          : LEAST_TASKS;
    return group >= LEAST_GROUP && tasks >= least * multiprocessors;
}

/* Not where rows must be loaded one by one, which a single warp does. */
static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)first;
    (void)count;
    const monarch_problem *p = &program->problem;
    if (p->intermediates == MONARCH_INTERMEDIATES_FP8) /* beside it there is only plain */
        return true;
    bool boxes = !p->has_mask && has_vectors(&p->q, p->head_dim) &&
                 has_vectors(&p->k, p->head_dim) && has_vectors(&p->v, p->value_dim);
    return boxes && is_enough(program, mn_cuda_device_limits(device)->multiprocessors);
}

static uint64_t scratch(const mn_variant *variant, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)first;
    (void)count;
    shape s = shape_of(program, mn_cuda_device_limits(device));
    return (uint64_t)(mn_ring_counter_bytes(s.steps, s.slots) + s.slots * slot_bytes(&s));
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    shape s = shape_of(&plan->program, mn_cuda_device_limits(plan->device));
    *out = (mn_cuda_launch){
        .module = s.fp8          ? MN_CUDA_RING_FP8
                  : s.panels > 2 ? MN_CUDA_RING_256
                                 : MN_CUDA_RING,
        .threads = s.panels == 1 ? THREADS : THREADS_OF_MORE,
        .shared_memory =
            (uint32_t)mn_ring_bytes(mn_ring_side(s.blocks, s.block), s.panels, s.stages),
        .cooperative = true,
        .work_groups = s.work_groups,
    };
    mn_params_from_program(plan, &out->params);
    mn_params_set_stats(&out->params, plan->scratch_offsets[run]);
    out->ring = (mn_ring_params){
        .counter_bytes = mn_ring_counter_bytes(s.steps, s.slots),
        .tensor_bytes = mn_ring_tensor_bytes(s.blocks, s.block, s.panels),
        .slot_bytes = slot_bytes(&s),
        .heads = (int32_t)s.heads,
        .lag = s.lag,
        .slots = s.slots,
        .stages = s.stages,
        .side = mn_ring_side(s.blocks, s.block),
        .stage_bytes = mn_ring_stage_bytes(mn_ring_side(s.blocks, s.block), s.panels),
        .cleans =
            (s.blocks > s.block && s.block % 64 != 0) || (s.block > s.blocks && s.blocks % 64 != 0),
    };
    snprintf(out->kernel, sizeof out->kernel, "ring_%s%s%s%s_%d", s.fp8 ? "fp8_" : "",
             is_narrow(&plan->program) ? "" : "wide_",
             mn_cuda_is_whole(&plan->program) && !s.fp8 ? "whole_" : "",
             monarch_dtype_name(plan->program.problem.q.dtype), s.panels * MN_PANEL_FEATURES);
    return 1;
}

const mn_cuda_variant mn_cuda_ring = {
    .base = {"ring", covers, suits, scratch},
    .launches = launches,
    .prepare = mn_cuda_ring_make_maps,
};
