/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/vulkan/stage.h"

/*
 * Variant tiled: shaders/vulkan/attend.glsl with the products of tile_fma.glsl. An invocation holds
 * 8 / LANES rows, and eight of them share those; so LANES x ROWS invocations hold ROWS rows.
 */

enum { LANES = 2, ELEMENT = 16 }; /* bytes of a vec4 */

/* Rows and columns at a time, larger ones first: more use is made of what is in shared memory. */
static const struct {
    uint32_t rows, columns;
} tiles[] = {{64, 32}, {32, 32}, {64, 16}, {32, 16}, {16, 16}, {32, 8}, {16, 8}};

static uint32_t shared_bytes(const mn_vulkan_tiling *t, bool has_result)
{
    uint32_t pitch = t->width / 4 + 1, out_pitch = has_result ? t->out / 4 + 1 : 0;
    uint32_t vectors = (t->rows + t->columns) * pitch + t->columns * out_pitch + 1 +
                       t->rows * (t->columns / 4 + 1);
    uint32_t floats = 2 * t->columns + t->rows + 1;
    return ELEMENT * vectors + 4 * floats + 32; /* and what a driver may round up */
}

static bool cut(const mn_step *step, const mn_vulkan_limits *limits, mn_vulkan_tiling *t,
                mn_reason *reason)
{
    bool has_result = step->result.width > 0;
    int64_t longest = step->rows;
    uint32_t least = 0;
    if (step->kind == MONARCH_STAGE_LEFT && step->columns > longest)
        longest = step->columns; /* its second launch */
    *t = (mn_vulkan_tiling){.lanes = LANES};
    mn_vulkan_set_features(step, t);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        t->rows = tiles[i].rows;
        t->columns = tiles[i].columns;
        t->threads = LANES * t->rows;
        least = shared_bytes(t, has_result);
        bool half_empty = t->rows > 16 && t->rows / 2 >= longest &&
                          LANES * t->rows / 2 % limits->subgroup_size == 0;
        if (least <= limits->shared_memory && t->threads <= limits->invocations && !half_empty &&
            limits->subgroup_size >= LANES && t->threads % limits->subgroup_size == 0)
            return true;
    }
    snprintf(reason->text, sizeof reason->text,
             "%" PRIu32 " bytes of shared memory in a work-group, the device has %" PRIu32
             "; or subgroups of %" PRIu32 " invocations, which do not divide one",
             least, limits->shared_memory, limits->subgroup_size);
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_vulkan_limits *limits = mn_vulkan_device_limits(device);
    mn_vulkan_tiling t;
    return mn_vulkan_stage_fits(step, limits, variant->name, reason) &&
           cut(step, limits, &t, reason);
}

static uint32_t launches(const mn_vulkan_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_vulkan_launch *out)
{
    (void)variant;
    const mn_vulkan_limits *limits = mn_vulkan_device_limits(plan->device);
    mn_vulkan_tiling t;
    mn_reason reason;
    cut(&plan->program.steps[plan->runs[run].first], limits, &t, &reason);
    const mn_vulkan_shader base = {
        .module = MN_VULKAN_TILED_RIGHT,
        .constant_count = 2,
        .constants = {t.out % 64 == 0 && t.threads >= 128 ? 16 : 8, 1},
        .subgroup_size = limits->subgroup_size,
    };
    return mn_vulkan_stage_launches(plan, run, &t, &base, out);
}

const mn_vulkan_variant mn_vulkan_tiled = {
    .base = {"tiled", covers, NULL, mn_vulkan_step_scratch},
    .launches = launches,
};
