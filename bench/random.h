/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include "session.h"

/* A seed that differs from run to run. */
uint64_t random_seed(void);

/* A number below `limit` that depends on `seed` and `salt` alone. */
int64_t random_below(uint64_t seed, uint64_t salt, int64_t limit);

/*
 * Fills a packed buffer of `count` elements with standard normal values that depend on `seed`,
 * `stream` and their place alone. They are drawn from 65536 values, the middle quantiles
 * of as many slices of the distribution, of which the largest is 4.3: made for speed, since
 * a benchmark may need billions of them. Prints what went wrong and returns the exit status.
 */
int random_fill(struct session *session, monarch_buffer *buffer, monarch_dtype dtype, int64_t count,
                uint64_t seed, uint64_t stream);

#endif
