/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/opencl/variants.h"
#include "shaders/opencl/layout.h"

/*
 * Stages by tiles in local memory, for features up to 256: how a step is cut into work-groups, from
 * a table of tiles. Nothing of a device is assumed: an entry is taken only where its local memory
 * and its work-items are there.
 */

enum { WIDEST = 256, MOST_INDEX = 1 << 24 };

/* A work-group: tx items share a row, ty a column, each has `ri` rows; `columns` at a time. */
typedef struct tile {
    int width; /* features that it is for, at most */
    int tx, ty, ri, columns;
} tile;

/* For GPUs, in order of preference for a width. A work-item's registers hold ri rows of outputs. */
static const tile gpu_tiles[] = {
    {64, 8, 16, 4, 32},  {64, 8, 16, 2, 32}, {64, 8, 16, 1, 32},  {64, 8, 8, 2, 16},
    {64, 8, 8, 1, 16},   {64, 8, 4, 1, 8},   {128, 8, 16, 2, 32}, {128, 8, 16, 2, 16},
    {128, 8, 16, 1, 16}, {128, 8, 8, 1, 8},  {128, 8, 4, 1, 8},   {256, 8, 16, 1, 16},
    {256, 8, 8, 1, 16},  {256, 8, 8, 1, 8},  {256, 8, 4, 1, 8},
};

/* For processors: a work-group is one item that has so many rows. */
static const tile cpu_tiles[] = {
    {WIDEST, 1, 1, 32, MN_VECTOR_COLUMNS},
    {WIDEST, 1, 1, 16, MN_VECTOR_COLUMNS},
    {WIDEST, 1, 1, 4, MN_VECTOR_COLUMNS},
};

typedef struct tiling {
    tile t;
    int width, row_splits;
    uint32_t local_memory;
} tiling;

/* Features that the kernels are compiled for. */
static int kernel_width(int64_t features)
{
    int width = 32;
    while (width < features)
        width *= 2;
    return width;
}

static bool fits(const mn_opencl_limits *limits, tiling *t)
{
    const tile *e = &t->t;
    int floats = limits->cpu ? MN_VECTOR_FLOATS(e->ri, t->width)
                             : MN_TILED_FLOATS(e->ty * e->ri, e->columns, t->width, e->tx);
    t->local_memory = (uint32_t)sizeof(float) * (uint32_t)floats;
    return t->local_memory <= limits->local_memory &&
           (uint32_t)(e->tx * e->ty) <= limits->work_group;
}

/* Cuts a step; false, with the least local memory that was tried, when no entry fits. */
static bool cut(const mn_step *step, const mn_opencl_limits *limits, tiling *out)
{
    int64_t features = step->result.width > step->depth ? step->result.width : step->depth;
    const tile *table = limits->cpu ? cpu_tiles : gpu_tiles;
    size_t count =
        limits->cpu ? sizeof cpu_tiles / sizeof *cpu_tiles : sizeof gpu_tiles / sizeof *gpu_tiles;
    tiling t = {.width = kernel_width(features)};
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        t.t = table[i];
        if (t.width > t.t.width || !fits(limits, &t))
            continue;
        int rows = t.t.ty * t.t.ri;
        t.row_splits = (int)((step->rows + rows - 1) / rows);
        /* One further down only where it is smaller, no more work-groups come of it and no part of
           a sub-group would be idle. */
        bool full = limits->subgroup == 0 || t.t.tx * t.t.ty % (int)limits->subgroup == 0;
        if (!found || (full && t.row_splits == out->row_splits && rows < out->t.ty * out->t.ri))
            *out = t;
        found = true;
    }
    if (!found)
        *out = t;
    return found;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_opencl_limits *limits = mn_opencl_device_limits(device);
    tiling t;
    if (step->depth > WIDEST || step->result.width > WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant tiled takes up to %d",
                 step->depth > WIDEST ? step->depth : (int64_t)step->result.width, WIDEST);
    else if (step->rows > MOST_INDEX || step->groups > MOST_INDEX)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " groups of %" PRId64 " rows; variant tiled takes up to %d",
                 step->groups, step->rows, MOST_INDEX);
    else if (mn_opencl_same_elements(step, "tiled", reason)) {
        if (cut(step, limits, &t))
            return 1;
        snprintf(reason->text, sizeof reason->text,
                 "%" PRIu32 " bytes of local memory in a work-group of %d items, the device has "
                 "%" PRIu32 " and %" PRIu32,
                 t.local_memory, t.t.tx * t.t.ty, limits->local_memory, limits->work_group);
    }
    return 0;
}

static void fill(mn_opencl_launch *launch, mn_opencl_module module, const char *kernel,
                 const mn_launch_params *params, const tiling *t, monarch_dtype dtype,
                 const mn_opencl_limits *limits)
{
    *launch = (mn_opencl_launch){
        .module = module,
        .work_group = (uint32_t)(t->t.tx * t->t.ty),
        .work_groups = params->block.tasks * t->row_splits,
        .params = *params,
    };
    launch->params.block.row_splits = t->row_splits;
    snprintf(launch->kernel, sizeof launch->kernel, "%s", kernel);
    char shape[96];
    if (limits->cpu)
        snprintf(shape, sizeof shape, "-DMN_ROWS=%d", t->t.ri);
    else
        snprintf(shape, sizeof shape, "-DMN_TX=%d -DMN_TY=%d -DMN_RI=%d -DMN_COLUMNS=%d", t->t.tx,
                 t->t.ty, t->t.ri, t->t.columns);
    snprintf(launch->options, sizeof launch->options,
             "-cl-std=CL1.2 -DMN_DTYPE=%d -DMN_WIDTH=%d %s%s%s", (int)dtype, t->width, shape,
             limits->capability > 0 ? " -DMN_NVIDIA" : "",
             strcmp(kernel, "left_stats") == 0 ? " -DMN_STATS" : "");
}

static uint32_t launches(const mn_opencl_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_opencl_launch *out)
{
    (void)variant;
    static const struct {
        mn_opencl_module module;
        const char *kernel;
    } kernels[] = {
        [MONARCH_STAGE_RIGHT] = {MN_OPENCL_RIGHT, "right"},
        [MONARCH_STAGE_LEFT] = {MN_OPENCL_LEFT, "left_mean"},
        [MONARCH_STAGE_RIGHT_VALUE] = {MN_OPENCL_RIGHT_VALUE, "right_value"},
        [MONARCH_STAGE_LEFT_OUT] = {MN_OPENCL_LEFT_OUT, "left_out"},
    };
    uint32_t index = plan->runs[run].first, count = 0;
    const mn_step *step = &plan->program.steps[index];
    const mn_opencl_limits *limits = mn_opencl_device_limits(plan->device);
    monarch_dtype dtype = step->queries.dtype;
    mn_launch_params params;
    tiling t;
    cut(step, limits, &t);
    mn_params_from_step(plan, index, &params);
    if (step->kind == MONARCH_STAGE_LEFT) {
        mn_params_set_stats(&params, plan->scratch_offsets[run]);
        fill(&out[count++], MN_OPENCL_LEFT, "left_stats", &params, &t, dtype, limits);
    }
    fill(&out[count++], kernels[step->kind].module, kernels[step->kind].kernel, &params, &t, dtype,
         limits);
    return count;
}

const mn_opencl_variant mn_opencl_tiled = {
    .base = {"tiled", covers, NULL, mn_opencl_step_scratch},
    .launches = launches,
};
