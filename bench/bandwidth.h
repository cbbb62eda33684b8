/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BANDWIDTH_H
#define BENCH_BANDWIDTH_H

#include "session.h"

/*
 * Bytes per second, read and written together, that a plain copy moves through the memory of
 * the session's device; 0 when that was not measured. `how` says in words what was done, or
 * why nothing.
 *
 * This is the place for other backends: each adds a function that copies between two of its
 * buffers, larger than its caches, and takes the fastest of a few passes.
 */
double bandwidth_measure(const struct session *session, char *how, size_t capacity);

#endif
