/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_CUH
#define MN_CUDA_RING_CUH

#include <cooperative_groups.h>

#include "shaders/cuda/ring_load.cuh"
#include "shaders/cuda/stage.cuh"

/*
 * All stages of all heads in one launch, for sm_90. Heads follow each other closely, so that what a
 * stage hands to the next is still in the cache when it is read, and the workspace is a ring of a
 * few heads. In a work-group one set of warps loads the operands of the next tasks into a pipeline
 * of stages in shared memory while two warpgroups compute, 64 rows of a score matrix at a time.
 */

enum { RING_GROUPS = 2, WARPGROUP = 128, WARPGROUP_ROWS = 64 };
enum { RING_THREADS = (RING_GROUPS + 1) * WARPGROUP };

/* One warpgroup that computes. TILE: columns of scores in registers at a time. */
template <class E, int PANELS> struct ring_compute {
    static constexpr int TILE = PANELS == 1 ? 128 : 64;
    using units = warpgroup<E>;
    using outputs = float[8 * PANELS][4];

    const mn_stage_params &p;
    const ring_memory &memory;
    ring_workspace<PANELS> workspace;
    int group, warp, lane; /* the warpgroup, and the warp in it */

    /* What 64 rows of one task work on. */
    struct part {
        char *rows, *columns, *values;
        const float *bias;
        int second, count; /* where the second terms lie; columns */
        float row_bias[2];
        bool any;
    };

    __device__ void weigh(outputs &sums, const fragment_a &weights, uint32_t address, int add) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights,
                        panel_descriptor(address + i * memory.panel), add);
    }

    /* Takes columns first ... first + COLUMNS - 1 into the sums. */
    template <form FORM, int COLUMNS>
    __device__ void take_tile(const part &a, int first, softmax_state &state, outputs &mean,
                              outputs &result) const
    {
        using stage = stage_task<FORM>;
        constexpr int N = COLUMNS / 8;
        const uint32_t rows = shared_address(a.rows),
                       columns = shared_address(a.columns) + first * MN_PANEL_ROW;
        float x[N][4], shrink[2];
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++)
            units::scores(x, panel_descriptor(rows + k / 4 * memory.panel + k % 4 * 32),
                          panel_descriptor(columns + k / 4 * memory.panel + k % 4 * 32), k > 0);
        wgmma_end();
        const score_bias terms = {a.bias + first, a.second, {a.row_bias[0], a.row_bias[1]}};
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
            const uint32_t values = shared_address(a.values) + first * MN_PANEL_ROW;
            wgmma_begin();
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                if (stage::has_mean)
                    weigh(mean, weights[n], columns + n * 16 * MN_PANEL_ROW, 1);
                if (stage::has_result)
                    weigh(result, weights[n], values + n * 16 * MN_PANEL_ROW, 1);
            }
            wgmma_end();
        }
    }

    /* A warp's 16 rows of sums to `staging`, its own rows of panels that nobody needs again, and
       from there, whole, to the rows of `to` that are there. */
    __device__ void store(outputs &sums, const float (&factor)[2], bool none, char *staging,
                          const panel_rows &to, int row0) const
    {
        if (__any_sync(~0u, none || factor[0] == 0.0f || factor[1] == 0.0f)) {
#pragma unroll
            for (int n = 0; n < 8 * PANELS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = none || factor[i / 2] == 0.0f ? 0.0f : sums[n][i];
        }
        multiply(sums, factor);
        limit_overflow<E>(sums);
        __syncwarp();
        const uint32_t place = shared_address(staging) + lane % 16 * MN_PANEL_ROW;
#pragma unroll
        for (int n = 0; n < 8 * PANELS; n += 2) {
            uint32_t x[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                x[i] = element<E>::pack(sums[n + i / 2][i % 2 * 2], sums[n + i / 2][i % 2 * 2 + 1]);
            store_matrices(place + n / 8 * memory.panel + ((n % 8 + lane / 16 ^ lane % 8) << 4), x);
        }
        __syncwarp();
        const int unit = lane % 8, bytes = to.bytes - unit * VECTOR;
        char *target = const_cast<char *>(to.base) + (row0 + lane / 8) * to.stride + unit * VECTOR;
#pragma unroll
        for (int i = 0; i < MN_TILE_ROWS / 4; i++, target += 4 * to.stride) {
            const int row = lane / 8 + 4 * i;
            const char *from = staging + panel_offset(row, unit);
            if (row0 + row >= to.there.begin && row0 + row < to.there.end)
#pragma unroll
                for (int k = 0; k < PANELS; k++)
                    if (k * MN_PANEL_ROW < bytes)
                        store_vector<E>(target + k * MN_PANEL_ROW, from + k * memory.panel,
                                        to.vectors, bytes - k * MN_PANEL_ROW);
        }
    }

    /* What is written beside rows of means: cL of RIGHT, the terms of LEFT's queries. */
    template <form FORM>
    __device__ void store_scalars(const ring_schedule &at, const ring_stage &s,
                                  const softmax_state &state, const bool (&empty)[2], int row) const
    {
        if (lane % 4 != 0)
            return;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int x = row + 8 * r;
            if (stage_task<FORM>::right && x < p.columns)
                workspace.entropy(at.slot(), at.stage / 2)[(int64_t)x * p.groups + at.index] =
                    empty[r] ? infinity()
                             : entropy_of<false>(state.entropy[r], state.sum[r]) * log2_e;
            if (FORM == LEFT_STATS && x < p.groups && s.off[x] != infinity()) {
                s.off[x] = empty[r] ? infinity() : state.largest[r];
                s.off[memory.side + x] = log2_fast(state.sum[r]);
            }
        }
    }

    /* Where rows of means and results go. */
    template <form FORM>
    __device__ void store_outputs(const ring_loader<E, PANELS> &place, const ring_schedule &at,
                                  outputs &mean, outputs &result, const float (&factor)[2],
                                  bool none, char *staging, int row0) const
    {
        using stage = stage_task<FORM>;
        if (stage::right)
            store(mean, factor, none, staging,
                  place.slot_rows(workspace.key_means(at.slot(), at.stage / 2), at), row0);
        if (FORM == LEFT_MEAN)
            store(mean, factor, none, staging,
                  place.slot_rows(workspace.query_means(at.slot(), at.stage / 2), at), row0);
        if (FORM == RIGHT_VALUE)
            store(result, factor, none, staging,
                  place.slot_rows(workspace.value_means(at.slot()), at), row0);
        if (FORM == LEFT_OUT)
            store(result, factor, none, staging, place.tensor_rows(MN_OPERAND_RESULT, at, false),
                  row0);
    }

    /* 64 rows of a task, `number` being which. */
    template <form FORM>
    __device__ void take_rows(const ring_schedule &at, const ring_stage &s, int number) const
    {
        using stage = stage_task<FORM>;
        const int row0 = number * WARPGROUP_ROWS + warp * MN_TILE_ROWS, row = row0 + lane / 4;
        part a;
        a.rows = (FORM == LEFT_MEAN ? s.columns : s.queries);
        char *staging = a.rows + row0 * MN_PANEL_ROW;
        a.rows += number * WARPGROUP_ROWS * MN_PANEL_ROW;
        a.columns = FORM == LEFT_MEAN ? s.queries : s.columns;
        a.values = s.values;
        a.bias = FORM == LEFT_MEAN ? s.off : s.bias;
        a.second = memory.side;
        a.count = stage::right ? p.columns : p.groups;
        a.any = false;
        const int *present = s.present + (FORM == LEFT_MEAN ? RING_LOADERS : 0);
#pragma unroll
        for (int i = 0; i < RING_LOADERS; i++)
            a.any |= present[i] != 0;
#pragma unroll
        for (int r = 0; r < 2; r++)
            a.row_bias[r] = FORM == LEFT_MEAN ? s.bias[row + 8 * r] : 0.0f;
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
        for (int r = 0; r < 2; r++) {
            empty[r] = !a.any || state.sum[r] == 0.0f || a.row_bias[r] == infinity();
            factor[r] = empty[r] ? 0.0f : reciprocal_fast(state.sum[r]);
        }
        store_scalars<FORM>(at, s, state, empty, row);
        const ring_loader<E, PANELS> place = {p, memory, workspace, 0, 0, 0};
        store_outputs<FORM>(place, at, mean, result, factor, !a.any, staging, row0);
    }

    /* The parts of a task that are this warpgroup's turn; `turn` counts the parts of all. */
    template <form FORM>
    __device__ void take_parts(const ring_schedule &at, const ring_stage &s, int &turn) const
    {
        const int rows = stage_task<FORM>::right ? p.columns : p.groups;
        for (int number = 0; number * WARPGROUP_ROWS < rows; number++, turn++)
            if (turn % RING_GROUPS == group)
                take_rows<FORM>(at, s, number);
    }

    /* All warpgroups that compute meet; they do the same tasks in the same order. */
    __device__ static void wait_for_groups()
    {
        asm volatile("bar.sync 1, %0;" ::"n"(RING_GROUPS * WARPGROUP) : "memory");
    }

    __device__ void run(ring_schedule at) const
    {
        int turn = 0;
        for (int number = 0; !at.ended(); number++, at.advance(gridDim.x)) {
            const int index = number % memory.stages, parity = number / memory.stages % 2;
            const ring_stage s = memory.stage<PANELS>(index);
            barrier_wait(memory.full(index), parity);
            fence_for_wgmma();
            if (!at.is_left() && !at.is_last())
                take_parts<RIGHT>(at, s, turn);
            else if (!at.is_left())
                take_parts<RIGHT_VALUE>(at, s, turn);
            else if (at.is_last())
                take_parts<LEFT_OUT>(at, s, turn);
            else {
                take_parts<LEFT_STATS>(at, s, turn);
                wait_for_groups();
                take_parts<LEFT_MEAN>(at, s, turn);
            }
            __syncwarp();
            if (lane == 0)
                barrier_arrive(memory.done(index));
        }
    }
};

/* Barriers and counters are ready for everyone behind this; the first task's copies are under way.
 */
template <class E, int PANELS>
__device__ inline bool ring_begin(const ring_memory &memory, const ring_loader<E, PANELS> &loader,
                                  const ring_schedule &at, bool loads)
{
    const mn_stage_params &p = loader.p;
    if (threadIdx.x == 0)
        for (int i = 0; i < memory.stages; i++) {
            /* Loading threads, their warps, the signalling warp. */
            barrier_start(memory.full(i), RING_LOADERS * WARP + RING_LOADERS + 1);
            barrier_start(memory.done(i), RING_GROUPS * WARPGROUP / WARP);
        }
    if (blockIdx.x == 0)
        for (int i = threadIdx.x; i < 2 * p.steps * p.slots; i += RING_THREADS)
            *loader.workspace.counter(0, i) = 0;
    __syncthreads();
    if (threadIdx.x == RING_GROUPS * WARPGROUP + RING_LOADERS * WARP)
        for (int i = 0; i < memory.stages; i++)
            barrier_arrive(memory.full(i));
    const bool ready = !at.ended() && at.stage == 0 && at.time < p.slots;
    if (loads && ready)
        loader.load_task(at, 0);
    cooperative_groups::this_grid().sync();
    return ready;
}

template <class E, int PANELS> __device__ __forceinline__ void ring(const mn_stage_params &p)
{
    const int warp = warp_index(), lane = threadIdx.x % WARP, group = warp / 4;
    const int loading = warp - RING_GROUPS * 4; /* number among the other warps */
    const ring_memory memory = ring_memory::of<PANELS>(p);
    const ring_workspace<PANELS> workspace = {p};
    const ring_loader<E, PANELS> loader = {p,    memory, workspace, loading * WARP + lane,
                                           lane, loading};
    const ring_schedule at(p);
    const bool loads = loading >= 0 && loading < RING_LOADERS;
    const bool first_is_loaded = ring_begin(memory, loader, at, loads);
    if (group < RING_GROUPS) {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 216;");
        const ring_compute<E, PANELS> compute = {p, memory, workspace, group, warp % 4, lane};
        compute.run(at);
    } else {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 72;");
        if (loads)
            loader.run(at, first_is_loaded);
        else
            ring_signal<PANELS>(p, memory, lane);
    }
}

#endif
