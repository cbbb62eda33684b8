/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/variants.h"
#include "shaders/cuda/layout.h"

/*
 * Stages on the matrix units (f32: on the multiply-add units) for features up to 256: how a step is
 * cut into work-groups. A warp holds 16 rows of scores; the warps of a group share its columns;
 * small groups are packed, large ones split by rows. Rows and columns are rounded up to 16 and to
 * nothing larger, so cost grows evenly with block and blocks.
 */

enum {
    WIDEST = 256,
    NARROW = 64,           /* features up to which ... */
    MOST_WARPS_NARROW = 8, /* ... so many warps find enough registers, */
    MOST_WARPS = 4,        /* else these */
    PACKED_WARPS = 4,      /* of a work-group that holds several groups */
    MOST_INDEX = 1 << 24
};

typedef struct tiling {
    int width, element_size;
    int warps, packed, row_splits, column_tile, stages, chunks;
    uint32_t shared_memory;
} tiling;

/* Features that the kernels are compiled for. */
static int kernel_width(int64_t features)
{
    static const int widths[] = {32, 64, 96, 128, WIDEST};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (features <= widths[i])
            return widths[i];
    return 0;
}

static int divide_up(int64_t a, int64_t b)
{
    return (int)((a + b - 1) / b);
}

static bool fits(tiling *t, bool has_result, const mn_cuda_limits *limits)
{
    int out = t->width > MN_TILE_WIDEST ? MN_TILE_WIDEST : t->width;
    t->shared_memory =
        (uint32_t)(t->packed * mn_tile_group_bytes(t->warps, t->stages, t->column_tile, t->width,
                                                   has_result ? out : 0, t->element_size));
    return t->shared_memory <= limits->shared_memory;
}

static void share_rows(tiling *t, int64_t rows, int most_warps)
{
    int tiles = divide_up(rows, MN_TILE_ROWS);
    t->row_splits = divide_up(tiles, most_warps);
    t->warps = divide_up(tiles, t->row_splits);
    t->packed = t->warps < PACKED_WARPS ? PACKED_WARPS / t->warps : 1;
}

/*
 * Cuts a step. What does not fit into shared memory is given up in this order: groups that share a
 * work-group, the second stage, warps, columns at a time. False when nothing helps.
 */
static bool cut(const mn_step *step, const mn_cuda_limits *limits, tiling *t)
{
    bool has_result = step->result.width > 0;
    int64_t features = step->result.width > step->depth ? step->result.width : step->depth;
    int64_t columns = (step->columns + 15) / 16 * 16;
    *t = (tiling){.width = kernel_width(features),
                  .element_size = (int)monarch_dtype_size(step->queries.dtype),
                  .column_tile = columns < MN_TILE_COLUMNS ? (int)columns : MN_TILE_COLUMNS,
                  .chunks = 1};
    if (t->width == WIDEST)
        t->chunks = divide_up(step->mean.width, MN_TILE_WIDEST) +
                    divide_up(step->result.width, MN_TILE_WIDEST);
    bool narrow = t->width <= NARROW && t->element_size == 2;
    for (int warps = narrow ? MOST_WARPS_NARROW : MOST_WARPS; warps >= 1; warps /= 2) {
        share_rows(t, step->rows, warps);
        for (t->stages = step->columns > t->column_tile ? 2 : 1; t->stages >= 1; t->stages--)
            for (int packed = t->packed; packed >= 1; packed--) {
                tiling smaller = *t;
                smaller.packed = packed;
                if (fits(&smaller, has_result, limits)) {
                    *t = smaller;
                    return true;
                }
            }
    }
    t->stages = t->packed = 1;
    while (t->column_tile > 16) {
        t->column_tile = t->column_tile / 2 / 16 * 16;
        t->column_tile = t->column_tile < 16 ? 16 : t->column_tile;
        if (fits(t, has_result, limits))
            return true;
    }
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    tiling t;
    if (!mn_cuda_has_code(limits, "tiled", reason))
        return 0;
    if (step->depth > WIDEST || step->result.width > WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant tiled takes up to %d",
                 step->depth > WIDEST ? step->depth : (int64_t)step->result.width, WIDEST);
    else if (step->rows > MOST_INDEX || step->groups > MOST_INDEX)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " groups of %" PRId64 " rows; variant tiled takes up to %d",
                 step->groups, step->rows, MOST_INDEX);
    else if (mn_cuda_same_elements(step, "tiled", reason)) {
        if (cut(step, limits, &t))
            return 1;
        snprintf(reason->text, sizeof reason->text,
                 "%" PRIu32 " bytes of shared memory in a work-group, the device has %" PRIu32,
                 t.shared_memory, limits->shared_memory);
    }
    return 0;
}

static void fill(mn_cuda_launch *launch, mn_cuda_module module, const char *kernel,
                 const mn_launch_params *params, const tiling *t, monarch_dtype dtype, int chunks)
{
    int64_t packs = (params->block.tasks + t->packed - 1) / t->packed;
    *launch = (mn_cuda_launch){
        .module = module,
        .threads = (uint32_t)(32 * t->warps * t->packed),
        .shared_memory = t->shared_memory,
        .overlaps = true,
        .work_groups = packs * t->row_splits * chunks,
        .params = *params,
    };
    snprintf(launch->kernel, sizeof launch->kernel, "%s_%s_%d", kernel, monarch_dtype_name(dtype),
             t->width);
    mn_stage_params *block = &launch->params.block;
    block->warps = t->warps;
    block->packed = t->packed;
    block->row_splits = t->row_splits;
    block->column_tile = t->column_tile;
    block->stages = t->stages;
    block->chunks = chunks;
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    static const struct {
        mn_cuda_module module;
        const char *kernel;
    } kernels[] = {
        [MONARCH_STAGE_RIGHT] = {MN_CUDA_RIGHT, "right"},
        [MONARCH_STAGE_LEFT] = {MN_CUDA_LEFT, "left_mean"},
        [MONARCH_STAGE_RIGHT_VALUE] = {MN_CUDA_RIGHT_VALUE, "right_value"},
        [MONARCH_STAGE_LEFT_OUT] = {MN_CUDA_LEFT_OUT, "left_out"},
    };
    uint32_t index = plan->runs[run].first, count = 0;
    const mn_step *step = &plan->program.steps[index];
    monarch_dtype dtype = step->queries.dtype;
    mn_launch_params params;
    tiling t;
    cut(step, mn_cuda_device_limits(plan->device), &t);
    mn_params_from_step(plan, index, &params);
    if (step->kind == MONARCH_STAGE_LEFT) {
        mn_params_set_stats(&params, plan->scratch_offsets[run]);
        fill(&out[count++], MN_CUDA_LEFT, "left_stats", &params, &t, dtype, 1);
    }
    fill(&out[count++], kernels[step->kind].module, kernels[step->kind].kernel, &params, &t, dtype,
         t.chunks);
    return count;
}

const mn_cuda_variant mn_cuda_tiled = {
    .base = {"tiled", covers, NULL, mn_cuda_step_scratch},
    .launches = launches,
};
