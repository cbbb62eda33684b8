/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_CUH
#define MN_CUDA_FUSED_CUH

#include "shaders/cuda/fused_once.cuh"
#include "shaders/cuda/fused_steps.cuh"

/*
 * All steps of one head in one work-group, or in two that share it (fused_shares.cuh): Q, K and V
 * are read once, the output is written once, and everything between stays in shared memory and
 * registers. A warp does whole groups, a block in the RIGHT stages and a position in the LEFT ones.
 * Products with values are made some features at a time, and each part overwrites the features that
 * it came from: no row is read by another warp in the same stage. A warp loads the blocks that it
 * works on first, and so waits for its own copies alone; and it stores its positions when it has
 * them.
 */
template <template <class, int, int, int, int> class WARP_OF, class E, int WIDTH, int RIGHT_TILES,
          int LEFT_TILES, int SHARES = 1>
__device__ void fused(const mn_stage_params &p)
{
    using base = fused_warp<E, WIDTH, RIGHT_TILES, LEFT_TILES, SHARES>;
    if (base::first_head() >= p.tasks)
        return;
    let_next_launch_begin();
    wait_for_launches_ahead();
    WARP_OF<E, WIDTH, RIGHT_TILES, LEFT_TILES, SHARES> warp(
        base{p, (int)threadIdx.x % WARP, warp_index(), (int)blockDim.x / WARP});
    warp.run();
}

#endif
