/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HEAD_H
#define TESTS_HEAD_H

#include "inputs.h"
#include "naive.h"
#include "oracle.h"

/*
 * One head of a case, and one stage of it by index: by the oracle, naively, and the absolute
 * magnitudes of its results.
 */
typedef struct head_data {
    oracle_problem p;
    double *q, *k, *v;
    float *fq, *fk, *fv; /* the same numbers */
} head_data;

/* oracle_values_alloc that does not fail. */
void head_values_alloc(const head_data *head, oracle_values *values);

void head_read(head_data *head, const test_inputs *inputs, int64_t b, int64_t h);
void head_free(head_data *head);

int head_stage_is_left(uint32_t index);
int head_stage_is_last(const head_data *head, uint32_t index); /* left_out */
int head_stage_has_y(const head_data *head, uint32_t index);   /* right_value */

/* `rows` is the output [tokens][value_dim]; used by the last stage alone. */
void head_stage_oracle(const head_data *head, uint32_t index, const oracle_values *in,
                       const oracle_values *out, double *rows);
void head_stage_naive(const head_data *head, const naive_form *form, uint32_t index,
                      const naive_values *in, const naive_values *out, float *rows);

/*
 * The sum of |terms| of every result, where a weight p counts as p + smallest and a stored number
 * x as |x| + smallest (tolerance_smallest of the dtype). 0 where the result must be exact: what a
 * wholly masked block or a position without queries gives. `y_magnitude` is that of in->y.
 */
void head_stage_magnitude(const head_data *head, monarch_dtype dtype, uint32_t index,
                          const oracle_values *in, const double *y_magnitude,
                          const oracle_values *magnitude, double *rows);

#endif
