/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_LOAD_CUH
#define MN_CUDA_RING_LOAD_CUH

#include "shaders/cuda/ring_schedule.cuh"

/* The warps of a ring work-group that load: 16 bytes at a time, so any strides, any padding and any
   mask are the same to them. Rows that are not there become 0: weight 0 times NaN is NaN. */

enum { RING_LOADERS = 3 }; /* warps */

/* Rows in memory, those of [begin, end) that are not masked being there. */
struct panel_rows {
    const char *base;
    int64_t stride;
    int bytes; /* of a row that count */
    bool vectors;
    presence there;
};

template <class E, int PANELS> struct ring_loader {
    static constexpr int threads = RING_LOADERS * WARP, step = threads / 8; /* rows at a time */
    static_assert(step % 8 == 4, "the exchange of units alternates");

    const mn_stage_params &p;
    const ring_memory &memory;
    ring_workspace<PANELS> workspace;
    int thread, lane, warp;

    /* The rows of a block, or of a position in all blocks, of a tensor of the caller's. */
    __device__ panel_rows tensor_rows(int number, const ring_schedule &at, bool masked) const
    {
        const mn_operand_params &o = p.operand[number], &m = p.operand[MN_OPERAND_MASK];
        const bool left = at.is_left();
        task_place place = {0, 0, 0};
        place.batch = divide(at.head(), p.heads, &place.head);
        int head = o.head_share > 1 ? place.head / o.head_share : place.head;
        int64_t first =
            place.batch * o.batch + head * o.head + at.index * (left ? o.index : o.group);
        panel_rows rows;
        rows.base = reinterpret_cast<const char *>(o.address) + first * (int64_t)sizeof(E);
        rows.stride = (left ? o.group : o.index) * (int64_t)sizeof(E);
        rows.bytes = o.width * (int)sizeof(E);
        rows.vectors = o.vectors;
        rows.there = left ? tokens_of_position(at.index) : tokens_of_block(at.index);
        if (masked && m.width > 0) {
            rows.there.mask = reinterpret_cast<const uint8_t *>(m.address) + place.batch * m.batch +
                              at.index * (left ? m.index : m.group);
            rows.there.mask_step = left ? m.group : m.index;
        }
        return rows;
    }

    __device__ presence tokens_of_block(int block) const
    {
        int64_t token = (int64_t)block * p.columns - p.first;
        presence there = all_of(p.columns);
        there.begin = (int)max(-token, (int64_t)0);
        there.end = (int)min(p.tokens - token, (int64_t)p.columns);
        return there;
    }

    /* Padding is less than a block: only the first or the last one can be without the position. */
    __device__ presence tokens_of_position(int position) const
    {
        int64_t last = (int64_t)(p.groups - 1) * p.columns + position - p.first;
        presence there = all_of(p.groups);
        there.begin = position < p.first;
        there.end -= last >= p.tokens;
        return there;
    }

    /* The same of a tensor in the workspace; its rows are whole panels. */
    __device__ panel_rows slot_rows(const char *tensor, const ring_schedule &at) const
    {
        constexpr int64_t row = ring_workspace<PANELS>::row;
        panel_rows rows;
        rows.base = tensor + at.index * (at.is_left() ? row : p.columns * row);
        rows.stride = at.is_left() ? p.columns * row : row;
        rows.bytes = PANELS * MN_PANEL_ROW;
        rows.vectors = true;
        rows.there = all_of(at.is_left() ? p.groups : p.columns);
        return rows;
    }

    /* Starts to load rows into panels, and zeros from the last one up to `end`. */
    __device__ void load(char *panels, const panel_rows &rows, int end) const
    {
        const int unit = thread % 8;
        int row = thread / 8;
        char *to = panels + panel_offset(row, unit);
        const char *from = rows.base + row * rows.stride + unit * VECTOR;
        if (rows.vectors && rows.bytes == PANELS * MN_PANEL_ROW && rows.there.mask == nullptr) {
            /* The exchange of units is that of row % 8, which changes by 4 each time. */
            int exchange = 64 - 2 * ((to - panels) & 64);
#pragma unroll 4
            for (; row < end; row += step) {
                const bool is_there = row >= rows.there.begin && row < rows.there.end;
                const char *source = is_there ? from : workspace.base();
#pragma unroll
                for (int i = 0; i < PANELS; i++)
                    copy_vector(to + i * memory.panel, source + i * MN_PANEL_ROW,
                                is_there ? VECTOR : 0);
                from += step * rows.stride;
                to += step * MN_PANEL_ROW + exchange;
                exchange = -exchange;
            }
            return;
        }
#pragma unroll 1
        for (; row < end; row += step, from += step * rows.stride) {
            const bool is_there = rows.there(row);
            to = panels + panel_offset(row, unit);
#pragma unroll 1
            for (int i = 0; i < PANELS; i++) {
                int left = rows.bytes - unit * VECTOR - i * MN_PANEL_ROW;
                int valid = is_there ? max(0, min(left, (int)VECTOR)) : 0;
                const char *source = valid > 0 ? from + i * MN_PANEL_ROW : workspace.base();
                if (rows.vectors)
                    copy_vector(to + i * memory.panel, source, valid);
                else
                    copy_elements<E>(to + i * memory.panel, source, valid);
            }
        }
    }

    /* Whether any of the warp's threads says so, for the warps that compute. */
    __device__ void tell(int *present, bool any) const
    {
        any = __any_sync(~0u, any);
        if (lane == 0)
            present[warp] = any;
    }

    __device__ void load_right(const ring_schedule &at, const ring_stage &s) const
    {
        const int step = at.stage / 2, end = (p.columns + 63) / 64 * 64;
        const panel_rows keys = tensor_rows(MN_OPERAND_KEYS, at, true);
        panel_rows queries = step == 0 ? tensor_rows(MN_OPERAND_QUERIES, at, true)
                                       : slot_rows(workspace.query_means(at.slot(), step - 1), at);
        load(s.queries, queries, p.columns);
        load(s.columns, keys, end);
        if (at.is_last())
            load(s.values, tensor_rows(MN_OPERAND_VALUES, at, true), end);
        bool any = false;
        for (int x = thread; x < end; x += threads) {
            const bool is_there = keys.there(x);
            s.bias[x] = is_there ? 0.0f : infinity();
            any |= is_there;
        }
        tell(s.present, any);
    }

    __device__ void load_left(const ring_schedule &at, const ring_stage &s) const
    {
        const int step = at.stage / 2, end = (p.groups + 63) / 64 * 64;
        const float *entropy = workspace.entropy(at.slot(), step) + at.index * p.groups;
        const panel_rows queries = tensor_rows(MN_OPERAND_QUERIES, at, !at.is_last());
        static_assert(3 * threads >= 256, "a thread has at most three columns");
        float bias[3];
#pragma unroll
        for (int i = 0; i < 3; i++) {
            int x = thread + i * threads;
            bias[i] = x < p.groups ? __ldcg(entropy + x) : infinity();
        }
        load(s.queries, queries, at.is_last() ? p.groups : end);
        load(s.columns, slot_rows(workspace.key_means(at.slot(), step), at), end);
        if (at.is_last())
            load(s.values, slot_rows(workspace.value_means(at.slot()), at), end);
        bool any = false, any_query = false;
#pragma unroll
        for (int i = 0; i < 3; i++) {
            int x = thread + i * threads;
            if (x < end) {
                s.bias[x] = bias[i];
                any |= bias[i] != infinity();
                if (!at.is_last()) {
                    const bool is_there = queries.there(x);
                    s.off[x] = is_there ? 0.0f : infinity();
                    any_query |= is_there;
                }
            }
        }
        tell(s.present, any);
        tell(s.present + RING_LOADERS, any_query);
    }

    /* Waits until all that a task reads is written, and all that it overwrites is read. */
    __device__ void wait_for_others(const ring_schedule &at) const
    {
        const int64_t turn = at.turn();
        const int slot = at.slot();
        if (lane == 0) {
            if (at.stage > 0)
                counter_wait(workspace.counter(at.stage - 1, slot),
                             (uint32_t)((turn + 1) * at.tasks_of(at.stage - 1)));
            if (turn > 0 && at.stage + 1 < at.stages())
                counter_wait(workspace.counter(at.stage + 1, slot),
                             (uint32_t)(turn * at.tasks_of(at.stage + 1)));
        }
        __syncwarp();
    }

    __device__ void load_task(const ring_schedule &at, int number) const
    {
        const int index = number % memory.stages;
        const ring_stage s = memory.stage<PANELS>(index);
        if (at.is_left())
            load_left(at, s);
        else
            load_right(at, s);
        barrier_arrive_after_copies(memory.full(index));
        __syncwarp();
        if (lane == 0)
            barrier_arrive(memory.full(index)); /* for what was not copied but written */
    }

    __device__ void run(ring_schedule at, bool first_is_loaded) const
    {
        for (int number = 0; !at.ended(); number++, at.advance(gridDim.x)) {
            if (number == 0 && first_is_loaded)
                continue;
            if (number >= memory.stages)
                barrier_wait(memory.done(number % memory.stages), (number / memory.stages - 1) % 2);
            wait_for_others(at);
            load_task(at, number);
        }
    }
};

/* The warp that tells other work-groups what is done. */
template <int PANELS>
__device__ inline void ring_signal(const mn_stage_params &p, const ring_memory &memory, int lane)
{
    const ring_workspace<PANELS> workspace = {p};
    ring_schedule at(p);
    if (lane != 0)
        return;
    for (int number = 0; !at.ended(); number++, at.advance(gridDim.x)) {
        const int index = number % memory.stages;
        barrier_wait(memory.done(index), number / memory.stages % 2);
        barrier_arrive(memory.full(index)); /* only now may the stage be full again */
        counter_add(workspace.counter(at.stage, at.slot()));
    }
}

#endif
