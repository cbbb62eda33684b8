/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_CUH
#define MN_CUDA_SLICE_CUH

#include "shaders/cuda/slice_compute.cuh"

/*
 * Both stages of T = 1 by clusters of work-groups (sm_90a), for whole blocks and sequences of which
 * not all positions' rows fit into a cluster's shared memories, but those of 64 do: a slice.
 * Positions need nothing of each other, so a cluster takes one slice after the other and reads keys
 * and values for each; what RIGHT makes never leaves the chip.
 */

/* Registers of a thread that computes, and of the last warpgroup, which does not: see ring.cuh. */
template <int GROUPS> struct slice_registers;

template <> struct slice_registers<4> {
    static constexpr int compute = 112, other = 24;
};

template <> struct slice_registers<3> {
    static constexpr int compute = 152, other = 56;
};

template <int PANELS, int GROUPS, int BLOCK, int BLOCKS, int SIZE>
__device__ inline void start_slice(const slice_memory<PANELS, BLOCK, BLOCKS, SIZE> &memory)
{
    if (threadIdx.x == 0) {
        for (int i = 0; i < memory.UNITS; i++) {
            barrier_start(memory.full(i), 1);
            barrier_start(memory.empty(i), GROUPS * WARPGROUP);
        }
        for (int i = 0; i < memory.QUERY_SLOTS; i++)
            barrier_start(memory.queries_empty(i), WARPGROUP);
        for (int i = 0; i < memory.SHARE; i++)
            barrier_start(memory.sent(i), 1);
        barrier_start(memory.released(), GROUPS * WARPGROUP);
        barriers_are_started();
        for (int i = 0; i < memory.SHARE; i++)
            barrier_arrive_expecting(memory.sent(i), BLOCKS * (2 * memory.ROW + 4));
    }
    __syncthreads();
    cluster_arrive(); /* nobody sends before all barriers are there */
}

template <class E, int PANELS, int GROUPS, int BLOCK, int BLOCKS, int SIZE>
__device__ __forceinline__ void slice(const mn_stage_params &p, const mn_ring_params &r)
{
    const slice_memory<PANELS, BLOCK, BLOCKS, SIZE> memory(dynamic_memory<1024>());
    const int warp = warp_index(), lane = threadIdx.x % WARP, group = warp / 4;
    const int cluster = blockIdx.x / SIZE, clusters = gridDim.x / SIZE;
    let_next_launch_begin();
    start_slice<PANELS, GROUPS, BLOCK, BLOCKS, SIZE>(memory);
    wait_for_launches_ahead();
    if (group < GROUPS) {
        take_registers<slice_registers<GROUPS>::compute>();
        slice_compute<E, PANELS, GROUPS, BLOCK, BLOCKS, SIZE> compute = {
            p, r, memory, group, warp % 4, lane, {}};
        compute.find_owners();
        cluster_wait();
        compute.run(cluster, clusters);
    } else {
        give_registers<slice_registers<GROUPS>::other>();
        cluster_wait();
        if (warp == 4 * GROUPS)
            slice_loader<E, PANELS, BLOCK, BLOCKS, SIZE>{p, r, memory, lane}.run(cluster, clusters);
    }
    cluster_arrive_and_release(); /* nobody ends while others may reach for its memory */
    cluster_wait();
}

#endif
