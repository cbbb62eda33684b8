/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_STAGES_CUH
#define MN_CUDA_CLUSTER_STAGES_CUH

#include "shaders/cuda/cluster_memory.cuh"
#include "shaders/cuda/tile_mma.cuh"

/*
 * What a warp does with 16 rows of a score matrix: all their scores are in its registers at once,
 * up to 16 SIDE columns, then 64 features of one output after the other. Outputs leave by way of
 * the rows' own place in shared memory, which nobody needs again.
 */
template <class E, int PANELS, int SIDE> struct cluster_stages {
    static constexpr int ROW = PANELS * MN_PANEL_ROW, UNITS = ROW / VECTOR;
    using scores = float[2 * SIDE][4];
    using weights = fragment_a[SIDE];
    using features = float[8][4];

    const mn_stage_params &p;
    const cluster_memory<ROW> &memory;
    int task, lane;      /* the head among those of all batches */
    group_place of_head; /* without a group */

    __device__ group_place group(int index, bool is_left) const
    {
        return {of_head.batch, of_head.head, index, is_left};
    }

    /* Raw products of 16 rows with the first 16 * count columns. */
    __device__ void find_scores(scores &s, const char *rows, const char *columns, int count) const
    {
        const int exchange = lane % 8 << 4;
        const int a_byte = lane / 16 * VECTOR ^ exchange, b_byte = lane / 8 % 2 * VECTOR ^ exchange;
        const uint32_t a = shared_address(rows) + lane % 16 * ROW;
        const uint32_t b = shared_address(columns) + (lane % 8 + lane / 16 * 8) * ROW;
        fragment_a x[4 * PANELS];
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++)
            load_matrices(x[k].x, a + (k * 32 ^ a_byte));
        set_zero(s);
#pragma unroll
        for (int n = 0; n < SIDE; n++)
            if (n < count)
#pragma unroll
                for (int k = 0; k < 4 * PANELS; k++) {
                    uint32_t y[4];
                    load_matrices(y, b + n * 16 * ROW + (k * 32 ^ b_byte));
                    element<E>::mma(s[2 * n], x[k], y[0], y[1]);
                    element<E>::mma(s[2 * n + 1], x[k], y[2], y[3]);
                }
    }

    /* Sums of 64 features of the rows of `values`, each times its weight. */
    __device__ void weigh(features &sums, const weights &w, const char *values, int count) const
    {
        const int byte = lane / 16 * VECTOR ^ lane % 8 << 4;
        const uint32_t address = shared_address(values) + lane % 16 * ROW;
        set_zero(sums);
#pragma unroll
        for (int n = 0; n < SIDE; n++)
            if (n < count)
#pragma unroll
                for (int f = 0; f < 4; f++) {
                    uint32_t x[4];
                    load_matrices_transposed(x, address + n * 16 * ROW + (f * 32 ^ byte));
                    element<E>::mma(sums[2 * f], w[n], x[0], x[1]);
                    element<E>::mma(sums[2 * f + 1], w[n], x[2], x[3]);
                }
    }

    /* 64 features of 16 rows to shared memory. Rows with factor 0 are zeros, whatever the sums. */
    __device__ void put(char *target, features &sums, const float (&factor)[2]) const
    {
        const int byte = lane / 16 * VECTOR ^ lane % 8 << 4;
        const uint32_t address = shared_address(target) + lane % 16 * ROW;
        if (__any_sync(~0u, factor[0] == 0.0f || factor[1] == 0.0f)) {
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = factor[i / 2] == 0.0f ? 0.0f : sums[n][i];
        }
        multiply(sums, factor);
        limit_overflow<E>(sums);
#pragma unroll
        for (int f = 0; f < 4; f++) {
            uint32_t x[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                x[i] = element<E>::pack(sums[2 * f + i / 2][i % 2 * 2],
                                        sums[2 * f + i / 2][i % 2 * 2 + 1]);
            store_matrices(address + (f * 32 ^ byte), x);
        }
    }

    /* One output of a warp's rows, left in `staging`. */
    __device__ void make_output(char *staging, const weights &w, const char *values, int count,
                                const float (&factor)[2]) const
    {
        __syncwarp();
#pragma unroll
        for (int i = 0; i < PANELS; i++) {
            features sums;
            weigh(sums, w, values + i * MN_PANEL_ROW, count);
            put(staging + i * MN_PANEL_ROW, sums, factor);
        }
        __syncwarp();
    }

    /* Weights 2^(score - largest) and the state of their rows. */
    template <bool ENTROPY, bool TWICE>
    __device__ void find_weights(weights &w, softmax_state &state, const char *rows,
                                 const char *columns, const score_bias &bias, int count) const
    {
        scores s;
        float shrink[2];
        state.start();
        find_scores(s, rows, columns, count);
        softmax_tile<ENTROPY, TWICE>(s, state, shrink, bias, p.scale, count, lane);
        state.template finish<ENTROPY>();
#pragma unroll
        for (int n = 0; n < SIDE; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                w[n].x[i] =
                    element<E>::pack(s[2 * n + i / 2][i % 2 * 2], s[2 * n + i / 2][i % 2 * 2 + 1]);
    }

    /* Whether any of these terms is finite; without a mask every group has a token. */
    __device__ bool any_of(const float *terms, int count) const
    {
        bool any = p.operand[MN_OPERAND_MASK].width == 0;
        for (int x = lane; x < count; x += WARP)
            any |= terms[x] != infinity();
        return __any_sync(~0u, any);
    }

    __device__ void find_factor(float (&factor)[2], const softmax_state &state, bool any) const
    {
#pragma unroll
        for (int i = 0; i < 2; i++)
            factor[i] = any && state.sum[i] != 0.0f ? reciprocal_fast(state.sum[i]) : 0.0f;
    }

    /* Sends rows of a block to where their positions are; `area` is there as it is here. */
    __device__ void send(const char *staging, char *area, int block, int row0) const
    {
        const int unit = lane % UNITS * VECTOR, matrix = memory.position_rows() * ROW;
        const uint32_t target = shared_address(area) + row_offset<ROW>(block, unit);
#pragma unroll
        for (int x = lane / UNITS; x < MN_TILE_ROWS; x += WARP / UNITS)
            if (row0 + x < p.columns)
                store_there(memory.at_position(target, row0 + x, matrix),
                            *reinterpret_cast<const uint4 *>(staging + row_offset<ROW>(x, unit)));
    }

    __device__ void send_entropy(const softmax_state &state, const float (&factor)[2], int block,
                                 int row0) const
    {
        const uint32_t target = shared_address(memory.bias(0) + block);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int position = row0 + lane / 4 + 8 * i;
            const float entropy = entropy_of<false>(state.entropy[i], state.sum[i]) * log2_e;
            if (lane % 4 == 0 && position < p.columns)
                store_there(memory.at_position(target, position, memory.position_rows() * 4),
                            factor[i] == 0.0f ? infinity() : entropy);
        }
    }

    /* To memory, those rows that are there. */
    __device__ void store(const char *staging, const panel_rows &to, int row0) const
    {
        const int unit = lane % UNITS * VECTOR;
#pragma unroll
        for (int x = lane / UNITS; x < MN_TILE_ROWS; x += WARP / UNITS)
            if (to.there(row0 + x) && unit < to.bytes)
                store_vector<E>(to.base + (row0 + x) * to.stride + unit,
                                staging + row_offset<ROW>(x, unit), to.vectors, to.bytes - unit);
    }

    /* aR/cR of all blocks and positions, from step to step; only there do they leave the chip. */
    __device__ panel_rows query_means(const group_place &at) const
    {
        char *base = reinterpret_cast<char *>(p.operand[MN_OPERAND_STATS].address) +
                     (int64_t)task * p.groups * p.columns * ROW;
        const int block = p.columns * ROW;
        if (at.left)
            return {base + at.index * ROW, block, ROW, true, all_of(p.groups)};
        return {base + (int64_t)at.index * block, ROW, ROW, true, all_of(p.columns)};
    }

    /*
     * R of a block, then aL/s, cL and, the last time, y; or L of a position and the output. One
     * piece of code for both: a small problem goes through it only once, and then fetching
     * instructions is what takes time. `values_come()` waits until v is there.
     */
    template <class F>
    __device__ void attend(const cluster_slot &s, bool is_left, int local, int index, int row0,
                           bool last, F values_come) const
    {
        const float *bias = is_left ? memory.bias(local) : s.absent;
        const char *columns = is_left ? memory.means(local) : s.keys;
        const char *values = is_left ? memory.results(local) : s.keys;
        char *rows = (is_left ? memory.queries(local) : s.queries) + row0 * ROW;
        const int there = is_left ? p.groups : p.columns;
        const int count = mn_tile_rows(there) / MN_TILE_ROWS;
        weights w;
        softmax_state state;
        float factor[2];
        find_weights<true, false>(w, state, rows, columns, {bias, 0, {0.0f, 0.0f}}, count);
        find_factor(factor, state, any_of(bias, there));
        if (!is_left)
            send_entropy(state, factor, index, row0);
#pragma unroll 1
        for (int i = 0; i < (is_left || !last ? 1 : 2); i++) {
            if (i == 1)
                values_come();
            make_output(rows, w, i == 1 ? s.values : values, count, factor);
            if (is_left)
                store(rows, tensor_rows<E>(p, MN_OPERAND_RESULT, group(index, true), false), row0);
            else
                send(rows, i == 1 ? memory.results(0) : memory.means(0), index, row0);
        }
    }

    /* The terms that LEFT takes off the scores of 16 queries: largest score, log2 of the sum. */
    __device__ void find_terms(int local, int position, int row0) const
    {
        weights unused;
        softmax_state state;
        const float *bias = memory.bias(local);
        find_weights<false, false>(unused, state, memory.queries(local) + row0 * ROW,
                                   memory.means(local), {bias, 0, {0.0f, 0.0f}},
                                   memory.position_rows() / MN_TILE_ROWS);
        const bool any = any_of(bias, p.groups);
        const presence there =
            tensor_rows<E>(p, MN_OPERAND_QUERIES, group(position, true), true).there;
        float *off = memory.off(local);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int x = row0 + lane / 4 + 8 * i;
            const bool counts = there(x) && any && state.sum[i] != 0.0f;
            if (lane % 4 == 0) {
                off[x] = counts ? state.largest[i] : infinity();
                off[memory.area() / ROW + x] = log2_fast(state.sum[i]);
            }
        }
    }

    /* aR/cR of a position, on the transposed scores: rows are blocks, columns are queries. */
    __device__ void left(int local, int position, int row0, const team &team) const
    {
        find_terms(local, position, row0);
        team.sync();
        const float *bias = memory.bias(local) + row0 + lane / 4, *off = memory.off(local);
        char *rows = memory.means(local) + row0 * ROW;
        const int count = memory.position_rows() / MN_TILE_ROWS;
        weights w;
        softmax_state state;
        float factor[2];
        find_weights<false, true>(w, state, rows, memory.queries(local),
                                  {off, memory.area() / ROW, {bias[0], bias[8]}}, count);
        find_factor(factor, state, any_of(off, p.groups));
#pragma unroll
        for (int i = 0; i < 2; i++)
            factor[i] = bias[8 * i] == infinity() ? 0.0f : factor[i];
        make_output(rows, w, memory.queries(local), count, factor);
        store(rows, query_means(group(position, true)), row0);
    }
};

#endif
