/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_LOAD_CUH
#define MN_CUDA_RING_LOAD_CUH

#include "shaders/cuda/ring_schedule.cuh"

/*
 * The warps of a ring work-group that load the operands of its tasks: by boxes of the copy engine
 * where tensor maps can describe the tensors, else row by row, which any strides, any alignment and
 * any mask allow. Rows that are not there become 0: weight 0 times NaN is NaN.
 */

/* Those of a tensor of the workspace, which are whole panels. */
template <int PANELS>
__device__ inline panel_rows ring_slot_rows(const ring_workspace &workspace, int number,
                                            const ring_task &task)
{
    constexpr int row = PANELS * MN_PANEL_ROW;
    const int block_row = workspace.p.columns * row;
    panel_rows rows;
    rows.base =
        workspace.tensor(task.slot, number) + (int64_t)task.index * (task.left() ? row : block_row);
    rows.stride = task.left() ? block_row : row;
    rows.bytes = row;
    rows.vectors = true;
    rows.there = all_of(task.left() ? workspace.p.groups : workspace.p.columns);
    return rows;
}

/* One task alone reads what it was handed. When that has arrived, the cache need not write it to
   memory any more, and has room for what is still to be read. */
template <int PANELS> struct ring_discard {
    const ring_workspace &workspace;
    int thread, threads;

    __device__ void operator()(const ring_task &task, int number) const
    {
        const panel_rows rows = ring_slot_rows<PANELS>(workspace, number, task);
        for (int row = thread; row < rows.there.end; row += threads)
#pragma unroll
            for (int i = 0; i < PANELS; i++)
                discard_line(rows.base + row * rows.stride + i * MN_PANEL_ROW);
    }
};

/* Waits, as a warp, until all that a task reads is written, and all that it overwrites is read:
   one lane for each, so that both answers are on their way at once. */
__device__ inline void ring_wait(const ring_workspace &workspace, const ring_schedule &at,
                                 const ring_task &task, int lane)
{
    if (lane == 0 && task.stage > 0)
        counter_wait(workspace.counter(task.stage - 1, task.slot),
                     (uint32_t)(task.turn + 1) * at.tasks_of(task.stage - 1));
    if (lane == 1 && task.turn > 0 && task.stage + 1 < 2 * at.p.steps)
        counter_wait(workspace.counter(task.stage + 1, task.slot),
                     (uint32_t)task.turn * at.tasks_of(task.stage + 1));
    __syncwarp();
}

/* Row by row, by a warp. FP8: LEFT's columns and values come as raw rows, see ring_fp8.cuh. */
template <class E, int PANELS, bool FP8> struct ring_row_loader {
    static constexpr int step = WARP / 8; /* rows at a time */

    const mn_stage_params &p;
    const ring_memory &memory;
    const ring_workspace &workspace;
    int lane;

    /* Starts to load rows into panels, and zeros from the last one up to `end`. */
    __device__ void load(char *panels, const panel_rows &rows, int end) const
    {
        const int unit = lane % 8;
#pragma unroll 1
        for (int row = lane / 8; row < end; row += step) {
            const bool is_there = rows.there(row);
            char *to = panels + panel_offset(row, unit);
            const char *from = rows.base + row * rows.stride + unit * VECTOR;
#pragma unroll 1
            for (int i = 0; i < PANELS; i++) {
                int left = rows.bytes - unit * VECTOR - i * MN_PANEL_ROW;
                int valid = is_there ? max(0, min(left, (int)VECTOR)) : 0;
                const char *source = valid > 0 ? from + i * MN_PANEL_ROW : workspace.base();
                if (rows.vectors)
                    copy_vector(to + i * memory.panel(), source, valid);
                else
                    copy_elements<E>(to + i * memory.panel(), source, valid);
            }
        }
    }

    /* Whether any thread says so, for the warps that compute. */
    __device__ void tell(int *present, bool any) const
    {
        any = __any_sync(~0u, any);
        if (lane == 0)
            *present = any;
    }

    __device__ void load_right(const ring_task &task, const ring_stage &s, bool last) const
    {
        const int end = mn_panel_rows(p.columns);
        const panel_rows keys = tensor_rows<E>(p, MN_OPERAND_KEYS, task.place(p), true);
        const panel_rows queries =
            task.step() == 0
                ? tensor_rows<E>(p, MN_OPERAND_QUERIES, task.place(p), true)
                : ring_slot_rows<PANELS>(workspace, workspace.query_means(task.step() - 1), task);
        load(s.queries, queries, p.columns);
        load(s.columns, keys, end);
        if (last)
            load(s.values, tensor_rows<E>(p, MN_OPERAND_VALUES, task.place(p), true), end);
        bool any = false;
        for (int x = lane; x < end; x += WARP) {
            const bool is_there = keys.there(x);
            s.bias[x] = is_there ? 0.0f : infinity();
            any |= is_there;
        }
        tell(s.present, any);
    }

    __device__ void load_raw(const ring_task &task, const ring_stage &s) const
    {
        const ring_terms *terms = workspace.terms(task.slot, task.index);
        load(s.values, ring_slot_rows<PANELS>(workspace, 0, task), p.groups);
        for (int x = lane; x < p.groups; x += WARP)
            reinterpret_cast<float2 *>(s.off)[x] =
                __ldcg(reinterpret_cast<const float2 *>(terms + x));
    }

    __device__ void load_left(const ring_task &task, const ring_stage &s, bool last) const
    {
        const int end = mn_panel_rows(p.groups);
        const float *entropy = workspace.entropy(task.slot, task.step(), task.index);
        const panel_rows queries = tensor_rows<E>(p, MN_OPERAND_QUERIES, task.place(p), !last);
        load(s.queries, queries, end);
        load(s.columns, ring_slot_rows<PANELS>(workspace, workspace.key_means(task.step()), task),
             end);
        if (last)
            load(s.values, ring_slot_rows<PANELS>(workspace, workspace.value_means(), task), end);
        bool any = false, any_query = false;
        for (int x = lane; x < end; x += WARP) {
            const float bias = __ldcg(entropy + x);
            const bool is_there = queries.there(x);
            s.bias[x] = bias;
            s.off[x] = is_there ? 0.0f : infinity();
            any |= bias != infinity();
            any_query |= is_there;
        }
        tell(s.present, any);
        tell(s.present + 1, any_query);
    }

    __device__ void load_task(const ring_schedule &at, const ring_task &task, int index) const
    {
        const ring_stage s = memory.stage<PANELS>(index);
        if (FP8 && task.left())
            load_raw(task, s);
        if (FP8)
            tell_loaded(memory.raw(index));
        if (FP8 && task.left())
            load(s.queries, tensor_rows<E>(p, MN_OPERAND_QUERIES, task.place(p), false), p.groups);
        else if (task.left())
            load_left(task, s, at.is_last(task));
        else
            load_right(task, s, at.is_last(task));
        if (lane == 0)
            *s.task = task;
        tell_loaded(memory.full(index));
    }

    __device__ void tell_loaded(uint64_t *barrier) const
    {
        barrier_arrive_after_copies(barrier);
        __syncwarp();
        if (lane == 0)
            barrier_arrive(barrier); /* for what was not copied but written */
    }
};

/* By boxes, by one thread. */
template <int PANELS, bool FP8> struct ring_box_loader {
    const mn_stage_params &p;
    const mn_ring_params &r;
    const ring_memory &memory;
    const ring_workspace &workspace;
    uint64_t *full, *raw;
    uint64_t policy;

    __device__ void copy(char *panels, int map, int x, int y, int head, int batch) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            copy_box(panels + i * memory.panel(), r.maps[map], full, policy, i * MN_PANEL_FEATURES,
                     x, y, head, batch);
    }

    /* A block of q, k or v. */
    __device__ void copy_block(char *panels, int map, int operand, int block, int head,
                               int batch) const
    {
        const int share = p.operand[operand].head_share;
        const bool linear = r.linear[map] != 0;
        copy(panels, map, linear ? block * p.columns - (int)p.first : 0, linear ? 0 : block,
             share > 1 ? head / share : head, batch);
    }

    __device__ void copy_right(const ring_task &task, const ring_stage &s, bool last, int head,
                               int batch) const
    {
        barrier_arrive_expecting(full, (last ? 3 : 2) * PANELS * p.columns * MN_PANEL_ROW);
        if (task.step() == 0)
            copy_block(s.queries, MN_RING_QUERIES, MN_OPERAND_QUERIES, task.index, head, batch);
        else
            copy(s.queries, MN_RING_SLOTS, 0, task.index, workspace.query_means(task.step() - 1),
                 task.slot);
        ring_box_loader rest = *this;
        rest.policy = last ? policy_last_use() : policy;
        rest.copy_block(s.columns, MN_RING_KEYS, MN_OPERAND_KEYS, task.index, head, batch);
        if (last)
            rest.copy_block(s.values, MN_RING_VALUES, MN_OPERAND_VALUES, task.index, head, batch);
    }

    __device__ void copy_left(const ring_task &task, const ring_stage &s, bool last, int head,
                              int batch) const
    {
        const presence there = group_tokens(p, task.place(p));
        const bool is_short = there.end - there.begin < p.groups;
        const int bias_bytes = 4 * mn_panel_rows(p.groups);
        barrier_arrive_expecting(full,
                                 (last ? 3 : 2) * PANELS * p.groups * MN_PANEL_ROW + bias_bytes);
        copy_bytes(s.bias, workspace.entropy(task.slot, task.step(), task.index), bias_bytes, full);
        copy(s.columns, MN_RING_SLOTS_ACROSS, task.index, 0, workspace.key_means(task.step()),
             task.slot);
        ring_box_loader rest = *this;
        rest.policy = last ? policy_last_use() : policy;
        rest.copy(s.queries, is_short ? MN_RING_ACROSS_SHORT : MN_RING_ACROSS,
                  is_short ? task.index : task.index - (int)p.first, is_short ? r.short_y : 0, head,
                  batch);
        if (last)
            copy(s.values, MN_RING_SLOTS_ACROSS, task.index, 0, workspace.value_means(), task.slot);
    }

    __device__ void copy_raw(const ring_task &task, const ring_stage &s, int head, int batch) const
    {
        const int terms = p.groups * (int)sizeof(ring_terms);
        barrier_arrive_expecting(raw, PANELS * p.groups * MN_PANEL_ROW + terms);
        ring_box_loader rows = *this;
        rows.full = raw;
        copy_bytes(s.off, workspace.terms(task.slot, task.index), terms, raw);
        rows.copy(s.values, MN_RING_SLOTS_ACROSS, task.index, 0, 0, task.slot);
        barrier_arrive_expecting(full, PANELS * p.groups * MN_PANEL_ROW);
        ring_box_loader rest = *this;
        rest.policy = policy_last_use();
        rest.copy(s.queries, MN_RING_ACROSS, task.index, 0, head, batch);
    }

    __device__ void load_task(const ring_schedule &at, const ring_task &task, int index) const
    {
        const ring_stage s = memory.stage<PANELS>(index);
        const int batch = (unsigned)task.head / (unsigned)p.heads;
        const int head = task.head - batch * p.heads;
        *s.task = task;
        if (FP8 && task.left())
            copy_raw(task, s, head, batch);
        else if (task.left())
            copy_left(task, s, at.is_last(task), head, batch);
        else
            copy_right(task, s, at.is_last(task), head, batch);
        if (FP8 && !task.left())
            barrier_arrive(raw);
    }
};

/* Boxes leave the rows behind them alone. Those up to the next multiple of 64 are multiplied too
   and must be zeros, which tasks of the other kind, with more rows, may have overwritten. */
template <int PANELS>
__device__ inline void ring_clean(const mn_stage_params &p, const ring_memory &memory,
                                  const ring_stage &s, bool left, int lane)
{
    const int rows = left ? p.groups : p.columns, others = left ? p.columns : p.groups;
    const int end = min(mn_panel_rows(rows), others);
    for (int i = lane; i < (end - rows) * 8; i += WARP)
#pragma unroll
        for (int k = 0; k < PANELS; k++) {
            const int place = rows * MN_PANEL_ROW + i * VECTOR + k * memory.panel();
            *reinterpret_cast<uint4 *>(s.columns + place) = make_uint4(0, 0, 0, 0);
            *reinterpret_cast<uint4 *>(s.values + place) = make_uint4(0, 0, 0, 0);
            if (left)
                *reinterpret_cast<uint4 *>(s.queries + place) = make_uint4(0, 0, 0, 0);
        }
    fence_for_wgmma();
    __syncwarp();
}

#endif
