/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/fused.cuh"

/* Kernels NAME_f16_64_1 and so on: element type, width, score matrices of 16 or 32 rows. Said to be
   alone on a multiprocessor, which they need not be: else the compiler makes do with 64 registers
   where it nearly can, and spills. */
#define MN_KERNEL(name, type, width, tiles)                                                        \
    extern "C" __global__ void __launch_bounds__(512, 1)                                           \
        name(const __grid_constant__ mn_stage_params p)                                            \
    {                                                                                              \
        fused<type, width, tiles>(p);                                                              \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(name##_32_1, type, 32, 1)                                                            \
    MN_KERNEL(name##_64_1, type, 64, 1)                                                            \
    MN_KERNEL(name##_96_1, type, 96, 1)                                                            \
    MN_KERNEL(name##_128_1, type, 128, 1)                                                          \
    MN_KERNEL(name##_32_2, type, 32, 2)                                                            \
    MN_KERNEL(name##_64_2, type, 64, 2)                                                            \
    MN_KERNEL(name##_96_2, type, 96, 2)                                                            \
    MN_KERNEL(name##_128_2, type, 128, 2)

MN_KERNELS_OF_TYPE(fused_f16, __half)
MN_KERNELS_OF_TYPE(fused_bf16, __nv_bfloat16)
