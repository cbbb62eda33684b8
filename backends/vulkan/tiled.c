/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/vulkan/stage.h"

/*
 * Variant tiled: shaders/vulkan/attend.glsl with the products of tile_fma.glsl. An invocation holds
 * 8 / lanes rows, and eight of them share those; so lanes x rows invocations hold `rows` rows.
 */

enum { ELEMENT = 16 /* bytes of a vec4 */, DEEP = 4 };

/*
 * Rows and columns at a time, larger ones first: more use is made of what is in shared memory. Few
 * rows are shared by more lanes: a work-group takes most of the shared memory that an H100 has for
 * all of them, so it must bring enough invocations by itself.
 */
static const struct {
    uint32_t rows, columns, lanes;
} tiles[] = {{128, 32, 2}, {64, 32, 4}, {64, 16, 4}, {32, 32, 4},
             {32, 16, 4},  {16, 16, 4}, {32, 8, 2},  {16, 8, 2}};

static uint32_t shared_bytes(const mn_vulkan_tiling *t)
{
    uint32_t vectors = (t->rows + t->columns) * (t->width / 4 + 1);
    uint32_t floats = 2 * t->columns + t->rows + 1;
    return ELEMENT * vectors + 4 * floats + 32; /* and what a driver may round up */
}

static bool cut(const mn_step *step, const mn_vulkan_limits *limits, mn_vulkan_tiling *t,
                mn_reason *reason)
{
    int64_t longest = step->rows;
    uint32_t least = 0;
    if (step->kind == MONARCH_STAGE_LEFT && step->columns > longest)
        longest = step->columns; /* its second launch */
    *t = (mn_vulkan_tiling){.lanes = 0};
    mn_vulkan_set_features(step, t);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        t->rows = tiles[i].rows;
        t->columns = tiles[i].columns;
        t->lanes = tiles[i].lanes;
        t->threads = t->lanes * t->rows;
        least = shared_bytes(t);
        bool half_empty =
            t->rows > 16 && t->rows / 2 >= longest && t->threads / 2 % limits->subgroup_size == 0;
        if (least <= limits->shared_memory && t->threads <= limits->invocations && !half_empty &&
            limits->subgroup_size >= t->lanes && t->threads % limits->subgroup_size == 0)
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
        .constants = {t.out % 64 == 0 && t.threads >= 128 ? 16 : 8, DEEP},
        .subgroup_size = limits->subgroup_size,
    };
    return mn_vulkan_stage_launches(plan, run, &t, &base, out);
}

const mn_vulkan_variant mn_vulkan_tiled = {
    .base = {"tiled", covers, NULL, mn_vulkan_step_scratch},
    .launches = launches,
};
