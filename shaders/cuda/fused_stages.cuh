/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_STAGES_CUH
#define MN_CUDA_FUSED_STAGES_CUH

#include "shaders/cuda/fused.h"
#include "shaders/cuda/fused_shares.cuh"

/* The stages of fused.cuh: what a warp does with one group of a head in shared memory. */

/* A tensor in shared memory. Rows of a block and rows of a position are both a multiple of 16 bytes
   apart that is odd in units of 16, so that 8 of either kind meet all banks. */
struct head_rows {
    char *base;
    int block_pitch, pitch;

    __device__ char *row(int block, int position) const
    {
        return base + block * block_pitch + position * pitch;
    }
};

/* Sides of the squares of terms of one kernel, in rows and columns of score matrices. */
template <int RIGHT_TILES, int LEFT_TILES> struct term_layout {
    static constexpr int absent_pitch = 16 * RIGHT_TILES;
    static constexpr int entropy_pitch = mn_fused_entropy_pitch(16 * LEFT_TILES);
};

/* A head in shared memory. */
struct fused_memory {
    head_rows q, k, v; /* y and the output take the place of v, aL/s that of k with one step */
    head_rows mean;    /* with more: aL/s or aR/cR */
    /* Terms to take off scores: [block][position], of a key, 0, or +inf if it is not there;
       [position][block], of a block at a position, cL * log2(e), and +inf where there is none. */
    float *absent, *entropy;
    char *zero;    /* zeros, read instead of rows that are not there */
    char *nowhere; /* where to write what is not kept */

    /* Such rows are in the banks where others would have been: 8 rows still meet all of them. */
    __device__ int same_banks(const char *row) const
    {
        return (int)(row - zero) & 112;
    }

    __device__ const char *read(const char *row, bool there) const
    {
        return there ? row : zero + same_banks(row);
    }

    __device__ char *written(char *row, bool there) const
    {
        return there ? row : nowhere + same_banks(row);
    }
};

/* R of one block; aL/s into `means`, and cL. `first`: queries are q, of which those of absent
   tokens count as 0. */
template <class E, int WIDTH, int TILES, int LEFT_TILES, int SHARES>
__device__ inline void right(const mn_stage_params &p, const fused_memory &m,
                             score_exchange<SHARES> &shares, group_weights<TILES> &weights,
                             int block, const head_rows &queries, bool first,
                             const head_rows &means, int lane)
{
    using layout = term_layout<TILES, LEFT_TILES>;
    const bool masked = first && p.operand[MN_OPERAND_MASK].width > 0;
    const float *absent = m.absent + block * layout::absent_pitch;
    float *entropy = m.entropy + block;
    auto query = [&](int x) {
        bool there = x < p.columns;
        if (masked)
            there = absent[x] == 0.0f;
        return m.read(queries.row(block, x), there);
    };
    auto key = [&](int x) { return m.read(m.k.row(block, x), x < p.columns); };
    group_scores<TILES> g;
    multiply_group<E, WIDTH>(g, query, key, lane);
    shares.complete(g);
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++) {
        const float2 term = *reinterpret_cast<const float2 *>(absent + n * 8 + lane % 4 * 2);
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                g.s[r][n][i] = fmaf(g.s[r][n][i], p.scale, i % 2 == 0 ? -term.x : -term.y);
    }
    auto note = [&](int row, float log2_entropy) {
        if (lane % 4 == 0 && row < p.columns)
            entropy[row * layout::entropy_pitch] = log2_entropy;
    };
    row_softmax<E, true>(g, weights, note, lane);
    weigh<E, WIDTH, 2>(
        weights, key, [&](int x) { return m.written(means.row(block, x), x < p.columns); }, lane);
}

/* y of one block; it takes the place of the values. */
template <class E, int WIDTH, int PARTS, int TILES>
__device__ inline void right_value(const mn_stage_params &p, const fused_memory &m,
                                   const group_weights<TILES> &weights, int block, int lane)
{
    weigh<E, WIDTH, PARTS>(
        weights, [&](int x) { return m.read(m.v.row(block, x), x < p.columns); },
        [&](int x) { return m.written(m.v.row(block, x), x < p.columns); }, lane);
}

/* aR/cR of one position, on the transposed scores: rows are blocks k, columns are queries l. Each
   column is turned into log2 of a distribution over the blocks, then each row is normalised. */
template <class E, int WIDTH, int RIGHT_TILES, int TILES, int SHARES>
__device__ inline void left(const mn_stage_params &p, const fused_memory &m,
                            score_exchange<SHARES> &shares, int position, int lane)
{
    using layout = term_layout<RIGHT_TILES, TILES>;
    const float *entropy = m.entropy + position * layout::entropy_pitch;
    const float *absent = m.absent + position;
    const bool masked = p.operand[MN_OPERAND_MASK].width > 0;
    auto query = [&](int x) {
        bool there = x < p.groups;
        if (masked && there)
            there = absent[x * layout::absent_pitch] == 0.0f;
        return m.read(m.q.row(x, position), there);
    };
    group_scores<TILES> g;
    multiply_group<E, WIDTH>(
        g, [&](int x) { return m.read(m.mean.row(x, position), x < p.groups); }, query, lane);
    shares.complete(g);
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float bias = entropy[r * 16 + half * 8 + lane / 4];
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++)
                    g.s[r][n][i] = fmaf(g.s[r][n][i], p.scale, -bias);
        }
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float largest = g.s[0][n][i], sum = 0.0f;
#pragma unroll
            for (int r = 0; r < TILES; r++)
                largest = fmaxf(largest, fmaxf(g.s[r][n][i], g.s[r][n][2 + i]));
            largest = column_largest(largest);
            /* A query that is absent, or finds all blocks absent, counts nowhere. */
            float off = absent[(n * 8 + lane % 4 * 2 + i) * layout::absent_pitch];
            off = largest == -infinity() ? infinity() : off;
            largest = largest == -infinity() ? 0.0f : largest;
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float &x = g.s[r][n][2 * half + i];
                    x -= largest;
                    sum += exp2_fast(x);
                }
            float log_sum = log2_fast(column_sum(sum));
            off = off == 0.0f ? log_sum : off;
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    g.s[r][n][2 * half + i] -= off;
        }
    group_weights<TILES> weights;
    row_softmax<E, false>(
        g, weights, [](int, float) {}, lane);
    __syncwarp();
    weigh<E, WIDTH, most_parts<WIDTH, TILES>>(
        weights, query, [&](int x) { return m.written(m.mean.row(x, position), x < p.groups); },
        lane);
}

/* L of one position. */
template <class E, int WIDTH, int RIGHT_TILES, int TILES, int SHARES>
__device__ inline void left_out(const mn_stage_params &p, const fused_memory &m,
                                score_exchange<SHARES> &shares, group_weights<TILES> &weights,
                                int position, const head_rows &means, int lane)
{
    using layout = term_layout<RIGHT_TILES, TILES>;
    const float *entropy = m.entropy + position * layout::entropy_pitch + lane % 4 * 2;
    group_scores<TILES> g;
    multiply_group<E, WIDTH>(
        g, [&](int x) { return m.read(m.q.row(x, position), x < p.groups); },
        [&](int x) { return m.read(means.row(x, position), x < p.groups); }, lane);
    shares.complete(g);
    bool any = p.operand[MN_OPERAND_MASK].width == 0;
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++) {
        const float2 bias = *reinterpret_cast<const float2 *>(entropy + n * 8);
        any |= bias.x != infinity() || bias.y != infinity();
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                g.s[r][n][i] = fmaf(g.s[r][n][i], p.scale, i % 2 == 0 ? -bias.x : -bias.y);
    }
    row_softmax<E, false>(
        g, weights, [](int, float) {}, lane);
    if (!__any_sync(~0u, any)) /* then a NaN in a query does not count either */
        weights = {};
}

/* The output of one position; it takes the place of y. */
template <class E, int WIDTH, int PARTS, int TILES>
__device__ inline void left_out_value(const mn_stage_params &p, const fused_memory &m,
                                      const group_weights<TILES> &weights, int position, int lane)
{
    weigh<E, WIDTH, PARTS>(
        weights, [&](int x) { return m.read(m.v.row(x, position), x < p.groups); },
        [&](int x) { return m.written(m.v.row(x, position), x < p.groups); }, lane);
}

#endif
