/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_CLUSTER_CUH
#define TESTS_SOFT_CUDA_CLUSTER_CUH

#include "shaders/cuda/ptx/basic.cuh"

/* In place of shaders/cuda/ptx/cluster.cuh. */

static inline void cluster_arrive()
{
    soft::cluster_arrive();
}

static inline void cluster_arrive_and_release()
{
    soft::cluster_arrive();
}

static inline void cluster_wait()
{
    soft::cluster_wait();
}

static inline int cluster_size()
{
    return (int)soft::cluster_size();
}

static inline int cluster_rank()
{
    return (int)soft::cluster_rank();
}

static inline uint32_t address_in(uint32_t address, int rank)
{
    const uint32_t offset = address & ((1u << soft::OFFSET_BITS) - 1);
    return (uint32_t)(rank + 1) << soft::OFFSET_BITS | offset;
}

template <class T> static inline void soft_send(uint32_t address, const T &x, uint32_t barrier)
{
    char *to = soft::place_of(address, sizeof x), *place = soft::place_of(barrier, 8);
    if (address % sizeof x != 0 || address >> soft::OFFSET_BITS != barrier >> soft::OFFSET_BITS)
        soft::fail("st.async to a place that is not aligned, or not beside its barrier");
    const T value = x;
    soft::start_engine([=] {
        memcpy(to, &value, sizeof value);
        soft::mbarrier_complete(place, (int)sizeof value);
    });
}

static inline void send_bytes(uint32_t address, const uint4 &x, uint32_t barrier)
{
    soft_send(address, x, barrier);
}

static inline void send_bytes(uint32_t address, float x, uint32_t barrier)
{
    soft_send(address, x, barrier);
}

static inline void barrier_arrive_in(uint32_t barrier)
{
    soft::mbarrier_arrive(soft::place_of(barrier, 8));
}

static inline void barrier_arrive_in_after_reading(uint32_t barrier)
{
    barrier_arrive_in(barrier);
}

#endif
