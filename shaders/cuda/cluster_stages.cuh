/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_STAGES_CUH
#define MN_CUDA_CLUSTER_STAGES_CUH

#include "shaders/cuda/cluster_memory.cuh"
#include "shaders/cuda/stage.cuh"
#include "shaders/cuda/tile_mma.cuh"

/*
 * What a warp does with 16 rows of a score matrix: all their scores are in its registers at once,
 * up to 16 SIDE columns, then 64 features of one output after the other. Outputs leave by way of
 * the rows' own place in shared memory, which nobody needs again.
 *
 * With GROUPS every score matrix has 64 rows and columns, zeros included, and the four warps of a
 * team multiply together.
 */
template <class E, int PANELS, int SIDE, bool GROUPS> struct cluster_stages {
    static_assert(!GROUPS || SIDE == 4, "a warpgroup has 64 rows");
    static constexpr int ROW = PANELS * MN_PANEL_ROW, UNITS = ROW / VECTOR;
    using scores = float[2 * SIDE][4];
    using weights = fragment_a[SIDE];
    using features = float[8][4];

    const mn_stage_params &p;
    const cluster_memory<PANELS> &memory;
    int task, lane;      /* the head among those of all batches */
    group_place of_head; /* without a group */

    __device__ group_place group(int index, bool is_left) const
    {
        return {of_head.batch, of_head.head, index, is_left};
    }

    /* Raw products by the team: `rows` are those of this warp. */
    __device__ void find_scores_together(scores &s, const char *rows, const char *columns,
                                         int pitch) const
    {
        const int row0 = threadIdx.x / WARP % 4 * MN_TILE_ROWS;
        const uint64_t a = panel_descriptor(shared_address(rows) - row0 * MN_PANEL_ROW);
        const uint64_t b = panel_descriptor(shared_address(columns));
        fence_for_wgmma(); /* rows may have come otherwise than by the copy engine */
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++) {
            const int further = k / 4 * (pitch >> 4) + k % 4 * 2;
            warpgroup<E>::scores(s, a + further, b + further, k > 0);
        }
        wgmma_end();
    }

    __device__ void weigh_together(features &sums, const weights &w, const char *values) const
    {
        const uint64_t b = panel_descriptor(shared_address(values));
        fence_for_wgmma();
        wgmma_begin();
#pragma unroll
        for (int n = 0; n < SIDE; n++)
            warpgroup<E>::sums(sums, w[n], b + n * (16 * MN_PANEL_ROW >> 4), n > 0);
        wgmma_end();
    }

    /* Raw products of 16 rows with the first 16 * count columns; `pitch` from panel to panel. */
    __device__ void find_scores(scores &s, const char *rows, const char *columns, int pitch,
                                int count) const
    {
        const int exchange = lane % 8 << 4;
        const int a_byte = lane / 16 * VECTOR ^ exchange, b_byte = lane / 8 % 2 * VECTOR ^ exchange;
        const uint32_t a = shared_address(rows) + lane % 16 * MN_PANEL_ROW;
        const uint32_t b = shared_address(columns) + (lane % 8 + lane / 16 * 8) * MN_PANEL_ROW;
        fragment_a x[4 * PANELS];
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++)
            load_matrices(x[k].x, a + k / 4 * pitch + (k % 4 * 32 ^ a_byte));
        set_zero(s);
#pragma unroll
        for (int n = 0; n < SIDE; n++)
            if (n < count)
#pragma unroll
                for (int k = 0; k < 4 * PANELS; k++) {
                    uint32_t y[4];
                    load_matrices(y, b + k / 4 * pitch + n * 16 * MN_PANEL_ROW +
                                         (k % 4 * 32 ^ b_byte));
                    element<E>::mma(s[2 * n], x[k], y[0], y[1]);
                    element<E>::mma(s[2 * n + 1], x[k], y[2], y[3]);
                }
    }

    /* Sums of 64 features of the rows of `values`, each times its weight. */
    __device__ void weigh(features &sums, const weights &w, const char *values, int count) const
    {
        const int byte = lane / 16 * VECTOR ^ lane % 8 << 4;
        const uint32_t address = shared_address(values) + lane % 16 * MN_PANEL_ROW;
        set_zero(sums);
#pragma unroll
        for (int n = 0; n < SIDE; n++)
            if (n < count)
#pragma unroll
                for (int f = 0; f < 4; f++) {
                    uint32_t x[4];
                    load_matrices_transposed(x, address + n * 16 * MN_PANEL_ROW + (f * 32 ^ byte));
                    element<E>::mma(sums[2 * f], w[n], x[0], x[1]);
                    element<E>::mma(sums[2 * f + 1], w[n], x[2], x[3]);
                }
    }

    /* 64 features of 16 rows to shared memory. Rows with factor 0 are zeros, whatever the sums. */
    __device__ void put(char *target, features &sums, const float (&factor)[2]) const
    {
        const int byte = lane / 16 * VECTOR ^ lane % 8 << 4;
        const uint32_t address = shared_address(target) + lane % 16 * MN_PANEL_ROW;
        if (__builtin_expect(__any_sync(~0u, factor[0] == 0.0f || factor[1] == 0.0f), 0)) {
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = factor[i / 2] == 0.0f ? 0.0f : sums[n][i];
        }
        uint32_t x[4][4];
        multiply(sums, factor);
        pack_sums<E>(sums, x);
#pragma unroll
        for (int f = 0; f < 4; f++)
            store_matrices(address + (f * 32 ^ byte), x[f]);
    }

    /* One output of a warp's rows, left in `staging`. */
    __device__ void make_output(char *staging, const weights &w, const char *values, int pitch,
                                int count, const float (&factor)[2]) const
    {
        __syncwarp();
#pragma unroll
        for (int i = 0; i < PANELS; i++) {
            features sums;
            if constexpr (GROUPS)
                weigh_together(sums, w, values + i * pitch);
            else if (count == SIDE) /* no branch between products */
                weigh(sums, w, values + i * pitch, SIDE);
            else
                weigh(sums, w, values + i * pitch, count);
            put(staging + i * pitch, sums, factor);
        }
        __syncwarp();
    }

    /* Weights 2^(score - largest) and the state of their rows. */
    template <form FORM>
    __device__ void find_weights(weights &w, softmax_state &state, const char *rows,
                                 const char *columns, int pitch, int count, const score_bias &bias,
                                 bool is_plain) const
    {
        constexpr bool right = stage_task<FORM>::right;
        scores s;
        float shrink[2];
        state.start();
        if (GROUPS || count == SIDE) {
            if constexpr (GROUPS)
                find_scores_together(s, rows, columns, pitch);
            else
                find_scores(s, rows, columns, pitch, SIDE);
            if (right && is_plain)
                softmax_plain_tile<right>(s, state, shrink, p.scale);
            else
                softmax_tile<right, FORM == LEFT_MEAN>(s, state, shrink, bias, p.scale, SIDE, lane);
        } else {
            find_scores(s, rows, columns, pitch, count);
            softmax_tile<right, FORM == LEFT_MEAN>(s, state, shrink, bias, p.scale, count, lane);
        }
        state.template finish<right>();
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
        if (!memory.has_mask())
            return true;
        bool any = false;
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
    __device__ void send(const char *staging, const char *area, int block, int row0) const
    {
        const int unit = lane % UNITS, panel = unit / 8;
        const int pitch = memory.position_rows() * MN_PANEL_ROW;
        const int target =
            (int)(area - memory.base) + panel * pitch + panel_offset(block, unit % 8);
        const char *from = staging + panel * memory.block_rows() * MN_PANEL_ROW;
#pragma unroll
        for (int x = lane / UNITS; x < MN_TILE_ROWS; x += WARP / UNITS) {
            const int position = row0 + x, local = position >> memory.shift;
            const uint32_t base = memory.base_at(position);
            if (position < p.columns)
                send_bytes(base + target + local * PANELS * pitch,
                           *reinterpret_cast<const uint4 *>(from + panel_offset(x, unit % 8)),
                           base + sent_place() + local * 8);
        }
    }

    __device__ int sent_place() const
    {
        return (int)(reinterpret_cast<char *>(memory.sent(0)) - memory.base);
    }

    __device__ void send_entropy(const softmax_state &state, const float (&factor)[2], int block,
                                 int row0) const
    {
        const int target = (int)(reinterpret_cast<char *>(memory.bias(0) + block) - memory.base);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int position = row0 + lane / 4 + 8 * i, local = position >> memory.shift;
            const float entropy = entropy_of<false>(state.entropy[i], state.sum[i]) * log2_e;
            const uint32_t base = memory.base_at(position);
            if (lane % 4 == 0 && position < p.columns)
                send_bytes(base + target + local * memory.position_rows() * 4,
                           factor[i] == 0.0f ? infinity() : entropy,
                           base + sent_place() + local * 8);
        }
    }

    /* What all blocks send to a position. */
    __device__ int bytes_sent(bool last) const
    {
        return p.groups * ((last ? 2 : 1) * ROW + 4);
    }

    /* To memory, those rows that are there. */
    __device__ void store(const char *staging, const panel_rows &to, int row0) const
    {
        const int unit = lane % UNITS, left = to.bytes - unit * VECTOR;
        const char *from = staging + unit / 8 * memory.position_rows() * MN_PANEL_ROW;
#pragma unroll
        for (int x = lane / UNITS; x < MN_TILE_ROWS; x += WARP / UNITS)
            if (to.there(row0 + x) && left > 0)
                store_vector<E>(to.base + (row0 + x) * to.stride + unit * VECTOR,
                                from + panel_offset(x, unit % 8), to.vectors, left);
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

    /* R of a block; aL/s, cL and, the last time, y. `values_come()` waits until v is there. */
    template <class F>
    __device__ void right(const cluster_slot &s, const float *absent, int block, int row0,
                          bool last, F values_come) const
    {
        const presence there = group_tokens(p, group(block, false));
        const bool is_plain =
            there.begin == 0 && there.end == 16 * SIDE && p.scale > 0.0f && !memory.has_mask();
        const int count = memory.block_rows() / MN_TILE_ROWS;
        const int pitch = memory.block_rows() * MN_PANEL_ROW;
        char *rows = s.queries + row0 * MN_PANEL_ROW;
        weights w;
        softmax_state state;
        float factor[2];
        find_weights<RIGHT_VALUE>(w, state, rows, s.keys, pitch, count, {absent, 0, {0.0f, 0.0f}},
                                  is_plain);
        find_factor(factor, state, any_of(absent, p.columns));
        send_entropy(state, factor, block, row0);
        make_output(rows, w, s.keys, pitch, count, factor);
        send(rows, memory.means(0), block, row0);
        if (last) {
            values_come();
            make_output(rows, w, s.values, pitch, count, factor);
            send(rows, memory.results(0), block, row0);
        }
    }

    /* The terms that LEFT takes off the scores of 16 queries: largest score, log2 of the sum. */
    __device__ void find_terms(int local, int position, int row0) const
    {
        weights unused;
        softmax_state state;
        const float *bias = memory.bias(local);
        find_weights<LEFT_STATS>(unused, state, memory.queries(local) + row0 * MN_PANEL_ROW,
                                 memory.means(local), memory.position_rows() * MN_PANEL_ROW,
                                 memory.position_rows() / MN_TILE_ROWS, {bias, 0, {0.0f, 0.0f}},
                                 false);
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
                off[memory.second_terms() + x] = log2_fast(state.sum[i]);
            }
        }
    }

    /* aR/cR of a position, on the transposed scores: rows are blocks, columns are queries. */
    __device__ void left(int local, int position, int row0, const team &team) const
    {
        find_terms(local, position, row0);
        team.sync();
        const float *bias = memory.bias(local) + row0 + lane / 4, *off = memory.off(local);
        const int pitch = memory.position_rows() * MN_PANEL_ROW;
        const int count = memory.position_rows() / MN_TILE_ROWS;
        char *rows = memory.means(local) + row0 * MN_PANEL_ROW;
        weights w;
        softmax_state state;
        float factor[2];
        find_weights<LEFT_MEAN>(w, state, rows, memory.queries(local), pitch, count,
                                {off, memory.second_terms(), {bias[0], bias[8]}}, false);
        find_factor(factor, state, any_of(off, p.groups));
#pragma unroll
        for (int i = 0; i < 2; i++)
            factor[i] = bias[8 * i] == infinity() ? 0.0f : factor[i];
        make_output(rows, w, memory.queries(local), pitch, count, factor);
        store(rows, query_means(group(position, true)), row0);
    }

    /* L and the output of a position. */
    __device__ void left_out(int local, int position, int row0) const
    {
        const float *bias = memory.bias(local);
        const int pitch = memory.position_rows() * MN_PANEL_ROW;
        const int count = memory.position_rows() / MN_TILE_ROWS;
        char *rows = memory.queries(local) + row0 * MN_PANEL_ROW;
        weights w;
        softmax_state state;
        float factor[2];
        find_weights<LEFT_OUT>(w, state, rows, memory.means(local), pitch, count,
                               {bias, 0, {0.0f, 0.0f}}, false);
        find_factor(factor, state, any_of(bias, p.groups));
        make_output(rows, w, memory.results(local), pitch, count, factor);
        store(rows, tensor_rows<E>(p, MN_OPERAND_RESULT, group(position, true), false), row0);
    }
};

#endif
