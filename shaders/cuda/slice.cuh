/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_CUH
#define MN_CUDA_SLICE_CUH

#include "shaders/cuda/slice_pairs.cuh"
#include "shaders/cuda/slice_steps.cuh"

/*
 * All stages by clusters of work-groups (sm_90a), for sequences of which not all positions' rows
 * fit into a cluster's shared memories, but those of some do: a slice. Positions need nothing of
 * each other, so a cluster takes one slice after the other and reads keys and values for each; what
 * stages hand on never leaves the chip.
 */

/* Registers of a thread that computes, and of the last warpgroup, which does not: see ring.cuh. */
template <int GROUPS> struct slice_registers;

template <> struct slice_registers<4> {
    static constexpr int compute = 112, other = 24;
};

template <> struct slice_registers<3> {
    static constexpr int compute = 152, other = 56;
};

/* What is never written again, unless WHOLE. Biases times the scale stay finite, as entropies are
   of weights times scores; those of blocks need not. */
template <class PLACES>
__device__ inline void clear_slice(const mn_stage_params &p, const PLACES &memory)
{
    const int absent = PLACES::BLOCKS - p.groups, units = absent * MN_PANEL_ROW / VECTOR;
    for (int local = 0; local < PLACES::SHARE; local++) {
        for (int i = threadIdx.x; i < 2 * PLACES::PANELS * units; i += blockDim.x) {
            const int panel = i / units, output = panel / PLACES::PANELS;
            char *rows = memory.means(local) + output * PLACES::AREA +
                         (panel % PLACES::PANELS * PLACES::BLOCKS + p.groups) * MN_PANEL_ROW;
            *reinterpret_cast<uint4 *>(rows + (i - panel * units) * VECTOR) =
                make_uint4(0, 0, 0, 0);
        }
        for (int i = threadIdx.x; i < absent; i += blockDim.x)
            memory.bias(local)[p.groups + i] = -infinity();
    }
    for (int i = threadIdx.x; i < 3 * PLACES::BLOCK; i += blockDim.x) {
        const int which = i / PLACES::BLOCK, block = which < 2 ? which : p.groups - 1;
        const presence there = group_tokens(p, {0, 0, block, false});
        memory.key_bias(0)[i] =
            there(i - which * PLACES::BLOCK) ? 0.0f : -fminf(1e37f / p.scale, 1e38f);
    }
    fence_for_wgmma();
}

template <class PLACES>
__device__ inline void start_slice(const mn_stage_params &p, const mn_ring_params &r,
                                   const PLACES &memory)
{
    constexpr bool in_pairs = PLACES::TEAM > 1;
    if (!PLACES::WHOLE)
        clear_slice(p, memory);
    if (threadIdx.x == 0) {
        for (int i = 0; i < memory.UNITS; i++) {
            barrier_start(memory.full(i), r.uses_maps ? 1 : WARP);
            barrier_start(memory.empty(i), (in_pairs ? PLACES::TEAM : PLACES::GROUPS) * WARPGROUP);
        }
        for (int i = 0; i < memory.QUERY_SLOTS; i++)
            barrier_start(memory.queries_empty(i), WARPGROUP);
        for (int i = 0; i < memory.SHARE; i++)
            barrier_start(memory.sent(i), 1);
        barrier_start(memory.released(), PLACES::GROUPS * WARPGROUP);
        if (PLACES::SEVERAL) {
            barrier_start(memory.consumed(), PLACES::GROUPS * WARPGROUP);
            for (int i = 0; i < memory.SHARE; i++)
                barrier_start(memory.returned(i), 1);
        }
        barriers_are_started();
        for (int i = 0; i < memory.SHARE; i++) {
            barrier_arrive_expecting(memory.sent(i), memory.sent_bytes(p, !PLACES::SEVERAL));
            if (PLACES::SEVERAL)
                barrier_arrive_expecting(memory.returned(i), PLACES::ROWS * PLACES::ROW);
        }
    }
    __syncthreads();
    cluster_arrive(); /* nobody sends before all barriers are there */
}

template <class E, class PLACES>
__device__ __forceinline__ void slice(const mn_stage_params &p, const mn_ring_params &r)
{
    constexpr int GROUPS = PLACES::GROUPS;
    const PLACES memory(dynamic_memory<1024>());
    const int warp = warp_index(), lane = threadIdx.x % WARP, group = warp / 4;
    const int cluster = blockIdx.x / PLACES::SIZE, clusters = gridDim.x / PLACES::SIZE;
    let_next_launch_begin();
    start_slice(p, r, memory);
    wait_for_launches_ahead();
    if (group < GROUPS) {
        take_registers<slice_registers<GROUPS>::compute>();
        slice_compute<E, PLACES> compute = {p, r, memory, group, warp % 4, lane, {}};
        compute.find_owners();
        cluster_wait();
        if constexpr (PLACES::TEAM > 1)
            slice_pairs<E, PLACES>{p, r, memory, compute, group}.run(cluster, clusters);
        else if constexpr (PLACES::SEVERAL)
            slice_steps<E, PLACES>{p, r, memory, compute, group, warp % 4, lane}.run(cluster,
                                                                                     clusters);
        else
            compute.run(cluster, clusters);
    } else {
        give_registers<slice_registers<GROUPS>::other>();
        cluster_wait();
        const slice_loader<E, PLACES> loader = {p, r, memory, lane};
        if (warp == 4 * GROUPS) {
            if constexpr (PLACES::TEAM > 1)
                slice_pair_loader<E, PLACES>{p, r, memory, loader}.run(cluster, clusters);
            else if constexpr (PLACES::SEVERAL)
                loader.run_steps(cluster, clusters);
            else
                loader.run(cluster, clusters);
        }
    }
    cluster_arrive_and_release(); /* nobody ends while others may reach for its memory */
    cluster_wait();
}

#endif
