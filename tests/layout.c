/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include <string.h>

/* Strides with no default left, and those that are passed to the library. */
typedef struct layout_strides {
    monarch_strides full, passed;
} layout_strides;

static monarch_strides packed(const test_tensor *t)
{
    monarch_strides s;

    s.feature = 1;
    s.token = t->features;
    s.block = t->block * s.token;
    s.head = t->tokens * s.token;
    s.batch = t->heads * s.head;
    return s;
}

/* [batch, token, row] with this tensor's heads side by side in a row. */
static monarch_strides side_by_side(const test_tensor *t, int64_t row)
{
    monarch_strides s;

    s.feature = 1;
    s.head = t->features;
    s.token = row;
    s.block = t->block * row;
    s.batch = t->tokens * row;
    return s;
}

static monarch_strides grid(const test_tensor *t, int64_t blocks)
{
    monarch_strides s;

    s.feature = 1;
    s.block = t->features;
    s.token = blocks * t->features;
    s.head = t->block * s.token;
    s.batch = t->heads * s.head;
    return s;
}

static monarch_strides gaps(const test_tensor *t, int64_t blocks)
{
    monarch_strides s;

    s.feature = 1;
    s.token = t->features + 3;
    s.block = t->block * s.token + 5;
    s.head = blocks * s.block + 7;
    s.batch = t->heads * s.head + 11;
    return s;
}

static monarch_strides every_second(const test_tensor *t)
{
    monarch_strides s = packed(t);

    s.feature *= 2;
    s.token *= 2;
    s.block *= 2;
    s.head *= 2;
    s.batch *= 2;
    return s;
}

static void broadcast(const test_inputs *inputs, const test_tensor *t, monarch_strides *s)
{
    int is_key_or_value = t == &inputs->k || t == &inputs->v;

    if (inputs->c->layout == LAYOUT_BROADCAST_BATCH && (is_key_or_value || t == &inputs->mask))
        s->batch = 0;
    if (inputs->c->layout == LAYOUT_BROADCAST_HEAD && is_key_or_value)
        s->head = 0;
    if (inputs->c->layout == LAYOUT_BROADCAST_HEAD && t == &inputs->q)
        s->batch = 0;
    if (inputs->c->layout == LAYOUT_BROADCAST_TOKEN && t == &inputs->k)
        s->token = s->block = 0;
}

static void negate(const test_inputs *inputs, const test_tensor *t, monarch_strides *s)
{
    if (t == &inputs->q || t == &inputs->mask) {
        s->token = -s->token;
        s->block = -s->block;
    }
    if (t == &inputs->k)
        s->head = -s->head;
    if (t == &inputs->v)
        s->batch = -s->batch;
}

static int64_t qkv_row(const test_inputs *inputs)
{
    return inputs->q.heads * inputs->q.features + inputs->k.heads * inputs->k.features +
           inputs->v.heads * inputs->v.features;
}

static monarch_strides strides_of(const test_inputs *inputs, const test_tensor *t)
{
    monarch_strides s = packed(t);

    switch (inputs->c->layout) {
    case LAYOUT_BSHD:
        return side_by_side(t, t->heads * t->features);
    case LAYOUT_QKV:
        if (t == &inputs->mask)
            return s;
        return side_by_side(t, t == &inputs->out ? t->heads * t->features : qkv_row(inputs));
    case LAYOUT_GRID:
        return grid(t, inputs->blocks);
    case LAYOUT_GAPS:
        return gaps(t, inputs->blocks);
    case LAYOUT_FEATURE:
        return t == &inputs->mask ? s : every_second(t);
    case LAYOUT_NEGATIVE:
        negate(inputs, t, &s);
        return s;
    default:
        broadcast(inputs, t, &s);
        return s;
    }
}

/* Leaves to their defaults those strides that have them, so that defaults are tested too. */
static monarch_strides passed_strides(const test_inputs *inputs, const test_tensor *t)
{
    monarch_strides s = t->strides;
    monarch_strides none = {0, 0, 0, 0, 0};

    if (inputs->c->layout == LAYOUT_PACKED || inputs->c->layout == LAYOUT_OFFSET)
        return none;
    if (s.feature == 1)
        s.feature = 0;
    if (s.block == t->block * s.token)
        s.block = 0;
    if (t == &inputs->mask)
        s.head = s.feature = 0;
    return s;
}

/* Elements from token 0 of the first batch entry and head to the lowest and highest used. */
static void extent(const test_tensor *t, int64_t *low, int64_t *high)
{
    const monarch_strides *s = &t->strides;
    int64_t batch = (t->batch - 1) * s->batch, head = (t->heads - 1) * s->head;
    int64_t least = 0, most = 0;

    for (int64_t n = 0; n < t->tokens; n++) {
        int64_t k = (n + t->first) / t->block, j = (n + t->first) % t->block;
        int64_t at = k * s->block + (j - t->first) * s->token;
        least = at < least ? at : least;
        most = at > most ? at : most;
    }
    *low = least + (batch < 0 ? batch : 0) + (head < 0 ? head : 0);
    *high = most + (batch > 0 ? batch : 0) + (head > 0 ? head : 0) + (t->features - 1) * s->feature;
}

static test_memory *add_memory(test_inputs *inputs, size_t before_origin, size_t after_origin,
                               size_t shift)
{
    test_memory *memory = test_alloc(1, sizeof *memory);

    memory->first = TEST_GUARD + shift;
    memory->last = memory->first + before_origin + after_origin;
    memory->size = memory->last + TEST_GUARD;
    memory->bytes = test_alloc(memory->size, 1);
    memory->before = test_alloc(memory->size, 1);
    memset(memory->bytes, TEST_POISON, memory->size);
    inputs->memory[inputs->memories++] = memory;
    return memory;
}

/* Memory of its own for a tensor. */
static void place(test_inputs *inputs, test_tensor *t)
{
    int64_t low, high;
    size_t below;

    extent(t, &low, &high);
    below = (size_t)-low * t->element;
    t->memory = add_memory(inputs, below, (size_t)(high + 1) * t->element,
                           inputs->c->layout == LAYOUT_OFFSET ? t->element : 0);
    t->origin = t->memory->first + below;
}

/* One memory for q, k and v. */
static void place_qkv(test_inputs *inputs)
{
    test_tensor *q = &inputs->q, *k = &inputs->k, *v = &inputs->v;
    size_t count = (size_t)(q->batch * q->tokens * qkv_row(inputs));

    q->memory = k->memory = v->memory = add_memory(inputs, 0, count * q->element, 0);
    q->origin = q->memory->first;
    k->origin = q->origin + (size_t)(q->heads * q->features) * q->element;
    v->origin = k->origin + (size_t)(k->heads * k->features) * k->element;
}

void test_layout_build(test_inputs *inputs)
{
    monarch_problem *p = &inputs->problem;
    test_tensor *tensors[] = {&inputs->q, &inputs->k, &inputs->v, &inputs->out, &inputs->mask};
    monarch_strides *passed[] = {&p->q.strides, &p->k.strides, &p->v.strides, &p->out.strides,
                                 &p->mask_strides};

    for (size_t i = 0; i < 5; i++) {
        test_tensor *t = tensors[i];
        if (t == &inputs->mask && !p->has_mask)
            continue;
        t->strides = strides_of(inputs, t);
        *passed[i] = passed_strides(inputs, t);
        if (inputs->c->layout != LAYOUT_QKV || i >= 3)
            place(inputs, t);
    }
    if (inputs->c->layout == LAYOUT_QKV)
        place_qkv(inputs);
}
