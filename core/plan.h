/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_PLAN_H
#define MN_CORE_PLAN_H

#include "core/backend.h"
#include "core/workspace.h"

typedef struct mn_plan_options {
    const char *variant; /* forced, or NULL */
    uint32_t alignment;  /* promised for the tensors' addresses, 0 = that of an element */
    bool stages;         /* debug form: one run a stage, all of whose outputs are kept */
} mn_plan_options;

/* monarch_plan_create with the internal options. `problem` is the caller's, not yet resolved. */
monarch_status mn_plan_create(monarch_device *device, const monarch_problem *problem,
                              const mn_plan_options *options, monarch_plan **plan,
                              monarch_error *error);

#endif
