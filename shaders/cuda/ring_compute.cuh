/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_COMPUTE_CUH
#define MN_CUDA_RING_COMPUTE_CUH

#include "shaders/cuda/ring_whole.cuh"

/*
 * One warpgroup of a ring work-group that computes. Of up to 128 columns (NARROW) the scores are in
 * registers all at once, and then one output after the other; more columns go by tiles, and both
 * outputs are in registers meanwhile. WHOLE: nothing is masked, blocks and their number are
 * multiples of 64 tokens, and rows fill their panels; without a question asked, code is shorter and
 * fetching it takes less of the time. FP8: those of up to 128 tokens alone, T = 1, and what is
 * handed on is e4m3, see ring_fp8.cuh.
 */
template <class E, int PANELS, int GROUPS, bool NARROW, bool WHOLE, bool FP8>
struct ring_compute : ring_whole<E, PANELS, GROUPS, NARROW, WHOLE, FP8> {
    static constexpr int TILE = 64;
    using base = ring_whole<E, PANELS, GROUPS, NARROW, WHOLE, FP8>;
    using base::lane;
    using base::memory;
    using base::p;
    using base::r;
    using base::workspace;
    using typename base::outputs;
    using typename base::part;
    using typename base::units;

    /* Weights 2^(score - largest so far) of columns first ... first + 8 N - 1. */
    template <form FORM, int N>
    __device__ void find_weights(const part &a, int first, softmax_state &state, float (&shrink)[2],
                                 fragment_a (&weights)[N / 2]) const
    {
        const uint32_t columns = a.columns + first * MN_PANEL_ROW;
        float x[N][4];
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++) {
            const uint32_t step = k / 4 * memory.panel() + k % 4 * 32;
            units::scores(x, panel_descriptor(a.rows + step), panel_descriptor(columns + step),
                          k > 0);
        }
        wgmma_end();
        const score_bias terms = {a.bias + first, r.side, {a.row_bias[0], a.row_bias[1]}};
        shrink[0] = shrink[1] = 1.0f;
        if (a.is_idle)
            ; /* sums of whatever there is, which nobody stores */
        else if (stage_task<FORM>::right && a.is_plain)
            softmax_plain_tile<true>(x, state, shrink, p.scale);
        else
            softmax_tile<stage_task<FORM>::right, FORM == LEFT_MEAN>(x, state, shrink, terms,
                                                                     p.scale, N / 2, lane);
        pack_weights<E>(weights, x);
    }

    /* Takes columns first ... first + 8 N - 1 into the sums. */
    template <form FORM, int N>
    __device__ void take_tile(const part &a, int first, softmax_state &state, outputs &mean,
                              outputs &result) const
    {
        using stage = stage_task<FORM>;
        float shrink[2];
        fragment_a weights[N / 2];
        find_weights<FORM, N>(a, first, state, shrink, weights);
        if (first > 0 && __any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) {
            if (stage::has_mean)
                multiply(mean, shrink);
            if (stage::has_result)
                multiply(result, shrink);
        }
        if constexpr (stage::has_mean || stage::has_result) {
            wgmma_begin();
            if (stage::has_mean)
                this->add_rows(mean, weights, a.columns + first * MN_PANEL_ROW);
            if (stage::has_result)
                this->add_rows(result, weights, a.values + first * MN_PANEL_ROW);
            wgmma_end();
        }
    }

    /* The terms that LEFT takes off the scores of a thread's two queries. */
    __device__ void store_terms(const ring_task &task, const ring_stage &s,
                                const softmax_state &state, const bool (&empty)[2], int row) const
    {
        const presence there = group_tokens(p, task.place(p));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int x = row + 8 * i;
            const bool is_there = !empty[i] && (r.uses_maps ? there(x) : s.off[x] != infinity());
            s.off[x] = is_there ? state.largest[i] : infinity();
            s.off[r.side + x] = is_there ? log2_fast(state.sum[i]) : 0.0f;
        }
    }

    /* Where the first output of a form goes, and the second. */
    template <form FORM> __device__ panel_rows first_output(const ring_task &task) const
    {
        if (FORM == LEFT_OUT)
            return tensor_rows<E>(p, MN_OPERAND_RESULT, task.place(p), false);
        return ring_slot_rows<PANELS>(workspace,
                                      FORM == LEFT_MEAN ? workspace.query_means(task.step())
                                                        : workspace.key_means(task.step()),
                                      task);
    }

    __device__ panel_rows second_output(const ring_task &task) const
    {
        return ring_slot_rows<PANELS>(workspace, workspace.value_means(), task);
    }

    /* N of the scores of a row that a thread holds at a time. */
    template <form FORM, int N>
    __device__ part part_of(const ring_task &task, const ring_stage &s, int number) const
    {
        constexpr bool right = stage_task<FORM>::right, across = FORM == LEFT_MEAN;
        part a;
        a.row0 = number * WARPGROUP_ROWS + this->warp * MN_TILE_ROWS;
        char *rows = across ? s.columns : s.queries;
        a.staging = rows + a.row0 * MN_PANEL_ROW;
        a.rows = shared_address(rows) + number * WARPGROUP_ROWS * MN_PANEL_ROW;
        a.columns = shared_address(across ? s.queries : s.columns);
        a.values = shared_address(s.values);
        a.count = right ? p.columns : p.groups;
        a.bias = across ? s.off : s.bias;
        if (right && r.uses_maps)
            a.bias = memory.block_bias(task.index == 0 ? 0 : task.index == p.groups - 1 ? 2 : 1);
        a.is_plain =
            WHOLE || (right && r.uses_maps && p.scale > 0.0f && p.columns % (8 * N) == 0 &&
                      (task.index > 0 || p.first == 0) &&
                      (task.index < p.groups - 1 || p.tokens == (int64_t)p.groups * p.columns));
        a.is_idle = !WHOLE && a.row0 >= (right ? p.columns : p.groups);
        a.any = WHOLE || r.uses_maps || s.present[across] != 0;
#pragma unroll
        for (int i = 0; i < 2; i++)
            a.row_bias[i] = across ? s.bias[a.row0 + lane / 4 + 8 * i] : 0.0f;
        return a;
    }

    /* Ends the softmax: writes what is no matrix, and finds what to multiply rows by. Rows behind
       the last one become zeros: they stay in shared memory, where another head's LEFT multiplies
       them by weights of 0, and NaN times 0 is NaN. */
    template <form FORM>
    __device__ void finish(const ring_task &task, const ring_stage &s, const part &a,
                           softmax_state &state, float (&factor)[2]) const
    {
        bool empty[2];
        state.template finish<stage_task<FORM>::right>();
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const bool is_behind = a.row0 + lane / 4 + 8 * i >= a.count;
            empty[i] = !WHOLE &&
                       (is_behind || !a.any || state.sum[i] == 0.0f || a.row_bias[i] == infinity());
            factor[i] = empty[i] ? 0.0f : reciprocal_fast(state.sum[i]);
        }
        if (lane % 4 == 0) {
            if (stage_task<FORM>::right)
                this->store_entropy(task, state, empty, a.row0 + lane / 4);
            if (FORM == LEFT_STATS)
                store_terms(task, s, state, empty, a.row0 + lane / 4);
        }
    }

    /* 64 rows of a task, tile by tile of columns. */
    template <form FORM>
    __device__ __forceinline__ void take_wide_rows(const ring_task &task, const ring_stage &s,
                                                   const part &a) const
    {
        using stage = stage_task<FORM>;
        softmax_state state;
        outputs mean, result;
        float factor[2];
        state.start();
        if (stage::has_mean)
            set_zero(mean);
        if (stage::has_result)
            set_zero(result);
        for (int first = 0; first < a.count; first += TILE)
            take_tile<FORM, TILE / 8>(a, first, state, mean, result);
        finish<FORM>(task, s, a, state, factor);
        if (stage::has_mean)
            this->store(mean, factor, a, first_output<FORM>(task), false);
        if (stage::has_result)
            this->store(result, factor, a,
                        stage::has_mean ? second_output(task) : first_output<FORM>(task),
                        FORM == LEFT_OUT);
    }

    /* 64 rows of a task, all columns at once, one output after the other. */
    template <form FORM, int N>
    __device__ __forceinline__ void take_narrow_rows(const ring_task &task, const ring_stage &s,
                                                     const part &a) const
    {
        using stage = stage_task<FORM>;
        softmax_state state;
        fragment_a weights[N / 2];
        float shrink[2], factor[2];
        state.start();
        find_weights<FORM, N>(a, 0, state, shrink, weights);
        if constexpr (stage::has_mean || stage::has_result) {
            outputs sums;
            set_zero(sums);
            wgmma_begin();
            this->add_rows(sums, weights, stage::has_mean ? a.columns : a.values);
            wgmma_end();
            finish<FORM>(task, s, a, state, factor);
            this->store(sums, factor, a, first_output<FORM>(task), FORM == LEFT_OUT);
            if constexpr (stage::has_mean && stage::has_result) {
                set_zero(sums);
                wgmma_begin();
                this->add_rows(sums, weights, a.values);
                wgmma_end();
                this->store(sums, factor, a, second_output(task), false);
            }
        } else {
            finish<FORM>(task, s, a, state, factor);
        }
    }

    template <form FORM, int N>
    __device__ __forceinline__ void take_rows(const ring_task &task, const ring_stage &s,
                                              int number) const
    {
        const part a = part_of<FORM, N>(task, s, number);
        if constexpr (NARROW)
            take_narrow_rows<FORM, N>(task, s, a);
        else
            take_wide_rows<FORM>(task, s, a);
        fence_for_wgmma(); /* before the copy engine overwrites what was written here */
    }

    template <form FORM, int N>
    __device__ __forceinline__ int take_parts(const ring_task &task, const ring_stage &s,
                                              int turn) const
    {
        const int parts =
            mn_panel_rows(stage_task<FORM>::right ? p.columns : p.groups) / WARPGROUP_ROWS;
        for (int number = this->first_part(turn); number < parts; number += GROUPS)
            take_rows<FORM, N>(task, s, number);
        return this->turn_after(turn, parts);
    }

    template <form FORM>
    __device__ __forceinline__ int take_all(const ring_task &task, const ring_stage &s,
                                            int turn) const
    {
        const int columns = stage_task<FORM>::right ? p.columns : p.groups;
        if (!NARROW || columns <= 64)
            return take_parts<FORM, 8>(task, s, turn);
        if (columns <= 96)
            return take_parts<FORM, 12>(task, s, turn);
        return take_parts<FORM, 16>(task, s, turn);
    }

    /* Each part of LEFT's first pass has to be done before its second can begin. */
    template <int N>
    __device__ __forceinline__ int take_left(const ring_task &task, const ring_stage &s, int index,
                                             int turn, int parity) const
    {
        const int parts = mn_panel_rows(p.groups) / WARPGROUP_ROWS;
        for (int number = this->first_part(turn); number < parts; number += GROUPS) {
            take_rows<LEFT_STATS, N>(task, s, number);
            barrier_arrive(memory.normalised(index));
        }
        turn = this->turn_after(turn, parts);
        for (int number = this->first_part(turn); number < parts; number += GROUPS) {
            barrier_wait(memory.normalised(index), parity);
            take_rows<LEFT_MEAN, N>(task, s, number);
        }
        return this->turn_after(turn, parts);
    }

    __device__ __forceinline__ void run() const
    {
        int turn = 0, index = 0, phase = 0;
        uint32_t parities = 0; /* of the barriers `normalised` */
        for (;;) {
            const ring_stage s = memory.template stage<PANELS>(index);
            barrier_wait(memory.full(index), phase);
            const ring_task task = *s.task;
            if (task.stage < 0)
                return;
            const bool last = task.step() == p.steps - 1;
            if (!r.uses_maps)
                fence_for_wgmma();
            if constexpr (FP8)
                turn = this->take_whole(task, s, turn, true);
            else if (this->takes_whole(task, last))
                turn = this->take_whole(task, s, turn, last);
            else if (!task.left() && !last)
                turn = take_all<RIGHT>(task, s, turn);
            else if (!task.left())
                turn = take_all<RIGHT_VALUE>(task, s, turn);
            else if (last)
                turn = take_all<LEFT_OUT>(task, s, turn);
            else {
                const int parity = parities >> index & 1;
                turn = !NARROW || p.groups <= 64 ? take_left<8>(task, s, index, turn, parity)
                       : p.groups <= 96          ? take_left<12>(task, s, index, turn, parity)
                                                 : take_left<16>(task, s, index, turn, parity);
                parities ^= 1u << index;
            }
            barrier_arrive(memory.done(index));
            if (++index == r.stages) {
                index = 0;
                phase ^= 1;
            }
        }
    }
};

#endif
