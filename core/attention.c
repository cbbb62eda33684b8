/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/plan.h"
#include "core/staging.h"

/* The one-call form: plan, stage, execute, fetch. */
monarch_status monarch_attention(monarch_device *device, const monarch_problem *problem,
                                 const void *q, const void *k, const void *v, const uint8_t *mask,
                                 void *out, monarch_error *error)
{
    monarch_plan *plan;
    MN_TRY(monarch_plan_create(device, problem, NULL, &plan, error));
    monarch_status status = MONARCH_OK;
    if (plan->program.step_count > 0) {
        mn_staging staging;
        monarch_stage_tensors tensors = {q, k, v, mask, out};
        status = mn_staging_open(plan, &tensors, &staging, error);
        if (status == MONARCH_OK) {
            status = monarch_plan_execute(plan, staging.queue, &staging.args, error);
            if (status == MONARCH_OK)
                status = mn_staging_fetch(plan, &staging, out, error);
            mn_staging_close(&staging);
        }
    }
    monarch_plan_destroy(&plan);
    return status;
}
