/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NAIVE_H
#define TESTS_NAIVE_H

#include <monarch/types.h>

#include "oracle.h"

/*
 * The yardstick of the tolerance policy: a plain evaluation in the precision that the library
 * works in. Scores, softmax, cL, cR and sums are f32; what a backend keeps in the dtype of the
 * tensors (R, L, aL / s, aR / cR, y and the output) is rounded to it. With fp8 intermediates aL / s
 * and y are rounded to that instead. No library code, and nothing done to make errors small or
 * large.
 *
 * One evaluation may be lucky, so several are made that are equally right and differ in form.
 */
typedef struct naive_form {
    monarch_dtype dtype;
    int fp8;                 /* aL / s and y are stored as e4m3, with a power of two for each row */
    int reverse;             /* sums run from the last term to the first */
    int entropy_from_scores; /* cL = aL.aR/cR - lse instead of sum R log R */
    int base_two;            /* softmax by powers of 2 of scores in units of log 2 */
    int sum_weights;         /* cR is the sum of L instead of the power of the log of that sum */
    float gain;              /* intermediates are stored times this, in (1/2, 1]; scores are
                                computed from queries times this */
    float shift;             /* log L: what is taken off first is so much more than the largest
                                logit, as where the largest is not known yet */
} naive_form;

/* As oracle_values, in f32. */
typedef struct naive_values {
    float *aL, *cL, *aR, *cR, *mean, *y;
} naive_values;

/* Form number `index`: 0 is the plainest, the others are drawn from `seed`. */
naive_form naive_form_make(monarch_dtype dtype, int fp8, int index, uint64_t seed);

void naive_values_alloc(const oracle_problem *p, naive_values *values);
void naive_values_free(naive_values *values);

/* Stores aL / s, aR / cR and y as the form does, as for a stage that is run alone. */
void naive_accept(const oracle_problem *p, const naive_form *form, const naive_values *values);

/*
 * The stages as in oracle.h. In the first, R comes from the rows of Q as they are. y is written if
 * v is not NULL.
 */
void naive_first(const oracle_problem *p, const float *q, const naive_values *out);
void naive_right(const oracle_problem *p, const naive_form *form, const float *k, const float *v,
                 const naive_values *in, const naive_values *out);
void naive_left(const oracle_problem *p, const naive_form *form, const float *q,
                const naive_values *in, const naive_values *out);
void naive_left_out(const oracle_problem *p, const naive_form *form, const float *q,
                    const naive_values *in, float *out);

#endif
