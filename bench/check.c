/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>
#include <stdlib.h>

#include "../tests/oracle.h"
#include "report.h"

/* One head in f64, and a place for it in f32. */
struct copy {
    double *q, *k, *v, *out, *reference;
    float *single;
};

static int load(struct session *session, const monarch_buffer *buffer, monarch_dtype dtype,
                int64_t index, int64_t count, float *single, double *values)
{
    int status = buffer_read_f32(session, buffer, dtype, index * count, count, single);
    for (int64_t i = 0; !status && i < count; i++) {
        values[i] = (double)single[i];
    }
    return status;
}

static int load_all(struct session *session, const monarch_problem *problem,
                    const struct tensors *tensors, int64_t batch, int64_t head,
                    const struct copy *copy)
{
    int64_t keys = problem->tokens * problem->head_dim;
    int64_t values = problem->tokens * problem->value_dim;
    int64_t kv_head = head / (problem->heads / problem->kv_heads);
    int64_t index = batch * problem->heads + head;
    int64_t kv_index = batch * problem->kv_heads + kv_head;
    monarch_dtype dtype = problem->q.dtype;
    int status = load(session, tensors->q, dtype, index, keys, copy->single, copy->q);
    if (!status) {
        status = load(session, tensors->k, dtype, kv_index, keys, copy->single, copy->k);
    }
    if (!status) {
        status = load(session, tensors->v, dtype, kv_index, values, copy->single, copy->v);
    }
    if (!status) {
        status = load(session, tensors->out, dtype, index, values, copy->single, copy->out);
    }
    return status;
}

static int run_oracle(const monarch_problem *problem, const struct copy *copy)
{
    oracle_problem reference = {
        .tokens = problem->tokens,
        .head_dim = problem->head_dim,
        .value_dim = problem->value_dim,
        .block = problem->block_size,
        .steps = problem->steps,
        .scale = (double)problem->scale,
        .pad_begin = problem->pad == MONARCH_PAD_BEGIN,
    };
    /* The two extremes are exact attention, for which the reference needs far less memory. */
    int exact = problem->block_size == 1 || problem->block_size >= problem->tokens;
    int failed = exact ? oracle_exact(&reference, copy->q, copy->k, copy->v, copy->reference)
                       : oracle_monarch(&reference, copy->q, copy->k, copy->v, copy->reference);
    return failed ? fail_memory("the reference of the check", 0) : TOOL_OK;
}

static double relative_error(const struct copy *copy, int64_t count)
{
    double difference = 0.0;
    double reference = 0.0;
    for (int64_t i = 0; i < count; i++) {
        double delta = copy->out[i] - copy->reference[i];
        difference += delta * delta;
        reference += copy->reference[i] * copy->reference[i];
    }
    return difference == 0.0 ? 0.0 : sqrt(difference / reference);
}

int check_head(struct session *session, const monarch_problem *problem,
               const struct tensors *tensors, int64_t batch, int64_t head, double *error)
{
    size_t keys = (size_t)(problem->tokens * problem->head_dim);
    size_t values = (size_t)(problem->tokens * problem->value_dim);
    size_t larger = keys > values ? keys : values;
    struct copy copy = {
        .q = malloc(keys * sizeof(double)),
        .k = malloc(keys * sizeof(double)),
        .v = malloc(values * sizeof(double)),
        .out = malloc(values * sizeof(double)),
        .reference = malloc(values * sizeof(double)),
        .single = malloc(larger * sizeof(float)),
    };
    int status;
    if (!copy.q || !copy.k || !copy.v || !copy.out || !copy.reference || !copy.single) {
        status = fail_memory("the check of one head", 5 * larger * sizeof(double));
    } else {
        status = load_all(session, problem, tensors, batch, head, &copy);
        if (!status) {
            status = run_oracle(problem, &copy);
        }
        if (!status) {
            *error = relative_error(&copy, (int64_t)values);
        }
    }
    free(copy.q);
    free(copy.k);
    free(copy.v);
    free(copy.out);
    free(copy.reference);
    free(copy.single);
    return status;
}
