/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_E4M3_CUH
#define TESTS_SOFT_CUDA_E4M3_CUH

#include "shaders/cuda/ptx/basic.cuh"

/* In place of shaders/cuda/ptx/e4m3.cuh. */

static inline uint32_t pack_e4m3(float low, float high)
{
    return test_e4m3_from_float(low) | (uint32_t)test_e4m3_from_float(high) << 8;
}

static inline __half2 unpack_e4m3(uint32_t pair)
{
    return __floats2half2_rn(test_e4m3_to_float(pair & 0xff), test_e4m3_to_float(pair >> 8 & 0xff));
}

#endif
