/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_FP8_CUH
#define MN_CUDA_RING_FP8_CUH

#include "shaders/cuda/e4m3.cuh"
#include "shaders/cuda/ptx/e4m3.cuh"
#include "shaders/cuda/ring_rows.cuh"

/*
 * What a ring kernel with fp8 intermediates hands on, T = 1. A row of the workspace's one tensor
 * holds first aL/s and then y, 64 bytes for each panel of 64 features; its pieces of 128 bytes are
 * loaded as the panels of `values`, and become the panels of both in place, since each row of those
 * is made by one thread from the same row. Byte 16 q + 2 n + i of a piece is feature 8 n + 2 q + i:
 * so a thread stores 16 bytes of what it holds of a row, and who reads the row finds 8 features in
 * a row of words. Two warps that neither load nor compute do that.
 */

/* The power of two of a row as the exponent's bits of f32, and what its element type must hold. */
template <class E> struct e4m3_rows;

template <> struct e4m3_rows<__half> {
    static constexpr int least = -15;
    static constexpr float most = 61440.0f; /* 65536 would be next */

    __half2 scale;

    __device__ explicit e4m3_rows(uint32_t exponent)
    {
        scale = __float2half2_rn(__int_as_float(exponent << 23));
    }

    __device__ uint32_t operator()(uint32_t pair) const
    {
        const __half2 x = __hmul2(unpack_e4m3(pair), scale);
        return *reinterpret_cast<const uint32_t *>(&x);
    }
};

template <> struct e4m3_rows<__nv_bfloat16> {
    static constexpr int least = -126;
    static constexpr float most = 3e38f; /* infinite sums become that */

    float scale;

    __device__ explicit e4m3_rows(uint32_t exponent) : scale(__int_as_float(exponent << 23))
    {
    }

    __device__ uint32_t operator()(uint32_t pair) const
    {
        const float2 x = __half22float2(unpack_e4m3(pair));
        return element<__nv_bfloat16>::pack(x.x * scale, x.y * scale);
    }
};

/* Makes panels of a stage's raw rows, by 64 threads. */
template <class E, int PANELS> struct ring_converter {
    static constexpr int threads = 2 * WARP;

    const mn_stage_params &p;
    const mn_ring_params &r;
    const ring_memory &memory;
    const ring_workspace &workspace;
    int thread;

    /* 64 features of a row. */
    __device__ void convert(char *to, const char *from, int row, int half, uint32_t exponent) const
    {
        const e4m3_rows<E> value(exponent);
        uint32_t x[4][4];
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const uint4 y =
                *reinterpret_cast<const uint4 *>(from + panel_offset(row, 4 * half + q));
            x[0][q] = y.x, x[1][q] = y.y, x[2][q] = y.z, x[3][q] = y.w;
        }
#pragma unroll
        for (int n = 0; n < 8; n++) {
            const uint32_t(&w)[4] = x[n / 2];
            const int shift = n % 2 * 16;
            *reinterpret_cast<uint4 *>(to + panel_offset(row, n)) =
                make_uint4(value(w[0] >> shift), value(w[1] >> shift), value(w[2] >> shift),
                           value(w[3] >> shift));
        }
    }

    __device__ void convert(const ring_stage &s) const
    {
        for (int row = thread; row < p.groups; row += threads) {
            const ring_terms terms = reinterpret_cast<const ring_terms *>(s.off)[row];
            s.bias[row] = terms.entropy;
#pragma unroll
            for (int i = 0; i < 2 * PANELS; i++)
                convert(s.columns + i * memory.panel(), s.values + i / 2 * memory.panel(), row,
                        i % 2, i < PANELS ? terms.exponents & 0xff : terms.exponents >> 8);
        }
        fence_for_wgmma();
    }

    /* A stage can only be raw again when it was full and done. */
    __device__ void run() const
    {
        int number = 0;
        for (ring_schedule at(p, r); !at.ended(); number++, at.advance(gridDim.x)) {
            const int index = number % r.stages;
            barrier_wait(memory.raw(index), number / r.stages % 2);
            const ring_task task = at.task();
            if (task.left()) {
                ring_discard<PANELS>{workspace, thread, threads}(task, 0);
                convert(memory.stage<PANELS>(index));
            }
            barrier_arrive(memory.full(index));
        }
        const int index = number % r.stages;
        barrier_wait(memory.raw(index), number / r.stages % 2);
        barrier_arrive(memory.full(index));
    }
};

/* A warp's 16 rows of sums, times their factors, to the slot. Output 0 is aL/s and 1 is y. Gives
   the exponent of each of the thread's two rows. */
template <class E, int PANELS>
__device__ inline void store_e4m3(float (&sums)[8 * PANELS][4], const float (&factor)[2],
                                  const panel_rows &to, int row0, int output, int lane,
                                  uint32_t (&exponents)[2])
{
    const uint64_t policy = policy_keep();
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float largest = 0.0f;
#pragma unroll
        for (int n = 0; n < 8 * PANELS; n++)
            largest = fmaxf(largest, fmaxf(fabsf(sums[n][2 * i]), fabsf(sums[n][2 * i + 1])));
        largest = row_largest(largest) * factor[i];
        if (__builtin_expect(largest > e4m3_rows<E>::most, 0)) {
            keep_apart();
            const float limit = e4m3_rows<E>::most / factor[i];
#pragma unroll
            for (int n = 0; n < 8 * PANELS; n++)
#pragma unroll
                for (int j = 2 * i; j < 2 * i + 2; j++)
                    sums[n][j] =
                        fabsf(sums[n][j]) > limit ? copysignf(limit, sums[n][j]) : sums[n][j];
            largest = e4m3_rows<E>::most;
        }
        exponents[i] = __float_as_uint(e4m3_scale<e4m3_rows<E>::least>(largest)) >> 23;
        const float scaled = factor[i] * __int_as_float((254 - exponents[i]) << 23);
        char *target = to.base + (row0 + lane / 4 + 8 * i) * to.stride + output * PANELS * 64 +
                       lane % 4 * VECTOR;
#pragma unroll
        for (int k = 0; k < PANELS; k++) {
            uint32_t words[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float *a = &sums[8 * k + 2 * j][2 * i], *b = &sums[8 * k + 2 * j + 1][2 * i];
                words[j] = pack_e4m3(a[0] * scaled, a[1] * scaled) |
                           pack_e4m3(b[0] * scaled, b[1] * scaled) << 16;
            }
            store_hinted(target + k * 64, make_uint4(words[0], words[1], words[2], words[3]),
                         policy);
        }
    }
}

#endif
