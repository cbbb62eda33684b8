/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_MEMORY_CUH
#define MN_CUDA_CLUSTER_MEMORY_CUH

#include "shaders/cuda/panel_rows.cuh"
#include "shaders/cuda/ptx/barrier.cuh"
#include "shaders/cuda/ptx/cluster.cuh"
#include "shaders/cuda/wgmma.cuh"

/* The shared memory of a cluster's work-groups, and the ways into it. */

/* Threads that share a group, and its barrier; there are up to 15 such teams. */
struct team {
    int number, warp, warps; /* the warp among those of the team */

    __device__ int thread() const
    {
        return warp * WARP + threadIdx.x % WARP;
    }

    __device__ void sync() const
    {
        if (warps == 1)
            __syncwarp();
        else
            barrier_of_warps(number + 1, warps * WARP);
    }
};

/* Starts to load rows 0 ... end - 1 into panels; those that are not there become 0. */
template <class E, int PANELS>
__device__ inline void load_team_rows(char *target, int pitch, const panel_rows &rows, int end,
                                      const team &team)
{
    constexpr int units = 8 * PANELS;
    const int unit = team.thread() % units, step = team.warps * WARP / units;
    const int bytes = rows.bytes - unit * VECTOR;
    char *to = target + unit / 8 * pitch;
    int row = team.thread() / units;
    const char *source = rows.base + row * rows.stride + unit * VECTOR;
#pragma unroll 1
    for (; row < end; row += step, source += step * rows.stride) {
        const int valid = rows.there(row) ? max(0, min(bytes, (int)VECTOR)) : 0;
        if (rows.vectors)
            copy_vector(to + panel_offset(row, unit % 8), valid > 0 ? source : rows.base, valid);
        else
            copy_elements<E>(to + panel_offset(row, unit % 8), source, valid);
    }
}

/* The last `count` of so many rows become zeros. */
template <int PANELS>
__device__ inline void clear_tail(char *panels, int rows, int count, int thread, int threads)
{
    for (int i = thread; i < PANELS * count * 8; i += threads) {
        const int panel = PANELS == 1 ? 0 : i / (count * 8);
        char *to = panels + (rows * (panel + 1) - count) * MN_PANEL_ROW;
        *reinterpret_cast<uint4 *>(to + (i - panel * count * 8) * VECTOR) = make_uint4(0, 0, 0, 0);
    }
}

/* One block's place in shared memory. */
struct cluster_slot {
    char *queries, *keys, *values;
};

/*
 * Who has what: block k and position j belong to the work-groups k and j modulo the size of the
 * cluster. A work-group works on its blocks in the RIGHT stages and sends each row of the results
 * to the work-group that has its position.
 */
template <int PANELS> struct cluster_memory {
    static constexpr int ROW = PANELS * MN_PANEL_ROW;

    const mn_stage_params &p;
    char *base;
    int rank, shift; /* among 1 << shift work-groups */

    __device__ cluster_memory(const mn_stage_params &params, char *memory)
        : p(params), base(memory), rank(cluster_rank()), shift(31 - __clz(cluster_size()))
    {
    }

    __device__ bool has_mask() const
    {
        return p.operand[MN_OPERAND_MASK].width > 0;
    }

    /* Rows of a block, and of a position, rounded up. */
    __device__ int block_rows() const
    {
        return mn_tile_rows(p.columns);
    }

    __device__ int position_rows() const
    {
        return mn_tile_rows(p.groups);
    }

    __device__ int share() const /* positions here, at most */
    {
        return p.columns + (1 << shift) - 1 >> shift;
    }

    __device__ int own(int local) const /* block or position */
    {
        return rank + (local << shift);
    }

    /* How many of `all` blocks or positions are here. */
    __device__ int count(int all) const
    {
        return all - rank + (1 << shift) - 1 >> shift;
    }

    __device__ int area() const
    {
        return share() * position_rows() * ROW;
    }

    __device__ cluster_slot slot(int index) const
    {
        const int matrix = block_rows() * ROW;
        cluster_slot s;
        s.queries = base + 3 * index * matrix;
        s.keys = s.queries + matrix;
        s.values = s.keys + matrix;
        return s;
    }

    /* The work-group that has a position, as where the start of its memory is seen from here. */
    __device__ uint32_t base_at(int position) const
    {
        return address_in(shared_address(base), position & (1 << shift) - 1);
    }

    /* What belongs to position number `local` of this work-group, row by row of a block. */
    __device__ char *means(int local) const
    {
        return base + p.stages * 3 * block_rows() * ROW + local * position_rows() * ROW;
    }

    __device__ char *results(int local) const
    {
        return means(local) + area();
    }

    __device__ char *queries(int local) const
    {
        return p.chunks ? results(local) + area() : base + local * position_rows() * ROW;
    }

    __device__ float *terms() const
    {
        return reinterpret_cast<float *>(means(0) + (p.chunks ? 3 : 2) * area());
    }

    /* Of each key: 0, or +inf if it is not there. Without a mask `index` is 0 for the first block,
       1 for an inner, 2 for the last one; else it is that of a slot. */
    __device__ float *absent(int index) const
    {
        return terms() + index * block_rows();
    }

    __device__ float *bias(int local) const /* cL of each block */
    {
        return absent(has_mask() ? p.stages : 3) + local * position_rows();
    }

    /* LEFT: two terms to take off the scores of each query, the second ones so much further. */
    __device__ float *off(int local) const
    {
        return bias(local) + second_terms();
    }

    __device__ int second_terms() const
    {
        return share() * position_rows();
    }

    /* Barriers. Of a slot: q and k are there, v is there. */
    __device__ uint64_t *full(int index) const
    {
        return reinterpret_cast<uint64_t *>(bias(0) + (p.steps > 1 ? 3 : 1) * second_terms()) +
               index;
    }

    __device__ uint64_t *values_full(int index) const
    {
        return full(p.stages + index);
    }

    /* Of a position: all that others send is there, its queries are. */
    __device__ uint64_t *sent(int local) const
    {
        return full(2 * p.stages + local);
    }

    __device__ uint64_t *queries_full(int local) const
    {
        return full(2 * p.stages + share() + local);
    }
};

#endif
