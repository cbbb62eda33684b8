/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/slice.cuh"

/* Kernels slice_f16_64_128_64_16 and so on, for whole problems: element type, features, tokens of a
   block, blocks, work-groups of a cluster. Besides slice_ragged_f16_64_96_96_16 and so on, for
   problems with up to so many tokens and blocks, and slice_steps_... for more than one step. */
#define MN_KERNEL(name, type, panels, block, blocks, size, whole, several)                         \
    extern "C" __global__ void __launch_bounds__(                                                  \
        (slice_memory<panels, block, blocks, size, whole, several>::GROUPS + 1) * WARPGROUP, 1)    \
        name##_##block##_##blocks##_##size(const __grid_constant__ mn_stage_params p,              \
                                           const __grid_constant__ mn_ring_params r)               \
    {                                                                                              \
        slice<type, slice_memory<panels, block, blocks, size, whole, several>>(p, r);              \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(slice_##name##_64, type, 1, 64, 64, 8, true, false)                                  \
    MN_KERNEL(slice_##name##_64, type, 1, 64, 64, 16, true, false)                                 \
    MN_KERNEL(slice_##name##_64, type, 1, 128, 64, 8, true, false)                                 \
    MN_KERNEL(slice_##name##_64, type, 1, 128, 64, 16, true, false)                                \
    MN_KERNEL(slice_##name##_64, type, 1, 64, 128, 16, true, false)                                \
    MN_KERNEL(slice_##name##_64, type, 1, 128, 128, 16, true, false)                               \
    MN_KERNEL(slice_##name##_128, type, 2, 64, 64, 16, true, false)                                \
    MN_KERNEL(slice_##name##_128, type, 2, 128, 64, 16, true, false)                               \
    MN_KERNEL(slice_ragged_##name##_64, type, 1, 96, 96, 16, false, false)                         \
    MN_KERNEL(slice_ragged_##name##_64, type, 1, 96, 128, 16, false, false)                        \
    MN_KERNEL(slice_ragged_##name##_64, type, 1, 128, 96, 16, false, false)                        \
    MN_KERNEL(slice_ragged_##name##_64, type, 1, 128, 128, 16, false, false)                       \
    MN_KERNEL(slice_steps_##name##_64, type, 1, 64, 64, 8, true, true)                             \
    MN_KERNEL(slice_steps_##name##_64, type, 1, 64, 64, 16, true, true)

MN_KERNELS_OF_TYPE(f16, __half)
MN_KERNELS_OF_TYPE(bf16, __nv_bfloat16)
