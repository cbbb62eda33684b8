/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "layout.h"
#include "random.h"

void *test_alloc(size_t count, size_t size)
{
    void *memory = calloc(count != 0 ? count : 1, size != 0 ? size : 1);

    if (memory == NULL) {
        fprintf(stderr, "test: no memory for %zu elements of %zu bytes\n", count, size);
        exit(1);
    }
    return memory;
}

size_t test_tensor_at(const test_tensor *t, int64_t b, int64_t h, int64_t n)
{
    const monarch_strides *s = &t->strides;
    int64_t k = (n + t->first) / t->block, j = (n + t->first) % t->block;
    int64_t at = b * s->batch + h * s->head + k * s->block + (j - t->first) * s->token;

    return (size_t)((int64_t)t->origin + at * (int64_t)t->element);
}

static unsigned char *address(const test_tensor *t, int64_t b, int64_t h, int64_t n, int64_t f)
{
    size_t step = (size_t)(f * t->strides.feature) * t->element;

    return &t->memory->bytes[test_tensor_at(t, b, h, n) + step];
}

float test_tensor_get(const test_tensor *t, int64_t b, int64_t h, int64_t n, int64_t f)
{
    return test_load(t->dtype, address(t, b, h, n, f));
}

void test_tensor_set(test_tensor *t, int64_t b, int64_t h, int64_t n, int64_t f, float value)
{
    test_store(t->dtype, address(t, b, h, n, f), value);
}

int64_t test_inputs_kv_head(const test_inputs *inputs, int64_t h)
{
    return h / (inputs->q.heads / inputs->k.heads);
}

/* Whether the mask of the case keeps token n of batch entry b. */
static int keeps(const test_inputs *inputs, test_random *random, const uint8_t *block_masked,
                 int64_t b, int64_t n, int64_t length)
{
    int64_t j = (n + inputs->q.first) % inputs->block, k = (n + inputs->q.first) / inputs->block;
    int chance = test_random_uniform(random) < 0.35;

    switch (inputs->c->mask) {
    case MASK_RANDOM:
        return !chance;
    case MASK_TRAILING:
        return n < length;
    case MASK_BLOCKS:
        return !block_masked[k] && test_random_uniform(random) > 0.1;
    case MASK_POSITION:
        return j != 1 && j != inputs->block - 1;
    case MASK_SEQUENCE:
        return b != 0 && !chance;
    case MASK_ONE:
        return n == length - 1;
    default:
        return 1;
    }
}

static void fill_mask(test_inputs *inputs, test_random *random)
{
    int64_t N = inputs->q.tokens;
    uint8_t *block_masked = test_alloc((size_t)inputs->blocks, 1);

    for (int64_t b = 0; b < inputs->q.batch; b++) {
        int64_t length = 1 + test_random_below(random, N);
        for (int64_t k = 0; k < inputs->blocks; k++)
            block_masked[k] = test_random_uniform(random) < 0.4;
        block_masked[test_random_below(random, inputs->blocks)] = 1;
        for (int64_t n = 0; n < N; n++) {
            int keep = keeps(inputs, random, block_masked, b, n, length);
            /* Every byte but 0 means "not masked". */
            uint8_t byte = keep ? (uint8_t)(1 + test_random_below(random, 255)) : 0;
            if (inputs->mask.memory != NULL)
                *address(&inputs->mask, b, 0, n, 0) = byte;
        }
    }
    /* Read back: with a broadcast mask the last batch entry's is that of all. */
    for (int64_t b = 0; b < inputs->q.batch; b++)
        for (int64_t n = 0; n < N; n++)
            inputs->valid[b * N + n] =
                inputs->mask.memory == NULL || *address(&inputs->mask, b, 0, n, 0) != 0;
    free(block_masked);
}

/* Mean and deviation of the elements. */
typedef struct moments {
    double mean, deviation;
} moments;

typedef struct content_moments {
    moments q, k, v;
} content_moments;

static content_moments moments_of(test_content content)
{
    static const content_moments table[CONTENT_COUNT] = {
        [CONTENT_NORMAL] = {{0, 1}, {0, 1}, {0, 1}},
        [CONTENT_TINY] = {{0, 0.01}, {0, 0.01}, {0, 1}},
        [CONTENT_LARGE] = {{0, 2.3}, {0, 2.3}, {0, 1}},
        [CONTENT_HUGE] = {{0, 55}, {0, 55}, {0, 1}},
        [CONTENT_SHIFTED] = {{0, 1}, {4, 1}, {0, 1}},
        [CONTENT_BIG_Q] = {{8000, 2000}, {0, 1e-4}, {0, 1}},
        [CONTENT_BIG_K] = {{0, 1e-4}, {0, 8000}, {0, 1}},
        [CONTENT_BIG_V] = {{0, 1}, {0, 1}, {15000, 8000}},
        [CONTENT_EQUAL_KEYS] = {{0, 1}, {0, 1}, {0, 1}},
        [CONTENT_EQUAL_BLOCKS] = {{0, 1}, {0, 1}, {0, 1}},
        [CONTENT_ZERO] = {{0, 0}, {0, 0}, {0, 1}},
        [CONTENT_ONES] = {{0, 1}, {0, 1}, {1, 0}},
        [CONTENT_LARGEST] = {{0, 1}, {0, 1}, {65504, 0}},
    };
    return table[content];
}

/* The token whose row token n repeats; n itself in most cases. */
static int64_t model_of(const test_inputs *inputs, const test_tensor *t, int64_t n)
{
    if (inputs->c->content == CONTENT_EQUAL_KEYS && t == &inputs->k) {
        int64_t first_of_block = (n + t->first) / t->block * t->block - t->first;
        return first_of_block > 0 ? first_of_block : 0;
    }
    if (inputs->c->content == CONTENT_EQUAL_BLOCKS && n >= t->block)
        return n - t->block;
    return n;
}

static void fill_row(const test_inputs *inputs, test_tensor *t, test_random *random, moments m,
                     int64_t b, int64_t h, int64_t n)
{
    int64_t model = model_of(inputs, t, n);

    for (int64_t f = 0; f < t->features; f++) {
        double value = m.mean + m.deviation * test_random_normal(random);
        if (value > 60000.0 || value < -60000.0)
            value = 60000.0; /* f16 ends at 65504 */
        if (model != n)
            value = (double)test_tensor_get(t, b, h, model, f);
        test_tensor_set(t, b, h, n, f, (float)value);
    }
}

static void fill(const test_inputs *inputs, test_tensor *t, test_random *random, moments m)
{
    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t h = 0; h < t->heads; h++)
            for (int64_t n = 0; n < t->tokens; n++)
                fill_row(inputs, t, random, m, b, h, n);
}

/* NaN, infinities and large numbers in the masked rows. */
static void poison(const test_inputs *inputs, test_tensor *t, test_random *random)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, NAN, 60000.0f};

    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t h = 0; h < t->heads; h++)
            for (int64_t n = 0; n < t->tokens; n++)
                for (int64_t f = 0; f < t->features && !inputs->valid[b * t->tokens + n]; f++)
                    test_tensor_set(t, b, h, n, f, bad[test_random_below(random, 5)]);
}

static void describe(test_inputs *inputs, test_tensor *t, monarch_dtype dtype, int64_t heads,
                     int64_t features)
{
    const monarch_problem *p = &inputs->problem;

    memset(t, 0, sizeof *t);
    t->dtype = dtype;
    t->element = t == &inputs->mask ? 1 : monarch_dtype_size(dtype);
    t->batch = p->batch;
    t->heads = heads;
    t->tokens = p->tokens;
    t->features = features;
    t->block = inputs->block;
    t->first = p->pad == MONARCH_PAD_BEGIN ? inputs->blocks * inputs->block - p->tokens : 0;
}

/* Everything but the contents. */
static void prepare(test_inputs *inputs, const test_case *c, monarch_dtype dtype)
{
    monarch_problem p = test_case_problem(c, dtype);
    int64_t kv_heads = p.kv_heads != 0 ? p.kv_heads : p.heads;
    int64_t value_dim = p.value_dim != 0 ? p.value_dim : p.head_dim;

    memset(inputs, 0, sizeof *inputs);
    inputs->c = c;
    inputs->dtype = c->mixed ? MONARCH_BF16 : dtype;
    inputs->range = inputs->dtype;
    if (p.q.dtype == MONARCH_F16 || p.k.dtype == MONARCH_F16 || p.v.dtype == MONARCH_F16 ||
        p.out.dtype == MONARCH_F16)
        inputs->range = MONARCH_F16;
    inputs->problem = p;
    inputs->block =
        p.block_size != 0 ? p.block_size : monarch_default_block_size(p.tokens, p.steps);
    if (inputs->block > p.tokens)
        inputs->block = p.tokens;
    inputs->blocks = (p.tokens + inputs->block - 1) / inputs->block;
    inputs->valid = test_alloc((size_t)(p.batch * p.tokens), 1);
    describe(inputs, &inputs->q, p.q.dtype, p.heads, p.head_dim);
    describe(inputs, &inputs->k, p.k.dtype, kv_heads, p.head_dim);
    describe(inputs, &inputs->v, p.v.dtype, kv_heads, value_dim);
    describe(inputs, &inputs->out, p.out.dtype, p.heads, value_dim);
    describe(inputs, &inputs->mask, p.q.dtype, 1, 1);
    test_layout_build(inputs);
}

void test_inputs_create(test_inputs *inputs, const test_case *c, monarch_dtype dtype, uint64_t seed)
{
    test_random random = test_random_seed(seed, c->name, 0);
    content_moments m = moments_of(c->content);

    prepare(inputs, c, dtype);
    fill_mask(inputs, &random);
    fill(inputs, &inputs->q, &random, m.q);
    fill(inputs, &inputs->k, &random, m.k);
    fill(inputs, &inputs->v, &random, m.v);
    if (c->masked != MASKED_ORDINARY) {
        poison(inputs, &inputs->k, &random);
        poison(inputs, &inputs->v, &random);
    }
    if (c->masked == MASKED_ALL_NAN)
        poison(inputs, &inputs->q, &random);
    test_inputs_remember(inputs);
}

static void copy_tensor(test_tensor *to, const test_tensor *from)
{
    size_t step = (size_t)to->strides.feature * to->element;
    size_t from_step = (size_t)from->strides.feature * from->element;

    for (int64_t b = 0; b < to->batch; b++)
        for (int64_t h = 0; h < to->heads; h++)
            for (int64_t n = 0; n < to->tokens; n++)
                for (size_t f = 0; f < (size_t)to->features; f++)
                    memcpy(address(to, b, h, n, 0) + f * step,
                           address(from, b, h, n, 0) + f * from_step, to->element);
}

void test_inputs_relayout(test_inputs *inputs, const test_inputs *from, const test_case *c)
{
    prepare(inputs, c, from->problem.q.dtype);
    copy_tensor(&inputs->q, &from->q);
    copy_tensor(&inputs->k, &from->k);
    copy_tensor(&inputs->v, &from->v);
    if (inputs->mask.memory != NULL)
        copy_tensor(&inputs->mask, &from->mask);
    memcpy(inputs->valid, from->valid, (size_t)(from->q.batch * from->q.tokens));
    test_inputs_remember(inputs);
}

void test_inputs_free(test_inputs *inputs)
{
    for (size_t i = 0; i < inputs->memories; i++) {
        free(inputs->memory[i]->bytes);
        free(inputs->memory[i]->before);
        free(inputs->memory[i]);
    }
    free(inputs->valid);
    memset(inputs, 0, sizeof *inputs);
}

void test_inputs_remember(test_inputs *inputs)
{
    for (size_t i = 0; i < inputs->memories; i++)
        memcpy(inputs->memory[i]->before, inputs->memory[i]->bytes, inputs->memory[i]->size);
}

void test_inputs_reset_output(test_inputs *inputs)
{
    test_memory *memory = inputs->out.memory;

    memset(memory->bytes, TEST_POISON, memory->size);
    memcpy(memory->before, memory->bytes, memory->size);
}

/* Takes what was written to the output into `before`, so that what remains is a fault. */
static void accept_output(const test_inputs *inputs)
{
    const test_tensor *t = &inputs->out;
    size_t step = (size_t)t->strides.feature * t->element;

    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t h = 0; h < t->heads; h++)
            for (int64_t n = 0; n < t->tokens; n++) {
                size_t at = test_tensor_at(t, b, h, n);
                for (size_t f = 0; f < (size_t)t->features; f++)
                    memcpy(&t->memory->before[at + f * step], &t->memory->bytes[at + f * step],
                           t->element);
            }
}

int test_inputs_touched(const test_inputs *inputs, char *text, size_t capacity)
{
    accept_output(inputs);
    for (size_t i = 0; i < inputs->memories; i++) {
        const test_memory *memory = inputs->memory[i];
        for (size_t at = 0; at < memory->size; at++) {
            if (memory->bytes[at] == memory->before[at])
                continue;
            snprintf(text, capacity,
                     "byte %td of %s was changed (0x%02x to 0x%02x), the tensor spans bytes 0 to "
                     "%zu",
                     (ptrdiff_t)at - (ptrdiff_t)memory->first,
                     memory == inputs->out.memory ? "the output's memory" : "an input's memory",
                     memory->before[at], memory->bytes[at], memory->last - memory->first);
            return 1;
        }
    }
    return 0;
}

void test_inputs_output(const test_inputs *inputs, float *out)
{
    const test_tensor *t = &inputs->out;

    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t h = 0; h < t->heads; h++)
            for (int64_t n = 0; n < t->tokens; n++)
                for (int64_t f = 0; f < t->features; f++)
                    *out++ = test_tensor_get(t, b, h, n, f);
}

oracle_problem test_inputs_oracle(const test_inputs *inputs, int64_t b)
{
    const monarch_problem *p = &inputs->problem;
    oracle_problem problem = {
        .tokens = p->tokens,
        .head_dim = inputs->q.features,
        .value_dim = inputs->v.features,
        .block = inputs->block,
        .steps = p->steps,
        .scale = (double)p->scale,
        .pad_begin = p->pad == MONARCH_PAD_BEGIN,
        .mask = p->has_mask ? &inputs->valid[b * p->tokens] : NULL,
    };

    return problem;
}

static void read_head(const test_tensor *t, int64_t b, int64_t h, double *values)
{
    for (int64_t n = 0; n < t->tokens; n++)
        for (int64_t f = 0; f < t->features; f++)
            *values++ = (double)test_tensor_get(t, b, h, n, f);
}

void test_inputs_head(const test_inputs *inputs, int64_t b, int64_t h, double *q, double *k,
                      double *v)
{
    read_head(&inputs->q, b, h, q);
    read_head(&inputs->k, b, test_inputs_kv_head(inputs, h), k);
    read_head(&inputs->v, b, test_inputs_kv_head(inputs, h), v);
}

static void keep_one(test_tensor *t, int64_t b, int64_t h)
{
    if (t->memory == NULL)
        return;
    t->origin = test_tensor_at(t, b, h, 0);
    t->batch = 1;
    t->heads = 1;
}

test_inputs test_one_head(const test_inputs *inputs, int64_t b, int64_t h)
{
    test_inputs one = *inputs;
    int64_t kv_head = test_inputs_kv_head(inputs, h);

    keep_one(&one.q, b, h);
    keep_one(&one.k, b, kv_head);
    keep_one(&one.v, b, kv_head);
    keep_one(&one.out, b, h);
    keep_one(&one.mask, b, 0);
    one.problem.batch = 1;
    one.problem.heads = 1;
    one.problem.kv_heads = 1;
    one.valid = &inputs->valid[b * inputs->q.tokens];
    return one;
}
