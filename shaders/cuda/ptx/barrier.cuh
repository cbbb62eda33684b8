/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_PTX_BARRIER_CUH
#define MN_CUDA_PTX_BARRIER_CUH

#include <cooperative_groups.h>

#include "shaders/cuda/ptx/basic.cuh"

/*
 * Barriers in shared memory (sm_90): each counts arrivals; with the last one expected a phase ends
 * and the next begins. Whoever waits says which phase by its parity, and must have seen each phase
 * end before the next one can.
 */

__device__ inline void barrier_start(uint64_t *barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(arrivals)
                 : "memory");
}

__device__ inline void barrier_arrive(uint64_t *barrier)
{
    asm volatile(
        "mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
        : "memory");
}

/* Arrives when the copies that this thread has started so far are done. */
__device__ inline void barrier_arrive_after_copies(uint64_t *barrier)
{
    asm volatile(
        "cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier))
        : "memory");
}

__device__ inline bool barrier_ended(uint64_t *barrier, int parity)
{
    uint32_t ended;
    asm volatile("{\n.reg .pred p;\n"
                 "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2;\n"
                 "selp.u32 %0, 1, 0, p;\n}\n"
                 : "=r"(ended)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
    return ended != 0;
}

__device__ inline void barrier_wait(uint64_t *barrier, int parity)
{
    while (!barrier_ended(barrier, parity)) {
    }
}

/* The same where threads of other work-groups of the cluster end the phase. */
__device__ inline void barrier_wait_cluster(uint64_t *barrier, int parity)
{
    uint32_t ended;
    do
        asm volatile("{\n.reg .pred p;\n"
                     "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n}\n"
                     : "=r"(ended)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    while (!ended);
}

/* Makes barriers that this thread has started known to the cluster and the copy engine. */
__device__ inline void barriers_are_started()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/* Arrives, and lets the phase wait for so many bytes of the copy engine's. */
__device__ inline void barrier_arrive_expecting(uint64_t *barrier, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

/* How the L2 cache treats what is read for the last time, what is read again, and what should stay
   until it was. */
__device__ inline uint64_t policy_last_use()
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

__device__ inline uint64_t policy_used_again()
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

__device__ inline uint64_t policy_keep()
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

/* Stores 16 bytes, and says how the cache should treat them. */
__device__ inline void store_hinted(void *to, const uint4 &x, uint64_t policy)
{
    asm volatile("st.global.L2::cache_hint.v4.b32 [%0], {%1, %2, %3, %4}, %5;" ::"l"(to), "r"(x.x),
                 "r"(x.y), "r"(x.z), "r"(x.w), "l"(policy)
                 : "memory");
}

/* The 128 bytes at an address that is a multiple of 128 hold nothing any more: what the L2 cache
   has of them need not go to memory. */
__device__ inline void discard_line(void *line)
{
    asm volatile("discard.global.L2 [%0], 128;" ::"l"(line) : "memory");
}

/* Starts to copy a box of a tensor; `map` describes both. Elements outside the tensor become 0. */
__device__ inline void copy_box(char *target, const void *map, uint64_t *barrier, uint64_t policy,
                                int feature, int x, int y, int head, int batch)
{
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".L2::cache_hint [%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;" ::"r"(shared_address(target)),
        "l"(map), "r"(shared_address(barrier)), "r"(feature), "r"(x), "r"(y), "r"(head), "r"(batch),
        "l"(policy)
        : "memory");
}

/* Starts to copy bytes, a multiple of 16 as are both addresses. */
__device__ inline void copy_bytes(void *target, const void *source, int bytes, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(shared_address(target)),
                 "l"(source), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}

/* Between what others wrote to global memory and the copy engine's reading of it. */
__device__ inline void fence_for_copies()
{
    asm volatile("fence.proxy.async.global;" ::: "memory");
}

/* Counters in global memory, by which work-groups tell each other what is done. */

/* Adds one when all that this thread has seen done is visible to the whole device. */
__device__ inline void counter_add(uint32_t *counter)
{
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

/* Waits for a counter that only grows, and may wrap, to reach `target`. */
__device__ inline void counter_wait(const uint32_t *counter, uint32_t target)
{
    for (;;) {
        uint32_t value;
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
        if ((int32_t)(value - target) >= 0)
            return;
        __nanosleep(20);
    }
}

/*
 * The barrier that comes with a cooperative launch, in two halves, each by one thread of every
 * work-group: what was written before arriving is seen after waiting. A launch may use it once.
 * Both halves of CUDA's own wait for all threads of the work-group. As there, the first work-group
 * adds what turns the highest bit when all others have added 1.
 */
__device__ inline uint32_t *grid_counter()
{
    return &cooperative_groups::details::get_grid_workspace()->barrier;
}

__device__ inline uint32_t grid_arrive()
{
    const uint32_t share = blockIdx.x == 0 ? 0x80000000u - (gridDim.x - 1) : 1;
    uint32_t before;
    asm volatile("atom.add.release.gpu.global.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(grid_counter()), "r"(share)
                 : "memory");
    return before;
}

__device__ inline void grid_wait(uint32_t before)
{
    uint32_t now;
    do
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
                     : "=r"(now)
                     : "l"(grid_counter())
                     : "memory");
    while (((now ^ before) & 0x80000000u) == 0);
}

#endif
