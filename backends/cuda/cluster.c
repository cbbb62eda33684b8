/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/ring.h"

/*
 * All stages of a head by one cluster of work-groups, for GPUs of compute capability 9.0 and
 * sequences of which a cluster's shared memory holds what the stages exchange: one launch, and a
 * position waits for nothing but its own rows.
 */

enum {
    WIDEST = 128,
    LARGEST_GROUP = 128, /* whose scores a warp's registers hold */
    LEAST_SIZE = 2,      /* a work-group alone has nobody to send to */
    LARGEST_SIZE = 8,    /* that every GPU with clusters takes */
    MOST_WARPS = 16,
    GROUP_ROWS = 64,       /* of a warpgroup */
    MOST_WARPS_OF_48 = 20, /* where groups have 33 to 48 rows */
    MOST_HEADS = 1 << 26
};

/* What follows from the shape of a problem: a pure function, asked by everyone. */
typedef struct shape {
    int blocks, block, steps, panels;
    int size;  /* work-groups of a cluster; 0 where no size will do */
    int slots; /* blocks that a work-group holds at a time */
    int apart; /* whether the queries of positions do not lie in place of the blocks */
    int warps, most_warps;
    uint32_t shared_memory;
    int64_t resident; /* work-groups that run at once */
} shape;

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Whether a cluster of s->size has room: as many blocks at a time as warps can work on, or fewer,
   and better with the queries of positions apart, whose loading then overlaps everything else. */
static bool find_room(shape *s, bool has_mask, const mn_cuda_limits *limits)
{
    const int area = mn_cluster_area_bytes(s->blocks, s->block, s->size, s->panels);
    const int by_block = divide_up(s->block, MN_TILE_ROWS);
    const int by_position = divide_up(s->blocks, MN_TILE_ROWS);
    for (s->slots = least(s->most_warps / by_block, divide_up(s->blocks, s->size)); s->slots > 0;
         s->slots--)
        for (s->apart = 1; s->apart >= 0; s->apart--) {
            s->shared_memory = (uint32_t)mn_cluster_bytes(s->blocks, s->block, s->steps, has_mask,
                                                          s->size, s->slots, s->apart, s->panels);
            bool has_queries =
                s->apart || s->slots * mn_cluster_slot_bytes(s->block, s->panels) >= area;
            if (!has_queries || s->shared_memory > limits->shared_memory)
                continue;
            int teams = least(s->most_warps / by_position, divide_up(s->block, s->size));
            int for_positions = teams * by_position, for_blocks = s->slots * by_block;
            s->warps = for_blocks > for_positions ? for_blocks : for_positions;
            return true;
        }
    return false;
}

static int64_t count_resident(const shape *s, const mn_cuda_limits *limits)
{
    int by_memory = (int)(limits->shared_memory_per_multiprocessor /
                          (s->shared_memory + limits->reserved_shared_memory));
    int by_registers = s->most_warps / s->warps;
    return (int64_t)limits->multiprocessors * least(by_memory, by_registers);
}

/* Rows that the kernel's score matrices have, in 16s. */
static int kernel_side(const shape *s)
{
    int larger = divide_up(s->blocks > s->block ? s->blocks : s->block, MN_TILE_ROWS);
    return larger <= 2 ? 2 : larger <= 4 ? (larger == 3 ? 3 : 4) : 8;
}

/* The largest cluster with which all heads run at once; else the smallest that has room. */
static shape shape_of(const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    int64_t features = p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
    shape found = {0}, s = {.blocks = (int)program->blocks,
                            .block = (int)p->block_size,
                            .steps = p->steps,
                            .panels = features <= MN_PANEL_FEATURES ? 1 : 2};
    s.most_warps = kernel_side(&s) == 3 ? MOST_WARPS_OF_48 : MOST_WARPS;
    for (s.size = LARGEST_SIZE; s.size >= LEAST_SIZE; s.size /= 2) {
        bool idle = s.size > LEAST_SIZE && s.size > s.blocks && s.size > s.block;
        if (idle || !find_room(&s, p->has_mask, limits))
            continue;
        found = s;
        found.resident = count_resident(&s, limits);
        if (p->batch * p->heads * s.size <= found.resident)
            break;
    }
    return found;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    static const mn_cuda_most most = {WIDEST, LARGEST_GROUP, MOST_HEADS, false};
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    if (!mn_cuda_takes_whole(variant, limits, program, first, limit, &most, reason))
        return 0;
    if (shape_of(program, limits).size > 0)
        return program->step_count;
    snprintf(reason->text, sizeof reason->text,
             "%" PRId64 " blocks of %" PRId64 " tokens do not fit into the shared memory of a "
             "cluster",
             program->blocks, program->problem.block_size);
    return 0;
}

/* Whether work-groups do without a cluster. */
static bool fits_one_work_group(const monarch_device *device, const mn_program *program)
{
    const mn_variant *fused = &mn_cuda_fused.base;
    mn_reason reason;
    return fused->covers(fused, device, program, 0, program->step_count, &reason) > 0;
}

/*
 * Where all heads run at once in clusters, there are two multiprocessors or more for each; with
 * more heads where they fit no single work-group. At least half of the warps must have work in
 * RIGHT, and of more than 64 features clusters of 8 must hold all blocks at a time.
 * Measured on an H100, features 64, T = 1, beside the best other variant: 12 heads of 197 tokens
 * 6.0 and 7.4 us, of 1024 8.6 and 13.4, of 4096 20.3 and 25.0; 384 heads of 1024 108 and 164, 192
 * of 2048 137 and 167, 96 of 4096 131 and 168, and T = 2 276 and 357. 192 heads of 2000 in blocks
 * of 48 175 and 170, 96 of 3000 in blocks of 56 133 and 124. Heads that fit one work-group: 768 of
 * 384 tokens 112 and 63, of 512 with T = 2 208 and 114. With 128 features 256 heads of 1024 208
 * and 233, but 128 of 2048 262 and 235.
 */
static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)first;
    (void)count;
    const monarch_problem *p = &program->problem;
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    shape s = shape_of(program, limits);
    int warps = s.slots * divide_up(s.block, MN_TILE_ROWS);
    bool all_blocks = s.slots * s.size >= s.blocks;
    bool at_once = 2 * p->batch * p->heads <= limits->multiprocessors &&
                   p->batch * p->heads * s.size <= s.resident;
    if (!all_blocks && (2 * warps < s.most_warps || (s.panels > 1 && s.size == LARGEST_SIZE)))
        return false;
    return at_once || !fits_one_work_group(device, program);
}

static uint64_t scratch(const mn_variant *variant, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)first;
    (void)count;
    const monarch_problem *p = &program->problem;
    shape s = shape_of(program, mn_cuda_device_limits(device));
    return p->steps == 1 ? 0
                         : (uint64_t)(p->batch * p->heads) * (uint64_t)(s.blocks * s.block) *
                               (uint64_t)(s.panels * MN_PANEL_ROW);
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    const monarch_problem *p = &plan->program.problem;
    shape s = shape_of(&plan->program, mn_cuda_device_limits(plan->device));
    *out = (mn_cuda_launch){
        .module = MN_CUDA_CLUSTER,
        .threads = 32 * (uint32_t)s.warps,
        .shared_memory = s.shared_memory,
        .overlaps = true,
        .cluster = (uint32_t)s.size,
        .work_groups = p->batch * p->heads * s.size,
    };
    mn_params_from_program(plan, &out->params);
    if (p->steps > 1)
        mn_params_set_stats(&out->params, plan->scratch_offsets[run]);
    out->params.block.stages = s.slots;
    out->params.block.chunks = s.apart;
    int length = snprintf(out->kernel, sizeof out->kernel, "cluster_%s_%d_",
                          monarch_dtype_name(p->q.dtype), s.panels * MN_PANEL_FEATURES);
    if (mn_tile_rows(s.blocks) == GROUP_ROWS && mn_tile_rows(s.block) == GROUP_ROWS)
        snprintf(out->kernel + length, sizeof out->kernel - (size_t)length, "group");
    else
        snprintf(out->kernel + length, sizeof out->kernel - (size_t)length, "%d", kernel_side(&s));
    return 1;
}

const mn_cuda_variant mn_cuda_cluster = {
    .base = {"cluster", covers, suits, scratch},
    .launches = launches,
    .prepare = mn_cuda_ring_make_maps,
};
