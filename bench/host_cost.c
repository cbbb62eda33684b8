/* SPDX-License-Identifier: Apache-2.0 */
#include "host_cost.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "report.h"
#include "stats.h"

enum { CALLS = 20, ROUNDS = 50, WARM_UP_ROUNDS = 5 };
static const double longest_execution = 1e-3;

static monarch_status time_round(const struct session *session, const monarch_plan *plan,
                                 const monarch_plan_args *args, double *seconds,
                                 monarch_error *error)
{
    monarch_status status = MONARCH_OK;
    double start = clock_seconds();
    for (int i = 0; i < CALLS && !status; i++) {
        status = monarch_plan_execute(plan, session->queue, args, error);
    }
    *seconds = (clock_seconds() - start) / CALLS;
    return status ? status : monarch_queue_wait(session->queue, error);
}

int host_cost(struct session *session, const monarch_plan *plan, const monarch_plan_args *args,
              double device_seconds, double *seconds)
{
    monarch_error error = {0};
    double rounds[ROUNDS];
    *seconds = NAN;
    if (strcmp(session->info.backend, "cpu") == 0 || !(device_seconds <= longest_execution)) {
        return TOOL_OK;
    }
    for (int i = 0; i < ROUNDS; i++) {
        monarch_status status = time_round(session, plan, args, &rounds[i], &error);
        if (status) {
            return fail_library(status, &error);
        }
    }
    *seconds = stats_of(rounds + WARM_UP_ROUNDS, ROUNDS - WARM_UP_ROUNDS).median;
    return TOOL_OK;
}
