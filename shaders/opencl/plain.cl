/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/opencl/scalar.clh"

/*
 * Every stage in plain loops: one work-item for each row of each score matrix and each 16 features
 * of its outputs, all of it f32. No local memory, no barrier: a work-item needs no other. Scores
 * are computed anew in each pass rather than kept. It is here to be read and to be compared with;
 * nothing in it is fast.
 *
 * Scores are in units of log2, and the softmax is 2^(score - largest) / sum.
 */

enum { FEATURES = 16 };

/* The buffers that go with the operands of the same names. */
typedef struct inputs {
    const __global uchar *queries, *keys, *bias, *values, *mask, *stats;
} inputs;

/* Which row of which score matrix, and which features: from `feature` on. */
typedef struct task_part {
    mn_place at;
    mn_i64 row;
    mn_i32 feature;
    bool exists; /* there are more work-items than parts */
} task_part;

static task_part find_part(const mn_stage_params *p, mn_i64 rows)
{
    task_part part;
    mn_i64 number = mn_work_group() * (mn_i64)get_local_size(0) + (mn_i64)get_local_id(0);
    mn_i64 row = number / p->chunks;
    mn_i64 task = row / rows;
    part.feature = (mn_i32)(number - row * p->chunks) * FEATURES;
    part.row = row - task * rows;
    part.exists = task < p->tasks;
    part.at = mn_place_of(p, task);
    return part;
}

static bool is_left(const mn_stage_params *p)
{
    return p->kind == MN_KIND_LEFT || p->kind == MN_KIND_LEFT_OUT;
}

/* Score (row, column) as core/step.h defines it; -inf for an absent column, none of whose bytes are
   used then. */
static float score(const mn_stage_params *p, const inputs *in, const mn_place *at, mn_i64 row,
                   mn_i64 column)
{
    const mn_operand_params *q = &p->operand[MN_OPERAND_QUERIES];
    const mn_operand_params *k = &p->operand[MN_OPERAND_KEYS];
    const mn_operand_params *b = &p->operand[MN_OPERAND_BIAS];
    float bias = 0.0f;
    if (b->width > 0)
        bias = mn_load_element(b, in->bias, mn_row_offset(b, at, column));
    if (is_left(p) ? bias == INFINITY : !mn_is_present(p, in->mask, at, column))
        return -INFINITY;
    if (p->absent_is_zero && !mn_is_present(p, in->mask, at, row))
        return 0.0f;
    mn_i64 q_row = mn_row_offset(q, at, row), k_row = mn_row_offset(k, at, column);
    float dot = 0.0f;
    for (mn_i32 f = 0; f < p->depth; f++)
        dot = fma(mn_load_element(q, in->queries, q_row + f * q->feature),
                  mn_load_element(k, in->keys, k_row + f * k->feature), dot);
    return fma(p->scale, dot, -(bias * LOG2_E));
}

/*
 * The term of a softmax over `x`: of RIGHT and LEFT_OUT, the score of this row with column x; of
 * LEFT's second launch, log2 P[x, row], where rows and columns have changed places: x is a query
 * block l, left out if it is absent, and the row is a block k.
 */
static float term(const mn_stage_params *p, const inputs *in, const task_part *part,
                  bool transposed, mn_i64 x)
{
    const mn_operand_params *stats = &p->operand[MN_OPERAND_STATS];
    if (!transposed)
        return score(p, in, &part->at, part->row, x);
    if (!mn_is_present(p, in->mask, &part->at, x))
        return -INFINITY;
    float s = score(p, in, &part->at, x, part->row);
    if (s == -INFINITY)
        return s;
    mn_i64 pair = mn_row_offset(stats, &part->at, x);
    /* Taking off the largest first keeps the logarithms of the weights that count exact. */
    return s - mn_load_element(stats, in->stats, pair) -
           mn_load_element(stats, in->stats, pair + 1);
}

/* A softmax over `count` terms. */
typedef struct softmax_sums {
    float largest;  /* -inf when every term is */
    float sum;      /* of 2^(term - largest); 0 then */
    float weighted; /* of 2^(term - largest) * (term - largest) */
} softmax_sums;

static softmax_sums softmax(const mn_stage_params *p, const inputs *in, const task_part *part,
                            bool transposed, mn_i64 count)
{
    softmax_sums s = {-INFINITY, 0.0f, 0.0f};
    for (mn_i64 x = 0; x < count; x++)
        s.largest = fmax(s.largest, term(p, in, part, transposed, x));
    for (mn_i64 x = 0; x < count; x++) {
        float value = term(p, in, part, transposed, x);
        if (value == -INFINITY)
            continue;
        float power = exp2(value - s.largest);
        s.sum += power;
        if (power != 0.0f) /* 0 * -inf is no number */
            s.weighted += power * (value - s.largest);
    }
    return s;
}

/* out[row] = sum over x of weight(x) times row x of `rows`; weight 0 never touches a row. */
static void weighted_sum(const mn_stage_params *p, const inputs *in, const task_part *part,
                         bool transposed, mn_i64 count, const softmax_sums *s,
                         const mn_operand_params *rows, const __global uchar *rows_memory,
                         const mn_operand_params *out, __global uchar *out_memory)
{
    float sums[FEATURES];
    mn_i32 features = min(out->width - part->feature, (mn_i32)FEATURES);
    if (features <= 0)
        return;
    for (mn_i32 f = 0; f < FEATURES; f++)
        sums[f] = 0.0f;
    for (mn_i64 x = 0; x < count; x++) {
        float value = term(p, in, part, transposed, x);
        float weight = value == -INFINITY ? 0.0f : exp2(value - s->largest) / s->sum;
        if (weight == 0.0f)
            continue;
        mn_i64 row = mn_row_offset(rows, &part->at, x) + part->feature * rows->feature;
        for (mn_i32 f = 0; f < features; f++)
            sums[f] =
                fma(weight, mn_load_element(rows, rows_memory, row + f * rows->feature), sums[f]);
    }
    mn_i64 row = mn_row_offset(out, &part->at, part->row) + part->feature * out->feature;
    for (mn_i32 f = 0; f < features; f++)
        mn_store_element(out, out_memory, row + f * out->feature, sums[f]);
}

static void store_weight(const mn_stage_params *p, const task_part *part, __global uchar *memory,
                         float value)
{
    const mn_operand_params *weight = &p->operand[MN_OPERAND_WEIGHT];
    if (weight->width > 0 && part->feature == 0)
        mn_store_element(weight, memory, mn_row_offset(weight, &part->at, part->row), value);
}

/* RIGHT, RIGHT_VALUE and LEFT_OUT: one row each. */
__kernel void plain_row(const mn_stage_params p, const __global uchar *queries,
                        const __global uchar *keys, const __global uchar *bias,
                        const __global uchar *values, __global uchar *mean, __global uchar *weight,
                        __global uchar *result, const __global uchar *mask, __global uchar *stats)
{
    const inputs in = {queries, keys, bias, values, mask, stats};
    const task_part part = find_part(&p, p.rows);
    if (!part.exists || (p.kind == MN_KIND_LEFT_OUT && !mn_is_token(&p, &part.at, part.row)))
        return;
    softmax_sums s = softmax(&p, &in, &part, false, p.columns);
    /* cL = sum of P log P. Neither part is above 0, so nothing cancels. */
    store_weight(&p, &part, weight,
                 s.sum == 0.0f ? INFINITY : LN_2 * (s.weighted / s.sum - log2(s.sum)));
    weighted_sum(&p, &in, &part, false, p.columns, &s, &p.operand[MN_OPERAND_KEYS], keys,
                 &p.operand[MN_OPERAND_MEAN], mean);
    weighted_sum(&p, &in, &part, false, p.columns, &s, &p.operand[MN_OPERAND_VALUES], values,
                 &p.operand[MN_OPERAND_RESULT], result);
}

/* LEFT, first launch: largest score and log2 of the sum, for each row that is there. */
__kernel void plain_left_stats(const mn_stage_params p, const __global uchar *queries,
                               const __global uchar *keys, const __global uchar *bias,
                               const __global uchar *values, __global uchar *mean,
                               __global uchar *weight, __global uchar *result,
                               const __global uchar *mask, __global uchar *stats)
{
    const inputs in = {queries, keys, bias, values, mask, stats};
    const mn_operand_params *out = &p.operand[MN_OPERAND_STATS];
    const task_part part = find_part(&p, p.rows);
    if (!part.exists || !mn_is_present(&p, mask, &part.at, part.row))
        return;
    softmax_sums s = softmax(&p, &in, &part, false, p.columns);
    mn_i64 pair = mn_row_offset(out, &part.at, part.row);
    mn_store_element(out, stats, pair, s.largest);
    mn_store_element(out, stats, pair + 1, log2(s.sum));
}

/* LEFT, second launch: one column of P each. */
__kernel void plain_left(const mn_stage_params p, const __global uchar *queries,
                         const __global uchar *keys, const __global uchar *bias,
                         const __global uchar *values, __global uchar *mean, __global uchar *weight,
                         __global uchar *result, const __global uchar *mask, __global uchar *stats)
{
    const inputs in = {queries, keys, bias, values, mask, stats};
    const task_part part = find_part(&p, p.columns);
    if (!part.exists)
        return;
    softmax_sums s = softmax(&p, &in, &part, true, p.rows);
    store_weight(&p, &part, weight, s.sum == 0.0f ? 0.0f : exp2(s.largest) * s.sum);
    weighted_sum(&p, &in, &part, true, p.rows, &s, &p.operand[MN_OPERAND_QUERIES], queries,
                 &p.operand[MN_OPERAND_MEAN], mean);
}
