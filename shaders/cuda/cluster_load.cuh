/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_LOAD_CUH
#define MN_CUDA_CLUSTER_LOAD_CUH

#include "shaders/cuda/cluster_stages.cuh"
#include "shaders/cuda/ring.h"

/*
 * What a work-group of a cluster loads: by boxes of the copy engine where tensor maps can describe
 * the tensors, else row by row by the threads of a team.
 */

/* The team of this warp, where each has `warps`. */
__device__ inline team team_of(int warps)
{
    /* Exact for such small numbers. */
    const int warp = warp_index(), number = (int)__fdividef(warp + 0.5f, (float)warps);
    return {number, warp - number * warps, warps};
}

template <class E, int PANELS, int SIDE, bool GROUPS> struct cluster_loader {
    using stages = cluster_stages<E, PANELS, SIDE, GROUPS>;

    const mn_stage_params &p;
    const mn_ring_params &r;
    const cluster_memory<PANELS> &memory;
    const stages &stage;
    const team by_block, by_position; /* a warp for each 16 rows of a block, or of a position */

    __device__ bool leads(const team &team) const
    {
        return team.thread() == 0;
    }

    /* Teams by position; the warps behind them have nothing to do there. */
    __device__ int teams() const
    {
        return (int)__fdividef(blockDim.x / WARP + 0.5f, (float)by_position.warps);
    }

    __device__ bool has_block(int local) const
    {
        return by_block.number < p.stages && local < memory.count(p.groups);
    }

    __device__ bool has_position(int local) const
    {
        return by_position.number < teams() && local < memory.count(p.columns);
    }

    __device__ const float *absent(int block) const
    {
        return memory.absent(memory.has_mask()      ? by_block.number
                             : block == 0           ? 0
                             : block < p.groups - 1 ? 1
                                                    : 2);
    }

    /* Without a mask, which tokens are absent depends on the block only at the ends. */
    __device__ void note_absent() const
    {
        if (memory.has_mask())
            return;
        const int rows = memory.block_rows(), first = (int)p.first, end = first + (int)p.tokens;
        for (int i = threadIdx.x; i < 3 * rows; i += blockDim.x) {
            const int which = (i >= rows) + (i >= 2 * rows), x = i - which * rows;
            const int token = (which == 2 ? p.groups - 1 : 0) * p.columns + x; /* from padding on */
            const bool there = which == 1 || (token >= first && token < end);
            memory.absent(0)[i] = there && x < p.columns ? 0.0f : infinity();
        }
    }

    /* By boxes, all by one thread. */

    __device__ void copy(char *panels, int rows, int map, uint64_t *barrier, int x, int y,
                         int head) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            copy_box(panels + i * rows * MN_PANEL_ROW, r.maps[map], barrier, policy_used_again(),
                     i * MN_PANEL_FEATURES, x, y, head, stage.of_head.batch);
    }

    __device__ void copy_block(char *panels, int map, int operand, uint64_t *barrier,
                               int block) const
    {
        const int share = p.operand[operand].head_share, head = stage.of_head.head;
        const bool linear = r.linear[map] != 0;
        copy(panels, memory.block_rows(), map, barrier,
             linear ? block * p.columns - (int)p.first : 0, linear ? 0 : block,
             share > 1 ? head / share : head);
    }

    __device__ void copy_operands(int local, int step) const
    {
        const cluster_slot s = memory.slot(by_block.number);
        uint64_t *full = memory.full(by_block.number);
        const int block = memory.own(local), bytes = p.columns * memory.ROW;
        barrier_arrive_expecting(full, step == 0 ? 2 * bytes : bytes);
        if (step == 0)
            copy_block(s.queries, MN_RING_QUERIES, MN_OPERAND_QUERIES, full, block);
        copy_block(s.keys, MN_RING_KEYS, MN_OPERAND_KEYS, full, block);
        if (step == p.steps - 1) {
            full = memory.values_full(by_block.number);
            barrier_arrive_expecting(full, bytes);
            copy_block(s.values, MN_RING_VALUES, MN_OPERAND_VALUES, full, block);
        }
    }

    __device__ void copy_queries(int local) const
    {
        const presence there = group_tokens(p, stage.group(memory.own(local), true));
        const bool is_short = there.end - there.begin < p.groups;
        uint64_t *full = memory.queries_full(local);
        barrier_arrive_expecting(full, p.groups * memory.ROW);
        copy(memory.queries(local), memory.position_rows(),
             is_short ? MN_RING_ACROSS_SHORT : MN_RING_ACROSS, full,
             is_short ? memory.own(local) : memory.own(local) - (int)p.first,
             is_short ? r.short_y : 0, stage.of_head.head);
    }

    /* Row by row, by a team. */

    __device__ void load_rows_of(int number, char *target, int block, bool is_mean) const
    {
        const group_place at = stage.group(block, false);
        load_team_rows<E, PANELS>(target, memory.block_rows() * MN_PANEL_ROW,
                                  is_mean ? stage.query_means(at)
                                          : tensor_rows<E>(p, number, at, true),
                                  memory.block_rows(), by_block);
    }

    __device__ void load_operands(int local, int step) const
    {
        const cluster_slot s = memory.slot(by_block.number);
        const int block = memory.own(local);
#pragma unroll 1
        for (int i = step == 0 ? 0 : 1; i < (step == p.steps - 1 ? 3 : 2); i++)
            load_rows_of(i == 0   ? MN_OPERAND_QUERIES
                         : i == 1 ? MN_OPERAND_KEYS
                                  : MN_OPERAND_VALUES,
                         s.queries + i * (s.keys - s.queries), block, false);
        if (!memory.has_mask())
            return;
        const presence there =
            tensor_rows<E>(p, MN_OPERAND_KEYS, stage.group(block, false), true).there;
        for (int x = by_block.thread(); x < memory.block_rows(); x += by_block.warps * WARP)
            memory.absent(by_block.number)[x] = there(x) ? 0.0f : infinity();
    }

    /* Of all positions of this team; without masked queries where they take part in a mean. */
    __device__ void load_queries(int step) const
    {
        for (int local = by_position.number; has_position(local); local += teams())
            if (!r.uses_maps)
                load_team_rows<E, PANELS>(
                    memory.queries(local), memory.position_rows() * MN_PANEL_ROW,
                    tensor_rows<E>(p, MN_OPERAND_QUERIES, stage.group(memory.own(local), true),
                                   step < p.steps - 1),
                    memory.position_rows(), by_position);
            else if (leads(by_position))
                copy_queries(local);
    }

    /* Boxes leave the rows behind them alone. */
    __device__ void clear_behind_block(int index, int thread, int threads) const
    {
        const int absent = memory.block_rows() - p.columns;
        const cluster_slot s = memory.slot(index);
        if (absent > 0) {
            clear_tail<PANELS>(s.keys, memory.block_rows(), absent, thread, threads);
            clear_tail<PANELS>(s.values, memory.block_rows(), absent, thread, threads);
        }
    }

    /* The first block of each slot, and the queries of positions if they have room of their own. */
    __device__ void first() const
    {
        if (has_block(by_block.number)) {
            if (!r.uses_maps)
                load_operands(by_block.number, 0);
            else if (leads(by_block))
                copy_operands(by_block.number, 0);
        }
        if (p.chunks)
            load_queries(0);
    }

    /* A block into a slot that was used before. */
    __device__ void again(int local, int step) const
    {
        fence_for_wgmma(); /* the copy engine overwrites what others here wrote and read */
        by_block.sync();
        if (step > 0 && !p.chunks)
            clear_behind_block(by_block.number, by_block.thread(), by_block.warps * WARP);
        if (step > 0)
            load_rows_of(MN_OPERAND_QUERIES, memory.slot(by_block.number).queries,
                         memory.own(local), true);
        if (!r.uses_maps)
            load_operands(local, step);
        else if (leads(by_block))
            copy_operands(local, step);
    }

    /* The queries of positions, in place of the blocks, or loaded otherwise than before. */
    __device__ void queries_again(int step) const
    {
        if (p.chunks && (r.uses_maps || !memory.has_mask()))
            return;
        fence_for_wgmma();
        __syncthreads();
        load_queries(step);
        const int absent = memory.position_rows() - p.groups;
        for (int i = 0; !p.chunks && absent > 0 && i < memory.count(p.columns); i++)
            clear_tail<PANELS>(memory.queries(i), memory.position_rows(), absent, threadIdx.x,
                               blockDim.x);
        __syncthreads();
    }

    __device__ void wait_for_block(int step, int parity) const
    {
        if (!r.uses_maps || step > 0) {
            copies_commit();
            copies_wait<0>();
            by_block.sync();
        }
        if (r.uses_maps)
            barrier_wait(memory.full(by_block.number), parity);
    }

    __device__ void wait_for_values(int parity) const
    {
        if (r.uses_maps)
            barrier_wait(memory.values_full(by_block.number), parity);
    }

    __device__ void wait_for_queries(int local, int step) const
    {
        if (r.uses_maps) {
            barrier_wait(memory.queries_full(local), p.chunks ? 0 : step % 2);
            return;
        }
        copies_commit();
        copies_wait<0>();
        by_position.sync();
    }
};

#endif
