/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_H
#define MN_CUDA_FUSED_H

#include "shaders/cuda/layout.h"

/* How the fused kernels divide shared memory. */

enum {
    MN_FUSED_WARPS = 16,  /* of a work-group that shares a head, at most */
    MN_FUSED_SLOT = 1024, /* bytes of a warp's scores */
};

/* Bytes from block to block, an odd number of 16. */
MN_LAYOUT_FUNCTION int mn_fused_block_pitch(int block, int pitch)
{
    return (block * pitch / 16 | 1) * 16;
}

/* Terms from position to position, of `blocks` each: 8 positions meet 8 banks. */
MN_LAYOUT_FUNCTION int mn_fused_entropy_pitch(int blocks)
{
    return blocks + 2;
}

/* Bytes of zeros, or to write what is not kept: a row that begins at any multiple of 16 in 128. */
MN_LAYOUT_FUNCTION int mn_fused_spare_bytes(int pitch)
{
    return pitch + 128;
}

/* Bytes for what work-groups that share a head send each other, and for barriers. */
MN_LAYOUT_FUNCTION int mn_fused_exchange_bytes(int shares)
{
    return shares > 1 ? MN_FUSED_WARPS * (MN_FUSED_SLOT + 16) : 0;
}

/* Bytes of a work-group: spare ones twice, for exchanges, `tensors` of a head, terms for each block
   at a position, and `masks` times terms for each key. */
MN_LAYOUT_FUNCTION int mn_fused_bytes(int blocks, int block, int tensors, int masks, int pitch,
                                      int shares)
{
    int rows = block > 16 ? 32 : 16, columns = blocks > 16 ? 32 : 16;
    return 2 * mn_fused_spare_bytes(pitch) + mn_fused_exchange_bytes(shares) +
           tensors * blocks * mn_fused_block_pitch(block, pitch) +
           4 * (block * mn_fused_entropy_pitch(columns) + masks * columns * rows);
}

#endif
