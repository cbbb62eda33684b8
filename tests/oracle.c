/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Geometry: token n lies in block k at position j with k*B + j = n + first. */

int64_t oracle_block(const oracle_problem *p)
{
    return p->block < p->tokens ? p->block : p->tokens;
}

int64_t oracle_blocks(const oracle_problem *p)
{
    int64_t B = oracle_block(p);
    return (p->tokens + B - 1) / B;
}

int64_t oracle_token(const oracle_problem *p, int64_t k, int64_t j)
{
    int64_t B = oracle_block(p);
    int64_t first = p->pad_begin ? oracle_blocks(p) * B - p->tokens : 0;
    int64_t n = k * B + j - first;
    return n >= 0 && n < p->tokens ? n : -1;
}

int oracle_valid(const oracle_problem *p, int64_t k, int64_t j)
{
    int64_t n = oracle_token(p, k, j);
    return n >= 0 && (p->mask == NULL || p->mask[n] != 0);
}

static int token_valid(const oracle_problem *p, int64_t n)
{
    return p->mask == NULL || p->mask[n] != 0;
}

static double scale_of(const oracle_problem *p)
{
    return p->scale != 0.0 ? p->scale : 1.0 / sqrt((double)p->head_dim);
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t f = 0; f < count; f++)
        sum += a[f] * b[f];
    return sum;
}

/* sum += weight * row. A weight of 0 adds nothing, even if the row holds NaN. */
static void add_row(double *sum, double weight, const double *row, int64_t count)
{
    if (weight == 0.0)
        return;
    for (int64_t f = 0; f < count; f++)
        sum[f] += weight * row[f];
}

static void zero(double *values, int64_t count)
{
    for (int64_t f = 0; f < count; f++)
        values[f] = 0.0;
}

/*
 * Replaces x[0], x[stride], ... by the logs of their softmax; entries of -inf stay. The largest is
 * taken off first, so that logs near 0 are as exact as weights near 1. Returns the log of the
 * sum of exponentials; -inf if all entries are -inf.
 */
static double log_softmax(double *x, int64_t count, int64_t stride)
{
    double largest = -INFINITY, sum = 0.0;

    for (int64_t i = 0; i < count; i++)
        if (x[i * stride] > largest || isnan(x[i * stride]))
            largest = x[i * stride];
    if (largest == -INFINITY)
        return -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        x[i * stride] -= largest;
        sum += exp(x[i * stride]);
    }
    for (int64_t i = 0; i < count; i++)
        x[i * stride] -= log(sum);
    return largest + log(sum);
}

/* The softmax itself; an entry of -inf gets weight exactly 0, and so do all if all are -inf. */
static double softmax(double *x, int64_t count)
{
    double lse = log_softmax(x, count, 1);

    for (int64_t i = 0; i < count; i++)
        x[i] = exp(x[i]);
    return lse;
}

/* R[k,j,:] = softmax_i(s * mean[k,j] . K[(k,i)]) over the valid keys of block k. */
void oracle_weights_right(const oracle_problem *p, const double *k, const oracle_values *in,
                          double *R)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;

    for (int64_t row = 0; row < M * B; row++) {
        int64_t kb = row / B;
        for (int64_t i = 0; i < B; i++) {
            double *x = &R[row * B + i];
            if (oracle_valid(p, kb, i))
                *x = scale_of(p) * dot(&in->mean[row * D], &k[oracle_token(p, kb, i) * D], D);
            else
                *x = -INFINITY;
        }
        softmax(&R[row * B], B);
    }
}

/* log L[j,:,l] = log_softmax_k(Q[(l,j)] . aL[j,k] - cL[j,k]); -inf for padding queries. */
void oracle_log_weights_left(const oracle_problem *p, const double *q, const oracle_values *in,
                             double *log_L)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;

    for (int64_t j = 0; j < B; j++) {
        for (int64_t l = 0; l < M; l++) {
            int64_t n = oracle_token(p, l, j);
            double *column = &log_L[j * M * M + l];
            for (int64_t k = 0; k < M; k++) {
                double c = in->cL[k * B + j];
                if (n < 0 || c == INFINITY)
                    column[k * M] = -INFINITY;
                else
                    column[k * M] = dot(&q[n * D], &in->aL[(k * B + j) * D], D) - c;
            }
            log_softmax(column, M, M);
        }
    }
}

void oracle_accept(const oracle_problem *p, const oracle_values *values)
{
    int64_t rows = oracle_block(p) * oracle_blocks(p), D = p->head_dim;

    for (int64_t row = 0; row < rows; row++)
        for (int64_t f = 0; f < D; f++)
            values->mean[row * D + f] =
                values->cR[row] == 0.0 ? 0.0 : values->aR[row * D + f] / values->cR[row];
}

void oracle_first(const oracle_problem *p, const double *q, const oracle_values *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;

    for (int64_t row = 0; row < M * B; row++) {
        int valid = oracle_valid(p, row / B, row % B);
        out->cR[row] = valid ? 1.0 : 0.0;
        zero(&out->aR[row * D], D);
        if (valid)
            memcpy(&out->aR[row * D], &q[oracle_token(p, row / B, row % B) * D],
                   (size_t)D * sizeof *q);
    }
    oracle_accept(p, out);
}

/* sum_i R log R of one row. */
static double negative_entropy(const double *R, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        if (R[i] > 0.0)
            sum += R[i] * log(R[i]);
    return sum;
}

static int block_valid(const oracle_problem *p, int64_t k)
{
    for (int64_t i = 0; i < oracle_block(p); i++)
        if (oracle_valid(p, k, i))
            return 1;
    return 0;
}

int oracle_right(const oracle_problem *p, const double *k, const double *v, const oracle_values *in,
                 const oracle_values *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim, Dv = p->value_dim;
    double *R = malloc((size_t)(M * B * B) * sizeof *R);

    if (R == NULL)
        return -1;
    oracle_weights_right(p, k, in, R);
    for (int64_t row = 0; row < M * B; row++) {
        int64_t kb = row / B;
        zero(&out->aL[row * D], D);
        if (v != NULL && out->y != NULL)
            zero(&out->y[row * Dv], Dv);
        for (int64_t i = 0; i < B; i++) {
            int64_t n = oracle_token(p, kb, i);
            double weight = R[row * B + i];
            if (!oracle_valid(p, kb, i))
                continue;
            add_row(&out->aL[row * D], scale_of(p) * weight, &k[n * D], D);
            if (v != NULL && out->y != NULL)
                add_row(&out->y[row * Dv], weight, &v[n * Dv], Dv);
        }
        out->cL[row] = block_valid(p, kb) ? negative_entropy(&R[row * B], B) : INFINITY;
    }
    free(R);
    return 0;
}

/*
 * cR[k,j] = sum_l L[j,k,l], and mean = sum_l (L / cR) Q, whose weights are the softmax over l of
 * log L: they exist however small L is.
 */
static void left_row(const oracle_problem *p, const double *q, int64_t k, int64_t j,
                     double *log_weights, const oracle_values *out)
{
    int64_t M = oracle_blocks(p), D = p->head_dim, row = k * oracle_block(p) + j;

    for (int64_t l = 0; l < M; l++)
        if (!oracle_valid(p, l, j))
            log_weights[l] = -INFINITY;
    out->cR[row] = exp(softmax(log_weights, M));
    zero(&out->mean[row * D], D);
    for (int64_t l = 0; l < M; l++)
        if (oracle_valid(p, l, j))
            add_row(&out->mean[row * D], log_weights[l], &q[oracle_token(p, l, j) * D], D);
    for (int64_t f = 0; f < D; f++)
        out->aR[row * D + f] = out->cR[row] * out->mean[row * D + f];
}

int oracle_left(const oracle_problem *p, const double *q, const oracle_values *in,
                const oracle_values *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p);
    double *log_L = malloc((size_t)(B * M * M) * sizeof *log_L);

    if (log_L == NULL)
        return -1;
    oracle_log_weights_left(p, q, in, log_L);
    for (int64_t k = 0; k < M; k++)
        for (int64_t j = 0; j < B; j++)
            left_row(p, q, k, j, &log_L[(j * M + k) * M], out);
    free(log_L);
    return 0;
}

int oracle_left_out(const oracle_problem *p, const double *q, const oracle_values *in, double *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), Dv = p->value_dim;
    double *log_L = malloc((size_t)(B * M * M) * sizeof *log_L);

    if (log_L == NULL)
        return -1;
    oracle_log_weights_left(p, q, in, log_L);
    for (int64_t l = 0; l < M; l++) {
        for (int64_t j = 0; j < B; j++) {
            int64_t n = oracle_token(p, l, j);
            if (n < 0)
                continue;
            zero(&out[n * Dv], Dv);
            for (int64_t k = 0; k < M; k++) {
                double weight = exp(log_L[(j * M + k) * M + l]);
                add_row(&out[n * Dv], weight, &in->y[(k * B + j) * Dv], Dv);
            }
        }
    }
    free(log_L);
    return 0;
}

int oracle_values_alloc(const oracle_problem *p, oracle_values *values)
{
    size_t rows = (size_t)(oracle_block(p) * oracle_blocks(p));
    size_t D = (size_t)p->head_dim, Dv = (size_t)p->value_dim;
    double *memory = calloc(rows * (3 * D + Dv + 2), sizeof *memory);

    memset(values, 0, sizeof *values);
    if (memory == NULL)
        return -1;
    values->aL = memory; /* the one that is freed */
    values->aR = values->aL + rows * D;
    values->mean = values->aR + rows * D;
    values->y = values->mean + rows * D;
    values->cL = values->y + rows * Dv;
    values->cR = values->cL + rows;
    return 0;
}

void oracle_values_free(oracle_values *values)
{
    free(values->aL);
    memset(values, 0, sizeof *values);
}

static void copy_wanted(double *wanted, const double *values, int64_t count)
{
    if (wanted != NULL)
        memcpy(wanted, values, (size_t)count * sizeof *values);
}

/* Hands the outputs of a stage to the caller. */
static void keep(const oracle_problem *p, const oracle_values *wanted, const oracle_values *now,
                 int left, int with_y)
{
    int64_t rows = oracle_block(p) * oracle_blocks(p);

    copy_wanted(left ? wanted->aR : wanted->aL, left ? now->aR : now->aL, rows * p->head_dim);
    copy_wanted(left ? wanted->cR : wanted->cL, left ? now->cR : now->cL, rows);
    if (left)
        copy_wanted(wanted->mean, now->mean, rows * p->head_dim);
    if (with_y)
        copy_wanted(wanted->y, now->y, rows * p->value_dim);
}

int oracle_stages(const oracle_problem *p, const double *q, const double *k, const double *v,
                  const oracle_values *stages, double *out)
{
    oracle_values now;
    int failed = oracle_values_alloc(p, &now);

    if (failed)
        return failed;
    oracle_first(p, q, &now);
    for (int64_t t = 0; t < p->steps && !failed; t++) {
        int last = t == p->steps - 1;
        failed = oracle_right(p, k, last ? v : NULL, &now, &now);
        if (!failed && stages != NULL)
            keep(p, &stages[2 * t], &now, 0, last);
        if (failed)
            break;
        failed = last ? oracle_left_out(p, q, &now, out) : oracle_left(p, q, &now, &now);
        if (!failed && !last && stages != NULL)
            keep(p, &stages[2 * t + 1], &now, 1, 0);
    }
    oracle_values_free(&now);
    return failed;
}

int oracle_monarch(const oracle_problem *p, const double *q, const double *k, const double *v,
                   double *out)
{
    return oracle_stages(p, q, k, v, NULL, out);
}

/* Softmax weights of one query over all keys; returns their log-sum-exp. */
static double exact_row(const oracle_problem *p, const double *q, const double *k, double *weights)
{
    for (int64_t m = 0; m < p->tokens; m++)
        weights[m] =
            token_valid(p, m) ? scale_of(p) * dot(q, &k[m * p->head_dim], p->head_dim) : -INFINITY;
    return softmax(weights, p->tokens);
}

int oracle_exact(const oracle_problem *p, const double *q, const double *k, const double *v,
                 double *out)
{
    int64_t N = p->tokens, D = p->head_dim, Dv = p->value_dim;
    double *weights = malloc((size_t)N * sizeof *weights);

    if (weights == NULL)
        return -1;
    for (int64_t n = 0; n < N; n++) {
        exact_row(p, &q[n * D], k, weights);
        zero(&out[n * Dv], Dv);
        for (int64_t m = 0; m < N; m++)
            add_row(&out[n * Dv], weights[m], &v[m * Dv], Dv);
    }
    free(weights);
    return 0;
}

double oracle_objective(const oracle_problem *p, const double *q, const oracle_values *in)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;
    double sum = 0.0;
    double *logits = malloc((size_t)M * sizeof *logits);

    if (logits == NULL)
        return NAN;
    for (int64_t row = 0; row < M * B; row++) {
        int64_t l = row / B, j = row % B;
        if (!oracle_valid(p, l, j))
            continue;
        for (int64_t k = 0; k < M; k++) {
            double c = in->cL[k * B + j];
            logits[k] = c == INFINITY
                            ? -INFINITY
                            : dot(&q[oracle_token(p, l, j) * D], &in->aL[(k * B + j) * D], D) - c;
        }
        sum += softmax(logits, M);
    }
    free(logits);
    return sum;
}

double oracle_bound(const oracle_problem *p, const double *q, const double *k)
{
    double sum = 0.0;
    double *weights = malloc((size_t)p->tokens * sizeof *weights);

    if (weights == NULL)
        return NAN;
    for (int64_t n = 0; n < p->tokens; n++)
        if (token_valid(p, n))
            sum += exact_row(p, &q[n * p->head_dim], k, weights);
    free(weights);
    return sum;
}

/* Of one query and `count` keys, at most 8, whose sums do not wait for each other: of all pairs of
   tokens there are many. */
static double largest_of(const double *q, const double *k, int64_t width, int64_t count)
{
    double sum[8] = {0.0}, largest = 0.0;

    for (int64_t f = 0; f < width && count == 8; f++)
        for (int64_t i = 0; i < 8; i++)
            sum[i] += q[f] * k[i * width + f];
    for (int64_t i = 0; i < count; i++) {
        double score = fabs(count == 8 ? sum[i] : dot(q, &k[i * width], width));
        if (isfinite(score) && score > largest)
            largest = score;
    }
    return largest;
}

double oracle_largest_score(const oracle_problem *p, const double *q, const double *k)
{
    const int64_t D = p->head_dim;
    double largest = 0.0;

    for (int64_t m = 0, count; m < p->tokens; m += count) {
        for (count = 0; count < 8 && m + count < p->tokens && token_valid(p, m + count); count++)
            ;
        for (int64_t n = 0; n < p->tokens && count > 0; n++)
            largest = fmax(largest, largest_of(&q[n * D], &k[m * D], D, count));
        count += count == 0; /* a masked one */
    }
    return fabs(scale_of(p)) * largest;
}
