/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "inputs.h"

/* How far the rows of an output are from those of a reference. */
struct distance {
    int64_t rows;      /* compared so far */
    double difference; /* sum of squares of output - reference */
    double reference;  /* sum of squares of the reference */
    double cosine_sum;
    double cosine_least;
    double worst; /* largest relative error of a row */
    int64_t worst_batch, worst_head, worst_token;
};

/*
 * Takes one row into `distance`. Every measure becomes NaN, or the row the worst one, when
 * the output is not finite. Two rows of zeros have distance 0 and cosine 1.
 */
void distance_add(struct distance *distance, const float *output, const double *reference,
                  int64_t count, int64_t batch, int64_t head, int64_t token);

/* Frobenius norm of the difference, relative to that of the reference. */
double distance_relative(const struct distance *distance);

/*
 * Compares `out`, a packed buffer of the resolved `problem`, with exact softmax attention, computed
 * in f64 from the input files as they are, before any conversion. Of each head it takes all rows
 * when that is little work, else an evenly spaced sample of `*rows_per_head`; rows of masked
 * tokens are left out. Memory grows with tokens * dim of one head.
 */
int compare_exact(struct session *session, const monarch_problem *problem,
                  const struct inputs *inputs, const monarch_buffer *out, struct distance *distance,
                  int64_t *rows_per_head);

/*
 * One row of exact attention: weights[n] = softmax of scale * q . k[n] over the keys that are not
 * masked, all zero when none is left. `mask` may be NULL.
 */
void exact_weights(const float *q, const float *k, const uint8_t *mask, int64_t tokens,
                   int64_t head_dim, double scale, double *weights);

#endif
