/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SOFTMAX_CUH
#define MN_CUDA_SOFTMAX_CUH

#include "shaders/cuda/layout.h"
#include "shaders/cuda/operand.cuh"

/* Softmax of the scores that a warp holds, in units of log2; see tile_mma.cuh for who holds what.
 */

/* Largest of, or sum over, the four threads that share a row. */
__device__ inline float row_largest(float x)
{
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

__device__ inline float row_sum(float x)
{
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

/* The same for the eight threads that share a column. */
__device__ inline float column_largest(float x)
{
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 4));
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 8));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 16));
}

__device__ inline float column_sum(float x)
{
    x += __shfl_xor_sync(~0u, x, 4);
    x += __shfl_xor_sync(~0u, x, 8);
    return x + __shfl_xor_sync(~0u, x, 16);
}

/* 2^y y, for y down to -inf: 0 * -inf is NaN. */
__device__ inline float add_entropy(float weight, float y, float sum)
{
    return fmaf(weight, fmaxf(y, -1000.0f), sum);
}

template <bool EXACT> __device__ inline float log2_of(float x)
{
    return EXACT ? log2f(x) : log2_fast(x);
}

template <bool EXACT> __device__ inline float reciprocal_of(float x)
{
    return EXACT ? 1.0f / x : reciprocal_fast(x);
}

/* cL of a row from the sum of 2^y and that of 2^y y, y being score - largest. Both terms have one
   sign, so nothing cancels, however large the scores. */
template <bool EXACT> __device__ inline float entropy_of(float weighted, float sum)
{
    return sum == 0.0f ? infinity()
                       : ln_2 * (weighted * reciprocal_of<EXACT>(sum) - log2_of<EXACT>(sum));
}

/* Softmax of a thread's two rows over the columns seen so far. */
struct softmax_state {
    float largest[2];
    float sum[2];     /* of 2^y; of this thread's columns until finish() */
    float entropy[2]; /* of 2^y y, likewise */

    __device__ void start()
    {
        for (int r = 0; r < 2; r++) {
            largest[r] = -infinity();
            sum[r] = entropy[r] = 0.0f;
        }
    }

    /* What to take off scores; a row without any column yet must not make NaN of them. */
    __device__ float base(int r) const
    {
        return largest[r] == -infinity() ? 0.0f : largest[r];
    }

    /* Takes in the tile's largest scores; returns by what earlier sums shrink. */
    template <bool ENTROPY> __device__ void raise(const float (&tile)[2], float (&shrink)[2])
    {
        for (int r = 0; r < 2; r++) {
            float before = largest[r];
            largest[r] = fmaxf(before, tile[r]);
            shrink[r] = exp2_fast(before - base(r));
            if (ENTROPY && before != -infinity())
                entropy[r] =
                    shrink[r] * fmaf(fmaxf(before - largest[r], -1000.0f), sum[r], entropy[r]);
            sum[r] *= shrink[r];
        }
    }

    template <bool ENTROPY> __device__ void finish()
    {
        for (int r = 0; r < 2; r++) {
            sum[r] = row_sum(sum[r]);
            if (ENTROPY)
                entropy[r] = row_sum(entropy[r]);
        }
    }
};

/* What to take off the score of (row, column): one term of the row and two of the column. */
struct score_bias {
    const float *columns; /* of the tile's columns */
    int second;           /* how much further the second terms lie */
    float rows[2];
};

/*
 * Turns a tile of raw products into 2^(score - largest) and takes its columns into the state. With
 * TWICE a score is log2 of a probability, and its terms are taken off one after the other, in the
 * order in which they were found: then it is exact where the probability is near 1.
 */
template <bool ENTROPY, bool TWICE, int N>
__device__ inline void softmax_tile(float (&s)[N][4], softmax_state &state, float (&shrink)[2],
                                    const score_bias &bias, float scale, int count, int lane)
{
    float tile[2] = {-infinity(), -infinity()};
#pragma unroll
    for (int n = 0; n < N; n++) {
        if (n / 2 < count) {
            const float *b = bias.columns + n * 8 + lane % 4 * 2;
            const float2 one = *reinterpret_cast<const float2 *>(b);
            const float2 two = TWICE ? *reinterpret_cast<const float2 *>(b + bias.second)
                                     : make_float2(0.0f, 0.0f);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (TWICE)
                    s[n][i] = fmaf(s[n][i], scale, -bias.rows[i / 2]) - (i % 2 ? one.y : one.x) -
                              (i % 2 ? two.y : two.x);
                else
                    s[n][i] = fmaf(s[n][i], scale, i % 2 ? -one.y : -one.x);
                tile[i / 2] = fmaxf(tile[i / 2], s[n][i]);
            }
        }
    }
    tile[0] = row_largest(tile[0]);
    tile[1] = row_largest(tile[1]);
    state.raise<ENTROPY>(tile, shrink);
    const float base[2] = {state.base(0), state.base(1)};
#pragma unroll
    for (int n = 0; n < N; n++) {
        if (n / 2 < count) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float y = s[n][i] - base[i / 2];
                s[n][i] = exp2_fast(y);
                state.sum[i / 2] += s[n][i];
                if (ENTROPY)
                    state.entropy[i / 2] = add_entropy(s[n][i], y, state.entropy[i / 2]);
            }
        }
    }
}

/*
 * The same where every column is there and has no bias and the scale is positive:
 * then the largest score is that of the largest product. Two sums a row keep more additions under
 * way at a time.
 */
template <bool ENTROPY, int N>
__device__ inline void softmax_plain_tile(float (&s)[N][4], softmax_state &state,
                                          float (&shrink)[2], float scale)
{
    float tile[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float even = s[0][2 * r], odd = s[0][2 * r + 1];
#pragma unroll
        for (int n = 1; n < N; n++) {
            even = fmaxf(even, s[n][2 * r]);
            odd = fmaxf(odd, s[n][2 * r + 1]);
        }
        tile[r] = row_largest(fmaxf(even, odd)) * scale;
    }
    state.raise<ENTROPY>(tile, shrink);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float base = state.base(r);
        float sums[2] = {}, weighted[2] = {};
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float y = fmaf(s[n][2 * r + i], scale, -base);
                s[n][2 * r + i] = exp2_fast(y);
                sums[i] += s[n][2 * r + i];
                if (ENTROPY)
                    weighted[i] = fmaf(s[n][2 * r + i], y, weighted[i]);
            }
        state.sum[r] += sums[0] + sums[1];
        if (ENTROPY)
            state.entropy[r] += weighted[0] + weighted[1];
    }
}

#endif
