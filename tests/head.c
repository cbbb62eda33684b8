/* SPDX-License-Identifier: Apache-2.0 */
#include "head.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tolerance.h"

static void no_memory(int failed)
{
    if (!failed)
        return;
    fprintf(stderr, "test: no memory for the oracle\n");
    exit(1);
}

void head_values_alloc(const head_data *head, oracle_values *values)
{
    no_memory(oracle_values_alloc(&head->p, values));
}

static float *as_float(const double *values, size_t count)
{
    float *copy = test_alloc(count, sizeof *copy);

    for (size_t i = 0; i < count; i++)
        copy[i] = (float)values[i];
    return copy;
}

void head_read(head_data *head, const test_inputs *inputs, int64_t b, int64_t h)
{
    size_t count, value_count;

    head->p = test_inputs_oracle(inputs, b);
    count = (size_t)(head->p.tokens * head->p.head_dim);
    value_count = (size_t)(head->p.tokens * head->p.value_dim);
    head->q = test_alloc(count, sizeof *head->q);
    head->k = test_alloc(count, sizeof *head->k);
    head->v = test_alloc(value_count, sizeof *head->v);
    test_inputs_head(inputs, b, h, head->q, head->k, head->v);
    head->fq = as_float(head->q, count);
    head->fk = as_float(head->k, count);
    head->fv = as_float(head->v, value_count);
}

void head_free(head_data *head)
{
    free(head->q);
    free(head->k);
    free(head->v);
    free(head->fq);
    free(head->fk);
    free(head->fv);
    memset(head, 0, sizeof *head);
}

int head_stage_is_left(uint32_t index)
{
    return (index & 1) != 0;
}

int head_stage_is_last(const head_data *head, uint32_t index)
{
    return index == 2 * head->p.steps - 1;
}

int head_stage_has_y(const head_data *head, uint32_t index)
{
    return index == 2 * head->p.steps - 2;
}

/*
 * Nothing is promised of the row of a masked token whose query is not finite, unless no token is
 * left at all. The equations make most such rows NaN, but not all: scores may be infinite.
 */
static void forget_rows(const head_data *head, double *rows)
{
    const oracle_problem *p = &head->p;
    int64_t D = p->head_dim, Dv = p->value_dim;

    if (p->mask == NULL || memchr(p->mask, 1, (size_t)p->tokens) == NULL)
        return;
    for (int64_t n = 0; n < p->tokens; n++) {
        int finite = p->mask[n];
        for (int64_t f = 0; f < D && !p->mask[n]; f++) {
            finite = isfinite(head->q[n * D + f]);
            if (!finite)
                break;
        }
        for (int64_t f = 0; f < Dv && !finite; f++)
            rows[n * Dv + f] = NAN;
    }
}

void head_stage_oracle(const head_data *head, uint32_t index, const oracle_values *in,
                       const oracle_values *out, double *rows)
{
    const oracle_problem *p = &head->p;

    if (!head_stage_is_left(index)) {
        no_memory(
            oracle_right(p, head->k, head_stage_has_y(head, index) ? head->v : NULL, in, out));
    } else if (head_stage_is_last(head, index)) {
        no_memory(oracle_left_out(p, head->q, in, rows));
        forget_rows(head, rows);
    } else {
        no_memory(oracle_left(p, head->q, in, out));
    }
}

void head_stage_naive(const head_data *head, const naive_form *form, uint32_t index,
                      const naive_values *in, const naive_values *out, float *rows)
{
    const oracle_problem *p = &head->p;

    if (!head_stage_is_left(index))
        naive_right(p, form, head->fk, head_stage_has_y(head, index) ? head->fv : NULL, in, out);
    else if (head_stage_is_last(head, index))
        naive_left_out(p, form, head->fq, in, rows);
    else
        naive_left(p, form, head->fq, in, out);
}

static double *absolutes(const double *values, size_t count)
{
    double *copy = test_alloc(count, sizeof *copy);

    for (size_t i = 0; i < count; i++)
        copy[i] = fabs(values[i]);
    return copy;
}

/* The sum of |x| over the valid tokens of each block. */
static double *block_sums(const oracle_problem *p, const double *x, int64_t features)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p);
    double *sums = test_alloc((size_t)(M * features), sizeof *sums);

    for (int64_t k = 0; k < M; k++)
        for (int64_t i = 0; i < B; i++) {
            const double *row = &x[oracle_token(p, k, i) * features];
            for (int64_t f = 0; f < features && oracle_valid(p, k, i); f++)
                sums[k * features + f] += fabs(row[f]);
        }
    return sums;
}

/* sum_i (R + smallest) |x[(k,i)]| + smallest for every row (k, j), by the oracle's own sum. */
static void right_sum(const head_data *head, double smallest, const oracle_values *in,
                      const double *x, int64_t features, double *sums)
{
    oracle_problem p = head->p;
    oracle_values out;
    int64_t B = oracle_block(&p), M = oracle_blocks(&p);
    double *positive = absolutes(x, (size_t)(p.tokens * features));
    double *unweighted = block_sums(&p, x, features);

    p.value_dim = features;
    no_memory(oracle_values_alloc(&p, &out));
    no_memory(oracle_right(&p, head->k, positive, in, &out));
    for (int64_t row = 0; row < M * B; row++)
        for (int64_t f = 0; f < features; f++)
            sums[row * features + f] =
                out.cL[row] == INFINITY ? 0.0
                                        : out.y[row * features + f] +
                                              smallest * (1.0 + unweighted[row / B * features + f]);
    oracle_values_free(&out);
    free(positive);
    free(unweighted);
}

static void right_magnitude(const head_data *head, double smallest, uint32_t index,
                            const oracle_values *in, const oracle_values *magnitude)
{
    const oracle_problem *p = &head->p;
    int64_t rows = oracle_block(p) * oracle_blocks(p), D = p->head_dim;
    double s = p->scale != 0.0 ? fabs(p->scale) : 1.0 / sqrt((double)D);

    right_sum(head, smallest, in, head->k, D, magnitude->aL);
    if (head_stage_has_y(head, index))
        right_sum(head, smallest, in, head->v, p->value_dim, magnitude->y);
    for (int64_t row = 0; row < rows; row++) {
        /* cL = aL.mean - lse: terms of the size of the scores, and at most log B of entropy. */
        double c = log((double)oracle_block(p)) + 1.0;
        for (int64_t f = 0; f < D; f++) {
            magnitude->aL[row * D + f] *= s;
            c += fabs(in->mean[row * D + f]) * magnitude->aL[row * D + f];
        }
        magnitude->cL[row] = c;
    }
}

static void left_magnitude(const head_data *head, double smallest, const oracle_values *in,
                           const oracle_values *magnitude)
{
    const oracle_problem *p = &head->p;
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;
    double *log_L = test_alloc((size_t)(B * M * M), sizeof *log_L);
    /* cR is f32 in every dtype, and aR = cR * (mean of queries) comes out as small as it is. */
    double range = tolerance_smallest(MONARCH_F32);

    oracle_log_weights_left(p, head->q, in, log_L);
    memset(magnitude->aR, 0, (size_t)(M * B * D) * sizeof(double));
    for (int64_t row = 0; row < M * B; row++) {
        int64_t k = row / B, j = row % B;
        double total = 0.0;
        for (int64_t l = 0; l < M && in->cL[row] != INFINITY; l++)
            if (oracle_valid(p, l, j))
                total += exp(log_L[(j * M + k) * M + l]) + range;
        magnitude->cR[row] = total;
        for (int64_t l = 0; l < M && total > 0.0; l++) {
            double weight = exp(log_L[(j * M + k) * M + l]) + smallest * total + range;
            const double *q = &head->q[oracle_token(p, l, j) * D];
            for (int64_t f = 0; f < D && oracle_valid(p, l, j); f++)
                magnitude->aR[row * D + f] += weight * (fabs(q[f]) + smallest);
        }
    }
    free(log_L);
}

static void rows_magnitude(const head_data *head, double smallest, const oracle_values *in,
                           const double *y_magnitude, double *rows)
{
    const oracle_problem *p = &head->p;
    int64_t B = oracle_block(p), M = oracle_blocks(p), Dv = p->value_dim;
    oracle_values positive = *in;
    double *y = absolutes(y_magnitude, (size_t)(M * B * Dv));

    positive.y = y;
    no_memory(oracle_left_out(p, head->q, &positive, rows));
    for (int64_t row = 0; row < M * B; row++) {
        int64_t j = row % B, n = oracle_token(p, row / B, j);
        for (int64_t f = 0; f < Dv && n >= 0; f++) {
            int any = 0;
            for (int64_t k = 0; k < M; k++) {
                if (in->cL[k * B + j] == INFINITY)
                    continue;
                any = 1;
                rows[n * Dv + f] += smallest * y[(k * B + j) * Dv + f];
            }
            rows[n * Dv + f] += any ? smallest : 0.0;
        }
    }
    free(y);
}

void head_stage_magnitude(const head_data *head, monarch_dtype dtype, uint32_t index,
                          const oracle_values *in, const double *y_magnitude,
                          const oracle_values *magnitude, double *rows)
{
    double smallest = tolerance_smallest(dtype);

    if (!head_stage_is_left(index))
        right_magnitude(head, smallest, index, in, magnitude);
    else if (head_stage_is_last(head, index))
        rows_magnitude(head, smallest, in, y_magnitude, rows);
    else
        left_magnitude(head, smallest, in, magnitude);
}
