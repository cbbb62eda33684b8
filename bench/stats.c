/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <stdlib.h>

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Linear between the two nearest samples. */
static double quantile(const double *sorted, size_t count, double fraction)
{
    double place = fraction * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

struct stats stats_of(double *samples, size_t count)
{
    qsort(samples, count, sizeof *samples, compare_doubles);
    struct stats stats = {
        .count = count,
        .minimum = samples[0],
        .p10 = quantile(samples, count, 0.1),
        .median = quantile(samples, count, 0.5),
        .p90 = quantile(samples, count, 0.9),
    };
    return stats;
}
