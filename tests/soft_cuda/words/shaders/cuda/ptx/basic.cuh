/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_BASIC_CUH
#define TESTS_SOFT_CUDA_BASIC_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "../../../../products.h"

/* In place of shaders/cuda/ptx/basic.cuh. */

static inline void let_next_launch_begin()
{
}

static inline void wait_for_launches_ahead()
{
}

template <int ALIGNMENT> static inline char *dynamic_memory()
{
    return soft::memory();
}

static inline uint32_t shared_address(const void *pointer)
{
    return soft::address_of(pointer);
}

/* 16 bytes, `valid` of them from the source. */
static inline void copy_vector(char *target, const char *source, int valid = 16)
{
    soft::place_of(soft::address_of(target), 16);
    if (((uintptr_t)target | (uintptr_t)source) % 16 != 0)
        soft::fail("cp.async of 16 bytes that do not begin at a multiple of 16");
    soft::start_copy([=] {
        memcpy(target, source, (size_t)valid);
        memset(target + valid, 0, 16 - (size_t)valid);
    });
}

static inline void copies_commit()
{
    soft::commit_copies();
}

template <int N> static inline void copies_wait()
{
    soft::wait_for_copies(N);
}

static inline void prefetch(const char *)
{
}

static inline void load_matrices(uint32_t (&x)[4], uint32_t address)
{
    soft::load_matrices(x, address, false);
}

static inline void load_matrices_transposed(uint32_t (&x)[4], uint32_t address)
{
    soft::load_matrices(x, address, true);
}

static inline void store_matrices(uint32_t address, const uint32_t (&x)[4])
{
    soft::store_matrices(address, x);
}

struct fragment_a {
    uint32_t x[4];
};

static inline void mma_f16(float (&d)[4], const fragment_a &a, uint32_t b0, uint32_t b1)
{
    soft::multiply(soft::type::f16, d, a.x, b0, b1);
}

static inline void mma_bf16(float (&d)[4], const fragment_a &a, uint32_t b0, uint32_t b1)
{
    soft::multiply(soft::type::bf16, d, a.x, b0, b1);
}

/* Numbers below the normal ones become 0. */
static inline float soft_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

static inline float exp2_fast(float x)
{
    return soft_flush(exp2f(soft_flush(x)));
}

static inline float log2_fast(float x)
{
    return log2f(soft_flush(x));
}

static inline float reciprocal_fast(float x)
{
    return soft_flush(1.0f / soft_flush(x));
}

static inline void barrier_of_warps(int number, int threads)
{
    soft::barrier(number, (unsigned)threads, false);
}

static inline void keep_apart()
{
}

#endif
