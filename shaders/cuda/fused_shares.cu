/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/fused.cuh"

/* Kernels fused_f16_128x2_11_once and so on, as in fused.cu: heads of up to 16 blocks and positions
   whose features two work-groups share. */
#define MN_KERNEL(name, ...)                                                                       \
    extern "C" __global__ void __launch_bounds__(512, 1)                                           \
        fused_##name(const __grid_constant__ mn_stage_params p)                                    \
    {                                                                                              \
        fused<__VA_ARGS__>(p);                                                                     \
    }

#define MN_KERNELS(name, type, width)                                                              \
    MN_KERNEL(name##_##width##x2_11_once, once_warp, type, width, 1, 1, 2)                         \
    MN_KERNEL(name##_##width##x2_11, steps_warp, type, width, 1, 1, 2)

MN_KERNELS(f16, __half, 96)
MN_KERNELS(f16, __half, 128)
MN_KERNELS(bf16, __nv_bfloat16, 96)
MN_KERNELS(bf16, __nv_bfloat16, 128)
