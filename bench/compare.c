/* SPDX-License-Identifier: Apache-2.0 */
#include "compare.h"

#include <math.h>
#include <stdlib.h>

#include "report.h"

/* Multiply-adds that a comparison may cost: a few seconds of one core. */
static const double work_limit = 4e9;

/* Arrays for the head that is being compared. */
struct head {
    float *k, *v;    /* [tokens, head_dim], [tokens, value_dim] */
    float *q, *out;  /* one row */
    double *weights; /* [tokens] */
    double *exact;   /* [value_dim] */
};

void distance_add(struct distance *distance, const float *output, const double *reference,
                  int64_t count, int64_t batch, int64_t head, int64_t token)
{
    double difference = 0.0;
    double inner = 0.0;
    double output_square = 0.0;
    double reference_square = 0.0;
    for (int64_t i = 0; i < count; i++) {
        double value = (double)output[i];
        difference += (value - reference[i]) * (value - reference[i]);
        inner += value * reference[i];
        output_square += value * value;
        reference_square += reference[i] * reference[i];
    }
    double product = sqrt(output_square) * sqrt(reference_square);
    double cosine = difference == 0.0 ? 1.0 : product == 0.0 ? 0.0 : inner / product;
    double error = difference == 0.0 ? 0.0 : sqrt(difference / reference_square);
    /* Written so that NaN wins, and stays. */
    if (distance->rows == 0 ||
        (!(cosine >= distance->cosine_least) && !isnan(distance->cosine_least))) {
        distance->cosine_least = cosine;
    }
    if (distance->rows == 0 || (!(error <= distance->worst) && !isnan(distance->worst))) {
        distance->worst = error;
        distance->worst_batch = batch;
        distance->worst_head = head;
        distance->worst_token = token;
    }
    distance->rows++;
    distance->difference += difference;
    distance->reference += reference_square;
    distance->cosine_sum += cosine;
}

double distance_relative(const struct distance *distance)
{
    return distance->difference == 0.0 ? 0.0 : sqrt(distance->difference / distance->reference);
}

/* Four sums, since one would wait for itself at every step. */
static double dot(const float *a, const float *b, int64_t count)
{
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        for (int lane = 0; lane < 4; lane++) {
            sum[lane] += (double)a[i + lane] * (double)b[i + lane];
        }
    }
    for (; i < count; i++) {
        sum[0] += (double)a[i] * (double)b[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void exact_weights(const float *q, const float *k, const uint8_t *mask, int64_t tokens,
                   int64_t head_dim, double scale, double *weights)
{
    double greatest = -INFINITY;
    for (int64_t n = 0; n < tokens; n++) {
        weights[n] = -INFINITY;
        if (!mask || mask[n]) {
            weights[n] = scale * dot(q, k + n * head_dim, head_dim);
            /* NaN must win, so that it shows in the result. */
            greatest = weights[n] <= greatest ? greatest : weights[n];
        }
    }
    double total = 0.0;
    for (int64_t n = 0; n < tokens; n++) {
        weights[n] = mask && !mask[n] ? 0.0 : exp(weights[n] - greatest);
        total += weights[n];
    }
    for (int64_t n = 0; n < tokens && total != 0.0; n++) {
        weights[n] /= total;
    }
}

static void weighted_sum(const struct head *head, const uint8_t *mask,
                         const monarch_problem *problem)
{
    for (int64_t f = 0; f < problem->value_dim; f++) {
        head->exact[f] = 0.0;
    }
    for (int64_t n = 0; n < problem->tokens; n++) {
        if (mask && !mask[n]) {
            continue; /* its value may be NaN */
        }
        const float *row = head->v + n * problem->value_dim;
        for (int64_t f = 0; f < problem->value_dim; f++) {
            head->exact[f] += head->weights[n] * (double)row[f];
        }
    }
}

static int64_t sample_rows(const monarch_problem *problem)
{
    double row = (double)problem->tokens * (double)(problem->head_dim + problem->value_dim);
    double rows = work_limit / row / (double)problem->batch / (double)problem->heads;
    if (rows >= (double)problem->tokens) {
        return problem->tokens;
    }
    return rows < 1.0 ? 1 : (int64_t)rows;
}

static int load_head(const struct inputs *inputs, const monarch_problem *problem, int64_t batch,
                     int64_t kv_head, struct head *head)
{
    int64_t first = (batch * problem->kv_heads + kv_head) * problem->tokens;
    int status = npy_read_f32(&inputs->k, first * problem->head_dim,
                              problem->tokens * problem->head_dim, head->k);
    return status ? status
                  : npy_read_f32(&inputs->v, first * problem->value_dim,
                                 problem->tokens * problem->value_dim, head->v);
}

/* Compares the sample of one head, whose keys and values are loaded. */
static int compare_head(struct session *session, const monarch_problem *problem,
                        const struct inputs *inputs, const monarch_buffer *out,
                        struct distance *distance, const struct head *head, int64_t rows,
                        int64_t index)
{
    int64_t batch = index / problem->heads;
    const uint8_t *mask = inputs->mask ? inputs->mask + batch * problem->tokens : NULL;
    for (int64_t i = 0; i < rows; i++) {
        int64_t token = (int64_t)(((double)i + 0.5) / (double)rows * (double)problem->tokens);
        int64_t row = index * problem->tokens + token;
        if (mask && !mask[token]) {
            continue; /* nobody uses it, and its query may hold anything */
        }
        int status = npy_read_f32(&inputs->q, row * problem->head_dim, problem->head_dim, head->q);
        if (!status) {
            status = buffer_read_f32(session, out, problem->out.dtype, row * problem->value_dim,
                                     problem->value_dim, head->out);
        }
        if (status) {
            return status;
        }
        exact_weights(head->q, head->k, mask, problem->tokens, problem->head_dim,
                      (double)problem->scale, head->weights);
        weighted_sum(head, mask, problem);
        distance_add(distance, head->out, head->exact, problem->value_dim, batch,
                     index % problem->heads, token);
    }
    return TOOL_OK;
}

static void release_head(struct head *head)
{
    free(head->k);
    free(head->v);
    free(head->q);
    free(head->out);
    free(head->weights);
    free(head->exact);
}

static int allocate_head(struct head *head, const monarch_problem *problem)
{
    size_t tokens = (size_t)problem->tokens;
    size_t dim = (size_t)problem->head_dim;
    size_t value_dim = (size_t)problem->value_dim;
    head->k = malloc(tokens * dim * sizeof *head->k);
    head->v = malloc(tokens * value_dim * sizeof *head->v);
    head->q = malloc(dim * sizeof *head->q);
    head->out = malloc(value_dim * sizeof *head->out);
    head->weights = malloc(tokens * sizeof *head->weights);
    head->exact = malloc(value_dim * sizeof *head->exact);
    if (!head->k || !head->v || !head->q || !head->out || !head->weights || !head->exact) {
        return fail_memory("one head of exact attention",
                           tokens * (dim + value_dim) * sizeof *head->k);
    }
    return TOOL_OK;
}

int compare_exact(struct session *session, const monarch_problem *problem,
                  const struct inputs *inputs, const monarch_buffer *out, struct distance *distance,
                  int64_t *rows_per_head)
{
    struct head head = {0};
    memset(distance, 0, sizeof *distance);
    *rows_per_head = 0;
    int64_t heads = problem->batch * problem->heads;
    if (heads == 0 || problem->tokens == 0) {
        return TOOL_OK;
    }
    *rows_per_head = sample_rows(problem);
    int status = allocate_head(&head, problem);
    int64_t group = problem->heads / problem->kv_heads;
    for (int64_t i = 0; i < heads && !status; i++) {
        progress("comparing head %lld of %lld", (long long)i + 1, (long long)heads);
        if (i % group == 0) {
            status =
                load_head(inputs, problem, i / problem->heads, i % problem->heads / group, &head);
        }
        if (!status) {
            status =
                compare_head(session, problem, inputs, out, distance, &head, *rows_per_head, i);
        }
    }
    progress_clear();
    release_head(&head);
    return status;
}
