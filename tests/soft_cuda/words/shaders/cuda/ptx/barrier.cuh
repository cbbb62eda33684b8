/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_BARRIER_CUH
#define TESTS_SOFT_CUDA_BARRIER_CUH

#include "../../../../boxes.h"
#include "shaders/cuda/ptx/basic.cuh"

/* In place of shaders/cuda/ptx/barrier.cuh. */

static inline char *soft_place(uint64_t *barrier)
{
    return soft::place_of(soft::address_of(barrier), 8);
}

static inline void barrier_start(uint64_t *barrier, int arrivals)
{
    soft::mbarrier_start(soft_place(barrier), arrivals);
}

static inline void barrier_arrive(uint64_t *barrier)
{
    soft::mbarrier_arrive(soft_place(barrier));
}

static inline void barrier_arrive_after_copies(uint64_t *barrier)
{
    char *place = soft_place(barrier);
    soft::after_copies([=] { soft::mbarrier_arrive(place); });
}

static inline void barrier_wait(uint64_t *barrier, int parity)
{
    soft::mbarrier_wait(soft_place(barrier), parity);
}

static inline void barrier_wait_cluster(uint64_t *barrier, int parity)
{
    barrier_wait(barrier, parity);
}

static inline void barriers_are_started()
{
}

static inline void barrier_arrive_expecting(uint64_t *barrier, int bytes)
{
    soft::mbarrier_expect(soft_place(barrier), bytes);
    soft::mbarrier_arrive(soft_place(barrier));
}

static inline uint64_t policy_last_use()
{
    return 0;
}

static inline uint64_t policy_used_again()
{
    return 0;
}

static inline uint64_t policy_keep()
{
    return 0;
}

static inline void store_hinted(void *to, const uint4 &x, uint64_t)
{
    *static_cast<uint4 *>(to) = x;
}

/* NaN, in all types. */
static inline void discard_line(void *line)
{
    if ((uintptr_t)line % 128 != 0)
        soft::fail("discards a line that does not begin at a multiple of 128");
    memset(line, 0xff, 128);
}

static inline void copy_box(char *target, const void *map, uint64_t *barrier, uint64_t, int feature,
                            int x, int y, int head, int batch)
{
    const soft::box box = soft::box_of(map, {feature, x, y, head, batch});
    char *to = soft::place_of(soft::address_of(target), box.bytes), *place = soft_place(barrier);
    const uint32_t offset = soft::address_of(target);
    soft::start_engine([=] {
        soft::copy_box(to, offset, box);
        soft::mbarrier_complete(place, (int)box.bytes);
    });
}

static inline void copy_bytes(void *target, const void *source, int bytes, uint64_t *barrier)
{
    char *to = soft::place_of(soft::address_of(target), (unsigned)bytes);
    char *place = soft_place(barrier);
    if (((uintptr_t)target | (uintptr_t)source | (uintptr_t)bytes) % 16 != 0)
        soft::fail("a bulk copy that does not begin and end at multiples of 16");
    soft::start_engine([=] {
        memcpy(to, source, (size_t)bytes);
        soft::mbarrier_complete(place, bytes);
    });
}

static inline void fence_for_copies()
{
}

static inline void counter_add(uint32_t *counter)
{
    ++*counter;
    soft::has_changed(counter);
}

static inline void counter_wait(const uint32_t *counter, uint32_t target)
{
    while ((int32_t)(*counter - target) < 0)
        soft::wait_for_change(counter);
}

static inline uint32_t grid_arrive()
{
    soft::grid_arrive();
    return 0;
}

static inline void grid_wait(uint32_t)
{
    soft::grid_wait();
}

#endif
