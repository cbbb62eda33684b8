/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_ARGUMENTS_H
#define MN_CORE_ARGUMENTS_H

#include "core/backend.h"

/*
 * Checks the arguments of one execution and turns them into bindings: memory of native kinds, that
 * is present, long enough where its length is known, aligned, and with `out` apart from the
 * inputs and the workspace. Every way to execute a plan starts here, those of single backends too.
 * Errors: INVALID_ARGUMENT, FORKED.
 */
monarch_status mn_bind_arguments(const monarch_plan *plan, const monarch_queue *queue,
                                 const monarch_plan_args *args, mn_bindings *bindings,
                                 monarch_error *error);

#endif
