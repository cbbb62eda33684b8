/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/problem.h>

#include <inttypes.h>
#include <math.h>

#include "core/abi.h"
#include "core/error.h"
#include "core/layout.h"

/* No extent may reach this; it leaves room for every product that is formed from two of them. */
static const int64_t SIZE_LIMIT = INT64_C(1) << 40;

/* A single feature vector longer than this is a mistake, and int32 holds it. */
static const int64_t FEATURE_LIMIT = INT64_C(1) << 24;

static monarch_status check_range(const char *field, int64_t value, int64_t least, int64_t limit,
                                  monarch_error *error)
{
    if (value >= least && value <= limit)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "problem.%s is %" PRId64 "; it must be from %" PRId64 " to %" PRId64, field,
                   value, least, limit);
}

static monarch_status check_sizes(const monarch_problem *p, monarch_error *error)
{
    MN_TRY(check_range("batch", p->batch, 0, SIZE_LIMIT, error));
    MN_TRY(check_range("heads", p->heads, 1, SIZE_LIMIT, error));
    MN_TRY(check_range("kv_heads", p->kv_heads, 0, SIZE_LIMIT, error));
    MN_TRY(check_range("tokens", p->tokens, 0, SIZE_LIMIT, error));
    MN_TRY(check_range("head_dim", p->head_dim, 1, FEATURE_LIMIT, error));
    MN_TRY(check_range("value_dim", p->value_dim, 0, FEATURE_LIMIT, error));
    MN_TRY(check_range("block_size", p->block_size, 0, INT64_MAX, error));
    MN_TRY(check_range("steps", p->steps, 0, MONARCH_MAX_STEPS, error));
    if (p->kv_heads > 0 && p->heads % p->kv_heads != 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "problem.kv_heads is %" PRId64 "; it must divide heads = %" PRId64
                       " (0 = heads)",
                       p->kv_heads, p->heads);
    return MONARCH_OK;
}

static monarch_status check_dtype(const char *field, monarch_dtype dtype, monarch_error *error)
{
    if (monarch_dtype_size(dtype) > 0)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "problem.%s.dtype is %d; it must be MONARCH_F32 (0), MONARCH_F16 (1) or "
                   "MONARCH_BF16 (2)",
                   field, (int)dtype);
}

static monarch_status check_choices(const monarch_problem *p, monarch_error *error)
{
    MN_TRY(check_dtype("q", p->q.dtype, error));
    MN_TRY(check_dtype("k", p->k.dtype, error));
    MN_TRY(check_dtype("v", p->v.dtype, error));
    MN_TRY(check_dtype("out", p->out.dtype, error));
    /* Beyond this, scale * log2(e) leaves the range of f32. */
    if (!(fabsf(p->scale) <= 0x1p126f))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "problem.scale is %g; it must be finite, from -2^126 to 2^126 (0 = "
                       "1/sqrt(head_dim))",
                       (double)p->scale);
    if (p->pad != MONARCH_PAD_END && p->pad != MONARCH_PAD_BEGIN)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "problem.pad is %d; it must be MONARCH_PAD_END (0) or "
                       "MONARCH_PAD_BEGIN (1)",
                       (int)p->pad);
    MN_TRY(check_range("has_mask", p->has_mask, 0, 1, error));
    if (p->intermediates != MONARCH_INTERMEDIATES_DEFAULT &&
        p->intermediates != MONARCH_INTERMEDIATES_FP8)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "problem.intermediates is %d; it must be MONARCH_INTERMEDIATES_DEFAULT (0) "
                       "or MONARCH_INTERMEDIATES_FP8 (1)",
                       (int)p->intermediates);
    if (p->mask_strides.head != 0 || p->mask_strides.feature != 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "problem.mask_strides has head %" PRId64 " and feature %" PRId64
                       "; both must be 0, the mask is [batch, tokens]",
                       p->mask_strides.head, p->mask_strides.feature);
    return MONARCH_OK;
}

/* The elements of the largest tensor or intermediate, padding included, must be countable. */
static monarch_status check_volume(const monarch_problem *p, monarch_error *error)
{
    int64_t widest = p->head_dim > p->value_dim ? p->head_dim : p->value_dim;
    int64_t padded = (p->tokens + p->block_size - 1) / p->block_size * p->block_size;
    int64_t volume;
    if (!__builtin_mul_overflow(p->batch, p->heads, &volume) &&
        !__builtin_mul_overflow(volume, padded, &volume) &&
        !__builtin_mul_overflow(volume, widest, &volume) && volume < INT64_C(1) << 56)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "problem has batch %" PRId64 " x heads %" PRId64 " x tokens %" PRId64
                   " x features %" PRId64 "; the product must stay below 2^56",
                   p->batch, p->heads, p->tokens, widest);
}

static monarch_status check_extents(const monarch_problem *p, monarch_error *error)
{
    mn_extent extent;
    for (int id = 0; id < MN_TENSOR_COUNT; id++)
        if (!mn_layout_extent(p, (mn_tensor_id)id, &extent))
            return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                           "problem.%s has strides that reach beyond 2^62 bytes",
                           mn_tensor_name((mn_tensor_id)id));
    if (mn_layout_out_overlaps_itself(p))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "problem.out has strides batch %" PRId64 ", head %" PRId64 ", block %" PRId64
                       ", token %" PRId64 ", feature %" PRId64
                       " that let two elements coincide; each must step over what lies inside it",
                       p->out.strides.batch, p->out.strides.head, p->out.strides.block,
                       p->out.strides.token, p->out.strides.feature);
    return MONARCH_OK;
}

/* Multiply-adds per feature of one head, for T steps with D = Dv (docs/algorithm.md). */
static double block_work(int64_t tokens, int64_t block, int32_t steps)
{
    double blocks = (double)((tokens + block - 1) / block);
    double padded = blocks * (double)block;
    return padded * ((2.0 * steps + 1.0) * (double)block + 2.0 * steps * blocks);
}

int64_t monarch_default_block_size(int64_t tokens, int32_t steps)
{
    enum { TILE = 16 };
    if (tokens < 1 || steps < 1)
        return 0;
    if (tokens <= TILE)
        return tokens;
    /* The work of unpadded blocks is least at this B; padding moves it, but never as far as this.
     */
    double least = sqrt(2.0 * steps * (double)tokens / (2.0 * steps + 1.0));
    int64_t from = (int64_t)(0.5 * least) + 1, to = (int64_t)(2.0 * least) + TILE;
    int64_t best = from, tiled = TILE;
    for (int64_t block = from; block <= to; block++) {
        double work = block_work(tokens, block, steps);
        if (work < block_work(tokens, best, steps))
            best = block;
        if (block % TILE == 0 && work < block_work(tokens, tiled, steps))
            tiled = block;
    }
    double tiled_work = block_work(tokens, tiled, steps);
    return tiled_work <= 1.05 * block_work(tokens, best, steps) ? tiled : best;
}

static void fill_defaults(monarch_problem *p)
{
    if (p->kv_heads == 0)
        p->kv_heads = p->heads;
    if (p->value_dim == 0)
        p->value_dim = p->head_dim;
    if (p->steps == 0)
        p->steps = 1;
    if (p->scale == 0.0f)
        p->scale = (float)(1.0 / sqrt((double)p->head_dim));
    if (p->block_size == 0)
        p->block_size = monarch_default_block_size(p->tokens, p->steps);
    /* A longer block holds the same tokens and more padding: the result is the same. */
    if (p->block_size > p->tokens)
        p->block_size = p->tokens;
    if (p->block_size == 0)
        p->block_size = 1;
}

monarch_status monarch_problem_resolve(const monarch_problem *problem, monarch_problem *resolved,
                                       monarch_error *error)
{
    if (!problem)
        return mn_fail_null(error, "problem");
    if (!resolved)
        return mn_fail_null(error, "resolved");
    monarch_problem p;
    MN_TRY(mn_copy_struct("monarch_problem", problem, &p, (uint32_t)sizeof p, (uint32_t)sizeof p,
                          error));
    MN_TRY(check_sizes(&p, error));
    MN_TRY(check_choices(&p, error));
    fill_defaults(&p);
    MN_TRY(check_volume(&p, error));
    MN_TRY(mn_layout_resolve(&p, error));
    MN_TRY(check_extents(&p, error));
    /* An older caller's structure is shorter. It may be `problem` itself. */
    uint32_t given = problem->struct_size;
    uint32_t size = given < sizeof p ? given : (uint32_t)sizeof p;
    memcpy(resolved, &p, size);
    resolved->struct_size = size;
    return MONARCH_OK;
}
