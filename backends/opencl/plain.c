/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/opencl/variants.h"

/* Variant plain: shaders/opencl/plain.cl, a work-item for each row and 16 features of it. */

enum { WORK_ITEMS = 64, FEATURES = 16 };

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)device;
    (void)program;
    (void)first;
    (void)limit;
    (void)reason;
    return 1;
}

/* `features` of the widest output; 0 where there is none but numbers. */
static void set_kernel(const monarch_device *device, mn_opencl_launch *launch, const char *kernel,
                       int64_t rows, int32_t features)
{
    mn_stage_params *block = &launch->params.block;
    uint32_t most = mn_opencl_device_limits(device)->work_group;
    block->chunks = features > 0 ? (features + FEATURES - 1) / FEATURES : 1;
    launch->module = MN_OPENCL_PLAIN;
    snprintf(launch->kernel, sizeof launch->kernel, "%s", kernel);
    snprintf(launch->options, sizeof launch->options, "-cl-std=CL1.2");
    launch->work_group = most < WORK_ITEMS ? most : WORK_ITEMS;
    launch->work_groups =
        (block->tasks * rows * block->chunks + launch->work_group - 1) / launch->work_group;
}

static uint32_t launches(const mn_opencl_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_opencl_launch *launch)
{
    (void)variant;
    uint32_t index = plan->runs[run].first;
    const mn_step *step = &plan->program.steps[index];
    int32_t mean = step->mean.width, result = step->result.width;
    mn_params_from_step(plan, index, &launch[0].params);
    if (step->kind != MONARCH_STAGE_LEFT) {
        set_kernel(plan->device, &launch[0], "plain_row", step->rows,
                   mean > result ? mean : result);
        return 1;
    }
    mn_params_set_stats(&launch[0].params, plan->scratch_offsets[run]);
    launch[1].params = launch[0].params;
    set_kernel(plan->device, &launch[0], "plain_left_stats", step->rows, 0);
    set_kernel(plan->device, &launch[1], "plain_left", step->columns, mean);
    return 2;
}

const mn_opencl_variant mn_opencl_plain = {
    .base = {"plain", covers, NULL, mn_opencl_step_scratch},
    .launches = launches,
};
