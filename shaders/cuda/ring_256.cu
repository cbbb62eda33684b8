/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring.cuh"

/* Kernels ring_f16_256 and so on, as in ring.cu: 129 to 256 features, up to 128 blocks of up to 128
   tokens. Outputs of all columns take 128 registers of a thread, so there is one at a time, and
   none with more columns: both would have to be there at once. */
#define MN_KERNEL(name, type, whole)                                                               \
    extern "C" __global__ void __launch_bounds__(3 * WARPGROUP, 1)                                 \
        name(const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)  \
    {                                                                                              \
        ring<type, 4, 2, true, whole>(p, r);                                                       \
    }

MN_KERNEL(ring_f16_256, __half, false)
MN_KERNEL(ring_bf16_256, __nv_bfloat16, false)
MN_KERNEL(ring_whole_f16_256, __half, true)
MN_KERNEL(ring_whole_bf16_256, __nv_bfloat16, true)
