/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_CUH
#define MN_CUDA_CLUSTER_CUH

#include "shaders/cuda/cluster_load.cuh"

/*
 * All stages of a head by one cluster of work-groups (sm_90a), for sequences whose intermediates
 * fit into their shared memories. What a RIGHT stage makes goes straight to the memory of the
 * work-group that needs it next, which begins with a position when all of its rows have come.
 */
template <class E, int PANELS, int SIDE, bool GROUPS> struct cluster_worker {
    using stages = cluster_stages<E, PANELS, SIDE, GROUPS>;

    const mn_stage_params &p;
    const cluster_memory<PANELS> &memory;
    const stages &stage;
    const cluster_loader<E, PANELS, SIDE, GROUPS> &load;

    __device__ void start_barriers() const
    {
        const int count = 2 * (p.stages + memory.share());
        if (threadIdx.x < WARP) {
            for (int i = threadIdx.x; i < count; i += WARP)
                barrier_start(memory.full(i), 1);
            barriers_are_started();
        }
    }

    /* Lets the barrier of a position wait for all that a step sends there. */
    __device__ void expect_rows(int local, int step) const
    {
        barrier_arrive_expecting(memory.sent(local), stage.bytes_sent(step == p.steps - 1));
    }

    /* Rows that do not exist are zeros, with a weight of zero: behind the last block, and behind
       the last position of a block. */
    __device__ void clear() const
    {
        const int groups = memory.position_rows() - p.groups, threads = blockDim.x;
        for (int i = 0; groups > 0 && i < (p.chunks ? 3 : 2) * memory.share(); i++)
            clear_tail<PANELS>(memory.means(i), memory.position_rows(), groups, threadIdx.x,
                               threads);
        for (int i = 0; i < p.stages; i++)
            load.clear_behind_block(i, threadIdx.x, threads);
        for (int i = threadIdx.x; i < groups * memory.share(); i += threads)
            memory.bias(i / groups)[p.groups + i % groups] = infinity();
    }

    __device__ void start() const
    {
        const team &mine = load.by_position;
        let_next_launch_begin();
        start_barriers();
        clear();
        load.note_absent();
        fence_for_wgmma(); /* before the copy engine writes there */
        __syncthreads();
        cluster_arrive(); /* nobody sends before all barriers are there */
        if (load.leads(mine))
            for (int local = mine.number; local < memory.count(p.columns); local += load.teams())
                expect_rows(local, 0);
        wait_for_launches_ahead();
        load.first();
        cluster_wait();
    }

    /* `turn` counts how often the slot was filled. */
    __device__ void right(int step, int &turn) const
    {
        const team &mine = load.by_block;
        const bool last = step == p.steps - 1;
        int parity = 0; /* of the values: they come in the last step only */
        for (int local = mine.number; load.has_block(local);
             local += p.stages, turn++, parity ^= 1) {
            const int block = memory.own(local);
            if (turn > 0)
                load.again(local, step);
            load.wait_for_block(step, turn % 2);
            stage.right(memory.slot(mine.number), load.absent(block), block,
                        mine.warp * MN_TILE_ROWS, last, [&] { load.wait_for_values(parity); });
        }
    }

    __device__ void left(int step) const
    {
        const team &mine = load.by_position;
        const bool last = step == p.steps - 1;
        const int row0 = mine.warp * MN_TILE_ROWS;
        for (int local = mine.number; load.has_position(local); local += load.teams()) {
            const int position = memory.own(local);
            load.wait_for_queries(local, step);
            barrier_wait_cluster(memory.sent(local), step % 2);
            if (last) {
                stage.left_out(local, position, row0);
                continue;
            }
            if (load.leads(mine))
                expect_rows(local, step + 1);
            stage.left(local, position, row0, mine);
        }
    }

    __device__ void run() const
    {
        int turn = 0;
        start();
#pragma unroll 1
        for (int step = 0; step < p.steps; step++) {
            right(step, turn);
            if (!p.chunks || step > 0)
                load.queries_again(step);
            left(step);
            if (step < p.steps - 1) {
                fence_for_wgmma();
                cluster_arrive_and_release();
                cluster_wait();
            }
        }
    }
};

template <class E, int PANELS, int SIDE, bool GROUPS>
__device__ inline void cluster(const mn_stage_params &p, const mn_ring_params &r)
{
    char *const shared = dynamic_memory<1024>();
    const cluster_memory<PANELS> memory(p, shared);
    const int task = (int)(work_group() >> memory.shift);
    const int batch = (unsigned)task / (unsigned)p.heads;
    const cluster_stages<E, PANELS, SIDE, GROUPS> stage = {
        p, memory, task, (int)threadIdx.x % WARP, {batch, task - batch * p.heads, 0, false}};
    const cluster_loader<E, PANELS, SIDE, GROUPS> load = {
        p,
        r,
        memory,
        stage,
        team_of(memory.block_rows() / MN_TILE_ROWS),
        team_of(memory.position_rows() / MN_TILE_ROWS)};
    cluster_worker<E, PANELS, SIDE, GROUPS>{p, memory, stage, load}.run();
}

#endif
