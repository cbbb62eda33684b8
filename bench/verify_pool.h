/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_VERIFY_POOL_H
#define BENCH_VERIFY_POOL_H

#include <sys/types.h>

#include "verify_run.h"

/*
 * Processes that share the work of one job. Drivers compile under locks of their own and may not be
 * used across a fork, so each process opens its own instance, and they are started before
 * any is. One that dies loses what it was at, which counts as wrong, and the others go on.
 */
enum { VERIFY_MOST_WORKERS = 64 };

struct verify_shared; /* what all processes see */

struct verify_pool {
    struct verify_shared *shared;
    struct {
        pid_t process;
        int results; /* pipe */
    } workers[VERIFY_MOST_WORKERS];
    int count;
};

/* Starts `jobs` processes for a job that is not open yet. No process at all is no error. */
void verify_pool_start(struct verify_pool *pool, const struct verify_job *job);

/* Takes the results of all processes into the job, which is open, and tells them in order. */
int verify_pool_run(struct verify_pool *pool, struct verify_job *job);

/* Ends what is still running. */
void verify_pool_end(struct verify_pool *pool);

#endif
