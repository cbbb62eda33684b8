/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_STAGING_H
#define MN_CORE_STAGING_H

#include <monarch/stages.h>

#include "core/backend.h"
#include "core/layout.h"

/*
 * Host tensors brought to where a device can use them: used in place on a device that reads host
 * memory, else copied to buffers, gaps between strides included.
 */
typedef struct mn_staging {
    monarch_queue *queue;
    monarch_buffer *buffers[MN_TENSOR_COUNT];
    monarch_buffer *workspace;
    monarch_plan_args args;
} mn_staging;

/* Makes a queue and a workspace and brings the tensors over. On failure nothing is left. */
monarch_status mn_staging_open(const monarch_plan *plan, const monarch_stage_tensors *tensors,
                               mn_staging *staging, monarch_error *error);

/* Waits for the queue and brings `out` back to the host. */
monarch_status mn_staging_fetch(const monarch_plan *plan, mn_staging *staging, void *out,
                                monarch_error *error);

void mn_staging_close(mn_staging *staging);

#endif
