/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/cluster.cuh"

/* Kernels cluster_f16_64_2 and so on: element type, features, blocks and their tokens in 16s. */
#define MN_KERNEL(name, type, panels, side)                                                        \
    extern "C" __global__ void __launch_bounds__(512, 1)                                           \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        cluster<type, panels, side>(p, r);                                                         \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(name##_64_2, type, 1, 2)                                                             \
    MN_KERNEL(name##_64_4, type, 1, 4)                                                             \
    MN_KERNEL(name##_64_8, type, 1, 8)                                                             \
    MN_KERNEL(name##_128_2, type, 2, 2)                                                            \
    MN_KERNEL(name##_128_4, type, 2, 4)                                                            \
    MN_KERNEL(name##_128_8, type, 2, 8)

MN_KERNELS_OF_TYPE(cluster_f16, __half)
MN_KERNELS_OF_TYPE(cluster_bf16, __nv_bfloat16)
