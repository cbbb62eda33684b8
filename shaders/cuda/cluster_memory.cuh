/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_CLUSTER_MEMORY_CUH
#define MN_CUDA_CLUSTER_MEMORY_CUH

#include "shaders/cuda/panel_rows.cuh"
#include "shaders/cuda/stage.cuh"
#include "shaders/cuda/wgmma.cuh"

/* The shared memory of a cluster's work-groups, and the ways into it. */

/* All threads of all work-groups of the cluster; what they wrote before it is seen behind it. */
__device__ inline void cluster_arrive()
{
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

__device__ inline void cluster_wait()
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

__device__ inline int cluster_size()
{
    uint32_t size;
    asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(size));
    return (int)size;
}

__device__ inline int cluster_rank()
{
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctaid.x;" : "=r"(rank));
    return (int)rank;
}

/* The address that a place in this work-group's memory has in that of another. */
__device__ inline uint32_t address_in(uint32_t address, int rank)
{
    uint32_t there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}

__device__ inline void store_there(uint32_t address, const uint4 &x)
{
    asm volatile("st.shared::cluster.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(x.x),
                 "r"(x.y), "r"(x.z), "r"(x.w)
                 : "memory");
}

__device__ inline void store_there(uint32_t address, float x)
{
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(x) : "memory");
}

/* Rows of ROW bytes, 128 or 256, begin at multiples of ROW; the 16-byte units of each 128 bytes are
   exchanged as in panels. */
template <int ROW> __device__ inline int row_offset(int row, int byte)
{
    return row * ROW + (byte ^ (row & 7) << 4);
}

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
            asm volatile("bar.sync %0, %1;" ::"r"(number + 1), "r"(warps * WARP) : "memory");
    }
};

/* Starts to load rows 0 ... end - 1; those that are not there become 0. */
template <class E, int ROW>
__device__ inline void load_team_rows(char *target, const panel_rows &rows, int end,
                                      const team &team)
{
    constexpr int units = ROW / VECTOR;
    const int unit = team.thread() % units * VECTOR, step = team.warps * WARP / units;
    const int bytes = rows.bytes - unit;
    int row = team.thread() / units;
    const char *source = rows.base + row * rows.stride + unit;
    if (rows.vectors && rows.bytes == ROW && rows.there.mask == nullptr && rows.there.begin == 0)
#pragma unroll 4
        for (; row < rows.there.end; row += step, source += step * rows.stride)
            copy_vector(target + row_offset<ROW>(row, unit), source);
#pragma unroll 1
    for (; row < end; row += step, source += step * rows.stride) {
        const int valid = rows.there(row) ? max(0, min(bytes, (int)VECTOR)) : 0;
        char *to = target + row_offset<ROW>(row, unit);
        if (rows.vectors)
            copy_vector(to, valid > 0 ? source : rows.base, valid);
        else
            copy_elements<E>(to, source, valid);
    }
}

/* One block's place in shared memory. */
struct cluster_slot {
    char *queries, *keys, *values;
    float *absent; /* of each key: 0, or +inf if it is not there */
};

/*
 * Who has what: block k and position j belong to the work-groups k and j modulo the size of the
 * cluster. A work-group works on its blocks in the RIGHT stages and sends each row of the results
 * to the work-group that has its position.
 */
template <int ROW> struct cluster_memory {
    const mn_stage_params &p;
    char *base;
    int rank, size, shift; /* size: 1 << shift */

    __device__ cluster_memory(const mn_stage_params &params, char *memory)
        : p(params), base(memory), rank(cluster_rank()), size(cluster_size()),
          shift(31 - __clz(size))
    {
    }

    __device__ int block_rows() const
    {
        return mn_tile_rows(p.columns);
    }

    __device__ int position_rows() const
    {
        return mn_tile_rows(p.groups);
    }

    __device__ int area() const
    {
        return mn_cluster_area_bytes(p.groups, p.columns, size, ROW);
    }

    /* How many of `all` blocks or positions are here. */
    __device__ int share(int all) const
    {
        return (all - rank + size - 1) >> shift;
    }

    __device__ cluster_slot slot(int index) const
    {
        const int matrix = block_rows() * ROW;
        cluster_slot s;
        s.queries = base + 3 * index * matrix;
        s.keys = s.queries + matrix;
        s.values = s.keys + matrix;
        s.absent = terms() + index * block_rows();
        return s;
    }

    /* Where the work-group of a position has what is at `address` for its position number 0. */
    __device__ uint32_t at_position(uint32_t address, int position, int bytes) const
    {
        return address_in(address + (position >> shift) * bytes, position & (size - 1));
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

    __device__ float *bias(int local) const /* cL of each block */
    {
        return terms() + p.stages * block_rows() + local * position_rows();
    }

    /* LEFT: two terms to take off the scores of each query, the second ones `area() / ROW` on. */
    __device__ float *off(int local) const
    {
        return bias(local) + area() / ROW;
    }
};

#endif
