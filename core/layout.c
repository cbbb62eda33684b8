/* SPDX-License-Identifier: Apache-2.0 */
#include "core/layout.h"

#include <stdlib.h>

#include "core/error.h"

/* Addresses stay below 2^62 bytes, so that sums of two never overflow. */
static const int64_t ADDRESS_LIMIT = INT64_C(1) << 62;

/* One tensor's shape and strides in the order batch, head, block, position, feature. */
typedef struct view {
    int64_t batch, heads, features;
    int64_t element_size;
    monarch_strides strides;
} view;

static view view_of(const monarch_problem *p, mn_tensor_id id)
{
    switch (id) {
    case MN_TENSOR_Q:
        return (view){p->batch, p->heads, p->head_dim, (int64_t)monarch_dtype_size(p->q.dtype),
                      p->q.strides};
    case MN_TENSOR_K:
        return (view){p->batch, p->kv_heads, p->head_dim, (int64_t)monarch_dtype_size(p->k.dtype),
                      p->k.strides};
    case MN_TENSOR_V:
        return (view){p->batch, p->kv_heads, p->value_dim, (int64_t)monarch_dtype_size(p->v.dtype),
                      p->v.strides};
    case MN_TENSOR_MASK:
        return (view){p->batch, 1, 1, 1, p->mask_strides};
    case MN_TENSOR_OUT:
        break;
    }
    return (view){p->batch, p->heads, p->value_dim, (int64_t)monarch_dtype_size(p->out.dtype),
                  p->out.strides};
}

const char *mn_tensor_name(mn_tensor_id id)
{
    static const char *const names[MN_TENSOR_COUNT] = {"q", "k", "v", "mask", "out"};
    return names[id];
}

static bool in_reach(int64_t offset)
{
    return -ADDRESS_LIMIT < offset && offset < ADDRESS_LIMIT;
}

static bool multiply(int64_t a, int64_t b, int64_t *product)
{
    return !__builtin_mul_overflow(a, b, product) && in_reach(*product);
}

static bool all_zero(const monarch_strides *s)
{
    return s->batch == 0 && s->head == 0 && s->block == 0 && s->token == 0 && s->feature == 0;
}

/* Replaces defaults by values; `heads` and `features` are those of the tensor. */
static bool resolve_strides(const monarch_problem *p, int64_t heads, int64_t features,
                            monarch_strides *s)
{
    if (all_zero(s)) {
        s->feature = 1;
        s->token = features;
        if (!multiply(p->tokens, s->token, &s->head) || !multiply(heads, s->head, &s->batch))
            return false;
    }
    if (s->feature == 0)
        s->feature = 1;
    return s->block != 0 || multiply(p->block_size, s->token, &s->block);
}

monarch_status mn_layout_resolve(monarch_problem *p, monarch_error *error)
{
    bool fits = resolve_strides(p, p->heads, p->head_dim, &p->q.strides) &&
                resolve_strides(p, p->kv_heads, p->head_dim, &p->k.strides) &&
                resolve_strides(p, p->kv_heads, p->value_dim, &p->v.strides) &&
                resolve_strides(p, p->heads, p->value_dim, &p->out.strides) &&
                resolve_strides(p, 1, 1, &p->mask_strides);
    p->mask_strides.head = 0; /* set by the defaults above, but a mask has neither */
    p->mask_strides.feature = 0;
    if (fits)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "the strides of a tensor leave 64 bits; heads x tokens x features of one batch "
                   "entry must stay below 2^62");
}

/* Widens `extent`, in elements, by an index that runs over [from, to]. */
static bool widen(mn_extent *extent, int64_t from, int64_t to, int64_t stride)
{
    int64_t a, b;
    if (!multiply(from, stride, &a) || !multiply(to, stride, &b))
        return false;
    extent->begin += a < b ? a : b;
    extent->end += a < b ? b : a;
    return in_reach(extent->begin) && in_reach(extent->end);
}

/*
 * Offsets of all tokens. The blocks that are full and the one that padding cuts are two boxes of
 * (block, position); the extent is that of both together.
 */
static bool token_extent(const monarch_problem *p, const monarch_strides *s, mn_extent *extent)
{
    int64_t blocks = (p->tokens + p->block_size - 1) / p->block_size;
    int64_t padding = blocks * p->block_size - p->tokens;
    bool begin = p->pad == MONARCH_PAD_BEGIN;
    int64_t first = begin ? padding : 0;
    int64_t cut = begin ? 0 : blocks - 1;
    mn_extent part = {0, 0};
    int64_t last = p->block_size - 1 - (begin ? 0 : padding);
    if (!widen(&part, cut, cut, s->block) || !widen(&part, 0, last - first, s->token))
        return false;
    *extent = part;
    if (blocks == 1)
        return true;
    mn_extent full = {0, 0};
    int64_t from = begin ? 1 : 0, to = begin ? blocks - 1 : blocks - 2;
    if (!widen(&full, from, to, s->block) ||
        !widen(&full, -first, p->block_size - 1 - first, s->token))
        return false;
    extent->begin = full.begin < part.begin ? full.begin : part.begin;
    extent->end = full.end > part.end ? full.end : part.end;
    return true;
}

bool mn_layout_extent(const monarch_problem *p, mn_tensor_id id, mn_extent *extent)
{
    view v = view_of(p, id);
    *extent = (mn_extent){0, 0};
    if (p->batch == 0 || p->tokens == 0)
        return true;
    if (!token_extent(p, &v.strides, extent) || !widen(extent, 0, v.batch - 1, v.strides.batch) ||
        !widen(extent, 0, v.heads - 1, v.strides.head) ||
        !widen(extent, 0, v.features - 1, v.strides.feature))
        return false;
    extent->end += 1;
    return multiply(extent->begin, v.element_size, &extent->begin) &&
           multiply(extent->end, v.element_size, &extent->end);
}

typedef struct dimension {
    int64_t stride, count;
} dimension;

/* INT64_MIN is a legal stride of a dimension of length 1. */
static int64_t magnitude(int64_t stride)
{
    return stride == INT64_MIN ? INT64_MAX : llabs(stride);
}

static int by_stride(const void *a, const void *b)
{
    int64_t x = ((const dimension *)a)->stride, y = ((const dimension *)b)->stride;
    return (x > y) - (x < y);
}

bool mn_layout_out_overlaps_itself(const monarch_problem *p)
{
    const monarch_strides *s = &p->out.strides;
    if (p->batch == 0 || p->tokens == 0)
        return false; /* no elements; packed strides of no tokens are all 0 */
    int64_t blocks = (p->tokens + p->block_size - 1) / p->block_size;
    bool even = s->block == p->block_size * s->token; /* tokens are one dimension */
    dimension dimensions[] = {
        {magnitude(s->batch), p->batch},
        {magnitude(s->head), p->heads},
        {magnitude(s->block), even ? 1 : blocks},
        {magnitude(s->token), even ? p->tokens : p->block_size},
        {magnitude(s->feature), p->value_dim},
    };
    enum { COUNT = sizeof dimensions / sizeof *dimensions };
    qsort(dimensions, COUNT, sizeof *dimensions, by_stride);
    /* From the innermost out, every stride must step over all that lies inside it. */
    int64_t span = 0;
    for (int i = 0; i < COUNT; i++) {
        if (dimensions[i].count <= 1)
            continue;
        if (dimensions[i].stride <= span)
            return true;
        span += (dimensions[i].count - 1) * dimensions[i].stride;
    }
    return false;
}
