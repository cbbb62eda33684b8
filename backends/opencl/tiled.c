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

/* A work-group: tx items share a row, ty a column, each has `ri` rows; `columns` at a time at most,
   and `chunk` of them for the outputs. */
typedef struct tile {
    int width; /* features that it is for, at most */
    int tx, ty, ri, columns, chunk;
} tile;

/* For GPUs, in order of preference for a width. A work-item's registers hold the scores of ri rows
   and columns / tx columns, or ri rows of its part of two outputs. A work-group has at least as
   many items as there are vectors of 4 in a row. */
static const tile gpu_tiles[] = {
    {32, 8, 16, 4, 128, 16}, {32, 8, 16, 4, 64, 16},  {32, 8, 8, 4, 64, 16},
    {32, 8, 4, 4, 32, 16},   {64, 16, 8, 8, 128, 16}, {64, 16, 8, 8, 64, 16},
    {64, 16, 8, 4, 128, 16}, {64, 16, 8, 4, 32, 16},  {64, 16, 4, 4, 128, 16},
    {64, 16, 4, 4, 32, 16},  {64, 16, 2, 4, 32, 16},  {128, 16, 8, 4, 128, 16},
    {128, 16, 8, 4, 64, 16}, {128, 16, 4, 4, 64, 16}, {128, 16, 4, 4, 32, 8},
    {128, 16, 2, 4, 32, 8},  {256, 32, 4, 4, 128, 8}, {256, 32, 4, 4, 64, 8},
    {256, 16, 4, 4, 32, 8},  {256, 32, 2, 4, 64, 4},
};

/* For processors: a work-group is one item that has so many rows. */
static const tile cpu_tiles[] = {
    {WIDEST, 1, 1, 32, MN_VECTOR_COLUMNS, 0},
    {WIDEST, 1, 1, 16, MN_VECTOR_COLUMNS, 0},
    {WIDEST, 1, 1, 4, MN_VECTOR_COLUMNS, 0},
};

typedef struct tiling {
    tile t;
    int width, row_splits;
    bool one_tile; /* that holds all columns */
    bool whole;    /* no row, column or feature of a tile is absent */
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
    int floats = limits->cpu
                     ? MN_VECTOR_FLOATS(e->ri, t->width)
                     : MN_TILED_FLOATS(e->ty * e->ri, e->columns, t->width, e->tx, e->chunk);
    t->local_memory = (uint32_t)sizeof(float) * (uint32_t)floats;
    return t->local_memory <= limits->local_memory &&
           (uint32_t)(e->tx * e->ty) <= limits->work_group;
}

/* All columns at once, in whole chunks and parts of the items, and few different numbers of them:
   each is a kernel to compile. Or half of what an item's registers can hold, since the sums of the
   outputs are there at the same time. */
static void cut_columns(const mn_step *step, tiling *t)
{
    int least = t->t.tx > t->t.chunk ? t->t.tx : t->t.chunk;
    int part = step->columns > 32 ? 32 : least;
    int64_t needed = (step->columns + part - 1) / part * part;
    t->one_tile = needed <= t->t.columns;
    t->t.columns = t->one_tile ? (int)needed : t->t.columns / 2;
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
        if (!limits->cpu)
            cut_columns(step, &t);
        if (t.width > t.t.width || t.width < 4 * t.t.tx || !fits(limits, &t))
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

/* Whether the kernels apply that ask nothing about a tile. */
static bool is_whole(const mn_program *program, const mn_step *step, const tiling *t)
{
    const monarch_problem *p = &program->problem;
    return !p->has_mask && p->tokens == program->blocks * p->block_size &&
           p->head_dim == t->width && p->value_dim == t->width &&
           step->rows % (t->t.ty * t->t.ri) == 0 && step->columns % t->t.columns == 0;
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
    char shape[192];
    if (limits->cpu)
        snprintf(shape, sizeof shape, "-DMN_ROWS=%d", t->t.ri);
    else
        snprintf(shape, sizeof shape,
                 "-DMN_TX=%d -DMN_TY=%d -DMN_RI=%d -DMN_COLUMNS=%d -DMN_CHUNK=%d "
                 "-DMN_ONE_TILE=%d -DMN_WHOLE=%d",
                 t->t.tx, t->t.ty, t->t.ri, t->t.columns, t->t.chunk, t->one_tile, t->whole);
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
    t.whole = is_whole(&plan->program, step, &t);
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
