/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_WHOLE_CUH
#define MN_CUDA_RING_WHOLE_CUH

#include "shaders/cuda/ring_fp8.cuh"

/* Whole tasks, see ring_compute.cuh: nothing is asked about a column, and scores start from their
   biases. */
template <class E, int PANELS, int GROUPS, bool NARROW, bool WHOLE, bool FP8>
struct ring_whole : ring_rows<E, PANELS, GROUPS, WHOLE> {
    using base = ring_rows<E, PANELS, GROUPS, WHOLE>;
    using base::lane;
    using base::memory;
    using base::p;
    using base::r;
    using base::workspace;
    using typename base::outputs;
    using typename base::part;
    using typename base::units;

    /* Scores of all columns with their biases already taken off: products are added to those. */
    template <int N>
    __device__ void find_biased_scores(float (&x)[N][4], const part &a, int first) const
    {
        const uint32_t columns = a.columns + first * MN_PANEL_ROW;
#pragma unroll
        for (int n = 0; n < N; n++) {
            const float2 bias =
                *reinterpret_cast<const float2 *>(a.bias + first + n * 8 + lane % 4 * 2);
            x[n][0] = x[n][2] = bias.x;
            x[n][1] = x[n][3] = bias.y;
        }
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++) {
            const uint32_t step = k / 4 * memory.panel() + k % 4 * 32;
            units::scores(x, panel_descriptor(a.rows + step), panel_descriptor(columns + step), 1);
        }
        wgmma_end();
    }

    /* 64 rows of a whole task, RIGHT or LEFT_OUT. One piece of code for both, as both together
       would not fit into the first instruction cache of a processor. */
    template <int N>
    __device__ __forceinline__ void take_whole_rows(const ring_task &task, const part &a,
                                                    bool last) const
    {
        const bool left = task.left(), empty[2] = {false, false};
        softmax_state state;
        fragment_a weights[N / 2];
        float x[N][4], shrink[2], factor[2];
        state.start();
        find_biased_scores(x, a, 0);
        softmax_plain_tile<true>(x, state, shrink, p.scale);
        pack_weights<E>(weights, x);
        state.template finish<true>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        if (!FP8 && !left && lane % 4 == 0)
            this->store_entropy(task, state, empty, a.row0 + lane / 4);
        uint32_t exponents[2] = {};
#pragma unroll 1
        for (int output = left ? 1 : 0; output < (last ? 2 : 1); output++) {
            outputs sums;
            set_zero(sums);
            wgmma_begin();
            this->add_rows(sums, weights, output == 0 ? a.columns : a.values);
            wgmma_end();
            if (FP8 && !left) {
                store_raw(sums, factor, task, a, output, exponents);
                continue;
            }
            const int number =
                output == 0 ? workspace.key_means(task.step()) : workspace.value_means();
            const panel_rows to = output == 1 && left
                                      ? tensor_rows<E>(p, MN_OPERAND_RESULT, task.place(p), false)
                                      : ring_slot_rows<PANELS>(workspace, number, task);
            this->store(sums, factor, a, to, left);
        }
        if (FP8 && !left && lane % 4 == 0)
            store_terms(task, state, exponents, a.row0 + lane / 4);
    }

    /* 16 rows of aL/s or y, output 0 or 1, as e4m3; their exponents are added to `exponents`. */
    __device__ __forceinline__ void store_raw(outputs &sums, const float (&factor)[2],
                                              const ring_task &task, const part &a, int output,
                                              uint32_t (&exponents)[2]) const
    {
        uint32_t now[2];
        store_e4m3<E, PANELS>(sums, factor, ring_slot_rows<PANELS>(workspace, 0, task), a.row0,
                              output, lane, now);
        for (int i = 0; i < 2; i++)
            exponents[i] |= now[i] << 8 * output;
    }

    __device__ void store_terms(const ring_task &task, const softmax_state &state,
                                const uint32_t (&exponents)[2], int row) const
    {
        const float unit = -log2_e / p.scale;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float entropy = entropy_of<false>(state.entropy[i], state.sum[i]) * unit;
            workspace.terms(task.slot, row + 8 * i)[task.index] = {entropy, exponents[i]};
        }
    }

    /* The same of LEFT_OUT with more columns than registers hold scores of, 8 N at a time. */
    template <int N>
    __device__ __forceinline__ void take_whole_wide_rows(const ring_task &task, const part &a,
                                                         int columns) const
    {
        softmax_state state;
        outputs sums;
        float factor[2];
        state.start();
        set_zero(sums);
#pragma unroll 1
        for (int first = 0; first < columns; first += 8 * N) {
            fragment_a weights[N / 2];
            float x[N][4], shrink[2];
            find_biased_scores(x, a, first);
            softmax_plain_tile<false>(x, state, shrink, p.scale);
            pack_weights<E>(weights, x);
            multiply(sums, shrink);
            wgmma_begin();
            this->add_rows(sums, weights, a.values + first * MN_PANEL_ROW);
            wgmma_end();
        }
        state.template finish<false>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        this->store(sums, factor, a, tensor_rows<E>(p, MN_OPERAND_RESULT, task.place(p), false),
                    true);
    }

    /* N of the scores of a row that a thread holds at a time; ONCE: all columns. */
    template <int N, bool ONCE>
    __device__ __forceinline__ int take_whole_parts(const ring_task &task, const ring_stage &s,
                                                    int turn, bool last) const
    {
        const int columns = task.left() ? p.groups : p.columns, parts = columns / WARPGROUP_ROWS;
        for (int number = this->first_part(turn); number < parts; number += GROUPS) {
            part a;
            a.row0 = number * WARPGROUP_ROWS + this->warp * MN_TILE_ROWS;
            a.staging = s.queries + a.row0 * MN_PANEL_ROW;
            a.rows = shared_address(s.queries) + number * WARPGROUP_ROWS * MN_PANEL_ROW;
            a.columns = shared_address(s.columns);
            a.values = shared_address(s.values);
            a.bias = task.left() ? s.bias : memory.block_bias(1);
            if (ONCE)
                take_whole_rows<N>(task, a, last);
            else
                take_whole_wide_rows<N>(task, a, columns);
            fence_for_wgmma();
        }
        return this->turn_after(turn, parts);
    }

    __device__ bool takes_whole(const ring_task &task, bool last) const
    {
        return WHOLE && (task.left() ? last : NARROW || p.columns <= 128);
    }

    /* The widths part here and not in the loop over parts: of two in one loop the compiler makes
       products that wait for each other (its message C7511). */
    __device__ __forceinline__ int take_whole(const ring_task &task, const ring_stage &s, int turn,
                                              bool last) const
    {
        const int columns = task.left() ? p.groups : p.columns;
        if (columns <= 64)
            return take_whole_parts<8, true>(task, s, turn, last);
        if (NARROW || columns <= 128)
            return take_whole_parts<16, true>(task, s, turn, last);
        if (columns % 128 == 0)
            return take_whole_parts<16, false>(task, s, turn, last);
        return take_whole_parts<8, false>(task, s, turn, last);
    }
};

#endif
