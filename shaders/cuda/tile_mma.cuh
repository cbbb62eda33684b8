/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_TILE_MMA_CUH
#define MN_CUDA_TILE_MMA_CUH

#include "shaders/cuda/layout.h"
#include "shaders/cuda/operand.cuh"

/*
 * The two products of a warp's 16 rows on the matrix units. Thread 4g + t holds, of an accumulator
 * s[n] (16 rows x 8 columns), columns 8n + 2t and 8n + 2t + 1 of rows g (s[n][0..1]) and g + 8.
 */

/* s = queries . keys for 16 rows and the first 16 * count of the columns. */
template <class E, int WIDTH, int PITCH, int N>
__device__ inline void tile_scores_mma(float (&s)[N][4], const char *queries, const char *keys,
                                       int count, int lane)
{
    /* Matrices of `a`: rows 0-7 and 8-15, then the same 8 features on. Of `b`: keys 0-7 and the
       same 8 features on, then keys 8-15. */
    uint32_t a_address = shared_address(queries) + lane % 16 * PITCH + lane / 16 * VECTOR;
    uint32_t b_address =
        shared_address(keys) + (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * VECTOR;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            s[n][i] = 0.0f;
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++) {
        fragment_a a;
        load_matrices(a.x, a_address + k * 32);
#pragma unroll
        for (int n = 0; n < N / 2; n++) {
            if (n < count) {
                uint32_t b[4];
                load_matrices(b, b_address + n * 16 * PITCH + k * 32);
                element<E>::mma(s[2 * n], a, b[0], b[1]);
                element<E>::mma(s[2 * n + 1], a, b[2], b[3]);
            }
        }
    }
}

/* sums += p . values, p being 16 rows and the first 16 * count columns. */
template <class E, int WIDTH, int PITCH, int N>
__device__ inline void tile_accumulate_mma(float (&sums)[WIDTH / 8][4], const float (&p)[N][4],
                                           const char *values, int count, int lane)
{
    uint32_t address = shared_address(values) + lane % 16 * PITCH + lane / 16 * VECTOR;
#pragma unroll
    for (int n = 0; n < N / 2; n++) {
        if (n < count) {
            fragment_a a = {{element<E>::pack(p[2 * n][0], p[2 * n][1]),
                             element<E>::pack(p[2 * n][2], p[2 * n][3]),
                             element<E>::pack(p[2 * n + 1][0], p[2 * n + 1][1]),
                             element<E>::pack(p[2 * n + 1][2], p[2 * n + 1][3])}};
#pragma unroll
            for (int f = 0; f < WIDTH / 16; f++) {
                uint32_t b[4];
                load_matrices_transposed(b, address + n * 16 * PITCH + f * 32);
                element<E>::mma(sums[2 * f], a, b[0], b[1]);
                element<E>::mma(sums[2 * f + 1], a, b[2], b[3]);
            }
        }
    }
}

/* Writes a warp's 16 rows of sums as elements to shared memory. */
template <class E, int WIDTH, int PITCH>
__device__ inline void tile_write_mma(char *target, const float (&sums)[WIDTH / 8][4], int lane)
{
    char *row = target + lane / 4 * PITCH + lane % 4 * 4;
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            *reinterpret_cast<uint32_t *>(row + half * 8 * PITCH + n * 16) =
                element<E>::pack(sums[n][2 * half], sums[n][2 * half + 1]);
}

#endif
