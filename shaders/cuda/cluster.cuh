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
    const int head;
    const team by_block, by_position; /* a warp for each 16 rows of a block, or of a position */
    const bool has_mask;

    __device__ cluster_worker(const mn_stage_params &params, const cluster_memory<ROW> &place)
        : p(params), memory(place), stage{params, place, (int)(work_group() >> place.shift),
                                          (int)threadIdx.x % WARP},
          head(stage.head), by_block(team_of(place.block_rows() / MN_TILE_ROWS)),
          by_position(team_of(place.position_rows() / MN_TILE_ROWS)),
          has_mask(params.operand[MN_OPERAND_MASK].width > 0)
    {
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

    /* Starts to load a block: q and k, and then, if they are wanted, v. */
    __device__ void load_block(int local, int step) const
    {
        const group_place at = {head, own(local), false};
        const cluster_slot s = memory.slot(by_block.number);
        const panel_rows keys = tensor_rows<E>(p, MN_OPERAND_KEYS, at, true);
        const int end = memory.block_rows();
        load_team_rows<E, ROW>(s.queries,
                               step == 0 ? tensor_rows<E>(p, MN_OPERAND_QUERIES, at, true)
                                         : stage.query_means(at),
                               end, by_block);
        load_team_rows<E, ROW>(s.keys, keys, end, by_block);
        for (int x = by_block.thread(); x < end; x += by_block.warps * WARP)
            s.absent[x] = keys.there(x) ? 0.0f : infinity();
        copies_commit();
        if (step == p.steps - 1)
            load_team_rows<E, ROW>(s.values, tensor_rows<E>(p, MN_OPERAND_VALUES, at, true), end,
                                   by_block);
        copies_commit();
    }

    /* Starts to load the queries of all positions; masked ones only where they are asked for. */
    __device__ void load_queries(bool masked) const
    {
        const int count = memory.share(p.columns), teams = teams_by_position();
        if (by_position.number < teams)
            for (int local = by_position.number; local < count; local += teams)
                load_team_rows<E, ROW>(
                    memory.queries(local),
                    tensor_rows<E>(p, MN_OPERAND_QUERIES, {head, own(local), true}, masked),
                    memory.position_rows(), by_position);
        copies_commit();
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

    __device__ void right(int step) const
    {
        for (int local = by_block.number; has_block(local); local += p.stages) {
            const bool is_first = step == 0 && local == by_block.number;
            /* The queries of positions were started after the first block. */
            const bool more = is_first && has_queries();
            if (!is_first) {
                by_block.sync();
                load_block(local, step);
            }
            if (more)
                copies_wait<2>();
            else
                copies_wait<1>();
            by_block.sync();
            stage.right(memory.slot(by_block.number), own(local), by_block.warp * MN_TILE_ROWS,
                        step == p.steps - 1, [&] {
                            if (more)
                                copies_wait<1>();
                            else
                                copies_wait<0>();
                            by_block.sync();
                        });
        }
    }

    __device__ void left(bool last) const
    {
        const int count = memory.share(p.columns), teams = teams_by_position();
        const int row0 = by_position.warp * MN_TILE_ROWS;
        if (by_position.number >= teams)
            return;
        if (!has_queries()) {
            load_queries(!last);
            copies_wait<0>();
            by_position.sync();
        }
        for (int local = by_position.number; local < count; local += teams)
            if (last)
                stage.left_out(local, own(local), row0);
            else
                stage.left(local, own(local), row0, by_position);
    }

    __device__ void run() const
    {
        let_next_launch_begin();
        cluster_arrive(); /* nobody sends before the others are there */
        clear();
        wait_for_launches_ahead();
        if (has_block(by_block.number))
            load_block(by_block.number, 0);
        if (has_queries())
            load_queries(false);
        cluster_wait();
        for (int step = 0; step < p.steps; step++) {
            const bool last = step == p.steps - 1;
            right(step);
            copies_wait<0>();
            cluster_arrive();
            cluster_wait();
            left(last);
            if (!last) {
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
    cluster_worker<E, PANELS, SIDE>(p, memory).run();
}

#endif
