/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/vulkan/stage.h"

/*
 * Variant tiled: shaders/vulkan/attend_fma.glsl. How a step is cut into work-groups, from a table
 * of tiles. Nothing of a device is assumed: an entry is taken only where its shared memory and its
 * invocations are there.
 */

enum {
    VECTOR = 16,        /* bytes of a vec4 */
    DEPTH = 8,          /* features of rows and columns at a time */
    ACROSS = 16,        /* invocations that share a row, 4 features of an output each */
    OUT = 4 * ACROSS,   /* features of an output at a time */
    MOST_COLUMNS = 128, /* at a time */
    MOST_NUMBERS = 96   /* scores and sums of an invocation: more would not be registers */
};

/* A work-group: `down` invocations share a column, each has `own` rows, of which one costs
   `weight`. */
typedef struct tile {
    uint32_t down, own, weight;
} tile;

/*
 * In order of preference. Larger work-groups were slower on an H100, since fewer of them share a
 * multiprocessor. Smaller ones, of 8 or 2 x 16 invocations, were taken out when RIGHT went wrong
 * with them; that was the depth of params.glsl, not their size, but they have not been timed since.
 */
static const tile tiles[] = {{8, 8, 10}, {8, 4, 11}, {4, 4, 14}};

typedef struct cutting {
    tile t;
    mn_vulkan_tiling tiling;
    uint32_t pool; /* vectors */
    uint32_t held; /* outputs that are summed up at once */
    bool one_tile; /* that holds all columns */
} cutting;

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* As tile_fma.glsl divides it. */
static uint32_t pool_vectors(const cutting *c)
{
    const mn_vulkan_tiling *t = &c->tiling;
    uint32_t runs = ACROSS * (t->rows / 4 + 2);
    uint32_t scores = (t->rows + t->columns) * (DEPTH / 4 + 1);
    return larger(larger(scores, 2 * runs), runs + c->held * ACROSS * OUT / 4);
}

static uint32_t shared_bytes(const cutting *c)
{
    const mn_vulkan_tiling *t = &c->tiling;
    return VECTOR * c->pool + 4 * (2 * t->rows + 2 * t->columns) + 32; /* and for a driver */
}

/* All columns at once, in few different numbers of them: each is a shader to compile. Or half of
   what registers can hold, since the sums of the outputs are there at the same time. */
static void cut_columns(int64_t columns, cutting *c)
{
    int64_t part = columns > 32 ? 32 : ACROSS;
    int64_t needed = divide_up(columns, part) * part;
    c->one_tile = needed <= MOST_COLUMNS;
    c->tiling.columns = c->one_tile ? (uint32_t)needed : MOST_COLUMNS / 2;
}

/* Both outputs at once where one part of their features is all and registers hold the sums. Parts
   are for work-groups of their own where scores of all columns are not at hand at the end. */
static void cut_outputs(const mn_step *step, cutting *c)
{
    mn_vulkan_tiling *t = &c->tiling;
    int64_t means = divide_up(step->mean.width, OUT);
    int64_t results = divide_up(step->result.width, OUT);
    uint32_t numbers = c->t.own * (t->columns / ACROSS + 2 * 4);
    c->held = means == 1 && results == 1 && numbers <= MOST_NUMBERS ? 2 : 1;
    t->chunks = c->one_tile || c->held == 2 ? 1 : (uint32_t)(means + results);
    t->width = t->chunks * OUT;
}

static cutting cut_by(const mn_step *step, int64_t columns, const tile *t)
{
    cutting c = {
        .t = *t,
        .tiling =
            {
                .dtype = (uint32_t)step->queries.dtype,
                .rows = t->down * t->own,
                .threads = ACROSS * t->down,
                .lanes = ACROSS,
                .out = OUT,
            },
    };
    cut_columns(columns, &c);
    cut_outputs(step, &c);
    c.pool = pool_vectors(&c);
    return c;
}

/* What the rows of a group cost, those of tiles that hang over included, by what tiles took on an
   H100: with fewer rows more is loaded and read for each product. */
static int64_t cost(int64_t rows, const tile *t)
{
    return divide_up(rows, t->down * t->own) * t->down * t->own * t->weight;
}

static bool cut(const mn_step *step, const mn_vulkan_limits *limits, cutting *out,
                mn_reason *reason)
{
    int64_t rows = step->rows, columns = step->columns;
    bool found = false;
    if (step->kind == MONARCH_STAGE_LEFT) /* its second launch has them the other way round */
        rows = columns = rows > columns ? rows : columns;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        const cutting c = cut_by(step, columns, &tiles[i]);
        const mn_vulkan_tiling *t = &c.tiling;
        if (!found)
            snprintf(reason->text, sizeof reason->text,
                     "%" PRIu32 " bytes of shared memory in a work-group of %" PRIu32
                     " invocations, the device has %" PRIu32 " and %" PRIu32,
                     shared_bytes(&c), t->threads, limits->shared_memory, limits->invocations);
        bool full = t->threads % limits->subgroup_size == 0;
        if (shared_bytes(&c) > limits->shared_memory || t->threads > limits->invocations ||
            (found && !(full && cost(rows, &c.t) < cost(rows, &out->t))))
            continue;
        *out = c;
        found = true;
    }
    return found;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_vulkan_limits *limits = mn_vulkan_device_limits(device);
    cutting c;
    return mn_vulkan_stage_fits(step, limits, variant->name, reason) &&
           cut(step, limits, &c, reason);
}

/* Whether nothing of a tile is absent: its shaders ask nothing then. */
static bool is_whole(const mn_program *program, const mn_step *step, const cutting *c)
{
    const monarch_problem *p = &program->problem;
    return !p->has_mask && p->tokens == program->blocks * p->block_size &&
           p->head_dim == p->value_dim && p->head_dim % OUT == 0 &&
           step->rows % c->tiling.rows == 0 && step->columns % c->tiling.columns == 0;
}

static uint32_t launches(const mn_vulkan_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_vulkan_launch *out)
{
    (void)variant;
    const mn_step *step = &plan->program.steps[plan->runs[run].first];
    cutting c;
    mn_reason reason;
    cut(step, mn_vulkan_device_limits(plan->device), &c, &reason);
    const mn_vulkan_shader base = {
        .module = MN_VULKAN_TILED_RIGHT,
        .constant_count = 4,
        .constants = {c.pool, is_whole(&plan->program, step, &c), c.one_tile, c.held},
    };
    return mn_vulkan_stage_launches(plan, run, &c.tiling, &base, out);
}

const mn_vulkan_variant mn_vulkan_tiled = {
    .base = {"tiled", covers, NULL, mn_vulkan_step_scratch},
    .launches = launches,
};
