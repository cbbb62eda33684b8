/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_WGMMA_CUH
#define TESTS_SOFT_CUDA_WGMMA_CUH

#include "shaders/cuda/ptx/basic.cuh"

/* In place of shaders/cuda/ptx/wgmma.cuh. */

static inline void wgmma_begin()
{
}

static inline void wgmma_end()
{
}

static inline void fence_for_wgmma()
{
}

template <int REGISTERS> static inline void take_registers()
{
}

template <int REGISTERS> static inline void give_registers()
{
}

template <class E> struct soft_type;

template <> struct soft_type<__half> {
    static constexpr soft::type value = soft::type::f16;
};

template <> struct soft_type<__nv_bfloat16> {
    static constexpr soft::type value = soft::type::bf16;
};

template <class E> struct warpgroup {
    static constexpr soft::type type = soft_type<E>::value;

    template <int N> static void scores(float (&d)[N][4], uint64_t a, uint64_t b, int add)
    {
        soft::multiply_group(type, d, N, nullptr, a, b, false, add != 0);
    }

    static void sums(float (&d)[8][4], const fragment_a &a, uint64_t b, int add)
    {
        soft::multiply_group(type, d, 8, a.x, 0, b, true, add != 0);
    }
};

#endif
