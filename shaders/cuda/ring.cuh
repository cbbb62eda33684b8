/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_CUH
#define MN_CUDA_RING_CUH

#include "shaders/cuda/ring_compute.cuh"

/*
 * All stages of all heads in one launch, for sm_90. Heads follow each other closely, so that what a
 * stage hands to the next is still in the cache when it is read, and the workspace is a ring of a
 * few heads. In a work-group some warps load the operands of the next tasks into a pipeline in
 * shared memory while GROUPS warpgroups compute, 64 rows of a score matrix at a time.
 */

/*
 * Registers of a thread that computes, and of one that does not, of the last warpgroup. A
 * work-group has as many for its threads as it was launched with: 128 for 512, 168 for 384.
 */
template <int GROUPS> struct ring_registers;

template <> struct ring_registers<3> {
    static constexpr int compute = 152, other = 56;
};

template <> struct ring_registers<2> {
    static constexpr int compute = 216, other = 72;
};

/* The part of one warp in a work-group. */
template <class E, int PANELS, int GROUPS, bool FP8> struct ring_worker {
    static constexpr int threads = (GROUPS + 1) * WARPGROUP;

    const mn_stage_params &p;
    const mn_ring_params &r;
    ring_memory memory;
    ring_workspace workspace;
    int warp, lane; /* the warp among those that do not compute */

    __device__ ring_row_loader<E, PANELS, FP8> row_loader() const
    {
        return {p, memory, workspace, lane};
    }

    __device__ ring_box_loader<PANELS, FP8> box_loader(int index) const
    {
        return {
            p, r, memory, workspace, memory.full(index), memory.raw(index), policy_used_again()};
    }

    __device__ bool loads() const
    {
        return warp == 0;
    }

    __device__ bool signals() const
    {
        return warp == 1;
    }

    __device__ void load(const ring_schedule &at, int number) const
    {
        const int index = number % r.stages;
        const ring_task task = at.task();
        /* First for others: most likely they are done, but to see it takes time. */
        if (task.stage > 0 || task.turn > 0) {
            barrier_wait(memory.counting(), 0);
            ring_wait(workspace, at, task, lane);
        }
        if (number >= r.stages)
            barrier_wait(memory.done(index), (number / r.stages - 1) % 2);
        if (!r.uses_maps)
            row_loader().load_task(at, task, index);
        else if (lane == 0) {
            if (task.stage > 0) /* what other work-groups wrote */
                fence_for_copies();
            box_loader(index).load_task(at, task, index);
        }
        __syncwarp();
    }

    __device__ void load_all() const
    {
        int number = 0;
        for (ring_schedule at(p, r); !at.ended(); number++, at.advance(gridDim.x))
            load(at, number);
        end(number);
    }

    /* Tells those that compute that there is no further task. */
    __device__ void end(int number) const
    {
        const int index = number % r.stages;
        if (number >= r.stages)
            barrier_wait(memory.done(index), (number / r.stages - 1) % 2);
        if (lane == 0)
            memory.stage<PANELS>(index).task->stage = -1;
        __syncwarp();
        tell_ended(memory.full(index));
        if (FP8)
            tell_ended(memory.raw(index));
    }

    __device__ void tell_ended(uint64_t *barrier) const
    {
        if (lane == 0 || !r.uses_maps)
            barrier_arrive(barrier);
        if (lane == 0 && !r.uses_maps)
            barrier_arrive(barrier);
    }

    __device__ bool discards() const /* with fp8 intermediates those that convert do */
    {
        return !FP8 && warp == 2;
    }

    /* Tells other work-groups what is done, and cleans up for the next task in that place. A stage
       can only be full again, and done again, when this has seen it done. */
    __device__ void signal_all(uint32_t before) const
    {
        ring_schedule at(p, r), next = at;
        if (r.cleans)
            next.advance(r.stages * gridDim.x);
        if (lane == 0) {
            grid_wait(before);
            barrier_arrive(memory.counting());
        }
        __syncwarp();
        for (int number = 0; !at.ended(); number++) {
            const int index = number % r.stages;
            const ring_task task = at.task();
            barrier_wait(memory.done(index), number / r.stages % 2);
            if (r.uses_maps && r.cleans && !next.ended())
                ring_clean<PANELS>(p, memory, memory.stage<PANELS>(index), next.stage % 2 != 0,
                                   lane);
            if (lane == 0 || r.cleans)
                barrier_arrive(memory.full(index));
            if (lane == 0)
                counter_add(workspace.counter(task.stage, task.slot));
            __syncwarp();
            at.advance(gridDim.x);
            if (r.cleans)
                next.advance(gridDim.x);
        }
    }

    /* When all that a task was handed has arrived. */
    __device__ void discard_all() const
    {
        for (int number = 0;; number++) {
            const int index = number % r.stages;
            barrier_wait(memory.full(index), number / r.stages % 2);
            const ring_task task = *memory.stage<PANELS>(index).task;
            if (task.stage < 0)
                return;
            const ring_discard<PANELS> discard = {workspace, lane, WARP};
            if (!task.left() && task.step() > 0)
                discard(task, workspace.query_means(task.step() - 1));
            if (task.left())
                discard(task, workspace.key_means(task.step()));
            if (task.left() && task.step() == p.steps - 1)
                discard(task, workspace.value_means());
            barrier_arrive(memory.done(index));
        }
    }

    /* Shared memory becomes 0: rows behind boxes count as zeros until a task writes there. */
    __device__ void clear_memory() const
    {
        const bool is_whole = p.columns % 64 == 0 && p.groups % 64 == 0;
        for (int i = threadIdx.x * VECTOR; !is_whole && i < r.stages * r.stage_bytes;
             i += threads * VECTOR)
            *reinterpret_cast<uint4 *>(memory.base + i) = make_uint4(0, 0, 0, 0);
        for (int i = threadIdx.x; i < 3 * r.side; i += threads) {
            const int which = i / r.side, x = i % r.side;
            ring_task block = {};
            block.index = which == 0 ? 0 : which == 1 ? 1 : p.groups - 1;
            const presence there = group_tokens(p, block.place(p));
            const bool is_inner = which == 1 && x < p.columns;
            memory.block_bias(0)[i] = is_inner || (which != 1 && there(x)) ? 0.0f : infinity();
        }
        fence_for_wgmma();
    }

    __device__ void start_barriers() const
    {
        /* Where a warp has written all its threads arrive: that one may do so for them is what
           racecheck cannot see. */
        const int arrivals = r.uses_maps ? 1 : WARP + 1; /* of those that load */
        const int cleaning = r.cleans ? WARP : 1;
        for (int i = 0; i < r.stages; i++) {
            barrier_start(memory.full(i),
                          arrivals + cleaning + (FP8 ? ring_converter<E, PANELS>::threads : 0));
            barrier_start(memory.normalised(i),
                          FP8 ? arrivals : mn_panel_rows(p.groups) / MN_TILE_ROWS * WARP);
            barrier_start(memory.done(i), GROUPS * WARPGROUP + (FP8 ? 0 : WARP));
        }
        barrier_start(memory.counting(), 1);
        /* For the warp that signals: nothing was done yet. */
        for (int i = 0; i < r.stages * cleaning; i++)
            barrier_arrive(memory.full(i / cleaning));
    }

    /* The counters become 0, by one warp, before any work-group goes past the barrier of all. That
       is waited for only where it matters, when the first tasks are under way. */
    __device__ uint32_t begin_counting() const
    {
        if (blockIdx.x == 0)
            for (int i = lane; i < 2 * p.steps * r.slots; i += WARP)
                *workspace.counter(0, i) = 0;
        __syncwarp();
        return lane == 0 ? grid_arrive() : 0;
    }

    __device__ void begin() const
    {
        clear_memory();
        if (threadIdx.x == 0)
            start_barriers();
        __syncthreads();
    }

    __device__ void run(uint32_t before) const
    {
        if (loads())
            load_all();
        else if (signals())
            signal_all(before);
        else if (discards())
            discard_all();
        else if (FP8)
            ring_converter<E, PANELS>{p, r, memory, workspace, (warp - 2) * WARP + lane}.run();
    }
};

template <class E, int PANELS, int GROUPS, bool NARROW, bool WHOLE, bool FP8 = false>
__device__ __forceinline__ void ring(const mn_stage_params &p, const mn_ring_params &r)
{
    char *const shared = dynamic_memory<1024>();
    const int warp = warp_index(), lane = threadIdx.x % WARP, group = warp / 4;
    const ring_worker<E, PANELS, GROUPS, FP8> worker = {
        p, r, {shared, r}, {p, r}, warp - 4 * GROUPS, lane};
    const uint32_t before = worker.signals() ? worker.begin_counting() : 0;
    worker.begin();
    if (group < GROUPS) {
        take_registers<ring_registers<GROUPS>::compute>();
        const ring_compute<E, PANELS, GROUPS, NARROW, WHOLE, FP8> compute = {
            p, r, worker.memory, worker.workspace, group, warp % 4, lane};
        compute.run();
    } else {
        give_registers<ring_registers<GROUPS>::other>();
        worker.run(before);
    }
}

#endif
