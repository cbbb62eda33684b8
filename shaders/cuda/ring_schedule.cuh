/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_SCHEDULE_CUH
#define MN_CUDA_RING_SCHEDULE_CUH

#include "shaders/cuda/barrier.cuh"
#include "shaders/cuda/wgmma.cuh"

/*
 * The order of all tasks of a ring launch, a task being one score matrix. At time t stage s of the
 * program works on head t - s*lag:
 *
 *     time 0: stage 0 of head 0
 *     ...
 *     time lag: stage 0 of head lag, stage 1 of head 0      and so on
 *
 * What a task reads was written by tasks ahead of it in this order, and so was what it overwrites
 * read. Each work-group takes every gridDim.x-th task, in order, and all work-groups run at once:
 * whoever waits for a task waits for one that is being worked on.
 */
struct ring_schedule {
    const mn_stage_params &p;
    int64_t time;
    int stage, index; /* index: block of the RIGHT kinds, position of the LEFT ones */

    __device__ explicit ring_schedule(const mn_stage_params &params)
        : p(params), time(0), stage(0), index(0)
    {
        advance(blockIdx.x);
    }

    __device__ int64_t head() const
    {
        return time - (int64_t)p.lag * stage;
    }

    /* Where the head's intermediates are; how often they were another's before. */
    __device__ int slot() const
    {
        int slot;
        divide(head(), p.slots, &slot);
        return slot;
    }

    __device__ int64_t turn() const
    {
        int slot;
        return divide(head(), p.slots, &slot);
    }

    __device__ int stages() const
    {
        return 2 * p.steps;
    }

    __device__ bool is_left() const
    {
        return stage % 2 != 0;
    }

    __device__ bool is_last() const /* of its kind: RIGHT_VALUE or LEFT_OUT */
    {
        return stage / 2 == p.steps - 1;
    }

    /* Tasks of a stage of one head. */
    __device__ int tasks_of(int stage) const
    {
        return stage % 2 != 0 ? p.columns : p.groups;
    }

    __device__ bool ended() const
    {
        return time >= p.tasks + (int64_t)p.lag * (stages() - 1);
    }

    __device__ void advance(int count)
    {
        index += count;
        while (!ended()) {
            if (head() >= 0 && head() < p.tasks) {
                if (index < tasks_of(stage))
                    return;
                index -= tasks_of(stage);
            }
            if (++stage == stages()) {
                stage = 0;
                time++;
            }
        }
    }
};

/* The workspace: counters of tasks done, then slots; see layout.h. */
template <int PANELS> struct ring_workspace {
    static constexpr int row = PANELS * MN_PANEL_ROW; /* bytes */

    const mn_stage_params &p;

    __device__ char *base() const
    {
        return reinterpret_cast<char *>(p.operand[MN_OPERAND_STATS].address);
    }

    /* Tasks of `stage` done of the heads that had this slot so far. */
    __device__ uint32_t *counter(int stage, int slot) const
    {
        return reinterpret_cast<uint32_t *>(base()) + stage * p.slots + slot;
    }

    __device__ int64_t tensor() const
    {
        return mn_ring_tensor_bytes(p.groups, p.columns, PANELS);
    }

    __device__ char *slot(int slot) const
    {
        return base() + mn_ring_counter_bytes(p.steps, p.slots) +
               slot * mn_ring_slot_bytes(p.groups, p.columns, PANELS, p.steps);
    }

    /* Tensors [block][position] of a slot: aL/s and aR/cR of a step, y. */
    __device__ char *key_means(int slot, int step) const
    {
        return this->slot(slot) + step * tensor();
    }

    __device__ char *query_means(int slot, int step) const
    {
        return this->slot(slot) + (p.steps + step) * tensor();
    }

    __device__ char *value_means(int slot) const
    {
        return this->slot(slot) + (2 * p.steps - 1) * tensor();
    }

    /* cL * log2(e) of a step, [position][block]. */
    __device__ float *entropy(int slot, int step) const
    {
        return reinterpret_cast<float *>(this->slot(slot) + 2 * p.steps * tensor() +
                                         step * mn_ring_entropy_bytes(p.groups, p.columns));
    }
};

/* One stage of the pipeline in shared memory. */
struct ring_stage {
    char *queries, *columns, *values; /* panels; `columns`: keys, or means of keys */
    float *bias;                      /* of each column: cL, or +inf for one that is absent */
    float *off;   /* LEFT: of each query two terms to take off, one `side` apart */
    int *present; /* by warp: whether any column is there; then whether any query is */
};

/* The shared memory of a work-group. */
struct ring_memory {
    char *base;
    int side, stage_bytes, stages;
    int panel; /* bytes */

    template <int PANELS> static __device__ ring_memory of(const mn_stage_params &p)
    {
        extern __shared__ __align__(1024) char shared[];
        ring_memory m;
        m.base = shared;
        m.side = mn_ring_side(p.groups, p.columns);
        m.stage_bytes = mn_ring_stage_bytes(m.side, PANELS);
        m.stages = p.stages;
        m.panel = m.side * MN_PANEL_ROW;
        return m;
    }

    template <int PANELS> __device__ ring_stage stage(int index) const
    {
        ring_stage s;
        s.queries = base + index * stage_bytes;
        s.columns = s.queries + PANELS * panel;
        s.values = s.columns + PANELS * panel;
        s.bias = reinterpret_cast<float *>(s.values + PANELS * panel);
        s.off = s.bias + side;
        s.present = reinterpret_cast<int *>(s.off + 2 * side);
        return s;
    }

    __device__ uint64_t *barriers() const
    {
        return reinterpret_cast<uint64_t *>(base + stages * stage_bytes);
    }

    __device__ uint64_t *full(int index) const /* a task's operands are there */
    {
        return barriers() + index;
    }

    __device__ uint64_t *done(int index) const /* its results are stored */
    {
        return barriers() + stages + index;
    }
};

#endif
