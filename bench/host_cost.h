/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_HOST_COST_H
#define BENCH_HOST_COST_H

#include "session.h"

/*
 * Seconds that the calling thread spends in one monarch_plan_execute, the median of several rounds
 * of calls back to back with a wait behind each; NAN on the cpu device, where a call does the work
 * itself, and where one execution takes so long (`device_seconds`) that calls may have to wait for
 * the device.
 */
int host_cost(struct session *session, const monarch_plan *plan, const monarch_plan_args *args,
              double device_seconds, double *seconds);

#endif
