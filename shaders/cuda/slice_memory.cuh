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
 * A pipeline of units of 64 rows carries keys and values of blocks, and the queries of positions:
 * a matrix of 128 rows is two units, which lie side by side. Queries of blocks have places of
 * their own, as they are soon done with. Every unit is filled, and emptied, once in a turn.
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

template <int PANELS, int BLOCK, int BLOCKS, int SIZE> struct slice_memory {
    static constexpr int ROW = PANELS * MN_PANEL_ROW;
    static constexpr int SHARE = MN_SLICE_ROWS / SIZE;
    static constexpr int UNIT = MN_SLICE_ROWS * ROW, AREA = SHARE * BLOCKS * ROW;
    static constexpr int HERE = BLOCKS / SIZE; /* blocks of a work-group */
    static constexpr int BLOCK_UNITS = BLOCK / MN_SLICE_ROWS;
    static constexpr int POSITION_UNITS = BLOCKS / MN_SLICE_ROWS;
    static constexpr int UNITS = mn_slice_units(BLOCKS, PANELS, SIZE);
    static constexpr int QUERY_SLOTS = mn_slice_query_slots(BLOCKS, PANELS, SIZE);

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
        return unit(UNITS + index);
    }

    __device__ float *bias(int local) const /* cL of each block, divided by minus the scale */
    {
        return reinterpret_cast<float *>(queries(QUERY_SLOTS)) + local * BLOCKS;
    }

    __device__ uint64_t *full(int unit) const
    {
        return reinterpret_cast<uint64_t *>(bias(SHARE)) + unit;
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

    __device__ uint64_t *released() const /* all work-groups are done with a slice's positions */
    {
        return sent(SHARE);
    }
};

#endif
