/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_ELEMENT_CUH
#define MN_CUDA_ELEMENT_CUH

#include "shaders/cuda/ptx/basic.cuh"
#include "shaders/params.h"

/* The element types, and the instructions that differ between them. */

template <class E> struct element;

template <> struct element<__half> {
    static constexpr int dtype = MN_DTYPE_F16;
    static constexpr bool has_mma = true;

    static __device__ void mma(float (&d)[4], const fragment_a &a, uint32_t b0, uint32_t b1)
    {
        mma_f16(d, a, b0, b1);
    }

    static __device__ uint32_t pack(float low, float high)
    {
        __half2 pair = __floats2half2_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&pair);
    }
};

template <> struct element<__nv_bfloat16> {
    static constexpr int dtype = MN_DTYPE_BF16;
    static constexpr bool has_mma = true;

    static __device__ void mma(float (&d)[4], const fragment_a &a, uint32_t b0, uint32_t b1)
    {
        mma_bf16(d, a, b0, b1);
    }

    static __device__ uint32_t pack(float low, float high)
    {
        __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&pair);
    }
};

/* f32 stays on the ordinary multiply-add units: the matrix units would round it to 11 bits. */
template <> struct element<float> {
    static constexpr int dtype = MN_DTYPE_F32;
    static constexpr bool has_mma = false;
};

/*
 * Sums of f16 values weighted by rounded weights may come out a little above the largest f16: that
 * is the result then, not infinity. Values that are infinite stay so.
 */
template <class E, int N> __device__ inline void limit_overflow(float (&sums)[N][4])
{
    if constexpr (element<E>::dtype == MN_DTYPE_F16) {
        constexpr float limit = 65504.0f, rounding = 65504.0f * 1.001f;
        float largest = 0.0f;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                largest = fmaxf(largest, fabsf(sums[n][i]));
        if (largest > limit) {
            keep_apart(); /* rare: no selects for the others */
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (fabsf(sums[n][i]) < rounding)
                        sums[n][i] = fminf(fmaxf(sums[n][i], -limit), limit);
        }
    }
}

/*
 * Sums of 16 rows and 8 N columns as elements, in the order of matrices of 8 x 8 that stmatrix and
 * ldmatrix have: rows 0-7 and 8-15 of 8 columns, then of the next 8. Limited as above; whether they
 * must be is seen by what they became, which is half the work.
 */
template <class E, int N>
__device__ inline void pack_sums(float (&sums)[N][4], uint32_t (&x)[N / 2][4])
{
    __half2 largest = __half2half2(__ushort_as_half(0));
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const uint32_t pair = element<E>::pack(sums[n][2 * r], sums[n][2 * r + 1]);
            x[n / 2][n % 2 * 2 + r] = pair;
            if (element<E>::dtype == MN_DTYPE_F16)
                largest = __hmax2(largest, __habs2(*reinterpret_cast<const __half2 *>(&pair)));
        }
    /* The larger half is infinite if its bits are those of infinity. */
    const uint32_t bits = *reinterpret_cast<const uint32_t *>(&largest);
    const bool overflows = (bits & 0xffffu) == 0x7c00u || bits >> 16 == 0x7c00u;
    if (element<E>::dtype == MN_DTYPE_F16 && __builtin_expect(overflows, 0)) {
        limit_overflow<E>(sums);
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int r = 0; r < 2; r++)
                x[n / 2][n % 2 * 2 + r] = element<E>::pack(sums[n][2 * r], sums[n][2 * r + 1]);
    }
}

__device__ inline float infinity()
{
    return __int_as_float(0x7f800000);
}

static __device__ const float log2_e = 1.44269504088896341f;
static __device__ const float ln_2 = 0.693147180559945309f;

#endif
