/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_CUH
#define MN_CUDA_CLUSTER_CUH

#include "shaders/cuda/cluster_stages.cuh"

/*
 * All stages of a head by one cluster of work-groups (sm_90a), for sequences whose intermediates
 * fit into their shared memories. What a RIGHT stage makes goes straight to the memory of the
 * work-group that needs it next, and a barrier of the cluster is all that lies between the stages.
 */
template <class E, int PANELS, int SIDE> struct cluster_worker {
    using stages = cluster_stages<E, PANELS, SIDE>;
    static constexpr int ROW = stages::ROW;

    const mn_stage_params &p;
    const cluster_memory<ROW> &memory;
    const stages stage;
    const team by_block, by_position; /* a warp for each 16 rows of a block, or of a position */
    const bool has_mask;

    __device__ cluster_worker(const mn_stage_params &params, const cluster_memory<ROW> &place,
                              int task)
        : p(params), memory(place), stage{params, place, task, (int)threadIdx.x % WARP,
                                          place_of_head(params, task)},
          by_block(team_of(place.block_rows() / MN_TILE_ROWS)),
          by_position(team_of(place.position_rows() / MN_TILE_ROWS)),
          has_mask(params.operand[MN_OPERAND_MASK].width > 0)
    {
    }

    __device__ static group_place place_of_head(const mn_stage_params &p, int task)
    {
        const int batch = (unsigned)task / (unsigned)p.heads;
        return {batch, task - batch * p.heads, 0, false};
    }

    __device__ static team team_of(int warps)
    {
        const int warp = warp_index(), number = warp / warps;
        return {number, warp - number * warps, warps};
    }

    /* How many teams there are; the warps behind them have nothing to do. */
    __device__ int teams_by_position() const
    {
        return blockDim.x / WARP / by_position.warps;
    }

    __device__ int own(int local) const /* block or position */
    {
        return memory.rank + (local << memory.shift);
    }

    /* Whether the queries of positions are loaded once, before anything else. */
    __device__ bool has_queries() const
    {
        return p.chunks && !has_mask;
    }

    /* What is loaded, in this order. */
    enum { QUERIES, KEYS, VALUES, POSITIONS };

    __device__ panel_rows block_rows(int what, int index, int step) const
    {
        const int number = what == QUERIES ? MN_OPERAND_QUERIES
                           : what == KEYS  ? MN_OPERAND_KEYS
                                           : MN_OPERAND_VALUES;
        if (what == QUERIES && step > 0)
            return stage.query_means(stage.group(index, false));
        return tensor_rows<E>(p, number, stage.group(index, false), true);
    }

    /* Starts to load what it takes, from `what` on: q and k of a block, its v if that is wanted,
       and then, one at a time, the queries of positions. One loop, so that it is little code. */
    __device__ void load(int what, int end, int local, int step, bool masked) const
    {
#pragma unroll 1
        for (; what < end; what++) {
            const bool across = what >= POSITIONS;
            const int number =
                across ? by_position.number + (what - POSITIONS) * teams_by_position() : local;
            const panel_rows rows = across ? tensor_rows<E>(p, MN_OPERAND_QUERIES,
                                                            stage.group(own(number), true), masked)
                                           : block_rows(what, own(local), step);
            const cluster_slot s = memory.slot(by_block.number);
            char *target =
                across ? memory.queries(number) : s.queries + what * (s.keys - s.queries);
            if (across || what != VALUES || step == p.steps - 1)
                load_team_rows<E, ROW>(target, rows,
                                       across ? memory.position_rows() : memory.block_rows(),
                                       across ? by_position : by_block);
            if (what == KEYS)
                for (int x = by_block.thread(); x < memory.block_rows(); x += by_block.warps * WARP)
                    s.absent[x] = rows.there(x) ? 0.0f : infinity();
            if (what == KEYS || what == VALUES)
                copies_commit();
        }
        copies_commit();
    }

    /* Where load() ends with the queries of this team's positions. */
    __device__ int end_of_positions() const
    {
        const int left = memory.share(p.columns) - by_position.number;
        const int teams = teams_by_position();
        return POSITIONS +
               (by_position.number < teams && left > 0 ? (left + teams - 1) / teams : 0);
    }

    /* Rows of blocks that do not exist: zeros, with a weight of zero. */
    __device__ void clear() const
    {
        const int rows = memory.position_rows(), count = memory.share(p.columns);
        const int absent = rows - p.groups, vectors = ROW / VECTOR;
        for (int i = threadIdx.x; i < count * absent * vectors; i += blockDim.x) {
            const int row = i / vectors, local = row / absent;
            const int place = (p.groups + row - local * absent) * ROW + i % vectors * VECTOR;
            *reinterpret_cast<uint4 *>(memory.means(local) + place) = make_uint4(0, 0, 0, 0);
            *reinterpret_cast<uint4 *>(memory.results(local) + place) = make_uint4(0, 0, 0, 0);
            memory.bias(local)[p.groups + row - local * absent] = infinity();
        }
    }

    __device__ bool has_block(int local) const
    {
        return by_block.number < p.stages && local < memory.share(p.groups);
    }

    /* Sees to it that q and k of a block are there. load() makes three groups of copies: q and k,
       v, and others. */
    __device__ void wait_for_block(int local, int step, bool is_loaded) const
    {
        if (!is_loaded) {
            by_block.sync();
            load(QUERIES, POSITIONS, local, step, true);
        }
        copies_wait<2>();
        by_block.sync();
    }

    /* This warp's part of a stage. */
    __device__ void work_on(int number) const
    {
        const bool is_left = number % 2 != 0, last = number / 2 == p.steps - 1;
        const team mine = {is_left ? by_position.number : by_block.number,
                           is_left ? by_position.warp : by_block.warp,
                           is_left ? by_position.warps : by_block.warps};
        const int teams = is_left ? teams_by_position() : p.stages;
        const int count = mine.number < teams ? memory.share(is_left ? p.columns : p.groups) : 0;
#pragma unroll 1
        for (int local = mine.number; local < count; local += teams) {
            if (!is_left)
                wait_for_block(local, number / 2, number == 0 && local == mine.number);
            if (is_left && !last) {
                stage.left(local, own(local), mine.warp * MN_TILE_ROWS, mine);
                continue;
            }
            stage.attend(memory.slot(by_block.number), is_left, local, own(local),
                         mine.warp * MN_TILE_ROWS, last, [&] {
                             copies_wait<1>();
                             by_block.sync();
                         });
        }
    }

    __device__ void run() const
    {
        let_next_launch_begin();
        cluster_arrive(); /* nobody sends before the others are there */
        clear();
        wait_for_launches_ahead();
        load(has_block(by_block.number) ? QUERIES : POSITIONS,
             has_queries() ? end_of_positions() : POSITIONS, by_block.number, 0, false);
        cluster_wait();
#pragma unroll 1
        for (int number = 0; number < 2 * p.steps; number++) {
            if (number % 2 != 0 && !has_queries()) {
                load(POSITIONS, end_of_positions(), 0, 0, number / 2 != p.steps - 1);
                copies_wait<0>();
                __syncthreads();
            }
            work_on(number);
            copies_wait<0>();
            if (number < 2 * p.steps - 1) {
                cluster_arrive();
                cluster_wait();
            }
        }
    }
};

template <class E, int PANELS, int SIDE> __device__ inline void cluster(const mn_stage_params &p)
{
    extern __shared__ __align__(1024) char shared[];
    const cluster_memory<PANELS * MN_PANEL_ROW> memory(p, shared);
    const int task = (int)(work_group() >> memory.shift);
    cluster_worker<E, PANELS, SIDE>(p, memory, task).run();
}

#endif
