/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_KERNELS_CUH
#define MN_CUDA_KERNELS_CUH

#include "shaders/cuda/attend.cuh"

/* The kernels of one form, NAME_f16_64 and so on: one for each element type and width. */

#define MN_KERNEL(name, type, width, FORM)                                                         \
    extern "C" __global__ void __launch_bounds__(sizes<type, width>::threads, 2)                   \
        name(const __grid_constant__ mn_stage_params p)                                            \
    {                                                                                              \
        attend<type, width, FORM>(p);                                                              \
    }

#define MN_KERNELS_OF_TYPE(name, type, FORM)                                                       \
    MN_KERNEL(name##_32, type, 32, FORM)                                                           \
    MN_KERNEL(name##_64, type, 64, FORM)                                                           \
    MN_KERNEL(name##_96, type, 96, FORM)                                                           \
    MN_KERNEL(name##_128, type, 128, FORM)                                                         \
    MN_KERNEL(name##_256, type, 256, FORM)

#define MN_KERNELS(name, FORM)                                                                     \
    MN_KERNELS_OF_TYPE(name##_f32, float, FORM)                                                    \
    MN_KERNELS_OF_TYPE(name##_f16, __half, FORM)                                                   \
    MN_KERNELS_OF_TYPE(name##_bf16, __nv_bfloat16, FORM)

#endif
