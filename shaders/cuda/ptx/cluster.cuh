/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_PTX_CLUSTER_CUH
#define MN_CUDA_PTX_CLUSTER_CUH

#include "shaders/cuda/ptx/basic.cuh"

/* Clusters (sm_90): work-groups that reach each other's shared memory. */

/* A barrier of all threads of all work-groups of the cluster, in two halves. With `release` what
   they wrote before it is seen behind it, which takes longer. */
__device__ inline void cluster_arrive()
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

__device__ inline void cluster_arrive_and_release()
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

/* Stores, and then tells the barrier there how many bytes came. */
__device__ inline void send_bytes(uint32_t address, const uint4 &x, uint32_t barrier)
{
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 "
                 "[%0], {%1, %2, %3, %4}, [%5];" ::"r"(address),
                 "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w), "r"(barrier)
                 : "memory");
}

__device__ inline void send_bytes(uint32_t address, float x, uint32_t barrier)
{
    asm volatile(
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(
            address),
        "r"(__float_as_uint(x)), "r"(barrier)
        : "memory");
}

/* Arrives at a barrier of another work-group when what this thread read and wrote is done. */
__device__ inline void barrier_arrive_in(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(barrier)
                 : "memory");
}

/* The same for what this thread's warp has read and has the values of: stores under way are not
   waited for. What another work-group writes when it has seen this comes after those reads, which
   the warp has done in order. */
__device__ inline void barrier_arrive_in_after_reading(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.release.cta.shared::cluster.b64 _, [%0];" ::"r"(barrier)
                 : "memory");
}

#endif
