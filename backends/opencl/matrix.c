/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/opencl/opencl.h"

/*
 * Stages on the matrix units of NVIDIA GPUs, f16 and bf16, for features up to 128: how a step is
 * cut into work-groups. A warp holds 16 rows of scores; the warps of a group share its columns;
 * small groups are packed, large ones split by rows.
 */

enum {
    LEAST_CAPABILITY = 80,
    WIDEST = 128,
    MOST_WARPS = 4,   /* that share a group; more were slower on an H100 */
    PACKED_WARPS = 4, /* of a work-group that holds several groups */
    ROWS = 16,        /* of a warp */
    MOST_INDEX = 1 << 24
};

/* The forms of a stage, as shaders/opencl/stage.clh numbers them. */
enum { RIGHT, RIGHT_VALUE, LEFT_STATS, LEFT_MEAN, LEFT_OUT };

typedef struct tiling {
    int width, columns, warps, packed, stages, row_splits;
    uint32_t local_memory;
} tiling;

static int round_up(int64_t value, int quantum)
{
    return (int)((value + quantum - 1) / quantum * quantum);
}

/* Bytes of a work-group, as shaders/opencl/matrix.cl divides them. */
static bool fits(const mn_opencl_limits *limits, bool has_result, tiling *t)
{
    int pitch = 2 * t->width + 16;
    int stage = t->columns * pitch * (has_result ? 2 : 1) + 2 * 4 * t->columns;
    t->local_memory = (uint32_t)(t->packed * (t->warps * ROWS * pitch + t->stages * stage));
    return t->local_memory <= limits->local_memory;
}

/* Shares the rows of a group among up to `most` warps, and as many groups as fit among the
   work-group's. */
static bool share_rows(const mn_step *step, const mn_opencl_limits *limits, int most, tiling *t)
{
    int row_tiles = (int)((step->rows + ROWS - 1) / ROWS);
    t->row_splits = (row_tiles + most - 1) / most;
    t->warps = (row_tiles + t->row_splits - 1) / t->row_splits;
    for (t->packed = t->warps < PACKED_WARPS ? PACKED_WARPS / t->warps : 1; t->packed >= 1;
         t->packed--)
        if (fits(limits, step->result.width > 0, t))
            return true;
    return false;
}

/*
 * Cuts a step. What does not fit into local memory is given up in this order: groups that share a
 * work-group, the second stage, warps. False when nothing helps.
 */
static bool cut(const mn_step *step, const mn_opencl_limits *limits, tiling *t)
{
    int64_t features = step->result.width > step->depth ? step->result.width : step->depth;
    *t = (tiling){.width = features <= 96 ? round_up(features, 32) : WIDEST};
    int most_columns = step->result.width > 0 ? 32 : 64;
    int64_t tiles = (step->columns + most_columns - 1) / most_columns;
    t->columns = round_up((step->columns + tiles - 1) / tiles, 16);
    for (int most = MOST_WARPS; most >= 1; most /= 2)
        for (t->stages = tiles > 1 ? 2 : 1; t->stages >= 1; t->stages--)
            if (share_rows(step, limits, most, t))
                return true;
    return false;
}

static bool listed(const mn_opencl_limits *limits)
{
    return limits->capability >= LEAST_CAPABILITY;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_opencl_limits *limits = mn_opencl_device_limits(device);
    tiling t;
    if (step->queries.dtype == MONARCH_F32)
        snprintf(reason->text, sizeof reason->text, "dtype f32; variant matrix takes f16 and bf16");
    else if (step->depth > WIDEST || step->result.width > WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant matrix takes up to %d",
                 step->depth > WIDEST ? step->depth : (int64_t)step->result.width, WIDEST);
    else if (step->rows > MOST_INDEX || step->groups > MOST_INDEX)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " groups of %" PRId64 " rows; variant matrix takes up to %d",
                 step->groups, step->rows, MOST_INDEX);
    else if (mn_opencl_same_elements(step, "matrix", reason)) {
        if (cut(step, limits, &t))
            return mn_opencl_has_matrix(device, reason) ? 1 : 0;
        snprintf(reason->text, sizeof reason->text,
                 "%" PRIu32 " bytes of local memory in a work-group, the device has %" PRIu32,
                 t.local_memory, limits->local_memory);
    }
    return 0;
}

static void fill(mn_opencl_launch *launch, int form, const mn_launch_params *params,
                 const tiling *t, monarch_dtype dtype)
{
    int64_t packs = (params->block.tasks + t->packed - 1) / t->packed;
    *launch = (mn_opencl_launch){
        .module = MN_OPENCL_MATRIX,
        .kernel = "matrix",
        .work_group = (uint32_t)(32 * t->warps * t->packed),
        .work_groups = packs * t->row_splits,
        .params = *params,
    };
    launch->params.block.row_splits = t->row_splits;
    snprintf(launch->options, sizeof launch->options,
             "-cl-std=CL1.2 -DMN_FORM=%d -DMN_DTYPE=%d -DMN_WIDTH=%d -DMN_COLUMNS=%d -DMN_WARPS=%d "
             "-DMN_PACKED=%d -DMN_STAGES=%d",
             form, (int)dtype, t->width, t->columns, t->warps, t->packed, t->stages);
}

static uint32_t launches(const mn_opencl_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_opencl_launch *out)
{
    (void)variant;
    static const int forms[] = {
        [MONARCH_STAGE_RIGHT] = RIGHT,
        [MONARCH_STAGE_LEFT] = LEFT_MEAN,
        [MONARCH_STAGE_RIGHT_VALUE] = RIGHT_VALUE,
        [MONARCH_STAGE_LEFT_OUT] = LEFT_OUT,
    };
    uint32_t index = plan->runs[run].first, count = 0;
    const mn_step *step = &plan->program.steps[index];
    monarch_dtype dtype = step->queries.dtype;
    mn_launch_params params;
    tiling t;
    cut(step, mn_opencl_device_limits(plan->device), &t);
    mn_params_from_step(plan, index, &params);
    if (step->kind == MONARCH_STAGE_LEFT) {
        mn_params_set_stats(&params, plan->scratch_offsets[run]);
        fill(&out[count++], LEFT_STATS, &params, &t, dtype);
    }
    fill(&out[count++], forms[step->kind], &params, &t, dtype);
    return count;
}

const mn_opencl_variant mn_opencl_matrix = {
    .base = {"matrix", covers, NULL, mn_opencl_step_scratch},
    .listed = listed,
    .launches = launches,
};
