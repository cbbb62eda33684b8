/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/stage.h"

#include <inttypes.h>
#include <stdio.h>

#include <monarch/vulkan.h>

enum { MOST_INDEX = 1 << 24 };
enum { RIGHT, RIGHT_VALUE, LEFT_STATS, LEFT_MEAN, LEFT_OUT }; /* as in attend.glsl */

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

bool mn_vulkan_sized_subgroups(const mn_vulkan_limits *limits, const char *variant,
                               mn_reason *reason)
{
    if (limits->features & MONARCH_VULKAN_SUBGROUP_SIZE)
        return true;
    snprintf(reason->text, sizeof reason->text,
             "the device lacks subgroups of a required size that shuffle, which variant %s needs",
             variant);
    return false;
}

bool mn_vulkan_stage_fits(const mn_step *step, const mn_vulkan_limits *limits, const char *variant,
                          mn_reason *reason)
{
    if (!limits->by_address)
        snprintf(reason->text, sizeof reason->text,
                 "the device lacks shaderInt64, bufferDeviceAddress, storageBuffer16BitAccess or "
                 "storageBuffer8BitAccess, which variant %s needs",
                 variant);
    else if (step->depth > MN_VULKAN_WIDEST || step->result.width > MN_VULKAN_WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant %s takes up to %d",
                 step->depth > MN_VULKAN_WIDEST ? step->depth : (int64_t)step->result.width,
                 variant, MN_VULKAN_WIDEST);
    else if (step->rows > MOST_INDEX || step->columns > MOST_INDEX || step->groups > MOST_INDEX)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " groups of %" PRId64 " x %" PRId64 "; variant %s takes up to %d",
                 step->groups, step->rows, step->columns, variant, MOST_INDEX);
    else
        return mn_vulkan_same_elements(step, variant, reason);
    return false;
}

void mn_vulkan_set_features(const mn_step *step, mn_vulkan_tiling *t)
{
    static const uint32_t widths[] = {32, 64, 96, 128, MN_VULKAN_WIDEST};
    int64_t features = step->result.width > step->depth ? step->result.width : step->depth;
    size_t i = 0;
    while (widths[i] < features)
        i++;
    t->width = widths[i];
    t->out = t->width > MN_VULKAN_WIDEST_OUT ? MN_VULKAN_WIDEST_OUT : t->width;
    t->dtype = (uint32_t)step->queries.dtype;
    t->chunks = 1;
    if (t->width > t->out)
        t->chunks =
            (uint32_t)(divide_up(step->mean.width, t->out) + divide_up(step->result.width, t->out));
}

static void fill(mn_vulkan_launch *launch, uint32_t form, const mn_launch_params *params,
                 const mn_vulkan_tiling *t, const mn_vulkan_shader *base)
{
    const mn_stage_params *block = &params->block;
    const uint32_t constants[] = {t->width,   t->out,     t->dtype, t->rows,
                                  t->columns, t->threads, t->lanes};
    const uint32_t shared = sizeof constants / sizeof *constants;
    int64_t rows = form == LEFT_MEAN ? block->columns : block->rows;
    int64_t splits = divide_up(rows, t->rows);
    uint32_t chunks = form == LEFT_STATS ? 1 : t->chunks;
    launch->shader = *base;
    launch->shader.module = (mn_vulkan_module)(base->module + form);
    memcpy(launch->shader.constants, constants, sizeof constants);
    memcpy(launch->shader.constants + shared, base->constants,
           base->constant_count * sizeof *base->constants);
    launch->shader.constant_count = shared + base->constant_count;
    launch->params = *params;
    launch->params.block.row_splits = (int32_t)splits;
    launch->params.block.chunks = (int32_t)chunks;
    launch->work_groups = block->tasks * splits * chunks;
}

uint32_t mn_vulkan_stage_launches(const monarch_plan *plan, uint32_t run, const mn_vulkan_tiling *t,
                                  const mn_vulkan_shader *base, mn_vulkan_launch *launches)
{
    static const uint32_t forms[] = {
        [MONARCH_STAGE_RIGHT] = RIGHT,
        [MONARCH_STAGE_LEFT] = LEFT_MEAN,
        [MONARCH_STAGE_RIGHT_VALUE] = RIGHT_VALUE,
        [MONARCH_STAGE_LEFT_OUT] = LEFT_OUT,
    };
    uint32_t index = plan->runs[run].first, count = 0;
    const mn_step *step = &plan->program.steps[index];
    mn_launch_params params;
    mn_params_from_step(plan, index, &params);
    if (step->kind == MONARCH_STAGE_LEFT) {
        mn_params_set_stats(&params, plan->scratch_offsets[run]);
        fill(&launches[count++], LEFT_STATS, &params, t, base);
    }
    fill(&launches[count++], forms[step->kind], &params, t, base);
    return count;
}
