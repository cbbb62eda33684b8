/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_MEMORY_CUH
#define MN_CUDA_SLICE_MEMORY_CUH

#include "shaders/cuda/panel_rows.cuh"
#include "shaders/cuda/ptx/barrier.cuh"
#include "shaders/cuda/ptx/cluster.cuh"
#include "shaders/cuda/ring.h"
#include "shaders/cuda/wgmma.cuh"

/*
 * The shared memory of a cluster's work-groups in the slice kernel; see layout.h.
 *
 * A pipeline of units carries keys and values of blocks, and the queries of positions: of units of
 * 64 rows, WHOLE, a matrix of 128 is two, which lie side by side, else each matrix has one. Queries
 * of blocks have places of their own, as they are soon done with. Every unit is filled, and
 * emptied, once in a turn. In pairs all this is otherwise, see slice_pairs.cuh.
 *
 * Unless WHOLE, BLOCK and BLOCKS are but the rows that there is room for. Products are of all of
 * them, so those of keys and values behind a block come as zeros, and aL/s and y of blocks behind
 * the last one become zeros once, as nobody writes there. Their biases leave no weight to them.
 *
 * With SEVERAL steps the place of y has before what LEFT sends back, aR/cR of the work-group's
 * blocks.
 */

/* A place in the pipeline: a unit, and whether turns so far are odd. */
struct slice_cursor {
    int unit, parity;

    template <int UNITS> __device__ void advance(int count)
    {
        unit += count;
        if (unit >= UNITS) {
            unit -= UNITS;
            parity ^= 1;
        }
    }
};

template <int PANELS_, int BLOCK_, int BLOCKS_, int SIZE_, bool WHOLE_, bool SEVERAL_ = false>
struct slice_memory {
    static constexpr int PANELS = PANELS_, BLOCK = BLOCK_, BLOCKS = BLOCKS_, SIZE = SIZE_;
    static constexpr bool WHOLE = WHOLE_, SEVERAL = SEVERAL_;
    static constexpr mn_slice_extents extents = {BLOCK, BLOCKS, PANELS, SIZE, WHOLE, SEVERAL};
    static constexpr int GROUPS = mn_slice_groups(extents); /* warpgroups that compute */
    static constexpr int ROWS = mn_slice_rows(extents), ROW = PANELS * MN_PANEL_ROW;
    static constexpr int SHARE = ROWS / SIZE;                       /* positions of a work-group */
    static constexpr int TEAM = mn_slice_in_pairs(extents) ? 2 : 1; /* share a block */
    static constexpr int UNIT_ROWS = mn_slice_unit_rows(extents);
    static constexpr int UNIT = UNIT_ROWS * ROW, AREA = SHARE * BLOCKS * ROW;
    static constexpr int BLOCK_UNITS = WHOLE ? BLOCK / UNIT_ROWS : 1;
    static constexpr int POSITION_UNITS = WHOLE ? BLOCKS / UNIT_ROWS : 1;
    static constexpr int UNITS = mn_slice_units(extents);
    static constexpr int QUERY_SLOTS = mn_slice_query_slots(extents);

    char *base;
    int rank; /* in the cluster */

    __device__ explicit slice_memory(char *memory) : base(memory), rank(cluster_rank())
    {
    }

    /* Block or position of the slice. */
    __device__ int own(int local) const
    {
        return rank + local * SIZE;
    }

    /* How many of the blocks are this work-group's. */
    __device__ int blocks(const mn_stage_params &p) const
    {
        return WHOLE ? BLOCKS / SIZE : (p.groups - rank + SIZE - 1) / SIZE;
    }

    /* Of position number `local` here, row by row of a block: aL/s, then y so much further. */
    __device__ char *means(int local) const
    {
        return base + local * BLOCKS * ROW;
    }

    __device__ char *unit(int index) const
    {
        return base + 2 * AREA + index * UNIT;
    }

    __device__ char *queries(int index) const
    {
        return unit(UNITS) + index * ROWS * ROW;
    }

    __device__ float *bias(int local) const /* cL of each block, divided by minus the scale */
    {
        return reinterpret_cast<float *>(queries(QUERY_SLOTS)) + local * BLOCKS;
    }

    /* Unless WHOLE: of the keys of the first, an inner and the last block. */
    __device__ float *key_bias(int which) const
    {
        return bias(SHARE) + which * BLOCK;
    }

    /* With SEVERAL steps: of LEFT, by one warpgroup. */
    __device__ float *terms(int group) const
    {
        return bias(SHARE) + group * 2 * BLOCKS;
    }

    __device__ uint64_t *full(int unit) const
    {
        return reinterpret_cast<uint64_t *>(bias(SHARE) + mn_slice_terms(extents)) + unit;
    }

    __device__ uint64_t *empty(int unit) const
    {
        return full(UNITS + unit);
    }

    __device__ uint64_t *queries_empty(int index) const
    {
        return full(2 * UNITS + index);
    }

    __device__ uint64_t *sent(int local) const /* all that others send to a position is there */
    {
        return full(2 * UNITS + QUERY_SLOTS + local);
    }

    /* By a step to a position. */
    __device__ static int sent_bytes(const mn_stage_params &p, bool with_values = true)
    {
        return (WHOLE ? BLOCKS : p.groups) * ((with_values ? 2 : 1) * ROW + 4);
    }

    __device__ uint64_t *released() const /* all work-groups are done with a slice's positions */
    {
        return sent(SHARE);
    }

    /* With SEVERAL steps. */
    __device__ uint64_t *consumed() const /* nobody needs again what LEFT sent to blocks */
    {
        return sent(SHARE + 1);
    }

    __device__ uint64_t *returned(int local) const /* all that LEFT sends to a block is there */
    {
        return sent(SHARE + 2 + local);
    }

    __device__ char *query_means(int local) const /* aR/cR of a block */
    {
        return base + AREA + local * ROWS * ROW;
    }
};

#endif
