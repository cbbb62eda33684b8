/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TOLERANCE_H
#define TESTS_TOLERANCE_H

#include <stddef.h>
#include <stdint.h>

#include <monarch/types.h>

/*
 * The tolerance policy, in one place; docs/testing.md gives the reasons.
 *
 *     error against f64  <=  2 * (error of a naive evaluation in the same precision)
 *                            + eps(dtype) * (absolute magnitude)
 *
 * for the Frobenius norm of an array, and for each element with errors counted in units of the
 * element's own absolute magnitude, the sum of |terms| that it is made of. There is no other
 * constant to turn.
 */

/* Distance from 1 to the next larger value of the type. */
double tolerance_eps(monarch_dtype dtype);

/*
 * Where the relative precision of a stored number ends: f16 has subnormals below this; for f32
 * and bf16 it is the point from where on losing whatever lies under the normal numbers changes
 * less than eps. Part of every absolute magnitude.
 */
double tolerance_smallest(monarch_dtype dtype);

/*
 * f32 results must be this near (relative, Frobenius) where no score exceeds the second number,
 * unless the exact result itself moves by a quarter of the first when q and k change by less
 * than f32 can tell: no evaluation in f32 can promise more than its inputs hold.
 */
#define TOLERANCE_F32_RELATIVE 2e-6
#define TOLERANCE_F32_SCORES 30.0
#define TOLERANCE_F32_SENSITIVITY (TOLERANCE_F32_RELATIVE / 4)

/* An array of expected values, and what there is to know about errors in it. */
typedef struct expected {
    const char *name;
    size_t count;
    int64_t shape[5];  /* batch, head, token or block, position or 1, feature */
    double *value;     /* NaN where nothing is promised, +inf where that is the value */
    double *magnitude; /* absolute magnitude of each element; 0 where the value must be exact */
    double naive_frobenius; /* largest errors of the naive evaluations measured so far */
    double naive_worst;
    double running; /* of the evaluation under way */
    /* Makes further naive evaluations, so that luck has less to say; NULL = there are no more. */
    void (*refine)(void *owner);
    void *owner;
} expected;

void expected_alloc(expected *e, const char *name, const int64_t shape[5]);
void expected_free(expected *e);

/*
 * Takes `count` values of a naive evaluation from element `at` on; when it was told all of one
 * evaluation, expected_measured closes it.
 */
void expected_measure(expected *e, size_t at, const float *naive, size_t count);
void expected_measured(expected *e);

typedef struct comparison {
    double error, limit; /* Frobenius */
    double relative;     /* error / norm of the expected values */
    size_t worst;        /* element with the largest error in units of its magnitude */
    double worst_error, worst_limit;
    double value, actual; /* of that element */
    size_t broken;        /* elements that are not finite but should be, or the reverse */
    size_t broken_at;     /* the first of them; then value and actual are its */
} comparison;

/* 1 if `actual` is within the tolerance, else 0. `result` is filled either way. */
int expected_compare(const expected *e, monarch_dtype dtype, const float *actual,
                     comparison *result);

/*
 * The same against what another backend gave, where that is not NULL. Each of the two may be as far
 * from what is right as the policy says, so they may be twice that apart.
 */
int expected_compare_with(const expected *e, monarch_dtype dtype, const float *actual,
                          const float *other, comparison *result);

/* Batch, head, token or block, position or 0, feature of an element. */
void expected_place(const expected *e, size_t element, int64_t at[5]);

/*
 * The error of one element in units of its magnitude, as in comparison.worst_error: NaN where
 * nothing is promised, infinite where a value is not finite that should be, or the reverse.
 */
double expected_units(const expected *e, const float *actual, const float *other, size_t i);

/* What was compared with what, as one line. */
void comparison_print(const expected *e, const comparison *result, char *text, size_t capacity);

#endif
