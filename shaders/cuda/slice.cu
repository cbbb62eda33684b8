/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/slice.cuh"

/* Kernels slice_f16_64_128_64 and so on: element type, features, tokens of a block, blocks. */
#define MN_KERNEL(name, type, panels, groups, block, blocks)                                       \
    extern "C" __global__ void __launch_bounds__((groups + 1) * WARPGROUP, 1)                      \
        name##_##block##_##blocks(const __grid_constant__ mn_stage_params p,                       \
                                  const __grid_constant__ mn_ring_params r)                        \
    {                                                                                              \
        slice<type, panels, groups, block, blocks>(p, r);                                          \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(name##_64, type, 1, 4, 64, 64)                                                       \
    MN_KERNEL(name##_64, type, 1, 4, 128, 64)                                                      \
    MN_KERNEL(name##_64, type, 1, 4, 64, 128)                                                      \
    MN_KERNEL(name##_64, type, 1, 4, 128, 128)                                                     \
    MN_KERNEL(name##_128, type, 2, 3, 64, 64)                                                      \
    MN_KERNEL(name##_128, type, 2, 3, 128, 64)

MN_KERNELS_OF_TYPE(slice_f16, __half)
MN_KERNELS_OF_TYPE(slice_bf16, __nv_bfloat16)
