/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring.cuh"

/* Kernels ring_f16_64 and so on: element type, features. Those without `wide` take up to 128 blocks
   of up to 128 tokens, those with `whole` whole blocks alone. Up to 64 features leave registers for
   a third warpgroup that computes. */
#define MN_KERNEL(name, type, panels, groups, narrow, whole)                                       \
    extern "C" __global__ void __launch_bounds__((groups + 1) * WARPGROUP, 1)                      \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        ring<type, panels, groups, narrow, whole>(p, r);                                           \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(ring_##name##_64, type, 1, 3, true, false)                                           \
    MN_KERNEL(ring_##name##_128, type, 2, 2, true, false)                                          \
    MN_KERNEL(ring_wide_##name##_64, type, 1, 3, false, false)                                     \
    MN_KERNEL(ring_wide_##name##_128, type, 2, 2, false, false)                                    \
    MN_KERNEL(ring_whole_##name##_64, type, 1, 3, true, true)                                      \
    MN_KERNEL(ring_whole_##name##_128, type, 2, 2, true, true)                                     \
    MN_KERNEL(ring_wide_whole_##name##_64, type, 1, 3, false, true)                                \
    MN_KERNEL(ring_wide_whole_##name##_128, type, 2, 2, false, true)

MN_KERNELS_OF_TYPE(f16, __half)
MN_KERNELS_OF_TYPE(bf16, __nv_bfloat16)
