/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/fused.cuh"

/* Kernels fused_f16_64_12_once and so on: element type, width, score matrices of 16 or 32 rows in
   the RIGHT and in the LEFT stages, for one step or for any number. `threads` is for 64 registers:
   with so many two work-groups of 16 warps share a multiprocessor. */
#define MN_KERNEL(name, threads, ...)                                                              \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                       \
        fused_##name(const __grid_constant__ mn_stage_params p)                                    \
    {                                                                                              \
        fused<__VA_ARGS__>(p);                                                                     \
    }

#define MN_KERNELS_OF_WIDTH(name, type, width, threads)                                            \
    MN_KERNEL(name##_##width##_11_once, threads, once_warp, type, width, 1, 1)                     \
    MN_KERNEL(name##_##width##_11, threads, steps_warp, type, width, 1, 1)                         \
    MN_KERNEL(name##_##width##_12, 512, steps_warp, type, width, 1, 2)                             \
    MN_KERNEL(name##_##width##_21, 512, steps_warp, type, width, 2, 1)

/* Not of more features: registers do not suffice. Of 128 features shared memory does not hold heads
   with more than 16 blocks and positions. */
#define MN_KERNELS_ONCE(name, type, width)                                                         \
    MN_KERNEL(name##_##width##_12_once, 512, once_warp, type, width, 1, 2)                         \
    MN_KERNEL(name##_##width##_21_once, 512, once_warp, type, width, 2, 1)                         \
    MN_KERNEL(name##_##width##_22_once, 512, once_warp, type, width, 2, 2)

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNELS_OF_WIDTH(name, type, 32, 1024)                                                      \
    MN_KERNELS_ONCE(name, type, 32)                                                                \
    MN_KERNELS_OF_WIDTH(name, type, 64, 1024)                                                      \
    MN_KERNELS_ONCE(name, type, 64)                                                                \
    MN_KERNEL(name##_32_22, 512, steps_warp, type, 32, 2, 2)                                       \
    MN_KERNEL(name##_64_22, 512, steps_warp, type, 64, 2, 2)                                       \
    MN_KERNELS_OF_WIDTH(name, type, 96, 512)                                                       \
    MN_KERNEL(name##_96_22, 512, steps_warp, type, 96, 2, 2)                                       \
    MN_KERNELS_OF_WIDTH(name, type, 128, 512)

MN_KERNELS_OF_TYPE(f16, __half)
MN_KERNELS_OF_TYPE(bf16, __nv_bfloat16)
