/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include <monarch/vulkan.h>

#include "backends/vulkan/stage.h"
#include "backends/vulkan/vulkan.h"

/*
 * Variant coopmat: shaders/vulkan/attend.glsl with the products of tile_matrix.glsl, on the
 * cooperative matrices of the device. A subgroup holds `fragments` times M rows.
 */

enum { WORD = 16, FORMS = 5 };

/* How much a work-group holds, larger ones first. */
static const struct {
    uint32_t subgroups, fragments, columns;
} tiles[] = {{4, 1, 32}, {2, 1, 32}, {1, 1, 32}, {2, 1, 16}, {1, 1, 16}};

typedef struct cutting {
    mn_vulkan_tiling tiling;
    const mn_vulkan_matrix *matrix;
    uint32_t fragments;
} cutting;

static uint32_t shared_bytes(const mn_vulkan_tiling *t, bool has_result)
{
    uint32_t pitch = t->width / 8 + 1, score_pitch = t->columns / 4 + 1;
    uint32_t row_pitch = pitch > score_pitch ? pitch : score_pitch;
    uint32_t out_pitch = has_result ? t->out / 8 + 1 : 0;
    uint32_t words = t->rows * row_pitch + t->columns * (pitch + out_pitch) + 1;
    uint32_t floats = 2 * t->columns + t->rows + 1;
    return WORD * words + 4 * floats + 32; /* and what a driver may round up */
}

/* Registers of an invocation that hold sums of the outputs: beyond this many they would spill. */
enum { MOST_SUMS = 128 };

static bool suits_matrix(const cutting *c, bool both, const mn_vulkan_limits *limits)
{
    const mn_vulkan_tiling *t = &c->tiling;
    const mn_vulkan_matrix *m = c->matrix;
    uint32_t rows = c->fragments * m->m, sums = c->fragments * m->m * t->out;
    sums = (both ? 2 : 1) * sums / limits->subgroup_size;
    return rows <= limits->subgroup_size && limits->subgroup_size % rows == 0 &&
           t->columns % (8 * (limits->subgroup_size / rows)) == 0 && t->columns % m->n == 0 &&
           t->columns % m->k == 0 && t->out % m->n == 0 && t->width % m->k == 0 &&
           (c->fragments == 1 || sums <= MOST_SUMS);
}

/* The matrix shape with the most rows that has 16-bit elements of the step's type. */
static const mn_vulkan_matrix *choose_matrix(const mn_vulkan_limits *limits, monarch_dtype dtype)
{
    const mn_vulkan_matrix *chosen = NULL;
    for (uint32_t i = 0; i < limits->matrix_count; i++) {
        const mn_vulkan_matrix *m = &limits->matrices[i];
        /* Words of shared memory hold 8 elements: pieces of rows begin and end with them. */
        bool usable = m->dtype == dtype && m->n % 8 == 0 && m->k % 8 == 0 && m->m % 8 == 0 &&
                      m->m <= limits->subgroup_size && limits->subgroup_size % m->m == 0;
        if (usable && (!chosen || m->m * m->n * m->k > chosen->m * chosen->n * chosen->k))
            chosen = m;
    }
    return chosen;
}

static bool cut(const mn_step *step, const mn_vulkan_limits *limits, cutting *c)
{
    bool has_result = step->result.width > 0, both = has_result && step->mean.width > 0;
    int64_t longest = step->rows;
    if (step->kind == MONARCH_STAGE_LEFT && step->columns > longest)
        longest = step->columns; /* its second launch */
    *c = (cutting){.matrix = choose_matrix(limits, step->queries.dtype)};
    mn_vulkan_tiling *t = &c->tiling;
    if (!c->matrix)
        return false;
    mn_vulkan_set_features(step, t);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        c->fragments = tiles[i].fragments;
        t->rows = tiles[i].subgroups * c->fragments * c->matrix->m;
        t->columns = tiles[i].columns;
        t->threads = tiles[i].subgroups * limits->subgroup_size;
        t->lanes = limits->subgroup_size / (c->fragments * c->matrix->m);
        bool half_empty = t->rows > c->matrix->m && t->rows / 2 >= longest;
        if (suits_matrix(c, both, limits) && t->threads <= limits->invocations && !half_empty &&
            shared_bytes(t, has_result) <= limits->shared_memory)
            return true;
    }
    return false;
}

static bool has_matrices(const mn_vulkan_limits *limits, monarch_dtype dtype, mn_reason *reason)
{
    const mn_vulkan_module first =
        dtype == MONARCH_BF16 ? MN_VULKAN_COOPMAT_BF16 : MN_VULKAN_COOPMAT_F16;
    if (dtype == MONARCH_F32)
        snprintf(reason->text, sizeof reason->text,
                 "f32: matrix units would round it; variant coopmat takes f16 and bf16");
    else if (!mn_vulkan_has_module(first))
        snprintf(reason->text, sizeof reason->text,
                 "this build has no shaders of variant coopmat: its compiler did not know "
                 "GL_KHR_cooperative_matrix");
    else if (!(limits->features & MONARCH_VULKAN_COOPERATIVE_MATRIX))
        snprintf(reason->text, sizeof reason->text,
                 "the device lacks VK_KHR_cooperative_matrix, which variant coopmat needs");
    else if (!choose_matrix(limits, dtype))
        snprintf(reason->text, sizeof reason->text,
                 "the device has no cooperative matrices of %s with f32 sums that a subgroup of "
                 "%" PRIu32 " can use; variant coopmat needs them",
                 monarch_dtype_name(dtype), limits->subgroup_size);
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
             "%" PRId64 " features: no cut of variant coopmat fits the device's matrices and its "
             "%" PRIu32 " bytes of shared memory",
             step->depth, limits->shared_memory);
    return 0;
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
    const mn_vulkan_shader base = {
        .module =
            step->queries.dtype == MONARCH_BF16 ? MN_VULKAN_COOPMAT_BF16 : MN_VULKAN_COOPMAT_F16,
        .constant_count = 4,
        .constants = {c.matrix->m, c.matrix->n, c.matrix->k, c.fragments},
        .subgroup_size = limits->subgroup_size,
    };
    return mn_vulkan_stage_launches(plan, run, &c.tiling, &base, out);
}

const mn_vulkan_variant mn_vulkan_coopmat = {
    .base = {"coopmat", covers, NULL, mn_vulkan_step_scratch},
    .launches = launches,
};
