/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/slice.cuh"

/* Kernels slice_f16_64_128_64_16 and so on: element type, features, tokens of a block, blocks,
   work-groups of a cluster. */
#define MN_KERNEL(name, type, panels, block, blocks, size)                                         \
    extern "C" __global__ void __launch_bounds__(                                                  \
        (mn_slice_groups(block, blocks, panels) + 1) * WARPGROUP, 1)                               \
        name##_##block##_##blocks##_##size(const __grid_constant__ mn_stage_params p,              \
                                           const __grid_constant__ mn_ring_params r)               \
    {                                                                                              \
        slice<type, panels, mn_slice_groups(block, blocks, panels), block, blocks, size>(p, r);    \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(name##_64, type, 1, 64, 64, 8)                                                       \
    MN_KERNEL(name##_64, type, 1, 64, 64, 16)                                                      \
    MN_KERNEL(name##_64, type, 1, 128, 64, 8)                                                      \
    MN_KERNEL(name##_64, type, 1, 128, 64, 16)                                                     \
    MN_KERNEL(name##_64, type, 1, 64, 128, 16)                                                     \
    MN_KERNEL(name##_64, type, 1, 128, 128, 16)                                                    \
    MN_KERNEL(name##_128, type, 2, 64, 64, 16)                                                     \
    MN_KERNEL(name##_128, type, 2, 128, 64, 16)

MN_KERNELS_OF_TYPE(slice_f16, __half)
MN_KERNELS_OF_TYPE(slice_bf16, __nv_bfloat16)
