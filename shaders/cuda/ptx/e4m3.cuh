/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_PTX_E4M3_CUH
#define MN_CUDA_PTX_E4M3_CUH

#include "shaders/cuda/ptx/basic.cuh"

/* Numbers of 8 bits, e4m3 (sm_89 and later). */

/* Two of them in 16 bits, to nearest even; what exceeds 448 becomes that. */
__device__ inline uint32_t pack_e4m3(float low, float high)
{
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
}

/* The two in the lower 16 bits as f16. */
__device__ inline __half2 unpack_e4m3(uint32_t pair)
{
    uint32_t x;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(x) : "h"((uint16_t)pair));
    return *reinterpret_cast<__half2 *>(&x);
}

#endif
