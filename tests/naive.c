/* SPDX-License-Identifier: Apache-2.0 */
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "inputs.h"
#include "random.h"

naive_form naive_form_make(monarch_dtype dtype, int fp8, int index, uint64_t seed)
{
    test_random random = test_random_seed(seed, "naive form", (uint64_t)index);
    naive_form form = {.dtype = dtype,
                       .fp8 = fp8,
                       .reverse = index & 1,
                       .entropy_from_scores = (index >> 1) & 1,
                       .base_two = (index ^ index >> 2) & 1,
                       .sum_weights = (index ^ index >> 1) & 1,
                       .gain = 1.0f};

    if (index > 0) {
        form.gain = (float)(1.0 - 0.5 * test_random_uniform(&random));
        form.shift = (float)test_random_uniform(&random);
    }
    return form;
}

void naive_values_alloc(const oracle_problem *p, naive_values *values)
{
    size_t rows = (size_t)(oracle_block(p) * oracle_blocks(p));
    size_t D = (size_t)p->head_dim, Dv = (size_t)p->value_dim;

    values->aL = test_alloc(rows * (3 * D + Dv + 2), sizeof *values->aL);
    values->aR = values->aL + rows * D;
    values->mean = values->aR + rows * D;
    values->y = values->mean + rows * D;
    values->cL = values->y + rows * Dv;
    values->cR = values->cL + rows;
}

void naive_values_free(naive_values *values)
{
    free(values->aL);
    memset(values, 0, sizeof *values);
}

static float scale_of(const oracle_problem *p)
{
    return p->scale != 0.0 ? (float)p->scale : 1.0f / sqrtf((float)p->head_dim);
}

/* A value as it comes back after being stored in the form's type. */
static float stored(const naive_form *form, float value)
{
    if (form->dtype == MONARCH_F32)
        return value;
    return test_round(form->dtype, value * form->gain) / form->gain;
}

/* The same for a row of what RIGHT hands on: aL / s or y. */
static void store_mean(const naive_form *form, float *row, int64_t count)
{
    if (!form->fp8) {
        for (int64_t f = 0; f < count; f++)
            row[f] = stored(form, row[f]);
        return;
    }
    for (int64_t f = 0; f < count; f++)
        row[f] *= form->gain;
    test_round_e4m3(row, count);
    for (int64_t f = 0; f < count; f++)
        row[f] /= form->gain;
}

void naive_accept(const oracle_problem *p, const naive_form *form, const naive_values *values)
{
    int64_t rows = oracle_block(p) * oracle_blocks(p), D = p->head_dim;
    float s = scale_of(p);

    for (int64_t row = 0; row < rows; row++) {
        float c = values->cR[row], *aL = &values->aL[row * D];
        for (int64_t f = 0; f < D; f++) {
            aL[f] /= s;
            values->mean[row * D + f] =
                c == 0.0f ? 0.0f : stored(form, values->aR[row * D + f] / c);
        }
        store_mean(form, aL, D);
        for (int64_t f = 0; f < D; f++)
            aL[f] *= s;
        store_mean(form, &values->y[row * p->value_dim], p->value_dim);
    }
}

/* Index of the term that is number `i` of `count` in the form's order. */
static int64_t nth(const naive_form *form, int64_t i, int64_t count)
{
    return form->reverse ? count - 1 - i : i;
}

static float dot(const naive_form *form, const float *a, const float *b, int64_t count)
{
    float sum = 0.0f;

    for (int64_t i = 0; i < count; i++) {
        int64_t f = nth(form, i, count);
        sum += a[f] * form->gain * b[f];
    }
    return sum / form->gain;
}

/* What a score is multiplied with to be in the form's unit. */
static float unit(const naive_form *form)
{
    return form->base_two ? (float)M_LOG2E : 1.0f;
}

static float power(const naive_form *form, float x)
{
    return form->base_two ? exp2f(x) : expf(x);
}

static float logarithm(const naive_form *form, float x)
{
    return form->base_two ? log2f(x) : logf(x);
}

/* Softmax in place; -inf counts as "not there". Returns the log of the sum of powers. Logs are in
 * the form's unit. */
static float softmax(const naive_form *form, float *x, int64_t count)
{
    float largest = -INFINITY, sum = 0.0f;

    for (int64_t i = 0; i < count; i++)
        if (x[i] > largest || isnan(x[i]))
            largest = x[i];
    for (int64_t i = 0; i < count; i++) {
        float *e = &x[nth(form, i, count)];
        *e = *e == -INFINITY ? 0.0f : power(form, *e - largest);
        sum += *e;
    }
    for (int64_t i = 0; i < count && sum != 0.0f; i++)
        x[i] /= sum;
    return sum > 0.0f ? largest + logarithm(form, sum) : -INFINITY;
}

void naive_first(const oracle_problem *p, const float *q, const naive_values *out)
{
    int64_t B = oracle_block(p), rows = oracle_blocks(p) * B, D = p->head_dim;

    memset(out->mean, 0, (size_t)(rows * D) * sizeof(float));
    for (int64_t row = 0; row < rows; row++)
        if (oracle_valid(p, row / B, row % B))
            memcpy(&out->mean[row * D], &q[oracle_token(p, row / B, row % B) * D],
                   (size_t)D * sizeof(float));
}

/* Token at each position of block kb, -1 where its weight is 0; returns how many are valid. */
static int64_t list_tokens(const oracle_problem *p, int64_t kb, int64_t *tokens)
{
    int64_t count = 0;

    for (int64_t i = 0; i < oracle_block(p); i++) {
        tokens[i] = oracle_valid(p, kb, i) ? oracle_token(p, kb, i) : -1;
        count += tokens[i] >= 0;
    }
    return count;
}

/* The rounded R of one row; returns cL. R and `scores` have room for B. */
static float right_row(const oracle_problem *p, const naive_form *form, const float *mean,
                       const float *k, const int64_t *tokens, float *R, float *scores)
{
    int64_t B = oracle_block(p), D = p->head_dim;
    float lse, s = scale_of(p), entropy = 0.0f, score = 0.0f;

    for (int64_t i = 0; i < B; i++) {
        if (tokens[i] < 0)
            R[i] = -INFINITY;
        else
            R[i] = s * unit(form) * dot(form, mean, &k[tokens[i] * D], D);
        scores[i] = R[i];
    }
    lse = softmax(form, R, B);
    for (int64_t n = 0; n < B; n++) {
        int64_t i = nth(form, n, B);
        if (R[i] == 0.0f)
            continue;
        entropy += R[i] * logf(R[i]);
        score += R[i] * scores[i];
    }
    for (int64_t i = 0; i < B; i++)
        R[i] = stored(form, R[i]);
    return form->entropy_from_scores ? (score - lse) / unit(form) : entropy;
}

/* sum[f] += weight * row[f]. */
static void add_row(float *sum, float weight, const float *row, int64_t features)
{
    for (int64_t f = 0; f < features; f++)
        sum[f] += weight * row[f];
}

/* out = factor * stored(sum_i R[i] * rows[token i]). */
static void weigh(const oracle_problem *p, const naive_form *form, const float *R,
                  const int64_t *tokens, const float *rows, int64_t features, float factor,
                  float *out)
{
    int64_t B = oracle_block(p);

    memset(out, 0, (size_t)features * sizeof *out);
    for (int64_t n = 0; n < B; n++) {
        int64_t i = nth(form, n, B);
        if (tokens[i] >= 0)
            add_row(out, R[i], &rows[tokens[i] * features], features);
    }
    store_mean(form, out, features);
    for (int64_t f = 0; f < features; f++)
        out[f] *= factor;
}

void naive_right(const oracle_problem *p, const naive_form *form, const float *k, const float *v,
                 const naive_values *in, const naive_values *out)
{
    int64_t B = oracle_block(p), rows = oracle_blocks(p) * B, D = p->head_dim, Dv = p->value_dim;
    float *R = test_alloc((size_t)(2 * B), sizeof *R), *scores = R + B;
    int64_t *tokens = test_alloc((size_t)B, sizeof *tokens), valid = 0;

    for (int64_t row = 0; row < rows; row++) {
        if (row % B == 0)
            valid = list_tokens(p, row / B, tokens);
        out->cL[row] = right_row(p, form, &in->mean[row * D], k, tokens, R, scores);
        if (valid == 0)
            out->cL[row] = INFINITY;
        weigh(p, form, R, tokens, k, D, scale_of(p), &out->aL[row * D]);
        if (v != NULL)
            weigh(p, form, R, tokens, v, Dv, 1.0f, &out->y[row * Dv]);
    }
    free(R);
    free(tokens);
}

/* Logit of block k for the query of token n at position j, in the form's unit; -inf for a wholly
 * masked block. */
static float logit(const oracle_problem *p, const naive_form *form, const float *q, int64_t n,
                   int64_t k, int64_t j, const naive_values *in)
{
    int64_t row = k * oracle_block(p) + j, D = p->head_dim;

    if (in->cL[row] == INFINITY)
        return -INFINITY;
    return unit(form) * dot(form, &q[n * D], &in->aL[row * D], D) - unit(form) * in->cL[row];
}

/*
 * The sum of L from their logs. Its log, as softmax() returns it, may be exact by luck where all L
 * are equal; this is not. The largest is a factor of its own, so that small ones are not lost.
 */
static float sum_of_weights(const naive_form *form, const float *log_weights, int64_t count)
{
    float largest = -INFINITY, sum = 0.0f;

    for (int64_t i = 0; i < count; i++)
        if (log_weights[i] > largest || isnan(log_weights[i]))
            largest = log_weights[i];
    if (largest == -INFINITY)
        return 0.0f;
    for (int64_t i = 0; i < count; i++)
        sum += power(form, log_weights[nth(form, i, count)] - largest);
    return power(form, largest) * sum;
}

/*
 * The mean of queries of one (k, j): weights are the softmax over l of log L, where log L =
 * log_weights[l]; these are overwritten.
 */
static void left_row(const oracle_problem *p, const naive_form *form, const float *q, int64_t k,
                     int64_t j, float *log_weights, const naive_values *out)
{
    int64_t M = oracle_blocks(p), D = p->head_dim, row = k * oracle_block(p) + j;
    float sum = sum_of_weights(form, log_weights, M), log_c = softmax(form, log_weights, M);
    float *mean = &out->mean[row * D];

    memset(mean, 0, (size_t)D * sizeof *mean);
    for (int64_t i = 0; i < M; i++) {
        int64_t l = nth(form, i, M);
        if (oracle_valid(p, l, j))
            add_row(mean, stored(form, log_weights[l]), &q[oracle_token(p, l, j) * D], D);
    }
    out->cR[row] = form->sum_weights ? sum : power(form, log_c);
    for (int64_t f = 0; f < D; f++) {
        mean[f] = stored(form, mean[f]);
        out->aR[row * D + f] = out->cR[row] * mean[f];
    }
}

/* Replaces logits by their logs of softmax, the largest taken off first, and the form's shift: else
 * equal logits would cancel to the last bit. `room` is for `count`. */
static void log_softmax(const naive_form *form, float *logits, int64_t count, float *room)
{
    float largest = -INFINITY, lse;

    for (int64_t i = 0; i < count; i++)
        if (logits[i] > largest || isnan(logits[i]))
            largest = logits[i];
    for (int64_t i = 0; i < count; i++) {
        if (logits[i] != -INFINITY)
            logits[i] -= largest + form->shift;
        room[i] = logits[i];
    }
    lse = softmax(form, room, count);
    for (int64_t i = 0; i < count; i++)
        if (logits[i] != -INFINITY)
            logits[i] -= lse;
}

void naive_left(const oracle_problem *p, const naive_form *form, const float *q,
                const naive_values *in, const naive_values *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p);
    float *log_L = test_alloc((size_t)(M * M + 2 * M), sizeof *log_L);
    float *row = log_L + M * M, *room = row + M;

    for (int64_t j = 0; j < B; j++) {
        for (int64_t l = 0; l < M; l++) {
            int valid = oracle_valid(p, l, j);
            for (int64_t k = 0; k < M; k++)
                row[k] = valid ? logit(p, form, q, oracle_token(p, l, j), k, j, in) : -INFINITY;
            log_softmax(form, row, M, room);
            for (int64_t k = 0; k < M; k++)
                log_L[k * M + l] = row[k];
        }
        for (int64_t k = 0; k < M; k++)
            left_row(p, form, q, k, j, &log_L[k * M], out);
    }
    free(log_L);
}

void naive_left_out(const oracle_problem *p, const naive_form *form, const float *q,
                    const naive_values *in, float *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), Dv = p->value_dim;
    float *L = test_alloc((size_t)M, sizeof *L);

    for (int64_t row = 0; row < M * B; row++) {
        int64_t j = row % B, n = oracle_token(p, row / B, j);
        if (n < 0)
            continue;
        for (int64_t k = 0; k < M; k++)
            L[k] = logit(p, form, q, n, k, j, in);
        softmax(form, L, M);
        memset(&out[n * Dv], 0, (size_t)Dv * sizeof *out);
        for (int64_t i = 0; i < M; i++) {
            int64_t k = nth(form, i, M);
            if (in->cL[k * B + j] != INFINITY)
                add_row(&out[n * Dv], stored(form, L[k]), &in->y[(k * B + j) * Dv], Dv);
        }
        for (int64_t f = 0; f < Dv; f++)
            out[n * Dv + f] = test_round(form->dtype, out[n * Dv + f]);
    }
    free(L);
}
