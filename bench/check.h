/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CHECK_H
#define BENCH_CHECK_H

#include "session.h"

/*
 * Computes one head of the resolved, packed, unmasked `problem` again with the test suite's
 * reference in f64, from the inputs in the buffers, and gives the relative error (Frobenius norm)
 * of the output there. Prints what went wrong and returns the exit status.
 */
int check_head(struct session *session, const monarch_problem *problem,
               const struct tensors *tensors, int64_t batch, int64_t head, double *error);

#endif
