/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/cluster.cuh"

/* Kernels cluster_f16_64_2 and so on: element type, features, blocks and their tokens in 16s. With
   48 of them six teams of three warps keep up with six blocks where five of them would not. With 49
   to 64 of both, `group`, the warps of a team multiply together. */
#define MN_KERNEL(name, type, panels, side, warps, groups)                                         \
    extern "C" __global__ void __launch_bounds__(warps *WARP, 1)                                   \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        cluster<type, panels, side, groups>(p, r);                                                 \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(name##_64_2, type, 1, 2, 16, false)                                                  \
    MN_KERNEL(name##_64_3, type, 1, 3, 20, false)                                                  \
    MN_KERNEL(name##_64_4, type, 1, 4, 16, false)                                                  \
    MN_KERNEL(name##_64_group, type, 1, 4, 16, true)                                               \
    MN_KERNEL(name##_64_8, type, 1, 8, 16, false)                                                  \
    MN_KERNEL(name##_128_2, type, 2, 2, 16, false)                                                 \
    MN_KERNEL(name##_128_3, type, 2, 3, 20, false)                                                 \
    MN_KERNEL(name##_128_4, type, 2, 4, 16, false)                                                 \
    MN_KERNEL(name##_128_group, type, 2, 4, 16, true)                                              \
    MN_KERNEL(name##_128_8, type, 2, 8, 16, false)

MN_KERNELS_OF_TYPE(cluster_f16, __half)
MN_KERNELS_OF_TYPE(cluster_bf16, __nv_bfloat16)
