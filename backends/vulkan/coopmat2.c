/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include <monarch/vulkan.h>

#include "backends/vulkan/stage.h"
#include "backends/vulkan/vulkan.h"

/*
 * Variant coopmat2: shaders/vulkan/attend_matrix.glsl, on cooperative matrices that can be reduced,
 * changed element by element and converted (VK_NV_cooperative_matrix2). A subgroup holds M rows.
 */

/*
 * Four subgroups, as two such work-groups find room on a multiprocessor of an H100 at once: one
 * computes while the other waits for its loads.
 */
enum { WORD = 16, SUBGROUPS = 4 };

typedef struct cutting {
    mn_vulkan_tiling tiling;
    const mn_vulkan_matrix *matrix;
    bool one_tile; /* of columns */
} cutting;

static uint32_t shared_bytes(const mn_vulkan_tiling *t)
{
    uint32_t longest = t->rows > t->columns ? t->rows : t->columns;
    uint32_t floats = 2 * t->columns + 5 * t->rows + 1;
    return WORD * longest * (t->width / 8 + 1) + 4 * floats + 32; /* a driver may round up */
}

/* The largest shape with elements of the step's type whose sums are a left operand again. */
static const mn_vulkan_matrix *choose_matrix(const mn_vulkan_limits *limits, monarch_dtype dtype)
{
    const mn_vulkan_matrix *chosen = NULL;
    for (uint32_t i = 0; i < limits->matrix_count; i++) {
        const mn_vulkan_matrix *m = &limits->matrices[i];
        /* Words of shared memory hold 8 elements: pieces of rows begin and end with them. */
        bool usable = m->dtype == dtype && m->n == m->k && m->n % 8 == 0 && 32 % m->n == 0;
        if (usable && (!chosen || m->m * m->n > chosen->m * chosen->n))
            chosen = m;
    }
    return chosen;
}

/*
 * How many columns at a time: the fewest in all, counting absent ones of the last tile, and of
 * equals the largest tile that fits shared memory and registers. More than 64 only where they are
 * all, since then no sums must be kept while there are scores.
 */
static bool choose_columns(mn_vulkan_tiling *t, int64_t longest, const mn_vulkan_limits *limits)
{
    static const uint32_t tiles[] = {128, 96, 64, 32};
    int64_t least = INT64_MAX;
    uint32_t chosen = 0;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        int64_t all = (longest + tiles[i] - 1) / tiles[i] * tiles[i];
        t->columns = tiles[i];
        if (all < least && tiles[i] * t->width <= 128 * 64 && (tiles[i] <= 64 || all == tiles[i]) &&
            shared_bytes(t) <= limits->shared_memory) {
            least = all;
            chosen = tiles[i];
        }
    }
    t->columns = chosen;
    return chosen > 0;
}

static bool cut(const mn_step *step, const mn_vulkan_limits *limits, cutting *c)
{
    bool left = step->kind == MONARCH_STAGE_LEFT;
    int64_t longest = step->rows > step->columns || !left ? step->rows : step->columns;
    int64_t columns = left ? longest : step->columns; /* LEFT's second launch is transposed */
    uint32_t subgroups = SUBGROUPS;
    *c = (cutting){.matrix = choose_matrix(limits, step->queries.dtype)};
    mn_vulkan_tiling *t = &c->tiling;
    if (!c->matrix)
        return false;
    mn_vulkan_set_features(step, t);
    while (subgroups > 1 && (subgroups / 2 * c->matrix->m >= longest ||
                             subgroups * limits->subgroup_size > limits->invocations))
        subgroups /= 2;
    t->lanes = limits->subgroup_size;
    do {
        t->rows = subgroups * c->matrix->m;
        t->threads = subgroups * limits->subgroup_size;
        if (choose_columns(t, columns, limits)) {
            c->one_tile = columns <= t->columns;
            return true;
        }
        subgroups /= 2;
    } while (subgroups > 0);
    return false;
}

static bool has_matrices(const mn_vulkan_limits *limits, monarch_dtype dtype, mn_reason *reason)
{
    if (dtype == MONARCH_F32)
        snprintf(reason->text, sizeof reason->text,
                 "f32: matrix units would round it; variant coopmat2 takes f16 and bf16");
    else if (!mn_vulkan_has_module(MN_VULKAN_COOPMAT2_F16))
        snprintf(reason->text, sizeof reason->text,
                 "this build has no shaders of variant coopmat2: its compiler did not know "
                 "GL_NV_cooperative_matrix2");
    else if (!(limits->features & MONARCH_VULKAN_COOPERATIVE_MATRIX2))
        snprintf(reason->text, sizeof reason->text,
                 "the device lacks VK_NV_cooperative_matrix2 or features of it, which variant "
                 "coopmat2 needs");
    else if (!choose_matrix(limits, dtype))
        snprintf(reason->text, sizeof reason->text,
                 "the device has no cooperative matrices of %s with f32 sums that a subgroup can "
                 "use; variant coopmat2 needs them",
                 monarch_dtype_name(dtype));
    else
        return true;
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_vulkan_limits *limits = mn_vulkan_device_limits(device);
    cutting c;
    if (!has_matrices(limits, step->queries.dtype, reason) ||
        !mn_vulkan_sized_subgroups(limits, variant->name, reason) ||
        !mn_vulkan_stage_fits(step, limits, variant->name, reason))
        return 0;
    if (cut(step, limits, &c))
        return 1;
    snprintf(reason->text, sizeof reason->text,
             "%" PRId64 " features: no cut of variant coopmat2 fits %" PRIu32
             " bytes of shared memory",
             step->depth, limits->shared_memory);
    return 0;
}

/* Wherever it can: on an H100 it took 0.55 to 0.96 of variant coopmat's time on five problems. */
static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)program;
    (void)first;
    (void)count;
    return true;
}

static uint32_t launches(const mn_vulkan_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_vulkan_launch *out)
{
    (void)variant;
    const mn_vulkan_limits *limits = mn_vulkan_device_limits(plan->device);
    const mn_step *step = &plan->program.steps[plan->runs[run].first];
    cutting c;
    if (!cut(step, limits, &c)) /* covers has asked */
        return 0;
    const bool bf16 = step->queries.dtype == MONARCH_BF16;
    const mn_vulkan_shader base = {
        .module = bf16 ? MN_VULKAN_COOPMAT2_BF16 : MN_VULKAN_COOPMAT2_F16,
        .constant_count = 3,
        .constants = {c.matrix->m, c.matrix->n, c.one_tile},
        .subgroup_size = limits->subgroup_size,
    };
    return mn_vulkan_stage_launches(plan, run, &c.tiling, &base, out);
}

const mn_vulkan_variant mn_vulkan_coopmat2 = {
    .base = {"coopmat2", covers, suits, mn_vulkan_step_scratch},
    .launches = launches,
};
