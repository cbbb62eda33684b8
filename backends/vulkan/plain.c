/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include <monarch/vulkan.h>

#include "backends/vulkan/variants.h"
#include "core/layout.h"

/* Variant plain: shaders/vulkan/plain.comp, a work-group for each row. */

enum { KERNEL_ROW, KERNEL_LEFT_STATS, KERNEL_LEFT_MEAN }; /* as in the shader */

/* What a binding may have to hold beside what is asked for: up to here it begins ahead of it. */
enum { BOUND_SLACK = 512 };

/* Whether descriptors can bind all that a program touches: each tensor, and a workspace that may be
   as large as all that ever lies in it. */
static bool is_bound(const mn_program *program, const mn_vulkan_limits *limits, mn_reason *reason)
{
    const char *largest = "intermediates";
    uint64_t most = 0;
    for (uint32_t i = 0; i < program->slot_count; i++)
        most += program->slots[i].bytes + BOUND_SLACK;
    for (uint32_t i = 0; i < program->step_count; i++)
        if (program->steps[i].kind == MONARCH_STAGE_LEFT)
            most += mn_params_stats_size(program, &program->steps[i]) + BOUND_SLACK;
    for (int i = 0; i < MN_TENSOR_COUNT; i++) {
        mn_extent extent = {0, 0};
        mn_layout_extent(&program->problem, (mn_tensor_id)i, &extent);
        if ((uint64_t)(extent.end - extent.begin) > most) {
            most = (uint64_t)(extent.end - extent.begin);
            largest = mn_tensor_name((mn_tensor_id)i);
        }
    }
    if (most + BOUND_SLACK <= limits->bound_bytes)
        return true;
    snprintf(reason->text, sizeof reason->text,
             "%s of %" PRIu64 " bytes; a device without shaderInt64, bufferDeviceAddress, "
             "storageBuffer16BitAccess or storageBuffer8BitAccess binds up to %" PRIu64,
             largest, most, limits->bound_bytes);
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)first;
    (void)limit;
    const mn_vulkan_limits *limits = mn_vulkan_device_limits(device);
    return limits->by_address || is_bound(program, limits, reason);
}

static bool has_halves(const mn_step *step)
{
    const mn_operand *all[] = {&step->queries, &step->keys, &step->values, &step->mean,
                               &step->result};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->width > 0 && all[i]->dtype != MONARCH_F32)
            return true;
    return false;
}

/* Source of each operand, as the shader has them. */
static uint32_t sources_of(const mn_launch_params *params)
{
    uint32_t sources = 0;
    for (int i = 0; i < MN_OPERAND_COUNT; i++)
        sources |= (uint32_t)params->source[i] << 3 * i;
    return sources;
}

static void set_kernel(const monarch_plan *plan, const mn_step *step, mn_vulkan_launch *launch,
                       uint32_t kernel, int64_t rows)
{
    bool by_address = mn_vulkan_device_limits(plan->device)->by_address;
    launch->shader = (mn_vulkan_shader){
        .module = by_address ? MN_VULKAN_PLAIN : MN_VULKAN_PLAIN_BOUND,
        .constant_count = by_address ? 1 : 3,
        .constants = {kernel, sources_of(&launch->params), has_halves(step)},
    };
    launch->work_groups = launch->params.block.tasks * rows;
}

static uint32_t launches(const mn_vulkan_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_vulkan_launch *launch)
{
    (void)variant;
    uint32_t index = plan->runs[run].first;
    const mn_step *step = &plan->program.steps[index];
    mn_params_from_step(plan, index, &launch[0].params);
    if (step->kind != MONARCH_STAGE_LEFT) {
        set_kernel(plan, step, &launch[0], KERNEL_ROW, step->rows);
        return 1;
    }
    mn_params_set_stats(&launch[0].params, plan->scratch_offsets[run]);
    launch[1].params = launch[0].params;
    set_kernel(plan, step, &launch[0], KERNEL_LEFT_STATS, step->rows);
    set_kernel(plan, step, &launch[1], KERNEL_LEFT_MEAN, step->columns);
    return 2;
}

const mn_vulkan_variant mn_vulkan_plain = {
    .base = {"plain", covers, NULL, mn_vulkan_step_scratch},
    .launches = launches,
};
