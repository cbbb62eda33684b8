/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_scene.h"

/* Bytes to descriptor. Bytes that are missing read as 0, and zeros choose the plain form, so a
 * short input is a valid problem and each byte added makes it odder. */

typedef struct reader {
    const uint8_t *data;
    size_t size, at;
} reader;

static uint8_t take(reader *r)
{
    return r->at < r->size ? r->data[r->at++] : 0;
}

static int64_t take_number(reader *r)
{
    static const int64_t edges[] = {
        0,         1,           -1,        2,         INT64_MAX, INT64_MIN,       INT32_MAX,
        INT32_MIN, 1LL << 40,   1LL << 24, 1LL << 31, 1LL << 32, (1LL << 62) - 1, 1LL << 56,
        65535,     -(1LL << 61)};
    uint8_t choice = take(r);
    if (choice < 128)
        return edges[choice % (sizeof edges / sizeof *edges)];
    uint64_t value = 0;
    for (int i = 0; i < (choice < 192 ? 2 : 8); i++)
        value = value << 8 | take(r);
    return choice < 192 ? (int16_t)value : (int64_t)value;
}

static void take_name(reader *r, char *name, size_t capacity)
{
    static const char *const known[] = {"cpu",    "naive",    "generic", "avx2",        "avx512",
                                        "cuda:0", "cpu:1",    "foo",     "cpu:",        "",
                                        "opencl", "vulkan:3", "naive ",  "avx512 naive"};
    uint8_t choice = take(r);
    memset(name, 0, capacity);
    if (choice < 192) {
        strncpy(name, known[choice % (sizeof known / sizeof *known)], capacity - 1);
        return;
    }
    for (size_t i = 0; i + 1 < capacity && i < (size_t)(choice - 192); i++)
        name[i] = (char)take(r);
}

/* One of the layouts that people use, or small raw strides. */
static monarch_strides take_strides(reader *r, int64_t heads, int64_t tokens, int64_t features,
                                    int64_t block, bool input)
{
    int64_t blocks = block > 0 ? (tokens + block - 1) / block : 1;
    int64_t grid = block * blocks;
    switch (take(r) % (input ? 9 : 6)) {
    case 1: /* [batch, token, head, feature] */
        return (monarch_strides){tokens * heads * features, features, 0, heads * features, 1};
    case 2: /* rows with room behind them */
        return (monarch_strides){heads * tokens * (features + 3), tokens * (features + 3), 0,
                                 features + 3, 1};
    case 3: /* the other axis of a grid is the block */
        return (monarch_strides){heads * grid * features, grid * features, features,
                                 blocks * features, 1};
    case 4: /* backwards */
        return (monarch_strides){-heads * tokens * features, tokens * features, 0, -features, 1};
    case 5: /* features apart, as in [batch, head, feature, token] */
        return (monarch_strides){heads * tokens * features, tokens * features, 0, 1, tokens};
    case 6: /* one head, or one token, for all */
        return (monarch_strides){tokens * features, 0, 0, features, 1};
    case 7:
        return (monarch_strides){features, 0, 0, 0, 1};
    case 8: {
        monarch_strides s = {(int8_t)take(r), (int8_t)take(r), (int8_t)take(r), (int8_t)take(r), 0};
        s.feature = (int8_t)take(r) % 4;
        return s;
    }
    default:
        return (monarch_strides){0, 0, 0, 0, 0};
    }
}

static void take_tensors(reader *r, monarch_problem *p)
{
    int64_t kv_heads = p->kv_heads > 0 ? p->kv_heads : p->heads;
    int64_t value_dim = p->value_dim > 0 ? p->value_dim : p->head_dim;
    monarch_problem_set_dtype(p, (monarch_dtype)(take(r) % 3));
    uint8_t mixed = take(r);
    if (mixed & 1)
        p->out.dtype = (monarch_dtype)(mixed / 2 % 3);
    if (mixed & 64)
        p->v.dtype = (monarch_dtype)(mixed / 8 % 3);
    p->q.strides = take_strides(r, p->heads, p->tokens, p->head_dim, p->block_size, true);
    p->k.strides = take_strides(r, kv_heads, p->tokens, p->head_dim, p->block_size, true);
    p->v.strides = take_strides(r, kv_heads, p->tokens, value_dim, p->block_size, true);
    p->out.strides = take_strides(r, p->heads, p->tokens, value_dim, p->block_size, false);
    uint8_t mask = take(r);
    p->has_mask = mask & 1;
    if (mask & 2)
        p->mask_strides = (monarch_strides){0, 0, 0, 1, 0};
    if (mask & 4)
        p->mask_strides = (monarch_strides){-p->tokens, 0, 0, -1, 0};
}

/* Puts a raw number into one field; most of these make the problem invalid. */
static void spoil(reader *r, monarch_problem *p)
{
    int64_t *const wide[] = {&p->batch,
                             &p->heads,
                             &p->kv_heads,
                             &p->tokens,
                             &p->head_dim,
                             &p->value_dim,
                             &p->block_size,
                             &p->q.strides.batch,
                             &p->q.strides.head,
                             &p->q.strides.block,
                             &p->q.strides.token,
                             &p->q.strides.feature,
                             &p->k.strides.batch,
                             &p->k.strides.block,
                             &p->v.strides.head,
                             &p->v.strides.token,
                             &p->v.strides.feature,
                             &p->out.strides.batch,
                             &p->out.strides.head,
                             &p->out.strides.block,
                             &p->out.strides.token,
                             &p->out.strides.feature,
                             &p->mask_strides.batch,
                             &p->mask_strides.head,
                             &p->mask_strides.block,
                             &p->mask_strides.token,
                             &p->mask_strides.feature};
    enum { WIDE = sizeof wide / sizeof *wide };
    unsigned choice = take(r) % (WIDE + 8u);
    int64_t value = take_number(r);
    uint32_t bits = (uint32_t)value;
    if (choice < WIDE)
        *wide[choice] = value;
    else if (choice == WIDE)
        p->steps = (int32_t)value;
    else if (choice == WIDE + 1)
        memcpy(&p->scale, &bits, sizeof p->scale);
    else if (choice == WIDE + 2)
        p->pad = (monarch_pad)value;
    else if (choice == WIDE + 3)
        p->q.dtype = (monarch_dtype)value;
    else if (choice == WIDE + 4)
        p->out.dtype = (monarch_dtype)value;
    else if (choice == WIDE + 5)
        p->has_mask = (int32_t)value;
    else if (choice == WIDE + 6)
        p->intermediates = (monarch_intermediates)value;
    else /* never more than the structure that is there */
        p->struct_size = bits % ((uint32_t)sizeof *p + 1);
}

fuzz_case fuzz_decode(const uint8_t *data, size_t size)
{
    static const float scales[] = {0.0f, 1.0f, -0.5f, 1e-20f, 100.0f, 3e38f, 0.125f};
    reader r = {data, size, 0};
    fuzz_case c = {.problem = monarch_problem_default(), .seed = size};
    monarch_problem *p = &c.problem;
    uint8_t spoiled = take(&r);
    p->batch = 1 + take(&r) % 3;
    p->kv_heads = 1 + take(&r) % 3;
    p->heads = p->kv_heads * (1 + take(&r) % 3);
    p->tokens = 1 + take(&r) % 48;
    p->head_dim = 1 + take(&r) % 24;
    uint8_t value_dim = take(&r);
    p->value_dim = value_dim % 4 ? value_dim % 27 : 0;
    uint8_t block = take(&r);
    p->block_size = block % 5 ? block % 23 : 0;
    p->steps = take(&r) % 5;
    p->scale = scales[take(&r) % (sizeof scales / sizeof *scales)];
    p->pad = (monarch_pad)(take(&r) & 1);
    take_tensors(&r, p);
    take_name(&r, c.device_name, sizeof c.device_name);
    uint8_t forced = take(&r);
    take_name(&r, c.variant_name, sizeof c.variant_name);
    c.wild = take(&r) >= 160;
    for (int i = spoiled < 160 ? 0 : spoiled % 3 + 1; i > 0; i--)
        spoil(&r, p);
    for (size_t i = 0; i < size; i++)
        c.seed = c.seed * 31 + data[i];
    c.forced = forced & 1;
    return c;
}
