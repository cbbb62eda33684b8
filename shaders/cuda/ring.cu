/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring.cuh"

/* Kernels ring_f16_64 and so on: element type, features. Those without `wide` take up to 128 blocks
   of up to 128 tokens. Up to 64 features leave registers for a third warpgroup that computes. */
#define MN_KERNEL(name, type, panels, groups, narrow)                                              \
    extern "C" __global__ void __launch_bounds__((groups + 1) * WARPGROUP, 1)                      \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        ring<type, panels, groups, narrow>(p, r);                                                  \
    }

MN_KERNEL(ring_f16_64, __half, 1, 3, true)
MN_KERNEL(ring_bf16_64, __nv_bfloat16, 1, 3, true)
MN_KERNEL(ring_f16_128, __half, 2, 2, true)
MN_KERNEL(ring_bf16_128, __nv_bfloat16, 2, 2, true)
MN_KERNEL(ring_wide_f16_64, __half, 1, 3, false)
MN_KERNEL(ring_wide_bf16_64, __nv_bfloat16, 1, 3, false)
MN_KERNEL(ring_wide_f16_128, __half, 2, 2, false)
MN_KERNEL(ring_wide_bf16_128, __nv_bfloat16, 2, 2, false)
