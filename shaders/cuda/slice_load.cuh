/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_LOAD_CUH
#define MN_CUDA_SLICE_LOAD_CUH

#include "shaders/cuda/slice_memory.cuh"

/* The slice of a head that a cluster works on. */
struct slice_item {
    int batch, head, first; /* position */

    __device__ slice_item(const mn_stage_params &p, const mn_ring_params &r, int rows, int number)
    {
        const int all = (unsigned)number / (unsigned)r.slices;
        batch = (unsigned)all / (unsigned)p.heads;
        head = all - batch * p.heads;
        first = (number - all * r.slices) * rows;
    }
};

/*
 * The warp that loads: all matrices in the order in which they are needed, each as soon as there
 * is a place for it. By boxes of the copy engine, or row by row where no tensor map describes a
 * tensor.
 */
template <class E, class PLACES> struct slice_loader {
    using places = PLACES;
    static constexpr int PANELS = places::PANELS, BLOCK = places::BLOCK;
    static constexpr bool WHOLE = places::WHOLE;

    const mn_stage_params &p;
    const mn_ring_params &r;
    const places &memory;
    int lane;

    __device__ void wait_for_place(const slice_cursor &at, int units, bool first_turn) const
    {
        for (int i = 0; i < units && !first_turn; i++)
            barrier_wait(memory.empty(at.unit + i), at.parity ^ 1);
    }

    /* By one thread. */
    __device__ void copy(char *panels, int rows, int map, uint64_t *barrier, uint64_t policy, int x,
                         int y, int head, int batch) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            copy_box(panels + i * rows * MN_PANEL_ROW, r.maps[map], barrier, policy,
                     i * MN_PANEL_FEATURES, x, y, head, batch);
    }

    __device__ void copy_of_block(char *panels, int rows, int map, int operand, uint64_t *barrier,
                                  const slice_item &item, int block, int first) const
    {
        const int share = p.operand[operand].head_share;
        const int head = share > 1 ? item.head / share : item.head;
        const bool linear = r.linear[map] != 0;
        const int token0 = WHOLE ? block * BLOCK : block * p.columns - (int)p.first;
        if (!WHOLE && map != MN_RING_QUERIES && block == r.short_block)
            copy(panels, rows, map == MN_RING_KEYS ? MN_RING_KEYS_SHORT : MN_RING_VALUES_SHORT,
                 barrier, policy_used_again(), -(int)p.first, 0, head, item.batch);
        else
            copy(panels, rows, map, barrier, policy_used_again(), linear ? token0 + first : first,
                 linear ? 0 : block - (r.short_block == 0), head, item.batch);
    }

    __device__ void copy_across(char *panels, uint64_t *barrier, const slice_item &item,
                                int position) const
    {
        const presence there = group_tokens(p, {item.batch, item.head, position, true});
        const bool is_short = !WHOLE && there.end - there.begin < p.groups;
        copy(panels, places::BLOCKS, is_short ? MN_RING_ACROSS_SHORT : MN_RING_ACROSS, barrier,
             policy_last_use(), is_short ? position : position - (int)p.first,
             is_short ? r.short_y : 0, item.head, item.batch);
    }

    /* By the warp, and waits: for tensors that have no map. Rows that are not there are zeros. */
    __device__ void load_rows(char *panels, int count, panel_rows rows, int first) const
    {
        const int unit = lane % 8;
        for (int row = lane / 8; row < count; row += WARP / 8) {
            const int valid = WHOLE || rows.there(first + row) ? VECTOR : 0;
#pragma unroll 1
            for (int i = 0; i < PANELS; i++)
                copy_elements<E>(panels + i * count * MN_PANEL_ROW + panel_offset(row, unit),
                                 rows.base + (first + row) * rows.stride + unit * VECTOR +
                                     i * MN_PANEL_ROW,
                                 valid);
        }
        copies_commit();
        copies_wait<0>();
        fence_for_wgmma();
        __syncwarp();
    }

    __device__ panel_rows rows_of(int operand, const slice_item &item, int index, bool left) const
    {
        return tensor_rows<E>(p, operand, {item.batch, item.head, index, left}, false);
    }

    /* That something is there which no copy engine tells of. By all threads if they wrote it: that
       one may arrive for its warp is what racecheck cannot see. */
    __device__ void tell(uint64_t *full) const
    {
        if (lane == 0 || !r.uses_maps)
            barrier_arrive(full);
    }

    /* The other units of a matrix are there with the first. And no thread goes ahead: barriers
       would end their phases twice before one that stays behind looks. */
    __device__ void tell_others(const slice_cursor &at, int units) const
    {
        for (int i = 1; i < units; i++)
            tell(memory.full(at.unit + i));
        __syncwarp();
    }

    __device__ void load_keys(const slice_item &item, int block, const slice_cursor &at,
                              char *queries) const
    {
        uint64_t *full = memory.full(at.unit);
        char *keys = memory.unit(at.unit);
        if (!r.uses_maps) {
            load_rows(queries, places::ROWS, rows_of(MN_OPERAND_QUERIES, item, block, false),
                      item.first);
            load_rows(keys, BLOCK, rows_of(MN_OPERAND_KEYS, item, block, false), 0);
            tell(full);
        } else if (lane == 0) {
            barrier_arrive_expecting(full, (places::ROWS + BLOCK) * places::ROW);
            copy_of_block(queries, places::ROWS, MN_RING_QUERIES, MN_OPERAND_QUERIES, full, item,
                          block, item.first);
            copy_of_block(keys, BLOCK, MN_RING_KEYS, MN_OPERAND_KEYS, full, item, block, 0);
        }
        tell_others(at, places::BLOCK_UNITS);
    }

    /* One operand of a block, from row `first` of it on. */
    __device__ void load_rows_of_block(int map, int operand, const slice_item &item, int block,
                                       int count, int first, char *panels, uint64_t *full) const
    {
        if (!r.uses_maps) {
            load_rows(panels, count, rows_of(operand, item, block, false), first);
            tell(full);
        } else if (lane == 0) {
            barrier_arrive_expecting(full, count * places::ROW);
            copy_of_block(panels, count, map, operand, full, item, block, first);
        }
    }

    /* Values, or keys alone. */
    __device__ void load_block(int map, int operand, const slice_item &item, int block,
                               const slice_cursor &at) const
    {
        load_rows_of_block(map, operand, item, block, BLOCK, 0, memory.unit(at.unit),
                           memory.full(at.unit));
        tell_others(at, places::BLOCK_UNITS);
    }

    /* Queries of a position. */
    __device__ void load_position(const slice_item &item, int position, char *panels,
                                  uint64_t *full) const
    {
        if (!r.uses_maps) {
            load_rows(panels, places::BLOCKS, rows_of(MN_OPERAND_QUERIES, item, position, true), 0);
            tell(full);
        } else if (lane == 0) {
            barrier_arrive_expecting(full, (WHOLE ? places::BLOCKS : p.groups) * places::ROW);
            copy_across(panels, full, item, position);
        }
    }

    __device__ void load_across(const slice_item &item, int position, const slice_cursor &at) const
    {
        load_position(item, position, memory.unit(at.unit), memory.full(at.unit));
        tell_others(at, places::POSITION_UNITS);
    }

    /* The place for a block's queries, once it is free. */
    __device__ char *queries_place(int task) const
    {
        const int place = task % places::QUERY_SLOTS, turn = task / places::QUERY_SLOTS;
        if (turn > 0)
            barrier_wait(memory.queries_empty(place), (turn - 1) % 2);
        return memory.queries(place);
    }

    /* Several steps: each matrix has a unit. */
    __device__ void run_steps(int first, int clusters) const
    {
        slice_cursor at = {0, 0};
        int task = 0, loaded = 0; /* units */
        const auto for_own = [&](auto load) {
            for (int local = 0; local < places::SHARE; local++) {
                wait_for_place(at, 1, loaded < places::UNITS);
                loaded = min(loaded + 1, places::UNITS);
                load(memory.own(local));
                at.template advance<places::UNITS>(1);
            }
        };
        for (int number = first; number < r.heads * r.slices; number += clusters) {
            const slice_item item(p, r, places::ROWS, number);
            for (int step = 0; step < p.steps; step++) {
                for_own([&](int block) {
                    if (step == 0)
                        load_keys(item, block, at, queries_place(task++));
                    else
                        load_block(MN_RING_KEYS, MN_OPERAND_KEYS, item, block, at);
                });
                if (step + 1 == p.steps)
                    for_own([&](int block) {
                        load_block(MN_RING_VALUES, MN_OPERAND_VALUES, item, block, at);
                    });
                for_own([&](int position) { load_across(item, item.first + position, at); });
            }
        }
    }

    /* One step. `clusters` that many clusters share the slices of all heads. */
    __device__ void run(int first, int clusters) const
    {
        slice_cursor at = {0, 0};
        int task = 0, loaded = 0; /* units */
        const auto next = [&](int units) {
            wait_for_place(at, units, loaded < places::UNITS);
            loaded = min(loaded + units, places::UNITS);
        };
        const int blocks = memory.blocks(p);
        for (int number = first; number < r.heads * r.slices; number += clusters) {
            const slice_item item(p, r, places::ROWS, number);
            for (int local = 0; local < blocks; local++, task++) {
                char *const queries = queries_place(task);
                next(places::BLOCK_UNITS);
                load_keys(item, memory.own(local), at, queries);
                at.template advance<places::UNITS>(places::BLOCK_UNITS);
                next(places::BLOCK_UNITS);
                load_block(MN_RING_VALUES, MN_OPERAND_VALUES, item, memory.own(local), at);
                at.template advance<places::UNITS>(places::BLOCK_UNITS);
            }
            for (int local = 0; local < places::SHARE; local++) {
                const int position = item.first + memory.own(local);
                if (!WHOLE && position >= p.columns)
                    continue;
                next(places::POSITION_UNITS);
                load_across(item, position, at);
                at.template advance<places::UNITS>(places::POSITION_UNITS);
            }
        }
    }
};

#endif
