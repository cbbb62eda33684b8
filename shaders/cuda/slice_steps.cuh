/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_STEPS_CUH
#define MN_CUDA_SLICE_STEPS_CUH

#include "shaders/cuda/slice_compute.cuh"

/*
 * Two steps and more by the slice kernel, for 64 blocks of 64 features: a slice has as many
 * positions as there are blocks, so LEFT sends its rows back just as RIGHT sends them. Every score
 * matrix is 64 x 64, and each warpgroup has as many of them as any other.
 *
 * What LEFT sends back lies where y will be. With the last step all work-groups have to be done
 * with it before the first row of y is sent: weights of all blocks wait for that in registers.
 *
 * Rows are sent over rows that nobody needs any more: whoever sends to a block or a position has
 * waited for something that was sent from there after its last use.
 */
template <class E, class PLACES> struct slice_steps {
    using places = PLACES;
    using single = slice_compute<E, places>;
    static constexpr int SIDE = places::ROWS, GROUPS = places::GROUPS;
    static constexpr int OWN = places::SHARE;  /* blocks, and positions, of a work-group */
    static constexpr int TURNS = OWN / GROUPS; /* of them, a warpgroup's */
    static_assert(OWN % GROUPS == 0, "all warpgroups have the same number");
    static_assert(SIDE == 64 && places::BLOCK == SIDE && places::BLOCKS == SIDE &&
                      places::PANELS == 1 && places::WHOLE,
                  "one score matrix is as large as another");
    using scores = float[SIDE / 8][4];
    using weights = fragment_a[SIDE / 16];

    const mn_stage_params &p;
    const mn_ring_params &r;
    const places &memory;
    const single &c;
    int group, warp, lane; /* as there */

    /* Slices and steps that were before. */
    struct moment {
        int slices, step;
    };

    __device__ bool is_first_thread() const
    {
        return threadIdx.x % WARPGROUP == 0;
    }

    __device__ int row0() const /* of the warp, in all its matrices */
    {
        return warp * MN_TILE_ROWS;
    }

    __device__ int local(int turn) const
    {
        return turn * GROUPS + group;
    }

    /* Goes past the matrices of other warpgroups. */
    __device__ void pass(slice_cursor &at, int count) const
    {
        for (; count > 0; count--) {
            c.skip(at);
            at.template advance<places::UNITS>(1);
        }
    }

    /* Calls task(turn, cursor) for each matrix of this warpgroup among those of all. UNROLL: code
       for each turn, whose number then may say in which registers something is. */
    template <int UNROLL, class F>
    __device__ __forceinline__ void for_own(slice_cursor &at, F task) const
    {
#pragma unroll UNROLL
        for (int turn = 0; turn < TURNS; turn++) {
            pass(at, group);
            task(turn, at);
            at.template advance<places::UNITS>(1);
            pass(at, GROUPS - 1 - group);
        }
    }

    /* What is to come to a position until its next step. */
    __device__ void expect_rows(int local, bool with_values) const
    {
        barrier_arrive_expecting(memory.sent(local), memory.sent_bytes(p, with_values));
    }

    __device__ void wait_for_query_means(int local, const moment &now) const
    {
        const int before = now.slices * (p.steps - 1) + now.step - 1;
        barrier_wait(memory.returned(local), before % 2);
        if (is_first_thread())
            barrier_arrive_expecting(memory.returned(local), SIDE * places::ROW);
        fence_for_wgmma(); /* rows came otherwise than by the copy engine */
    }

    /* R of a block for the positions of the slice, and its key means, which are sent. */
    __device__ __forceinline__ void right(weights &w, float (&factor)[2], int turn,
                                          const slice_cursor &keys, const moment &now) const
    {
        const int block = memory.own(local(turn));
        const int place = (now.slices * OWN + local(turn)) % places::QUERY_SLOTS;
        typename single::part a;
        a.rows =
            shared_address(now.step > 0 ? memory.query_means(local(turn)) : memory.queries(place));
        a.columns = shared_address(memory.unit(keys.unit));
        a.row_pitch = a.column_pitch = 0;
        barrier_wait(memory.full(keys.unit), keys.parity);
        if (now.step > 0)
            wait_for_query_means(local(turn), now);
        softmax_state state;
        scores x;
        float shrink[2];
        state.start();
        c.template find_scores<false>(x, a);
        if (now.step == 0)
            barrier_arrive(memory.queries_empty(place));
        softmax_plain_tile<true>(x, state, shrink, p.scale);
        pack_weights<E>(w, x);
        state.template finish<true>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        if (now.step == 0 && turn == 0 && now.slices > 0)
            barrier_wait(memory.released(), (now.slices - 1) % 2);
        c.send_entropy(state, block, row0());
        c.send_mean(w, factor, memory.unit(keys.unit), 0, block, row0(), false);
        c.empty(keys, 1);
    }

    /* The last RIGHT: means of values too. */
    __device__ __forceinline__ void right_value(slice_cursor &at, const moment &now) const
    {
        weights w[TURNS];
        float factor[TURNS][2];
        for_own<TURNS>(at, [&](int turn, const slice_cursor &keys) {
            right(w[turn], factor[turn], turn, keys, now);
        });
        c.arrive_everywhere(memory.consumed());
        barrier_wait(memory.consumed(), now.slices % 2);
        for_own<TURNS>(at, [&](int turn, const slice_cursor &values) {
            barrier_wait(memory.full(values.unit), values.parity);
            c.send_mean(w[turn], factor[turn], memory.unit(values.unit), 1, memory.own(local(turn)),
                        row0(), false);
            c.empty(values, 1);
        });
    }

    __device__ void wait_for_position(int local, const slice_cursor &at, const moment &now) const
    {
        barrier_wait(memory.sent(local), (now.slices * p.steps + now.step) % 2);
        barrier_wait(memory.full(at.unit), at.parity);
        fence_for_wgmma();
    }

    /* The largest score of each query of a position, and log2 of the sum. */
    __device__ void find_terms(const typename single::part &a, const float *bias) const
    {
        softmax_state state;
        scores x;
        float shrink[2], *terms = memory.terms(group);
        state.start();
        c.take_bias(x, bias);
        c.template find_scores<true>(x, a);
        softmax_plain_tile<false>(x, state, shrink, p.scale);
        state.template finish<false>();
        c.meet(); /* nobody needs the terms of the position before */
        for (int i = 0; i < 2; i++) {
            const int row = row0() + lane / 4 + 8 * i;
            if (lane % 4 == 0) {
                terms[row] = state.largest[i];
                terms[SIDE + row] = log2_fast(state.sum[i]);
            }
        }
    }

    /* aR/cR of a position, on the transposed scores: rows are blocks, columns are queries. */
    __device__ __forceinline__ void left(int turn, const slice_cursor &at, const moment &now) const
    {
        const float *bias = memory.bias(local(turn));
        char *const means = memory.means(local(turn));
        char *const staging = means + row0() * MN_PANEL_ROW;
        const uint32_t queries = shared_address(memory.unit(at.unit));
        typename single::part a;
        a.rows = queries;
        a.columns = shared_address(means);
        a.row_pitch = a.column_pitch = 0;
        wait_for_position(local(turn), at, now);
        if (is_first_thread())
            expect_rows(local(turn), now.step + 2 == p.steps);
        find_terms(a, bias);
        c.meet(); /* terms are there, and means are read as columns */
        softmax_state state;
        weights w;
        scores x;
        float shrink[2], factor[2];
        state.start();
        a.rows = a.columns;
        a.columns = queries;
        bias += row0() + lane / 4;
#pragma unroll
        for (int n = 0; n < SIDE / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                x[n][i] = bias[i / 2 * 8];
        c.template find_scores<true>(x, a);
        softmax_tile<false, true>(x, state, shrink, {memory.terms(group), SIDE, {0.0f, 0.0f}},
                                  p.scale, SIDE / 16, lane);
        pack_weights<E>(w, x);
        state.template finish<false>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        typename single::outputs sums;
        set_zero(sums);
        wgmma_begin();
        c.weigh(sums, w, queries, 0);
        wgmma_end();
        c.empty(at, 1);
        c.stage(sums, factor, shared_address(staging), 0);
        __syncwarp();
        c.send(staging, 0, memory.query_means(0), memory.returned(0), memory.own(local(turn)),
               row0());
    }

    __device__ __forceinline__ void run(int first, int clusters) const
    {
        const int all = r.heads * r.slices;
        slice_cursor at = {0, 0};
        moment now = {0, 0};
        for (int number = first; number < all; number += clusters, now.slices++) {
            const slice_item item(p, r, places::ROWS, number);
            const bool is_last = number + clusters >= all;
            for (now.step = 0; now.step + 1 < p.steps; now.step++) {
                for_own<1>(at, [&](int turn, const slice_cursor &keys) {
                    weights w;
                    float factor[2];
                    right(w, factor, turn, keys, now);
                });
                for_own<1>(
                    at, [&](int turn, const slice_cursor &queries) { left(turn, queries, now); });
            }
            right_value(at, now);
            for_own<1>(at, [&](int turn, const slice_cursor &queries) {
                wait_for_position(local(turn), queries, now);
                if (is_first_thread() && !is_last)
                    expect_rows(local(turn), false);
                c.left(item, local(turn), 0, memory.unit(queries.unit));
                c.empty(queries, 1);
            });
            if (!is_last)
                c.arrive_everywhere(memory.released());
        }
    }
};

#endif
