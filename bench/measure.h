/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "problem_list.h"
#include "session.h"
#include "stats.h"

struct measure_options {
    double seconds; /* device time to spend on the samples of one problem */
    uint64_t seed;
};

/* What was measured of one problem. */
struct measurement {
    monarch_problem problem; /* resolved */
    struct stats stats;      /* seconds */
    double host;             /* seconds of the caller in one execute call; NAN: not measured */
    monarch_plan_cost_info cost;
    char variant[64];
    double error;        /* relative, Frobenius, of one head against the f64 reference */
    int64_t batch, head; /* that head */
};

/* Largest relative error that is accepted of a result of such a problem. */
double measure_limit(const monarch_problem *problem);

/*
 * Times a problem on normally distributed random input, after a warm-up, and then checks the output
 * of the last execution: one head, chosen by the seed, against the reference in f64. `label`
 * is for the progress line. Prints what went wrong and returns the exit status; an error above
 * the limit is for the caller to judge.
 */
int measure(struct session *session, const struct bench_problem *problem,
            const struct measure_options *options, const char *label,
            struct measurement *measurement);

#endif
