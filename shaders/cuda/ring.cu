/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring.cuh"

/* Kernels ring_f16_64 and so on: element type, features. */
#define MN_KERNEL(type, name, panels)                                                              \
    extern "C" __global__ void __launch_bounds__(RING_THREADS, 1) ring_##name(                     \
        const __grid_constant__ mn_stage_params p, const __grid_constant__ mn_ring_params r)       \
    {                                                                                              \
        ring<type, panels>(p, r);                                                                  \
    }

MN_KERNEL(__half, f16_64, 1)
MN_KERNEL(__half, f16_128, 2)
MN_KERNEL(__nv_bfloat16, bf16_64, 1)
MN_KERNEL(__nv_bfloat16, bf16_128, 2)
