/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_WGMMA_CUH
#define MN_CUDA_WGMMA_CUH

#include "shaders/cuda/element.cuh"
#include "shaders/cuda/layout.h"
#include "shaders/cuda/ptx/wgmma.cuh"

/*
 * Products of a warpgroup, four warps with 64 rows, by wgmma (sm_90a). Each warp has 16 of the
 * rows, and a thread holds what it holds of a warp's m16n8k16 product: see tile_mma.cuh.
 *
 * Matrices in shared memory are panels: rows of 64 elements, 128 bytes, in groups of 8 whose
 * 16-byte units are exchanged, unit u of row r lying at u ^ (r % 8). A panel starts at a multiple
 * of 1024.
 */

/* Place of 16-byte unit `unit` of row `row`. */
__device__ inline int panel_offset(int row, int unit)
{
    return row * MN_PANEL_ROW + ((unit ^ (row & 7)) << 4);
}

/*
 * What wgmma is told of a panel: address, and 1024 bytes from one group of 8 rows to the next,
 * both in units of 16, and the exchange of units. It suits both ways to read a panel: rows being
 * the outer axis of a product (scores) or the summed one (weighted sums).
 */
__device__ inline uint64_t panel_descriptor(uint32_t address)
{
    return (uint64_t)(address >> 4 & 0x3fff) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

/* A thread's scores of two rows, N times 8 columns, as the first operand of weighted sums. */
template <class E, int N>
__device__ inline void pack_weights(fragment_a (&weights)[N / 2], const float (&x)[N][4])
{
#pragma unroll
    for (int n = 0; n < N / 2; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            weights[n].x[i] =
                element<E>::pack(x[2 * n + i / 2][i % 2 * 2], x[2 * n + i / 2][i % 2 * 2 + 1]);
}

#endif
