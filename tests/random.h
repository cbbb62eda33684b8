/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

/* xoshiro256** 1.0, seeded from a number and a name so that every case replays alone. */
typedef struct test_random {
    uint64_t state[4];
} test_random;

/* The same (seed, name, index) always gives the same sequence. */
test_random test_random_seed(uint64_t seed, const char *name, uint64_t index);

uint64_t test_random_bits(test_random *random);
double test_random_uniform(test_random *random); /* [0, 1) */
double test_random_normal(test_random *random);  /* mean 0, deviation 1 */

/* A whole number in [0, below), below >= 1. */
int64_t test_random_below(test_random *random, int64_t below);

/* A seed that differs from run to run. */
uint64_t test_random_fresh_seed(void);

#endif
