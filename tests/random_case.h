/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RANDOM_CASE_H
#define TESTS_RANDOM_CASE_H

#include "cases.h"

enum { RANDOM_CASE_NAME = 32 };

/*
 * Problem `index` that `seed` draws, beside the table: shape, steps, block size, scale, padding,
 * contents, mask and layout. `name` gets "random_INDEX", must outlive the case, and makes its
 * inputs differ from those of others. Small enough for the oracle to take well under a second.
 */
test_case test_case_random(uint64_t seed, uint64_t index, char name[RANDOM_CASE_NAME]);

/* 1 and the index if `name` is that of such a case. */
int test_case_is_random(const char *name, uint64_t *index);

#endif
