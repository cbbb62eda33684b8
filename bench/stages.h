/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_STAGES_H
#define BENCH_STAGES_H

#include "session.h"

/* Creates `directory` unless it is there. Called before the long work, so that it fails early. */
int stages_prepare(const char *directory);

/*
 * Runs the resolved `problem` stage by stage on the tensors given and writes what every stage
 * hands on to `directory`: stage00_right_aL.npy, stage00_right_cL.npy and so on, float32, of shape
 * [batch, heads, blocks, block_size(, features)], and the last stage's out. Prints what went
 * wrong and returns the exit status.
 */
int stages_write(struct session *session, const monarch_plan *plan, const monarch_problem *problem,
                 const struct problem_options *options, const struct tensors *tensors,
                 const char *directory);

#endif
