/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/fused.cuh"

/* Kernels NAME_f16_64_12_once and so on: element type, width, score matrices of 16 or 32 rows in
   the RIGHT and in the LEFT stages, for one step or for any number. Said to be alone on a
   multiprocessor, which they need not be: else the compiler makes do with 64 registers where it
   nearly can, and spills. Of small ones three work-groups of 8 warps shall find room. */
#define MN_KERNEL(name, threads, ...)                                                              \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                       \
        name(const __grid_constant__ mn_stage_params p)                                            \
    {                                                                                              \
        fused<__VA_ARGS__>(p);                                                                     \
    }

#define MN_KERNELS_ONCE(name, type, width)                                                         \
    MN_KERNEL(name##_12_once, 512, type, width, 1, 2, true)                                        \
    MN_KERNEL(name##_21_once, 512, type, width, 2, 1, true)                                        \
    MN_KERNEL(name##_22_once, 512, type, width, 2, 2, true)

#define MN_KERNELS_OF_WIDTH(name, type, width)                                                     \
    MN_KERNEL(name##_11_once, width <= 64 ? 768 : 512, type, width, 1, 1, true)                    \
    MN_KERNEL(name##_11, width <= 64 ? 768 : 512, type, width, 1, 1, false)                        \
    MN_KERNEL(name##_12, 512, type, width, 1, 2, false)                                            \
    MN_KERNEL(name##_21, 512, type, width, 2, 1, false)                                            \
    MN_KERNEL(name##_22, 512, type, width, 2, 2, false)

/* Of 128 features and 32 rows registers hold too little to read queries from memory. */
#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNELS_OF_WIDTH(name##_32, type, 32)                                                       \
    MN_KERNELS_ONCE(name##_32, type, 32)                                                           \
    MN_KERNELS_OF_WIDTH(name##_64, type, 64)                                                       \
    MN_KERNELS_ONCE(name##_64, type, 64)                                                           \
    MN_KERNELS_OF_WIDTH(name##_96, type, 96)                                                       \
    MN_KERNELS_ONCE(name##_96, type, 96)                                                           \
    MN_KERNELS_OF_WIDTH(name##_128, type, 128)

MN_KERNELS_OF_TYPE(fused_f16, __half)
MN_KERNELS_OF_TYPE(fused_bf16, __nv_bfloat16)
