/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/slice.cuh"

/* Kernels slice_f16_64 and so on: element type, features. */
#define MN_KERNEL(name, type, panels, groups)                                                      \
    extern "C" __global__ void __launch_bounds__((groups + 1) * WARPGROUP, 1)                      \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        slice<type, panels, groups>(p, r);                                                         \
    }

MN_KERNEL(slice_f16_64, __half, 1, 2)
MN_KERNEL(slice_f16_128, __half, 2, 2)
MN_KERNEL(slice_bf16_64, __nv_bfloat16, 1, 2)
MN_KERNEL(slice_bf16_128, __nv_bfloat16, 2, 2)
