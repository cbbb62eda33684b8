/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring.cuh"

/* Kernels ring_f16_256 and so on, as in ring.cu: 129 to 256 features, up to 128 blocks of up to 128
   tokens. An output takes up to 128 registers of a thread, so there is one at a time, and no kernel
   with more columns: both would have to be there at once. */
#define MN_KERNEL(name, type, panels, whole)                                                       \
    extern "C" __global__ void __launch_bounds__(3 * WARPGROUP, 1)                                 \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        ring<type, panels, 2, true, whole>(p, r);                                                  \
    }

#define MN_KERNELS_OF_TYPE(name, type)                                                             \
    MN_KERNEL(ring_##name##_192, type, 3, false)                                                   \
    MN_KERNEL(ring_##name##_256, type, 4, false)                                                   \
    MN_KERNEL(ring_whole_##name##_192, type, 3, true)                                              \
    MN_KERNEL(ring_whole_##name##_256, type, 4, true)

MN_KERNELS_OF_TYPE(f16, __half)
MN_KERNELS_OF_TYPE(bf16, __nv_bfloat16)
