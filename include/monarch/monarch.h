/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_MONARCH_H
#define MONARCH_MONARCH_H

/*
 * MonarchAttention as a portable C library: the whole neutral interface.
 *
 *   version.h   versions of project and interface
 *   status.h    status codes and error messages
 *   types.h     handles, dtypes, memory
 *   problem.h   the descriptor, and the equations it stands for
 *   device.h    instance, device, queue, buffer
 *   plan.h      plan, workspace, execute, describe, cost; one-call form
 *   stages.h    the debug form: outputs of every stage
 */
#include <monarch/device.h>
#include <monarch/plan.h>
#include <monarch/problem.h>
#include <monarch/stages.h>
#include <monarch/status.h>
#include <monarch/types.h>
#include <monarch/version.h>

#endif
