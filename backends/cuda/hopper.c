/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/variants.h"
#include "shaders/cuda/layout.h"

/*
 * Stages by warpgroups, for GPUs of compute capability 9.0: a work-group holds the operands of two
 * score matrices in shared memory and does one while the other's are loaded. There are only as many
 * work-groups as run at once; each goes on to the next matrix.
 */

enum { CAPABILITY = 90, PANEL = 64, WIDEST = 128, WARPGROUP_ROWS = 64, WARPGROUP = 128 };

/* Threads that registers suffice for, in a work-group and on a multiprocessor: the kernels are
   compiled for 128 registers a thread up to 64 features, for 255 up to 128. */
static int most_threads(int panels)
{
    return panels == 1 ? 512 : 256;
}

static int panels_of(const mn_step *step)
{
    return step->depth <= PANEL && step->result.width <= PANEL ? 1 : 2;
}

static uint32_t threads_of(const mn_step *step)
{
    return (uint32_t)(mn_panel_rows((int)step->rows) / WARPGROUP_ROWS * WARPGROUP);
}

static uint32_t shared_bytes(const mn_step *step)
{
    return 2 * (uint32_t)mn_hopper_slot_bytes((int)step->rows, (int)step->columns, panels_of(step),
                                              step->result.width > 0);
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)limit;
    const mn_step *step = &program->steps[first];
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    if (limits->capability != CAPABILITY)
        snprintf(reason->text, sizeof reason->text,
                 "compute capability %d.%d; variant hopper needs 9.0", limits->capability / 10,
                 limits->capability % 10);
    else if (step->queries.dtype == MONARCH_F32)
        snprintf(reason->text, sizeof reason->text, "f32; variant hopper needs f16 or bf16");
    else if (step->depth > WIDEST || step->result.width > WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant hopper takes up to %d",
                 step->depth > WIDEST ? step->depth : (int64_t)step->result.width, WIDEST);
    else if (step->rows > most_threads(panels_of(step)) / WARPGROUP * WARPGROUP_ROWS)
        snprintf(reason->text, sizeof reason->text,
                 "groups of %" PRId64 " rows; variant hopper takes up to %d", step->rows,
                 most_threads(panels_of(step)) / WARPGROUP * WARPGROUP_ROWS);
    else if (shared_bytes(step) > limits->shared_memory)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRIu32 " bytes of shared memory in a work-group, the device has %" PRIu32,
                 shared_bytes(step), limits->shared_memory);
    else if (mn_cuda_same_elements(step, "hopper", reason))
        return 1;
    return 0;
}

/* Not for groups that leave much of a warpgroup's rows empty. Measured on an H100 at 12 heads of
   2048 tokens in blocks of 45, T = 1: 20.8 us, and 15.6 us tiled. */
static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)count;
    return 4 * program->steps[first].rows >= 3 * WARPGROUP_ROWS;
}

/* Work-groups that run at once. */
static int64_t resident(const mn_step *step, const mn_cuda_limits *limits)
{
    uint32_t bytes = shared_bytes(step) + limits->reserved_shared_memory;
    uint32_t by_memory = limits->shared_memory_per_multiprocessor / bytes;
    uint32_t by_registers = (uint32_t)most_threads(panels_of(step)) / threads_of(step);
    return (int64_t)limits->multiprocessors * (by_memory < by_registers ? by_memory : by_registers);
}

static void fill(mn_cuda_launch *launch, const char *kernel, const mn_launch_params *params,
                 const mn_step *step, const mn_cuda_limits *limits)
{
    int64_t most = resident(step, limits);
    *launch = (mn_cuda_launch){
        .module = MN_CUDA_HOPPER,
        .threads = threads_of(step),
        .shared_memory = shared_bytes(step),
        .overlaps = true,
        .work_groups = params->block.tasks < most ? params->block.tasks : most,
        .params = *params,
    };
    snprintf(launch->kernel, sizeof launch->kernel, "hopper_%s_%s_%d", kernel,
             monarch_dtype_name(step->queries.dtype), PANEL * panels_of(step));
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    static const char *const kernels[] = {
        [MONARCH_STAGE_RIGHT] = "right",
        [MONARCH_STAGE_LEFT] = "left_mean",
        [MONARCH_STAGE_RIGHT_VALUE] = "right_value",
        [MONARCH_STAGE_LEFT_OUT] = "left_out",
    };
    const mn_cuda_limits *limits = mn_cuda_device_limits(plan->device);
    uint32_t index = plan->runs[run].first, count = 0;
    const mn_step *step = &plan->program.steps[index];
    mn_launch_params params;
    mn_params_from_step(plan, index, &params);
    if (step->kind == MONARCH_STAGE_LEFT) {
        mn_params_set_stats(&params, plan->scratch_offsets[run]);
        fill(&out[count++], "left_stats", &params, step, limits);
    }
    fill(&out[count++], kernels[step->kind], &params, step, limits);
    return count;
}

const mn_cuda_variant mn_cuda_hopper = {
    .base = {"hopper", covers, suits, mn_cuda_step_scratch},
    .launches = launches,
};
