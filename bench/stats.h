/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>

/* Order statistics of a series of times, in the unit of the samples. */
struct stats {
    size_t count;
    double minimum;
    double p10; /* a tenth of the samples is below, */
    double median;
    double p90; /* a tenth is above */
};

/* Sorts `samples`, of which there is at least one. */
struct stats stats_of(double *samples, size_t count);

#endif
