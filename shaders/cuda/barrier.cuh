/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_BARRIER_CUH
#define MN_CUDA_BARRIER_CUH

#include "shaders/cuda/operand.cuh"

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

/* Counters in global memory, by which work-groups tell each other what is done. */

__device__ inline uint32_t counter_read(const uint32_t *counter)
{
    uint32_t value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
    return value;
}

/* Adds one when all that this thread has seen done is visible to the whole device. */
__device__ inline void counter_add(uint32_t *counter)
{
    __threadfence();
    asm volatile("red.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

/* Waits for a counter that only grows to reach `target`; it may have wrapped. */
__device__ inline void counter_wait(const uint32_t *counter, uint32_t target)
{
    while ((int32_t)(counter_read(counter) - target) < 0)
        __nanosleep(20);
}

#endif
