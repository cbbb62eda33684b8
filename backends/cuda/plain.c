/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/cuda/variants.h"

/* Variant plain: shaders/cuda/plain.cu, a work-group for each row. */

enum { THREADS = 128 };

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

static void set_kernel(mn_cuda_launch *launch, const char *kernel, int64_t rows)
{
    launch->module = MN_CUDA_PLAIN;
    snprintf(launch->kernel, sizeof launch->kernel, "%s", kernel);
    launch->threads = THREADS;
    launch->work_groups = launch->params.block.tasks * rows;
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *launch)
{
    (void)variant;
    uint32_t index = plan->runs[run].first;
    const mn_step *step = &plan->program.steps[index];
    mn_params_from_step(plan, index, &launch[0].params);
    if (step->kind != MONARCH_STAGE_LEFT) {
        set_kernel(&launch[0], step->mean.e4m3 ? "plain_row_fp8" : "plain_row", step->rows);
        return 1;
    }
    mn_params_set_stats(&launch[0].params, plan->scratch_offsets[run]);
    launch[1].params = launch[0].params;
    set_kernel(&launch[0], "plain_left_stats", step->rows);
    set_kernel(&launch[1], "plain_left", step->columns);
    return 2;
}

const mn_cuda_variant mn_cuda_plain = {
    .base = {"plain", covers, NULL, mn_cuda_step_scratch},
    .launches = launches,
};
