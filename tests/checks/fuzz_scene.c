/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_scene.h"

#include <math.h>
#include <stdlib.h>

enum { Q, K, V, MASK, OUT, COUNT };
enum { MOST_ELEMENTS = 1 << 14, MOST_BYTES = 1 << 22, POISON = 0xff };

/* ---- one tensor, walked element by element: slow, and sharing no code with the library ---- */

typedef struct tensor {
    int64_t heads, features;
    monarch_dtype dtype;
    size_t size;
    monarch_strides strides;
} tensor;

static tensor tensor_of(const monarch_problem *p, int id)
{
    const monarch_tensor *t = id == Q ? &p->q : id == K ? &p->k : id == V ? &p->v : &p->out;
    if (id == MASK)
        return (tensor){1, 1, MONARCH_F32, 1, p->mask_strides};
    return (tensor){id == K || id == V ? p->kv_heads : p->heads,
                    id == V || id == OUT ? p->value_dim : p->head_dim, t->dtype,
                    monarch_dtype_size(t->dtype), t->strides};
}

/* The formula of monarch/problem.h. */
static int64_t offset_of(const monarch_problem *p, const monarch_strides *s, int64_t b, int64_t h,
                         int64_t n, int64_t f)
{
    int64_t blocks = (p->tokens + p->block_size - 1) / p->block_size;
    int64_t first = p->pad == MONARCH_PAD_BEGIN ? blocks * p->block_size - p->tokens : 0;
    int64_t k = (n + first) / p->block_size, j = (n + first) % p->block_size;
    return b * s->batch + h * s->head + k * s->block + (j - first) * s->token + f * s->feature;
}

typedef void (*visit)(fuzz_scene *scene, int id, int64_t b, int64_t n, int64_t offset, void *user);

static void walk(fuzz_scene *scene, int id, visit function, void *user)
{
    const monarch_problem *p = &scene->problem;
    tensor t = tensor_of(p, id);
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t h = 0; h < t.heads; h++)
            for (int64_t n = 0; n < p->tokens; n++)
                for (int64_t f = 0; f < t.features; f++)
                    function(scene, id, b, n, offset_of(p, &t.strides, b, h, n, f), user);
}

typedef struct span {
    int64_t lowest, highest;
} span;

static void widen(fuzz_scene *scene, int id, int64_t b, int64_t n, int64_t offset, void *user)
{
    (void)scene, (void)id, (void)b, (void)n;
    span *s = user;
    s->lowest = offset < s->lowest ? offset : s->lowest;
    s->highest = offset > s->highest ? offset : s->highest;
}

/* ---- numbers ---- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ (z >> 27);
}

/* k/16 for k in [-16, 16]: exact in f32, f16 and bf16 alike. */
static void store(void *at, monarch_dtype dtype, uint64_t random)
{
    float value = (float)((int)(random % 33) - 16) / 16.0f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (dtype == MONARCH_F32) {
        memcpy(at, &value, sizeof value);
        return;
    }
    uint16_t half = (uint16_t)(bits >> 16); /* bf16 */
    if (dtype == MONARCH_F16) {
        half = (uint16_t)(bits >> 16 & 0x8000u);
        if (value != 0.0f)
            half = (uint16_t)(half | (((bits >> 23 & 0xffu) - 112) << 10) | (bits >> 13 & 0x3ffu));
    }
    memcpy(at, &half, sizeof half);
}

static void store_bits(void *at, size_t size, uint64_t random)
{
    memcpy(at, &random, size);
}

static float load(const void *at, monarch_dtype dtype)
{
    uint16_t half = 0;
    uint32_t bits = 0;
    float value;
    if (dtype == MONARCH_F32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&half, at, sizeof half);
    if (dtype == MONARCH_F16) {
        int exponent = half >> 10 & 31, fraction = half & 0x3ff;
        float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                          : exponent == 0 ? ldexpf((float)fraction, -24)
                                          : ldexpf((float)(fraction + 1024), exponent - 25);
        return half & 0x8000 ? -magnitude : magnitude;
    }
    bits = (uint32_t)half << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- the scene ---- */

static uint8_t *address(const fuzz_scene *scene, int id, int64_t offset)
{
    size_t size = tensor_of(&scene->problem, id).size;
    return (uint8_t *)scene->memory[id] + (size_t)(offset - scene->lowest[id]) * size;
}

static bool is_masked(const fuzz_scene *scene, int64_t b, int64_t n)
{
    const monarch_problem *p = &scene->problem;
    return p->has_mask && *address(scene, MASK, offset_of(p, &p->mask_strides, b, 0, n, 0)) == 0;
}

/* Keys and values behind the mask stay NaN; queries are always read. */
static void fill(fuzz_scene *scene, int id, int64_t b, int64_t n, int64_t offset, void *user)
{
    if (id == MASK)
        *address(scene, id, offset) = (uint8_t)(next_random(user) % 3);
    else if (scene->wild)
        store_bits(address(scene, id, offset), tensor_of(&scene->problem, id).size,
                   next_random(user));
    else if (id == Q || !is_masked(scene, b, n))
        store(address(scene, id, offset), tensor_of(&scene->problem, id).dtype, next_random(user));
}

static void mark(fuzz_scene *scene, int id, int64_t b, int64_t n, int64_t offset, void *user)
{
    (void)b, (void)n, (void)user;
    size_t at = (size_t)(address(scene, id, offset) - (uint8_t *)scene->memory[OUT]);
    memset(scene->is_output + at, 1, tensor_of(&scene->problem, OUT).size);
    scene->outputs++;
}

static bool is_small(const monarch_problem *p)
{
    static const int64_t most = MOST_ELEMENTS;
    if (p->batch > most || p->heads > most || p->tokens > most || p->head_dim > most ||
        p->value_dim > most)
        return false;
    int64_t widest = p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
    int64_t rows = p->batch * p->heads <= most ? p->batch * p->heads * p->tokens : most + 1;
    if (rows > most || rows * widest > most)
        return false;
    int64_t blocks = (p->tokens + p->block_size - 1) / p->block_size;
    return rows * widest * (p->block_size + blocks) * p->steps < INT64_C(200000);
}

static bool place(fuzz_scene *scene, int id)
{
    span s = {0, 0}; /* the address of token 0 is always in reach */
    walk(scene, id, widen, &s);
    size_t size = tensor_of(&scene->problem, id).size;
    if (s.highest - s.lowest >= MOST_BYTES || s.highest > MOST_BYTES || s.lowest < -MOST_BYTES)
        return false;
    scene->lowest[id] = s.lowest;
    scene->bytes[id] = (size_t)(s.highest - s.lowest + 1) * size;
    scene->memory[id] = malloc(scene->bytes[id]);
    if (!scene->memory[id])
        return false;
    memset(scene->memory[id], POISON, scene->bytes[id]);
    monarch_memory *memory[COUNT] = {&scene->args.q, &scene->args.k, &scene->args.v,
                                     &scene->args.mask, &scene->args.out};
    *memory[id] = monarch_host_memory(address(scene, id, 0), (size_t)(s.highest + 1) * size);
    return true;
}

bool fuzz_is_plannable(const monarch_problem *resolved)
{
    return resolved->tokens <= INT64_C(1) << 40;
}

bool fuzz_scene_open(fuzz_scene *scene, const monarch_problem *resolved, const fuzz_case *c)
{
    uint64_t seed = c->seed;
    memset(scene, 0, sizeof *scene);
    scene->problem = *resolved;
    scene->args = monarch_plan_args_default();
    scene->wild = c->wild;
    bool good = is_small(resolved);
    for (int id = Q; good && id < COUNT; id++)
        if (id != MASK || resolved->has_mask)
            good = place(scene, id);
    if (!good) {
        fuzz_scene_close(scene);
        return false;
    }
    if (resolved->has_mask)
        walk(scene, MASK, fill, &seed);
    walk(scene, Q, fill, &seed);
    walk(scene, K, fill, &seed);
    walk(scene, V, fill, &seed);
    scene->is_output = calloc(scene->bytes[OUT], 1);
    if (!scene->is_output)
        abort();
    walk(scene, OUT, mark, NULL);
    return true;
}

void fuzz_scene_close(fuzz_scene *scene)
{
    for (int id = 0; id < COUNT; id++)
        free(scene->memory[id]);
    free(scene->is_output);
    memset(scene, 0, sizeof *scene);
}

void fuzz_scene_reset_output(fuzz_scene *scene)
{
    memset(scene->memory[OUT], POISON, scene->bytes[OUT]);
}

typedef struct reading {
    float *values;
    size_t count;
} reading;

static void read_value(fuzz_scene *scene, int id, int64_t b, int64_t n, int64_t offset, void *user)
{
    (void)b, (void)n;
    reading *r = user;
    r->values[r->count++] = load(address(scene, id, offset), scene->problem.out.dtype);
}

void fuzz_scene_read_output(const fuzz_scene *scene, float *values)
{
    fuzz_scene copy = *scene;
    walk(&copy, OUT, read_value, &(reading){values, 0});
}

const char *fuzz_scene_check_output(const fuzz_scene *scene)
{
    const uint8_t *bytes = scene->memory[OUT];
    for (size_t i = 0; i < scene->bytes[OUT]; i++)
        if (!scene->is_output[i] && bytes[i] != POISON)
            return "a byte between the output's elements was written";
    if (scene->wild || fabs((double)scene->problem.scale) * (double)scene->problem.head_dim > 1e4)
        return NULL; /* such scores may overflow f32, and then anything comes out */
    float *values = calloc(scene->outputs + 1, sizeof *values);
    const char *complaint = values ? NULL : "no memory";
    if (values)
        fuzz_scene_read_output(scene, values);
    for (size_t i = 0; values && i < scene->outputs; i++)
        if (!isfinite(values[i]))
            complaint = "an element of the output is not finite";
    free(values);
    return complaint;
}

uint64_t fuzz_scene_hash_output(const fuzz_scene *scene)
{
    const uint8_t *bytes = scene->memory[OUT];
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < scene->bytes[OUT]; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}
