/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/opencl/opencl.h"

/*
 * Stages on the matrix units of Intel GPUs, f16 and bf16, for features up to 128: a work-group is a
 * sub-group of 16 work-items that holds 8 rows. Compiled in the tests and never run: there was no
 * such device.
 */

enum { WIDEST = 128, ROWS = 8, LANES = 16, MOST_INDEX = 1 << 24 };

/* The forms of a stage, as shaders/opencl/stage.clh numbers them. */
enum { RIGHT, RIGHT_VALUE, LEFT_STATS, LEFT_MEAN, LEFT_OUT };

static bool listed(const mn_opencl_limits *limits)
{
    return limits->subgroup_matrix;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)limit;
    const mn_step *step = &program->steps[first];
    if (step->queries.dtype == MONARCH_F32)
        snprintf(reason->text, sizeof reason->text,
                 "dtype f32; variant matrix_intel takes f16 and bf16");
    else if (step->depth > WIDEST || step->result.width > WIDEST)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " features; variant matrix_intel takes up to %d",
                 step->depth > WIDEST ? step->depth : (int64_t)step->result.width, WIDEST);
    else if (step->rows > MOST_INDEX || step->groups > MOST_INDEX)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " groups of %" PRId64 " rows; variant matrix_intel takes up to %d",
                 step->groups, step->rows, MOST_INDEX);
    else if (mn_opencl_same_elements(step, "matrix_intel", reason))
        return mn_opencl_has_matrix(device, reason) ? 1 : 0;
    return 0;
}

static void fill(mn_opencl_launch *launch, int form, const mn_launch_params *params,
                 const mn_step *step)
{
    int64_t features = step->result.width > step->depth ? step->result.width : step->depth;
    int splits = (int)((step->rows + ROWS - 1) / ROWS);
    *launch = (mn_opencl_launch){
        .module = MN_OPENCL_MATRIX_INTEL,
        .kernel = "matrix",
        .work_group = LANES,
        .work_groups = params->block.tasks * splits,
        .params = *params,
    };
    launch->params.block.row_splits = splits;
    snprintf(launch->options, sizeof launch->options,
             "-cl-std=CL3.0 -DMN_FORM=%d -DMN_DTYPE=%d -DMN_WIDTH=%d", form,
             (int)step->queries.dtype, (int)((features + 31) / 32 * 32));
}

static uint32_t launches(const mn_opencl_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_opencl_launch *out)
{
    (void)variant;
    static const int forms[] = {
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
        fill(&out[count++], LEFT_STATS, &params, step);
    }
    fill(&out[count++], forms[step->kind], &params, step);
    return count;
}

const mn_opencl_variant mn_opencl_matrix_intel = {
    .base = {"matrix_intel", covers, NULL, mn_opencl_step_scratch},
    .listed = listed,
    .launches = launches,
};
