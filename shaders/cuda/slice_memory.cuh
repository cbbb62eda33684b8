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

    __device__ void advance(int count, int units)
    {
        unit += count;
        if (unit >= units) {
            unit -= units;
            parity ^= 1;
        }
    }
};

template <int PANELS> struct slice_memory {
    static constexpr int ROW = PANELS * MN_PANEL_ROW;
    static constexpr int UNIT = MN_SLICE_ROWS * ROW;

    const mn_stage_params &p;
    const mn_ring_params &r;
    char *base;
    int rank, size; /* of the cluster */

    __device__ slice_memory(const mn_stage_params &params, const mn_ring_params &ring, char *memory)
        : p(params), r(ring), base(memory), rank(cluster_rank()), size(cluster_size())
    {
    }

    __device__ int share() const /* positions here */
    {
        return MN_SLICE_ROWS / size;
    }

    __device__ int blocks_here() const
    {
        return p.groups / size;
    }

    __device__ int block_units() const
    {
        return p.columns / MN_SLICE_ROWS;
    }

    __device__ int position_units() const
    {
        return p.groups / MN_SLICE_ROWS;
    }

    /* Block or position of the slice. */
    __device__ int own(int local) const
    {
        return rank + local * size;
    }

    /* Of position number `local` here, row by row of a block: aL/s, then y so much further. */
    __device__ char *means(int local) const
    {
        return base + local * p.groups * ROW;
    }

    __device__ int area() const
    {
        return share() * p.groups * ROW;
    }

    __device__ char *unit(int index) const
    {
        return base + 2 * area() + index * UNIT;
    }

    __device__ char *queries(int index) const
    {
        return unit(r.units + index);
    }

    __device__ float *bias(int local) const /* cL of each block, divided by minus the scale */
    {
        return reinterpret_cast<float *>(queries(r.query_slots)) + local * p.groups;
    }

    __device__ float *zeros() const /* the bias of a block's keys */
    {
        return bias(share());
    }

    __device__ uint64_t *full(int unit) const
    {
        return reinterpret_cast<uint64_t *>(zeros() + p.columns) + unit;
    }

    __device__ uint64_t *empty(int unit) const
    {
        return full(r.units + unit);
    }

    __device__ uint64_t *queries_empty(int index) const
    {
        return full(2 * r.units + index);
    }

    __device__ uint64_t *sent(int local) const /* all that others send to a position is there */
    {
        return full(2 * r.units + r.query_slots + local);
    }

    __device__ uint64_t *released() const /* all work-groups are done with a slice's positions */
    {
        return sent(share());
    }
};

#endif
