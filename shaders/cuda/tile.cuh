/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_TILE_CUH
#define MN_CUDA_TILE_CUH

#include "shaders/cuda/tile_fma.cuh"
#include "shaders/cuda/tile_mma.cuh"

/* A warp's products for any element type. */

template <class E, int WIDTH, int PITCH, int N>
__device__ inline void tile_scores(float (&s)[N][4], const char *queries, const char *keys,
                                   int count, int lane)
{
    if constexpr (element<E>::has_mma)
        tile_scores_mma<E, WIDTH, PITCH>(s, queries, keys, count, lane);
    else
        tile_scores_fma<WIDTH, PITCH>(s, queries, keys, count, lane);
}

template <class E, int WIDTH, int PITCH, int N>
__device__ inline void tile_accumulate(float (&sums)[WIDTH / 8][4], const float (&p)[N][4],
                                       char *probabilities, const char *values, int count, int lane)
{
    if constexpr (element<E>::has_mma)
        tile_accumulate_mma<E, WIDTH, PITCH>(sums, p, values, count, lane);
    else
        tile_accumulate_fma<WIDTH, PITCH>(sums, p, probabilities, values, count, lane);
}

template <class E, int WIDTH, int PITCH>
__device__ inline void tile_write(char *target, const float (&sums)[WIDTH / 8][4], int lane)
{
    if constexpr (element<E>::has_mma)
        tile_write_mma<E, WIDTH, PITCH>(target, sums, lane);
    else
        tile_write_fma<WIDTH, PITCH>(target, sums, lane);
}

#endif
