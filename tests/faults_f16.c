/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "convert.h"
#include "faults.h"
#include "inputs.h"
#include "oracle.h"

/* The weights are as good as weights can be; only the sums over them are kept in f16. */

typedef struct f16_head {
    oracle_problem p;
    int64_t blocks;
    double *q, *k, *v, *weights;
    oracle_values in;
} f16_head;

static double *load(const void *tensor, monarch_dtype dtype, int64_t head, int64_t count)
{
    double *values = test_alloc((size_t)count, sizeof *values);
    const unsigned char *bytes = tensor;
    int64_t size = (int64_t)monarch_dtype_size(dtype);

    for (int64_t i = 0; i < count; i++)
        values[i] = (double)test_load(dtype, bytes + (head * count + i) * size);
    return values;
}

static void widen(double *to, const float *from, int64_t at, int64_t count)
{
    for (int64_t i = 0; i < count && from != NULL; i++)
        to[i] = (double)from[at + i];
}

static void open_head(f16_head *h, const monarch_problem *p, const monarch_stage_tensors *t,
                      const monarch_stage_values *inputs, uint32_t index, int64_t head)
{
    int64_t N = p->tokens, B = p->block_size, D = p->head_dim, Dv = p->value_dim, rows;

    h->p = (oracle_problem){
        .tokens = N,
        .head_dim = D,
        .value_dim = Dv,
        .block = B,
        .steps = p->steps,
        .scale = (double)p->scale,
        .pad_begin = p->pad == MONARCH_PAD_BEGIN,
        .mask = p->has_mask ? t->mask + head / p->heads * N : NULL,
    };
    h->blocks = (N + B - 1) / B;
    rows = h->blocks * B;
    h->q = load(t->q, p->q.dtype, head, N * D);
    h->k = load(t->k, p->k.dtype, head, N * D);
    h->v = load(t->v, p->v.dtype, head, N * Dv);
    h->weights = test_alloc((size_t)(rows * (B > h->blocks ? B : h->blocks)), sizeof(double));
    if (oracle_values_alloc(&h->p, &h->in) != 0)
        exit(1);
    if (index == 0) {
        oracle_first(&h->p, h->q, &h->in);
        return;
    }
    widen(h->in.aL, inputs->aL, head * rows * D, rows * D);
    widen(h->in.cL, inputs->cL, head * rows, rows);
    widen(h->in.aR, inputs->aR, head * rows * D, rows * D);
    widen(h->in.cR, inputs->cR, head * rows, rows);
    widen(h->in.y, inputs->y, head * rows * Dv, rows * Dv);
    oracle_accept(&h->p, &h->in);
}

static void close_head(f16_head *h)
{
    free(h->q);
    free(h->k);
    free(h->v);
    free(h->weights);
    oracle_values_free(&h->in);
}

/* A sum that is rounded to f16 after each term. */
static void add(float *sum, double term)
{
    *sum = test_round(MONARCH_F16, *sum + (float)term);
}

/* The mean over keys of block k of rows `x` of a tensor, for row j. */
static float key_mean(const f16_head *h, int64_t k, int64_t j, const double *x, int64_t width,
                      int64_t f)
{
    float sum = 0.0f;

    for (int64_t i = 0; i < h->p.block; i++) {
        int64_t n = oracle_token(&h->p, k, i);
        double weight = h->weights[(k * h->p.block + j) * h->p.block + i];
        if (n >= 0 && weight > 0.0)
            add(&sum, weight * x[n * width + f]);
    }
    return sum;
}

static void run_right(f16_head *h, int64_t head, const monarch_stage_values *out, int with_y)
{
    int64_t B = h->p.block, D = h->p.head_dim, Dv = h->p.value_dim, first = head * h->blocks * B;
    double scale = h->p.scale;
    oracle_values exact;

    if (oracle_values_alloc(&h->p, &exact) != 0 ||
        oracle_right(&h->p, h->k, NULL, &h->in, &exact) != 0)
        exit(1);
    oracle_weights_right(&h->p, h->k, &h->in, h->weights);
    for (int64_t row = 0; row < h->blocks * B; row++) {
        out->cL[first + row] = (float)exact.cL[row];
        for (int64_t f = 0; f < D; f++)
            out->aL[(first + row) * D + f] =
                (float)scale * key_mean(h, row / B, row % B, h->k, D, f);
        for (int64_t f = 0; f < Dv && with_y; f++)
            out->y[(first + row) * Dv + f] = key_mean(h, row / B, row % B, h->v, Dv, f);
    }
    oracle_values_free(&exact);
}

static double left_weight(const f16_head *h, int64_t j, int64_t k, int64_t l)
{
    return exp(h->weights[(j * h->blocks + k) * h->blocks + l]);
}

static void run_left(f16_head *h, int64_t head, const monarch_stage_values *out)
{
    int64_t B = h->p.block, D = h->p.head_dim, M = h->blocks, first = head * M * B;
    oracle_values exact;

    if (oracle_values_alloc(&h->p, &exact) != 0 || oracle_left(&h->p, h->q, &h->in, &exact) != 0)
        exit(1);
    oracle_log_weights_left(&h->p, h->q, &h->in, h->weights);
    for (int64_t row = 0; row < M * B; row++) {
        out->cR[first + row] = (float)exact.cR[row];
        for (int64_t f = 0; f < D; f++) {
            float sum = 0.0f;
            for (int64_t l = 0; l < M; l++)
                if (oracle_valid(&h->p, l, row % B))
                    add(&sum, left_weight(h, row % B, row / B, l) *
                                  h->q[oracle_token(&h->p, l, row % B) * D + f]);
            out->aR[(first + row) * D + f] = sum;
        }
    }
    oracle_values_free(&exact);
}

static void run_left_out(f16_head *h, int64_t head, monarch_dtype dtype, void *out)
{
    int64_t B = h->p.block, Dv = h->p.value_dim, M = h->blocks;
    unsigned char *bytes = out;
    int64_t size = (int64_t)monarch_dtype_size(dtype);

    oracle_log_weights_left(&h->p, h->q, &h->in, h->weights);
    for (int64_t row = 0; row < M * B; row++) {
        int64_t n = oracle_token(&h->p, row / B, row % B);
        for (int64_t f = 0; f < Dv && n >= 0; f++) {
            float sum = 0.0f;
            for (int64_t k = 0; k < M; k++)
                add(&sum,
                    left_weight(h, row % B, k, row / B) * h->in.y[(k * B + row % B) * Dv + f]);
            test_store(dtype, bytes + ((head * h->p.tokens + n) * Dv + f) * size, sum);
        }
    }
}

monarch_status faulty_f16_stage(const monarch_problem *resolved, uint32_t index,
                                const monarch_stage_tensors *tensors,
                                const monarch_stage_values *inputs,
                                const monarch_stage_values *outputs)
{
    uint32_t last = 2 * (uint32_t)resolved->steps - 1;

    for (int64_t head = 0; head < resolved->batch * resolved->heads; head++) {
        f16_head h;
        open_head(&h, resolved, tensors, inputs, index, head);
        if (index == last)
            run_left_out(&h, head, resolved->out.dtype, tensors->out);
        else if (index % 2 == 1)
            run_left(&h, head, outputs);
        else
            run_right(&h, head, outputs, index == last - 1);
        close_head(&h);
    }
    return MONARCH_OK;
}
