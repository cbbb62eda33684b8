/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring.cuh"

/* Kernels ring_fp8_f16_64 and so on, as in ring.cu: whole blocks of up to 128 tokens, T = 1, fp8
   intermediates. Those without `wide` take up to 128 blocks. */
#define MN_KERNEL(name, type, panels, groups, narrow)                                              \
    extern "C" __global__ void __launch_bounds__((groups + 1) * WARPGROUP, 1)                      \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        ring<type, panels, groups, narrow, true, true>(p, r);                                      \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(ring_fp8_##name##_64, type, 1, 3, true)                                              \
    MN_KERNEL(ring_fp8_##name##_128, type, 2, 2, true)                                             \
    MN_KERNEL(ring_fp8_wide_##name##_64, type, 1, 3, false)                                        \
    MN_KERNEL(ring_fp8_wide_##name##_128, type, 2, 2, false)

MN_KERNELS_OF_TYPE(f16, __half)
MN_KERNELS_OF_TYPE(bf16, __nv_bfloat16)
