/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_STAGES_H
#define MONARCH_STAGES_H

#include <monarch/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The debug form: what every stage hands to the next, on any device, in f32 host memory and in
 * the terms of monarch/problem.h. It exists to compare backends with each other and with a
 * reference; it copies everything and is slow.
 *
 * Each array is packed [batch, heads, blocks, block_size, features], index (k, j) for block k
 * and position j, with block_size of the resolved problem and blocks = ceil(tokens /
 * block_size). A NULL pointer means "not wanted" (as output) and must not be NULL for what a
 * stage reads (as input). Each stage has:
 *
 *   stage         reads        writes
 *   right         aR, cR (*)   aL, cL
 *   left          aL, cL       aR, cR
 *   right_value   aR, cR (*)   aL, cL, y
 *   left_out      aL, cL, y    the output tensor
 *
 *   (*) not in stage 0, which takes its rows from Q
 *
 * With fp8 intermediates aL / s and y come out rounded to that; as inputs they are rounded to what
 * the device keeps them in, f32 or the dtype of the tensors.
 */
typedef struct monarch_stage_values {
    float *aL; /* [.., head_dim]: s * sum_i R K */
    float *cL; /* [.., 1]: sum_i R log R; +inf for a block whose keys are all masked */
    float *aR; /* [.., head_dim]: sum_l L Q */
    float *cR; /* [.., 1]: sum_l L */
    float *y;  /* [.., value_dim]: sum_i R V */
} monarch_stage_values;

/* Host tensors of the problem, as monarch_attention takes them. */
typedef struct monarch_stage_tensors {
    const void *q, *k, *v;
    const uint8_t *mask;
    void *out;
} monarch_stage_tensors;

/*
 * Runs the whole program stage by stage, without fusing stages, and writes the outputs of stage
 * i to outputs[i]; `count` must be 2 * steps. `variant` as in monarch_plan_options.
 * Errors: as monarch_plan_create and monarch_plan_execute.
 */
MONARCH_API monarch_status monarch_stages_run(monarch_device *device,
                                              const monarch_problem *problem, const char *variant,
                                              const monarch_stage_tensors *tensors,
                                              const monarch_stage_values *outputs, uint32_t count,
                                              monarch_error *error);

/*
 * Runs stage `index` alone on the inputs given, for instance those of another device, so that an
 * error shows in the stage where it starts. Only the last stage writes tensors->out.
 */
MONARCH_API monarch_status monarch_stage_run(monarch_device *device, const monarch_problem *problem,
                                             const char *variant, uint32_t index,
                                             const monarch_stage_tensors *tensors,
                                             const monarch_stage_values *inputs,
                                             const monarch_stage_values *outputs,
                                             monarch_error *error);

#ifdef __cplusplus
}
#endif
#endif
