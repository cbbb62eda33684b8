/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_COMPUTE_CUH
#define MN_CUDA_RING_COMPUTE_CUH

#include "shaders/cuda/ring_load.cuh"
#include "shaders/cuda/stage.cuh"

enum { WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/*
 * One warpgroup of a ring work-group that computes. Of up to 128 columns (NARROW) the scores are in
 * registers all at once, and then one output after the other; more columns go by tiles, and both
 * outputs are in registers meanwhile. WHOLE: nothing is masked, blocks and their number are
 * multiples of 64 tokens, and rows fill their panels; without a question asked, code is shorter and
 * fetching it takes less of the time.
 */
template <class E, int PANELS, int GROUPS, bool NARROW, bool WHOLE> struct ring_compute {
    static constexpr int TILE = 64;
    using units = warpgroup<E>;
    using outputs = float[8 * PANELS][4];

    const mn_stage_params &p;
    const mn_ring_params &r;
    const ring_memory &memory;
    const ring_workspace &workspace;
    int group, warp, lane; /* the warpgroup, and the warp in it */

    /* What 64 rows of one task work on. */
    struct part {
        char *staging; /* the warp's own rows, free when the scores are there */
        uint32_t rows, columns, values;
        const float *bias;
        int count, row0; /* columns; the warp's first row */
        float row_bias[2];
        bool any;      /* whether any column is there */
        bool is_plain; /* whether all columns of all tiles are, without a bias */
    };

    __device__ void weigh(outputs &sums, const fragment_a &weights, uint32_t address) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights,
                        panel_descriptor(address + i * memory.panel()), 1);
    }

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
        if (stage_task<FORM>::right && a.is_plain)
            softmax_plain_tile<true>(x, state, shrink, p.scale);
        else
            softmax_tile<stage_task<FORM>::right, FORM == LEFT_MEAN>(x, state, shrink, terms,
                                                                     p.scale, N / 2, lane);
        pack_weights(weights, x);
    }

    template <int N>
    __device__ void pack_weights(fragment_a (&weights)[N / 2], const float (&x)[N][4]) const
    {
#pragma unroll
        for (int n = 0; n < N / 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                weights[n].x[i] =
                    element<E>::pack(x[2 * n + i / 2][i % 2 * 2], x[2 * n + i / 2][i % 2 * 2 + 1]);
    }

    /* Starts to add rows of `panels`, each times its weight. */
    template <int N>
    __device__ void add_rows(outputs &sums, const fragment_a (&weights)[N], uint32_t panels) const
    {
#pragma unroll
        for (int n = 0; n < N; n++)
            weigh(sums, weights[n], panels + n * 16 * MN_PANEL_ROW);
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
                add_rows(mean, weights, a.columns + first * MN_PANEL_ROW);
            if (stage::has_result)
                add_rows(result, weights, a.values + first * MN_PANEL_ROW);
            wgmma_end();
        }
    }

    /* A warp's 16 rows of sums to the rows of `to` that are there, by way of its staging rows, so
       that they are stored whole. Rows with factor 0 are zeros, whatever the sums. */
    __device__ void store(outputs &sums, const float (&factor)[2], const part &a,
                          const panel_rows &to, bool once) const
    {
        if (!WHOLE && __any_sync(~0u, factor[0] == 0.0f || factor[1] == 0.0f)) {
#pragma unroll
            for (int n = 0; n < 8 * PANELS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = factor[i / 2] == 0.0f ? 0.0f : sums[n][i];
        }
        multiply(sums, factor);
        uint32_t x[4 * PANELS][4];
        pack_sums<E>(sums, x);
        __syncwarp();
        const uint32_t place = shared_address(a.staging) + lane % 16 * MN_PANEL_ROW;
        const int byte = (lane / 16 ^ lane % 8) * VECTOR;
#pragma unroll
        for (int n = 0; n < 4 * PANELS; n++)
            store_matrices(place + n / 4 * memory.panel() + (n % 4 * 32 ^ byte), x[n]);
        __syncwarp();
        if (WHOLE && to.vectors)
            store_whole(a, to, once);
        else
            store_part(a, to);
    }

    /* All 16 rows, of whole panels. */
    __device__ void store_whole(const part &a, const panel_rows &to, bool once) const
    {
        const int unit = lane % 8;
        const char *from = a.staging + lane / 8 * MN_PANEL_ROW;
        char *target = to.base + (a.row0 + lane / 8) * to.stride + unit * VECTOR;
        const uint64_t policy = once ? policy_last_use() : policy_used_again();
#pragma unroll
        for (int i = 0; i < MN_TILE_ROWS / 4; i++, target += 4 * to.stride) {
            const int place = 4 * i * MN_PANEL_ROW + (unit ^ (lane / 8 + 4 * i) % 8) * VECTOR;
#pragma unroll
            for (int k = 0; k < PANELS; k++)
                store_hinted(target + k * MN_PANEL_ROW,
                             *reinterpret_cast<const uint4 *>(from + place + k * memory.panel()),
                             policy);
        }
    }

    __device__ void store_part(const part &a, const panel_rows &to) const
    {
        const int unit = lane % 8, bytes = to.bytes - unit * VECTOR;
        const int begin = to.there.begin - a.row0, end = to.there.end - a.row0;
        char *target = to.base + (a.row0 + lane / 8) * to.stride + unit * VECTOR;
#pragma unroll
        for (int i = 0; i < MN_TILE_ROWS / 4; i++, target += 4 * to.stride) {
            const int row = lane / 8 + 4 * i;
            const char *from = a.staging + panel_offset(row, unit);
            if (row >= begin && row < end)
#pragma unroll
                for (int k = 0; k < PANELS; k++)
                    if (k * MN_PANEL_ROW < bytes)
                        store_vector<E>(target + k * MN_PANEL_ROW, from + k * memory.panel(),
                                        to.vectors, bytes - k * MN_PANEL_ROW);
        }
    }

    /* cL of a thread's two rows; behind the last block +inf, as for columns that are absent. */
    __device__ void store_entropy(const ring_task &task, const softmax_state &state,
                                  const bool (&empty)[2], int row) const
    {
        float *to = workspace.entropy(task.slot, task.step(), row) + task.index;
        const int pitch = mn_panel_rows(p.groups);
        const bool last = task.step() == p.steps - 1;
        const float unit = WHOLE && last ? -log2_e / p.scale : log2_e;
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (WHOLE || row + 8 * i < p.columns) {
                float *place = to + 8 * i * pitch;
                *place = empty[i] ? infinity()
                                  : entropy_of<false>(state.entropy[i], state.sum[i]) * unit;
                if (!WHOLE && task.index == p.groups - 1)
                    for (int x = 1; x < pitch - task.index; x++)
                        place[x] = infinity();
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
            const bool is_there = r.uses_maps ? there(x) : s.off[x] != infinity();
            s.off[x] = is_there && !empty[i] ? state.largest[i] : infinity();
            s.off[r.side + x] = log2_fast(state.sum[i]);
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

    template <form FORM>
    __device__ part part_of(const ring_task &task, const ring_stage &s, int number) const
    {
        constexpr bool right = stage_task<FORM>::right, across = FORM == LEFT_MEAN;
        part a;
        a.row0 = number * WARPGROUP_ROWS + warp * MN_TILE_ROWS;
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
            WHOLE || (right && r.uses_maps && p.scale > 0.0f && p.columns % 64 == 0 &&
                      (task.index > 0 || p.first == 0) &&
                      (task.index < p.groups - 1 || p.tokens == (int64_t)p.groups * p.columns));
        a.any = WHOLE || r.uses_maps || s.present[across] != 0;
#pragma unroll
        for (int i = 0; i < 2; i++)
            a.row_bias[i] = across ? s.bias[a.row0 + lane / 4 + 8 * i] : 0.0f;
        return a;
    }

    /* Ends the softmax: writes what is no matrix, and finds what to multiply rows by. */
    template <form FORM>
    __device__ void finish(const ring_task &task, const ring_stage &s, const part &a,
                           softmax_state &state, float (&factor)[2]) const
    {
        bool empty[2];
        state.template finish<stage_task<FORM>::right>();
#pragma unroll
        for (int i = 0; i < 2; i++) {
            empty[i] = !WHOLE && (!a.any || state.sum[i] == 0.0f || a.row_bias[i] == infinity());
            factor[i] = empty[i] ? 0.0f : reciprocal_fast(state.sum[i]);
        }
        if (lane % 4 == 0) {
            if (stage_task<FORM>::right)
                store_entropy(task, state, empty, a.row0 + lane / 4);
            if (FORM == LEFT_STATS)
                store_terms(task, s, state, empty, a.row0 + lane / 4);
        }
    }

    /* 64 rows of a task, tile by tile of columns. */
    template <form FORM>
    __device__ void take_wide_rows(const ring_task &task, const ring_stage &s, const part &a) const
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
            store(mean, factor, a, first_output<FORM>(task), false);
        if (stage::has_result)
            store(result, factor, a,
                  stage::has_mean ? second_output(task) : first_output<FORM>(task),
                  FORM == LEFT_OUT);
    }

    /* 64 rows of a task, all columns at once, one output after the other. */
    template <form FORM, int N>
    __device__ void take_narrow_rows(const ring_task &task, const ring_stage &s,
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
            add_rows(sums, weights, stage::has_mean ? a.columns : a.values);
            wgmma_end();
            finish<FORM>(task, s, a, state, factor);
            store(sums, factor, a, first_output<FORM>(task), FORM == LEFT_OUT);
            if constexpr (stage::has_mean && stage::has_result) {
                set_zero(sums);
                wgmma_begin();
                add_rows(sums, weights, a.values);
                wgmma_end();
                store(sums, factor, a, second_output(task), false);
            }
        } else {
            finish<FORM>(task, s, a, state, factor);
        }
    }

    /* Scores of all columns with their biases already taken off: products are added to those. */
    template <int N>
    __device__ void find_biased_scores(float (&x)[N][4], const part &a, int first) const
    {
        const uint32_t columns = a.columns + first * MN_PANEL_ROW;
#pragma unroll
        for (int n = 0; n < N; n++) {
            const float2 bias = *reinterpret_cast<const float2 *>(a.bias + first + n * 8 + lane % 4 * 2);
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
    __device__ void take_whole_rows(const ring_task &task, const part &a, bool last) const
    {
        const bool left = task.left(), empty[2] = {false, false};
        softmax_state state;
        fragment_a weights[N / 2];
        float x[N][4], shrink[2], factor[2];
        state.start();
        find_biased_scores(x, a, 0);
        softmax_plain_tile<true>(x, state, shrink, p.scale);
        pack_weights(weights, x);
        state.template finish<true>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        if (!left && lane % 4 == 0)
            store_entropy(task, state, empty, a.row0 + lane / 4);
#pragma unroll 1
        for (int output = left ? 1 : 0; output < (last ? 2 : 1); output++) {
            outputs sums;
            set_zero(sums);
            wgmma_begin();
            add_rows(sums, weights, output == 0 ? a.columns : a.values);
            wgmma_end();
            const int number =
                output == 0 ? workspace.key_means(task.step()) : workspace.value_means();
            const panel_rows to =
                output == 1 && left ? tensor_rows<E>(p, MN_OPERAND_RESULT, task.place(p), false)
                                    : ring_slot_rows<PANELS>(workspace, number, task);
            store(sums, factor, a, to, left);
        }
    }

    /* The same of LEFT_OUT with more columns than registers hold scores of, 8 N at a time. */
    template <int N>
    __device__ void take_whole_wide_rows(const ring_task &task, const part &a, int columns) const
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
            pack_weights(weights, x);
            multiply(sums, shrink);
            wgmma_begin();
            add_rows(sums, weights, a.values + first * MN_PANEL_ROW);
            wgmma_end();
        }
        state.template finish<false>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        store(sums, factor, a, tensor_rows<E>(p, MN_OPERAND_RESULT, task.place(p), false), true);
    }

    /* N of the scores of a row that a thread holds at a time; ONCE: all columns. */
    template <int N, bool ONCE>
    __device__ int take_whole_parts(const ring_task &task, const ring_stage &s, int turn,
                                    bool last) const
    {
        const int columns = task.left() ? p.groups : p.columns, parts = columns / WARPGROUP_ROWS;
        for (int number = first_part(turn); number < parts; number += GROUPS) {
            part a;
            a.row0 = number * WARPGROUP_ROWS + warp * MN_TILE_ROWS;
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
        return turn_after(turn, parts);
    }

    __device__ bool takes_whole(const ring_task &task, bool last) const
    {
        return WHOLE && (task.left() ? last : NARROW || p.columns <= 128);
    }

    __device__ int take_whole(const ring_task &task, const ring_stage &s, int turn,
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

    template <form FORM>
    __device__ void take_rows(const ring_task &task, const ring_stage &s, int number) const
    {
        const part a = part_of<FORM>(task, s, number);
        if constexpr (!NARROW)
            take_wide_rows<FORM>(task, s, a);
        else if (a.count > 64)
            take_narrow_rows<FORM, 16>(task, s, a);
        else
            take_narrow_rows<FORM, 8>(task, s, a);
        fence_for_wgmma(); /* before the copy engine overwrites what was written here */
    }

    /* The first part that is this warpgroup's turn; then comes every GROUPS-th. `turn` counts the
       parts of all tasks modulo GROUPS. */
    __device__ int first_part(int turn) const
    {
        return group < turn ? group - turn + GROUPS : group - turn;
    }

    __device__ static int turn_after(int turn, int parts)
    {
        return (unsigned)(turn + parts) % GROUPS;
    }

    template <form FORM>
    __device__ int take_parts(const ring_task &task, const ring_stage &s, int turn) const
    {
        const int parts =
            mn_panel_rows(stage_task<FORM>::right ? p.columns : p.groups) / WARPGROUP_ROWS;
        for (int number = first_part(turn); number < parts; number += GROUPS)
            take_rows<FORM>(task, s, number);
        return turn_after(turn, parts);
    }

    /* Each part of LEFT's first pass has to be done before its second can begin. */
    __device__ int take_left(const ring_task &task, const ring_stage &s, int index, int turn,
                             int parity) const
    {
        const int parts = mn_panel_rows(p.groups) / WARPGROUP_ROWS;
        for (int number = first_part(turn); number < parts; number += GROUPS) {
            take_rows<LEFT_STATS>(task, s, number);
            __syncwarp();
            if (lane == 0)
                barrier_arrive(memory.normalised(index));
        }
        turn = turn_after(turn, parts);
        for (int number = first_part(turn); number < parts; number += GROUPS) {
            barrier_wait(memory.normalised(index), parity);
            take_rows<LEFT_MEAN>(task, s, number);
        }
        return turn_after(turn, parts);
    }

    __device__ void run() const
    {
        int turn = 0, index = 0, phase = 0;
        uint32_t parities = 0; /* of the barriers `normalised` */
        for (;;) {
            const ring_stage s = memory.stage<PANELS>(index);
            barrier_wait(memory.full(index), phase);
            const ring_task task = *s.task;
            if (task.stage < 0)
                return;
            const bool last = task.step() == p.steps - 1;
            if (!r.uses_maps)
                fence_for_wgmma();
            if (takes_whole(task, last))
                turn = take_whole(task, s, turn, last);
            else if (!task.left() && !last)
                turn = take_parts<RIGHT>(task, s, turn);
            else if (!task.left())
                turn = take_parts<RIGHT_VALUE>(task, s, turn);
            else if (last)
                turn = take_parts<LEFT_OUT>(task, s, turn);
            else {
                turn = take_left(task, s, index, turn, parities >> index & 1);
                parities ^= 1u << index;
            }
            __syncwarp();
            if (lane == 0)
                barrier_arrive(memory.done(index));
            if (++index == r.stages) {
                index = 0;
                phase ^= 1;
            }
        }
    }
};

#endif
