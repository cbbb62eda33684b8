/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_SIMD_H
#define MN_CPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

/*
 * Vectors of f32 for the instruction set that the including file is compiled for. Arithmetic is
 * that of the compiler's vector types; the few operations they lack are below.
 */

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));

static inline vec load(const float *address)
{
    vec v;
    memcpy(&v, address, sizeof v);
    return v;
}

static inline void store(float *address, vec v)
{
    memcpy(address, &v, sizeof v);
}

static inline vec splat(float value)
{
    return value - (vec){0};
}

/* The larger of each pair; where either is NaN, the one of `b`. */
static inline vec larger(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
#endif
}

/* A vector's halves are put together until four lanes are left: the order is always the same. */
typedef float quad __attribute__((vector_size(16)));

static inline quad quad_larger(quad a, quad b)
{
    for (int i = 0; i < 4; i++)
        a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}

static inline float reduce_max(vec v)
{
#if defined(__AVX512F__)
    __m512 x = (__m512)v;
    __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    quad q = (quad)_mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#elif defined(__AVX2__)
    __m256 x = (__m256)v;
    quad q = (quad)_mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
#else
    quad q = v;
#endif
    q = quad_larger(q, __builtin_shufflevector(q, q, 2, 3, 0, 1));
    return q[0] > q[1] ? q[0] : q[1];
}

static inline float reduce_sum(vec v)
{
#if defined(__AVX512F__)
    __m512 x = (__m512)v;
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    quad q = (quad)_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#elif defined(__AVX2__)
    __m256 x = (__m256)v;
    quad q = (quad)_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
#else
    quad q = v;
#endif
    q += __builtin_shufflevector(q, q, 2, 3, 0, 1);
    return q[0] + q[1];
}

/*
 * 2^x for x <= 0, to 1e-7 relative; below 2^-127 the result is 0, and -inf gives exactly 0. NaN
 * stays NaN. x = n + f with n whole and |f| <= 1/2; 2^f is a polynomial of least relative error
 * (1.9e-9 before rounding) and 2^n is put together from its bits.
 */
static inline vec exp2_nonpositive(vec x)
{
    /* Adding 1.5 * 2^23 leaves round(x) in the low mantissa bits. */
    const float to_whole = 0x1.8p23f;
    x = larger(splat(-127.0f), x);
    vec shifted = x + to_whole;
    vec f = x - (shifted - to_whole);
    vec p = splat(0x1.41d332p-13f);
    p = p * f + 0x1.5f456ap-10f;
    p = p * f + 0x1.3b2dbcp-7f;
    p = p * f + 0x1.c6aed4p-5f;
    p = p * f + 0x1.ebfbdap-3f;
    p = p * f + 0x1.62e430p-1f;
    p = p * f + 1.0f;
    uvec power = ((uvec)shifted << 23) + (127u << 23); /* unsigned: a NaN may wrap around */
    return p * (vec)power;
}

#endif
