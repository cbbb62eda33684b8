/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/hopper.cuh"

/* Kernels hopper_right_f16_64 and so on: form, element type, width. */
#define MN_KERNEL(name, type, panels, threads, FORM)                                               \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                       \
        name(const __grid_constant__ mn_stage_params p)                                            \
    {                                                                                              \
        hopper<type, panels, FORM>(p);                                                             \
    }

#define MN_KERNELS(name, FORM)                                                                     \
    MN_KERNEL(hopper_##name##_f16_64, __half, 1, 512, FORM)                                        \
    MN_KERNEL(hopper_##name##_f16_128, __half, 2, 256, FORM)                                       \
    MN_KERNEL(hopper_##name##_bf16_64, __nv_bfloat16, 1, 512, FORM)                                \
    MN_KERNEL(hopper_##name##_bf16_128, __nv_bfloat16, 2, 256, FORM)

MN_KERNELS(right, RIGHT)
MN_KERNELS(right_value, RIGHT_VALUE)
MN_KERNELS(left_stats, LEFT_STATS)
MN_KERNELS(left_mean, LEFT_MEAN)
MN_KERNELS(left_out, LEFT_OUT)
