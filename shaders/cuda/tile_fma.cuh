/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_TILE_FMA_CUH
#define MN_CUDA_TILE_FMA_CUH

#include "shaders/cuda/layout.h"
#include "shaders/cuda/operand.cuh"

/* The functions of tile_mma.cuh for f32, by multiply-adds; threads hold the same elements. */

__device__ inline float4 load_four(const char *address)
{
    return *reinterpret_cast<const float4 *>(address);
}

__device__ inline float multiply_add(float4 a, float4 b, float sum)
{
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    return fmaf(a.w, b.w, sum);
}

template <int WIDTH, int PITCH, int N>
__device__ inline void tile_scores_fma(float (&s)[N][4], const char *queries, const char *keys,
                                       int count, int lane)
{
    const char *q = queries + lane / 4 * PITCH, *k = keys + lane % 4 * 2 * PITCH;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            s[n][i] = 0.0f;
#pragma unroll 2
    for (int f = 0; f < WIDTH / 4; f++) {
        float4 q0 = load_four(q + f * VECTOR), q1 = load_four(q + 8 * PITCH + f * VECTOR);
#pragma unroll
        for (int n = 0; n < N; n++) {
            if (n / 2 < count) {
                float4 k0 = load_four(k + n * 8 * PITCH + f * VECTOR);
                float4 k1 = load_four(k + (n * 8 + 1) * PITCH + f * VECTOR);
                s[n][0] = multiply_add(q0, k0, s[n][0]);
                s[n][1] = multiply_add(q0, k1, s[n][1]);
                s[n][2] = multiply_add(q1, k0, s[n][2]);
                s[n][3] = multiply_add(q1, k1, s[n][3]);
            }
        }
    }
}

/* Every thread needs all probabilities of its two rows: they pass through shared memory. */
template <int WIDTH, int PITCH, int N>
__device__ inline void tile_accumulate_fma(float (&sums)[WIDTH / 8][4], const float (&p)[N][4],
                                           char *probabilities, const char *values, int count,
                                           int lane)
{
    constexpr int pitch = (N * 8 + 4) * (int)sizeof(float);
    char *row = probabilities + lane / 4 * pitch;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < N; n++)
        if (n / 2 < count) {
            char *place = row + (n * 8 + lane % 4 * 2) * (int)sizeof(float);
            *reinterpret_cast<float2 *>(place) = make_float2(p[n][0], p[n][1]);
            *reinterpret_cast<float2 *>(place + 8 * pitch) = make_float2(p[n][2], p[n][3]);
        }
    __syncwarp();
    const char *value = values + lane % 4 * 8;
#pragma unroll 1
    for (int c = 0; c < count * 16; c += 4) {
        float4 p0 = load_four(row + c * 4), p1 = load_four(row + 8 * pitch + c * 4);
        const float a[4] = {p0.x, p0.y, p0.z, p0.w}, b[4] = {p1.x, p1.y, p1.z, p1.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++) {
                float2 v = *reinterpret_cast<const float2 *>(value + (c + i) * PITCH + n * 32);
                sums[n][0] = fmaf(a[i], v.x, sums[n][0]);
                sums[n][1] = fmaf(a[i], v.y, sums[n][1]);
                sums[n][2] = fmaf(b[i], v.x, sums[n][2]);
                sums[n][3] = fmaf(b[i], v.y, sums[n][3]);
            }
    }
}

template <int WIDTH, int PITCH>
__device__ inline void tile_write_fma(char *target, const float (&sums)[WIDTH / 8][4], int lane)
{
    char *row = target + lane / 4 * PITCH + lane % 4 * 8;
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            *reinterpret_cast<float2 *>(row + half * 8 * PITCH + n * 32) =
                make_float2(sums[n][2 * half], sums[n][2 * half + 1]);
}

#endif
