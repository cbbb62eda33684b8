/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_SCHEDULE_CUH
#define MN_CUDA_RING_SCHEDULE_CUH

#include "shaders/cuda/panel_rows.cuh"
#include "shaders/cuda/ptx/barrier.cuh"
#include "shaders/cuda/ring.h"
#include "shaders/cuda/wgmma.cuh"

/* One score matrix to work on. */
struct ring_task {
    int stage; /* of the program */
    int head;  /* among those of all batches */
    int index; /* block of the RIGHT kinds, position of the LEFT ones */
    int slot;  /* where the head's intermediates are, */
    int turn;  /* and how often they were another head's before */

    __device__ bool left() const
    {
        return stage % 2 != 0;
    }

    __device__ int step() const
    {
        return stage / 2;
    }

    __device__ group_place place(const mn_stage_params &p) const
    {
        const int batch = (unsigned)head / (unsigned)p.heads;
        return {batch, head - batch * p.heads, index, left()};
    }
};

/*
 * The order of all tasks of a launch. At time t stage s of the program works on head t - s*lag:
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
    const mn_ring_params &r;
    int time, stage, index;

    __device__ ring_schedule(const mn_stage_params &params, const mn_ring_params &ring)
        : p(params), r(ring), time(0), stage(0), index(0)
    {
        advance(blockIdx.x);
    }

    __device__ bool ended() const
    {
        return time >= r.heads + r.lag * (2 * p.steps - 1);
    }

    /* Tasks of a stage of one head. */
    __device__ int tasks_of(int stage) const
    {
        return stage % 2 != 0 ? p.columns : p.groups;
    }

    __device__ void advance(int count)
    {
        index += count;
        while (!ended()) {
            const int head = time - r.lag * stage;
            if (head >= 0 && head < r.heads) {
                if (index < tasks_of(stage))
                    return;
                index -= tasks_of(stage);
            }
            if (++stage == 2 * p.steps) {
                stage = 0;
                time++;
            }
        }
    }

    __device__ ring_task task() const
    {
        const unsigned head = time - r.lag * stage, turn = head / (unsigned)r.slots;
        return {stage, (int)head, index, (int)(head - turn * r.slots), (int)turn};
    }

    __device__ bool is_last(const ring_task &task) const /* of its kind */
    {
        return task.step() == p.steps - 1;
    }
};

/* What a kernel with fp8 intermediates hands on of a row beside the row: cL in units of log2, and
   of aL/s and y the power of two, the exponent's bits of f32: those of aL/s in the lowest 8. */
struct alignas(8) ring_terms {
    float entropy;
    uint32_t exponents;
};

/* The workspace: counters of tasks done, then slots; see layout.h. */
struct ring_workspace {
    const mn_stage_params &p;
    const mn_ring_params &r;

    __device__ char *base() const
    {
        return reinterpret_cast<char *>(p.operand[MN_OPERAND_STATS].address);
    }

    /* Tasks of `stage` done of the heads that had this slot so far. */
    __device__ uint32_t *counter(int stage, int slot) const
    {
        return reinterpret_cast<uint32_t *>(base()) + stage * r.slots + slot;
    }

    /* Numbers of the tensors of a slot. */
    __device__ int key_means(int step) const
    {
        return step;
    }

    __device__ int query_means(int step) const
    {
        return p.steps + step;
    }

    __device__ int value_means() const
    {
        return 2 * p.steps - 1;
    }

    __device__ char *tensor(int slot, int number) const
    {
        return base() + r.counter_bytes + slot * r.slot_bytes + number * r.tensor_bytes;
    }

    /* With fp8 intermediates behind the one tensor: of a position in all blocks. */
    __device__ ring_terms *terms(int slot, int position) const
    {
        return reinterpret_cast<ring_terms *>(tensor(slot, 1)) +
               (int64_t)position * mn_panel_rows(p.groups);
    }

    /* cL of a position in all blocks. */
    __device__ float *entropy(int slot, int step, int position) const
    {
        return reinterpret_cast<float *>(tensor(slot, 2 * p.steps)) +
               ((int64_t)step * p.columns + position) * mn_panel_rows(p.groups);
    }
};

/* One stage of the pipeline in shared memory. */
struct ring_stage {
    char *queries, *columns, *values; /* panels; `columns`: keys, or means of keys */
    float *bias;                      /* of each column: cL, or +inf for one that is absent */
    float *off;   /* LEFT: of each query two terms to take off, one `side` apart; or ring_terms */
    int *present; /* by warp: whether any column is there; then whether any query is */
    ring_task *task; /* its stage is -1 behind the last one */
};

/* The shared memory of a work-group. */
struct ring_memory {
    char *base;
    const mn_ring_params &r;

    template <int PANELS> __device__ ring_stage stage(int index) const
    {
        ring_stage s;
        s.queries = base + index * r.stage_bytes;
        s.columns = s.queries + PANELS * panel();
        s.values = s.columns + PANELS * panel();
        s.bias = reinterpret_cast<float *>(s.values + PANELS * panel());
        s.off = s.bias + r.side;
        s.present = reinterpret_cast<int *>(s.off + 2 * r.side);
        s.task = reinterpret_cast<ring_task *>(s.present + 4);
        return s;
    }

    __device__ int panel() const /* bytes */
    {
        return r.side * MN_PANEL_ROW;
    }

    __device__ uint64_t *full(int index) const /* a task's operands are there */
    {
        return reinterpret_cast<uint64_t *>(base + r.stages * r.stage_bytes) + index;
    }

    __device__ uint64_t *done(int index) const /* its results are stored */
    {
        return full(r.stages + index);
    }

    __device__ uint64_t *normalised(int index) const /* LEFT: all terms `off` are there */
    {
        return full(2 * r.stages + index);
    }

    /* In its place with fp8 intermediates, T = 1: what is to be converted is there, if anything. */
    __device__ uint64_t *raw(int index) const
    {
        return normalised(index);
    }

    __device__ uint64_t *counting() const /* counters of all work-groups are ready */
    {
        return full(3 * r.stages);
    }

    /* The bias of a block's columns where none is masked: of the first, an inner, the last block.
     */
    __device__ float *block_bias(int which) const
    {
        return reinterpret_cast<float *>(base + r.stages * r.stage_bytes + 256) + which * r.side;
    }
};

#endif
