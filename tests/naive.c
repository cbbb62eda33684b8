/* SPDX-License-Identifier: Apache-2.0 */
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "inputs.h"
#include "random.h"

naive_form naive_form_make(monarch_dtype dtype, int index, uint64_t seed)
{
    test_random random = test_random_seed(seed, "naive form", (uint64_t)index);
    naive_form form = {dtype, index & 1, (index >> 1) & 1, 1.0f};

    if (index > 0)
        form.gain = (float)(1.0 - 0.5 * test_random_uniform(&random));
    return form;
}

void naive_values_alloc(const oracle_problem *p, naive_values *values)
{
    size_t rows = (size_t)(oracle_block(p) * oracle_blocks(p));
    size_t D = (size_t)p->head_dim, Dv = (size_t)p->value_dim;

    values->aL = test_alloc(rows * (3 * D + Dv + 2), sizeof *values->aL);
    values->aR = values->aL + rows * D;
    values->y = values->aR + rows * D;
    values->cL = values->y + rows * Dv;
    values->cR = values->cL + rows;
    values->mean = values->cR + rows;
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

void naive_accept(const oracle_problem *p, const naive_form *form, const naive_values *values)
{
    int64_t rows = oracle_block(p) * oracle_blocks(p);
    float s = scale_of(p);

    for (int64_t i = 0; i < rows * p->head_dim; i++) {
        float cR = values->cR[i / p->head_dim];
        values->aL[i] = s * stored(form, values->aL[i] / s);
        values->mean[i] = cR == 0.0f ? 0.0f : stored(form, values->aR[i] / cR);
    }
    for (int64_t i = 0; i < rows * p->value_dim; i++)
        values->y[i] = stored(form, values->y[i]);
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

/* Softmax in place; -inf counts as "not there". Returns the log of the sum of exponentials. */
static float softmax(const naive_form *form, float *x, int64_t count)
{
    float largest = -INFINITY, sum = 0.0f;

    for (int64_t i = 0; i < count; i++)
        if (x[i] > largest || isnan(x[i]))
            largest = x[i];
    for (int64_t i = 0; i < count; i++) {
        float *e = &x[nth(form, i, count)];
        *e = *e == -INFINITY ? 0.0f : expf(*e - largest);
        sum += *e;
    }
    for (int64_t i = 0; i < count && sum != 0.0f; i++)
        x[i] /= sum;
    return sum > 0.0f ? largest + logf(sum) : -INFINITY;
}

void naive_first(const oracle_problem *p, const float *q, const naive_values *out)
{
    int64_t B = oracle_block(p), rows = oracle_blocks(p) * B, D = p->head_dim;

    memset(out->aR, 0, (size_t)(rows * D) * sizeof(float));
    for (int64_t row = 0; row < rows; row++) {
        int valid = oracle_valid(p, row / B, row % B);
        out->cR[row] = valid ? 1.0f : 0.0f;
        if (valid)
            memcpy(&out->aR[row * D], &q[oracle_token(p, row / B, row % B) * D],
                   (size_t)D * sizeof(float));
    }
    memcpy(out->mean, out->aR, (size_t)(rows * D) * sizeof(float));
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

/*
 * The rounded R of one row; returns cL. `mean` is aR / cR; R and `scores` have room for B.
 */
static float right_row(const oracle_problem *p, const naive_form *form, const float *mean,
                       const float *k, const int64_t *tokens, float *R, float *scores)
{
    int64_t B = oracle_block(p), D = p->head_dim;
    float lse, s = scale_of(p), entropy = 0.0f, score = 0.0f;

    for (int64_t i = 0; i < B; i++) {
        if (tokens[i] < 0)
            R[i] = -INFINITY;
        else
            R[i] = s * dot(form, mean, &k[tokens[i] * D], D);
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
    return form->entropy_from_scores ? score - lse : entropy;
}

/* out[f] = factor * stored(sum_i R[i] * rows[token i][f]). */
static void weigh(const oracle_problem *p, const naive_form *form, const float *R,
                  const int64_t *tokens, const float *rows, int64_t features, float factor,
                  float *out)
{
    int64_t B = oracle_block(p);

    for (int64_t f = 0; f < features; f++) {
        float sum = 0.0f;
        for (int64_t n = 0; n < B; n++) {
            int64_t i = nth(form, n, B);
            if (tokens[i] >= 0)
                sum += R[i] * rows[tokens[i] * features + f];
        }
        out[f] = factor * stored(form, sum);
    }
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

/* Softmax over k of the query of token n at position j, not yet rounded; returns its log sum. */
static float left_row(const oracle_problem *p, const naive_form *form, const float *q, int64_t n,
                      int64_t j, const naive_values *in, float *L)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;

    for (int64_t k = 0; k < M; k++) {
        float c = in->cL[k * B + j];
        L[k] = c == INFINITY ? -INFINITY : dot(form, &q[n * D], &in->aL[(k * B + j) * D], D) - c;
    }
    return softmax(form, L, M);
}

/* log L of the query of token n at position j: scores less their largest, less the log of the sum.
 */
static void left_row_log(const oracle_problem *p, const naive_form *form, const float *q, int64_t n,
                         int64_t j, const naive_values *in, float *log_L, float *room)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;
    float largest = -INFINITY, sum = 0.0f;

    for (int64_t k = 0; k < M; k++) {
        float c = in->cL[k * B + j];
        room[k] = c == INFINITY ? -INFINITY : dot(form, &q[n * D], &in->aL[(k * B + j) * D], D) - c;
        if (room[k] > largest || isnan(room[k]))
            largest = room[k];
    }
    for (int64_t i = 0; i < M; i++) {
        int64_t k = nth(form, i, M);
        sum += room[k] == -INFINITY ? 0.0f : expf(room[k] - largest);
    }
    for (int64_t k = 0; k < M; k++)
        log_L[k] = room[k] == -INFINITY ? -INFINITY : room[k] - largest - logf(sum);
}

/* One column: the softmax over l of log L, which is L / cR, and the mean of queries under it. */
static void left_column(const oracle_problem *p, const naive_form *form, const float *q,
                        const float *log_L, int64_t k, int64_t j, const naive_values *out,
                        float *weights)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim, row = k * B + j;
    float lse;

    for (int64_t l = 0; l < M; l++)
        weights[l] = oracle_valid(p, l, j) ? log_L[l * M + k] : -INFINITY;
    lse = softmax(form, weights, M);
    out->cR[row] = isfinite(lse) ? expf(lse) : isnan(lse) ? lse : 0.0f;
    for (int64_t f = 0; f < D; f++) {
        float sum = 0.0f;
        for (int64_t i = 0; i < M; i++) {
            int64_t l = nth(form, i, M);
            if (oracle_valid(p, l, j))
                sum += stored(form, weights[l]) * q[oracle_token(p, l, j) * D + f];
        }
        out->mean[row * D + f] = stored(form, sum);
        out->aR[row * D + f] = out->cR[row] * out->mean[row * D + f];
    }
}

void naive_left(const oracle_problem *p, const naive_form *form, const float *q,
                const naive_values *in, const naive_values *out)
{
    int64_t B = oracle_block(p), M = oracle_blocks(p);
    float *log_L = test_alloc((size_t)(M * M + M), sizeof *log_L), *room = log_L + M * M;

    for (int64_t j = 0; j < B; j++) {
        for (int64_t l = 0; l < M; l++)
            if (oracle_valid(p, l, j))
                left_row_log(p, form, q, oracle_token(p, l, j), j, in, &log_L[l * M], room);
        for (int64_t k = 0; k < M; k++)
            left_column(p, form, q, log_L, k, j, out, room);
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
        left_row(p, form, q, n, j, in, L);
        for (int64_t k = 0; k < M; k++)
            L[k] = stored(form, L[k]);
        for (int64_t f = 0; f < Dv; f++) {
            float sum = 0.0f;
            for (int64_t i = 0; i < M; i++) {
                int64_t k = nth(form, i, M);
                if (in->cL[k * B + j] != INFINITY)
                    sum += L[k] * in->y[(k * B + j) * Dv + f];
            }
            out[n * Dv + f] = test_round(form->dtype, sum);
        }
    }
    free(L);
}
