/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/opencl/rows.clh"

/*
 * Variant matrix_intel: a stage by sub-groups of 16 work-items that hold 8 rows of a score matrix
 * each, on the matrix units of Intel GPUs (cl_intel_subgroup_matrix_multiply_accumulate), and walk
 * over its columns, 16 at a time. Compiled for MN_FORM, MN_DTYPE (f16 or bf16) and MN_WIDTH
 * features.
 *
 * A product is 8 x 16 by 16: work-item n holds column n of the accumulator (float8, one for each
 * row), element n of each row of `a` (short8), and column n of `b` (int8, two elements in each). So
 * scores are held as the `a` of the next product, and no local memory is needed. It has been
 * compiled and never run: there was no such device.
 */

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

enum { LANES = 16, ROWS = 8, PARTS = MN_WIDTH / 16 };

INLINE float8 multiply_add(short8 a, int8 b, float8 sums)
{
#if MN_DTYPE == 1
    return intel_sub_group_f16_f16_matrix_mad_k16(a, b, sums);
#else
    return intel_sub_group_bf16_bf16_matrix_mad_k16(a, b, sums);
#endif
}

/* The 16 bits of one element. */
INLINE short bits_of(float x)
{
#if MN_DTYPE == 1
    return as_short(convert_half_rte(x));
#else
    return as_short(mn_bf16_of_float(x));
#endif
}

/* Element f of row x; 0 where there is none. Nothing of a row that is not there is read. */
INLINE ushort load_bits(const rows_view *view, mn_i32 x, mn_i32 f, bool there)
{
    return there && f < view->width ? ((const __global ushort *)(view->base + x * view->stride))[f]
                                    : (ushort)0;
}

INLINE int pair_of(ushort low, ushort high)
{
    return (int)((uint)low | (uint)high << 16);
}

#if defined(MN_PROBE)

/* The instructions, tried by one sub-group: product = a b', 16 x 16 each, and powers of 2. */
__kernel __attribute__((intel_reqd_sub_group_size(16), reqd_work_group_size(16, 1, 1))) void
matrix_probe(const __global ushort *a, const __global ushort *b, __global float *product,
             __global float *powers)
{
    const int lane = (int)get_sub_group_local_id();
    const __global int *column = (const __global int *)(b + 16 * lane);
    const int8 y = vload8(0, column);
    for (int half_rows = 0; half_rows < 2; half_rows++) {
        const __global ushort *x = a + half_rows * 8 * 16 + lane;
        short8 rows = (short8)(x[0], x[16], x[32], x[48], x[64], x[80], x[96], x[112]);
        float8 sums = multiply_add(rows, y, 0.0f);
        float s[8];
        vstore8(sums, 0, s);
        for (int r = 0; r < 8; r++)
            product[(half_rows * 8 + r) * 16 + lane] = s[r];
    }
    powers[lane] = exp2((float)(lane ^ 1));
    powers[lane + 16] = exp2((float)((lane ^ 1) + 16));
}

#else

/* Softmax of 8 rows over the columns seen so far; sums are of a work-item's own columns. */
typedef struct softmax_state {
    float8 largest, sum, entropy, shrink;
} softmax_state;

/* Column x of the scores, of all 8 rows: features of rows and columns in parts of 16. */
INLINE float8 find_scores(const short8 queries[PARTS], const rows_view *columns, mn_i32 x,
                          bool there)
{
    float8 s = 0.0f;
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        int f = part * 16;
        int8 b;
        b.s0 = pair_of(load_bits(columns, x, f, there), load_bits(columns, x, f + 1, there));
        b.s1 = pair_of(load_bits(columns, x, f + 2, there), load_bits(columns, x, f + 3, there));
        b.s2 = pair_of(load_bits(columns, x, f + 4, there), load_bits(columns, x, f + 5, there));
        b.s3 = pair_of(load_bits(columns, x, f + 6, there), load_bits(columns, x, f + 7, there));
        b.s4 = pair_of(load_bits(columns, x, f + 8, there), load_bits(columns, x, f + 9, there));
        b.s5 = pair_of(load_bits(columns, x, f + 10, there), load_bits(columns, x, f + 11, there));
        b.s6 = pair_of(load_bits(columns, x, f + 12, there), load_bits(columns, x, f + 13, there));
        b.s7 = pair_of(load_bits(columns, x, f + 14, there), load_bits(columns, x, f + 15, there));
        s = multiply_add(queries[part], b, s);
    }
    return s;
}

INLINE float8 row_largest(float8 x)
{
    return (float8)(sub_group_reduce_max(x.s0), sub_group_reduce_max(x.s1),
                    sub_group_reduce_max(x.s2), sub_group_reduce_max(x.s3),
                    sub_group_reduce_max(x.s4), sub_group_reduce_max(x.s5),
                    sub_group_reduce_max(x.s6), sub_group_reduce_max(x.s7));
}

INLINE float8 row_sum(float8 x)
{
    return (float8)(sub_group_reduce_add(x.s0), sub_group_reduce_add(x.s1),
                    sub_group_reduce_add(x.s2), sub_group_reduce_add(x.s3),
                    sub_group_reduce_add(x.s4), sub_group_reduce_add(x.s5),
                    sub_group_reduce_add(x.s6), sub_group_reduce_add(x.s7));
}

/* The terms are taken off one after the other, in the order in which they were found. */
INLINE float8 take_off_terms(float8 s, float2 term, float8 row_terms, float scale)
{
    float8 score = fma(s, (float8)scale, -row_terms) - term.x - term.y;
    score = select(score, (float8)(-INFINITY), (float8)term.x == (float8)INFINITY);
    return select(score, (float8)(-INFINITY), row_terms == (float8)INFINITY);
}

/* 2^(score - largest), taken into the sums. 0 * -inf would be NaN, hence the -1000. */
INLINE float8 exponentiate(float8 s, softmax_state *state)
{
    float8 before = state->largest, now = fmax(before, row_largest(s));
    float8 base = select(now, (float8)0.0f, now == (float8)(-INFINITY));
    float8 lost =
        select(fmax(before - now, (float8)(-1000.0f)), (float8)0.0f, before == (float8)(-INFINITY));
    float8 y = s - base, power = exp2(y);
    state->shrink = exp2(before - base);
    state->entropy =
        state->shrink * fma(lost, state->sum, state->entropy) + power * fmax(y, (float8)(-1000.0f));
    state->sum = state->shrink * state->sum + power;
    state->largest = now;
    return power;
}

/* sums += p . rows x0 ... x0 + 15 of `values`; this work-item's feature of each part. */
INLINE void accumulate(float8 sums[PARTS], float8 shrink, short8 p, const rows_view *values,
                       mn_i32 x0, const presence *there, int lane)
{
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        int f = part * 16 + lane;
        int pairs[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            mn_i32 x = x0 + 2 * i;
            pairs[i] = pair_of(load_bits(values, x, f, is_there(there, x)),
                               load_bits(values, x + 1, f, is_there(there, x + 1)));
        }
        sums[part] = multiply_add(p, vload8(0, pairs), sums[part] * shrink);
    }
}

INLINE void store_rows(const mn_stage_params *p, const mn_operand_params *o,
                       const __global uchar *memory, const __global uchar *mask,
                       const task_place *place, const float8 sums[PARTS], float8 factor, int lane)
{
    const rows_view view = view_of(o, memory, &place->at);
    const presence written = rows_written(p, &place->at, mask);
    for (int part = 0; part < PARTS; part++) {
        float values[ROWS];
        vstore8(select(sums[part] * factor, (float8)0.0f, factor == (float8)0.0f), 0, values);
        for (int r = 0; r < ROWS; r++)
            if (place->active && is_there(&written, place->row0 + r))
                store_one((__global uchar *)view.base + (place->row0 + r) * view.stride,
                          part * 16 + lane, view.width, limit_overflow(values[r]));
    }
}

__kernel __attribute__((intel_reqd_sub_group_size(16), reqd_work_group_size(16, 1, 1))) void
matrix(const mn_stage_params p, const __global uchar *queries, const __global uchar *keys,
       const __global uchar *bias, const __global uchar *values, __global uchar *mean_out,
       __global uchar *weight, __global uchar *result_out, const __global uchar *mask,
       __global uchar *stats)
{
    const int lane = (int)get_sub_group_local_id();
    const task_place place = find_task(&p, mn_work_group(), ROWS);
    const mn_place *at = &place.at;
    const bool transposed = MN_FORM == MN_LEFT_MEAN;
    const rows_view row_view = view_of(&p.operand[ROW_OPERAND], transposed ? keys : queries, at);
    const rows_view column_view =
        view_of(&p.operand[COLUMN_OPERAND], transposed ? queries : keys, at);
    const rows_view value_view = view_of(&p.operand[MN_OPERAND_VALUES], values, at);
    const presence row_there = rows_read(&p, at, mask);
    const presence column_there = columns_there(&p, at, mask);

    short8 rows[PARTS];
    for (int part = 0; part < PARTS; part++) {
        short bits[ROWS];
        for (int r = 0; r < ROWS; r++)
            bits[r] = (short)load_bits(&row_view, place.row0 + r, part * 16 + lane,
                                       is_there(&row_there, place.row0 + r));
        rows[part] = vload8(0, bits);
    }
    float terms[ROWS];
    for (int r = 0; r < ROWS; r++)
        terms[r] = row_term(&p, at, place.row0 + r, bias);
    const float8 row_terms = vload8(0, terms);

    softmax_state state = {-INFINITY, 0.0f, 0.0f, 0.0f};
    float8 mean[PARTS], result[PARTS];
    for (int part = 0; part < PARTS; part++)
        mean[part] = result[part] = 0.0f;
    for (mn_i32 first = 0; first < p.columns; first += LANES) {
        const mn_i32 x = first + lane;
        const bool there = is_there(&column_there, x);
        float2 term = column_terms(&p, at, x, there, bias, stats);
        float8 s = find_scores(rows, &column_view, x, there);
        s = exponentiate(take_off_terms(s, term, row_terms, p.scale), &state);
        short8 a = (short8)(bits_of(s.s0), bits_of(s.s1), bits_of(s.s2), bits_of(s.s3),
                            bits_of(s.s4), bits_of(s.s5), bits_of(s.s6), bits_of(s.s7));
        if (HAS_MEAN)
            accumulate(mean, state.shrink, a, &column_view, first, &column_there, lane);
        if (HAS_RESULT)
            accumulate(result, state.shrink, a, &value_view, first, &column_there, lane);
    }

    const float8 sum = row_sum(state.sum), entropy = row_sum(state.entropy);
    const float8 factor =
        select(1.0f / sum, (float8)0.0f, sum == (float8)0.0f || row_terms == (float8)INFINITY);
    float sums[ROWS], entropies[ROWS], largest[ROWS];
    vstore8(sum, 0, sums);
    vstore8(entropy, 0, entropies);
    vstore8(state.largest, 0, largest);
    for (int r = 0; r < ROWS; r++)
        if (lane == 0 && place.active && place.row0 + r < p.rows)
            store_scalars(&p, at, place.row0 + r, largest[r], sums[r], entropies[r],
                          sums[r] == 0.0f || terms[r] == INFINITY, weight, stats);
    if (HAS_MEAN)
        store_rows(&p, &p.operand[MN_OPERAND_MEAN], mean_out, mask, &place, mean, factor, lane);
    if (HAS_RESULT)
        store_rows(&p, &p.operand[MN_OPERAND_RESULT], result_out, mask, &place, result, factor,
                   lane);
}

#endif
