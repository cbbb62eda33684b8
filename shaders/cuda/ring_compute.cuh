/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_COMPUTE_CUH
#define MN_CUDA_RING_COMPUTE_CUH

#include "shaders/cuda/ring_load.cuh"
#include "shaders/cuda/stage.cuh"

enum { RING_GROUPS = 2, WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/* One warpgroup of a ring work-group that computes. */
template <class E, int PANELS> struct ring_compute {
    static constexpr int TILE = PANELS == 1 ? 128 : 64; /* columns in registers at a time */
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
        bool any; /* whether any column is there */
    };

    __device__ void weigh(outputs &sums, const fragment_a &weights, uint32_t address) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights,
                        panel_descriptor(address + i * memory.panel()), 1);
    }

    /* Takes columns first ... first + COLUMNS - 1 into the sums. */
    template <form FORM, int COLUMNS>
    __device__ void take_tile(const part &a, int first, softmax_state &state, outputs &mean,
                              outputs &result) const
    {
        using stage = stage_task<FORM>;
        constexpr int N = COLUMNS / 8;
        const uint32_t columns = a.columns + first * MN_PANEL_ROW;
        float x[N][4], shrink[2];
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++) {
            const uint32_t step = k / 4 * memory.panel() + k % 4 * 32;
            units::scores(x, panel_descriptor(a.rows + step), panel_descriptor(columns + step),
                          k > 0);
        }
        wgmma_end();
        const score_bias terms = {a.bias + first, r.side, {a.row_bias[0], a.row_bias[1]}};
        softmax_tile<stage::right, FORM == LEFT_MEAN>(x, state, shrink, terms, p.scale, N / 2,
                                                      lane);
        if constexpr (stage::has_mean || stage::has_result) {
            if (first > 0 && __any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) {
                if (stage::has_mean)
                    multiply(mean, shrink);
                if (stage::has_result)
                    multiply(result, shrink);
            }
            fragment_a weights[N / 2];
#pragma unroll
            for (int n = 0; n < N / 2; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    weights[n].x[i] = element<E>::pack(x[2 * n + i / 2][i % 2 * 2],
                                                       x[2 * n + i / 2][i % 2 * 2 + 1]);
            const uint32_t values = a.values + first * MN_PANEL_ROW;
            wgmma_begin();
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                if (stage::has_mean)
                    weigh(mean, weights[n], columns + n * 16 * MN_PANEL_ROW);
                if (stage::has_result)
                    weigh(result, weights[n], values + n * 16 * MN_PANEL_ROW);
            }
            wgmma_end();
        }
    }

    /* A warp's 16 rows of sums to the rows of `to` that are there, by way of its staging rows, so
       that they are stored whole. Rows with factor 0 are zeros, whatever the sums. */
    __device__ void store(outputs &sums, const float (&factor)[2], const part &a,
                          const panel_rows &to) const
    {
        if (__any_sync(~0u, factor[0] == 0.0f || factor[1] == 0.0f)) {
#pragma unroll
            for (int n = 0; n < 8 * PANELS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = factor[i / 2] == 0.0f ? 0.0f : sums[n][i];
        }
        multiply(sums, factor);
        limit_overflow<E>(sums);
        __syncwarp();
        const uint32_t place = shared_address(a.staging) + lane % 16 * MN_PANEL_ROW;
#pragma unroll
        for (int n = 0; n < 8 * PANELS; n += 2) {
            uint32_t x[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                x[i] = element<E>::pack(sums[n + i / 2][i % 2 * 2], sums[n + i / 2][i % 2 * 2 + 1]);
            store_matrices(place + n / 8 * memory.panel() + ((n % 8 + lane / 16 ^ lane % 8) << 4),
                           x);
        }
        __syncwarp();
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
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (row + 8 * i < p.columns) {
                float *place = to + 8 * i * pitch;
                *place = empty[i] ? infinity()
                                  : entropy_of<false>(state.entropy[i], state.sum[i]) * log2_e;
                if (task.index == p.groups - 1)
                    for (int x = 1; x < pitch - task.index; x++)
                        place[x] = infinity();
            }
    }

    /* The terms that LEFT takes off the scores of a thread's two queries. */
    __device__ void store_terms(const ring_task &task, const ring_stage &s,
                                const softmax_state &state, const bool (&empty)[2], int row) const
    {
        const presence there = ring_tokens(p, task);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int x = row + 8 * i;
            const bool is_there = r.uses_maps ? there(x) : s.off[x] != infinity();
            s.off[x] = is_there && !empty[i] ? state.largest[i] : infinity();
            s.off[r.side + x] = log2_fast(state.sum[i]);
        }
    }

    template <form FORM>
    __device__ void store_outputs(const ring_task &task, const part &a, outputs &mean,
                                  outputs &result, const float (&factor)[2]) const
    {
        const int step = task.step();
        if (stage_task<FORM>::right)
            store(mean, factor, a,
                  ring_slot_rows<PANELS>(workspace, workspace.key_means(step), task));
        if (FORM == LEFT_MEAN)
            store(mean, factor, a,
                  ring_slot_rows<PANELS>(workspace, workspace.query_means(step), task));
        if (FORM == RIGHT_VALUE)
            store(result, factor, a,
                  ring_slot_rows<PANELS>(workspace, workspace.value_means(), task));
        if (FORM == LEFT_OUT)
            store(result, factor, a, ring_tensor_rows<E>(p, MN_OPERAND_RESULT, task, false));
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
        a.any = r.uses_maps != 0;
        if (!a.any)
            for (int i = 0; i < RING_LOADERS; i++)
                a.any |= s.present[across * RING_LOADERS + i] != 0;
#pragma unroll
        for (int i = 0; i < 2; i++)
            a.row_bias[i] = across ? s.bias[a.row0 + lane / 4 + 8 * i] : 0.0f;
        return a;
    }

    /* 64 rows of a task, `number` being which. */
    template <form FORM>
    __device__ void take_rows(const ring_task &task, const ring_stage &s, int number) const
    {
        using stage = stage_task<FORM>;
        const part a = part_of<FORM>(task, s, number);
        softmax_state state;
        outputs mean, result;
        state.start();
        if (stage::has_mean)
            set_zero(mean);
        if (stage::has_result)
            set_zero(result);
        for (int first = 0; first < a.count; first += TILE) {
            if (TILE > 64 && a.count - first <= 64)
                take_tile<FORM, 64>(a, first, state, mean, result);
            else
                take_tile<FORM, TILE>(a, first, state, mean, result);
        }
        state.template finish<stage::right>();
        float factor[2];
        bool empty[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            empty[i] = !a.any || state.sum[i] == 0.0f || a.row_bias[i] == infinity();
            factor[i] = empty[i] ? 0.0f : reciprocal_fast(state.sum[i]);
        }
        if (lane % 4 == 0) {
            if (stage::right)
                store_entropy(task, state, empty, a.row0 + lane / 4);
            if (FORM == LEFT_STATS)
                store_terms(task, s, state, empty, a.row0 + lane / 4);
        }
        store_outputs<FORM>(task, a, mean, result, factor);
    }

    /* The parts of a task that are this warpgroup's turn; `turn` counts the parts of all. */
    template <form FORM>
    __device__ void take_parts(const ring_task &task, const ring_stage &s, int &turn) const
    {
        const int rows = stage_task<FORM>::right ? p.columns : p.groups;
        for (int number = 0; number * WARPGROUP_ROWS < rows; number++, turn++)
            if (turn % RING_GROUPS == group)
                take_rows<FORM>(task, s, number);
    }

    /* All warpgroups that compute meet; they do the same tasks in the same order. */
    __device__ static void wait_for_groups()
    {
        asm volatile("bar.sync 1, %0;" ::"n"(RING_GROUPS * WARPGROUP) : "memory");
    }

    __device__ void take_task(const ring_task &task, const ring_stage &s, bool last,
                              int &turn) const
    {
        if (!task.left() && !last)
            take_parts<RIGHT>(task, s, turn);
        else if (!task.left())
            take_parts<RIGHT_VALUE>(task, s, turn);
        else if (last)
            take_parts<LEFT_OUT>(task, s, turn);
        else {
            take_parts<LEFT_STATS>(task, s, turn);
            wait_for_groups();
            take_parts<LEFT_MEAN>(task, s, turn);
        }
    }

    __device__ void run(ring_schedule at) const
    {
        int turn = 0;
        for (int number = 0; !at.ended(); number++, at.advance(gridDim.x)) {
            const int index = number % r.stages;
            const ring_task task = at.task();
            barrier_wait(memory.full(index), number / r.stages % 2);
            fence_for_wgmma();
            take_task(task, memory.stage<PANELS>(index), at.is_last(task), turn);
            fence_for_wgmma(); /* before the copy engine overwrites what was written here */
            __syncwarp();
            if (lane == 0)
                barrier_arrive(memory.done(index));
        }
    }
};

#endif
