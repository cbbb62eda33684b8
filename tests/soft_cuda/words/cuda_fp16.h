/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_FP16_H
#define TESTS_SOFT_CUDA_FP16_H

#include "../number.h"

/* What shaders/cuda uses of <cuda_fp16.h>. */

struct __half {
    uint16_t bits;

    __half() = default;
    explicit __half(float x) : bits(soft::f16_of(x))
    {
    }
};

struct alignas(4) __half2 {
    __half x, y;
};

static inline float __half2float(__half x)
{
    return soft::f16_value(x.bits);
}

static inline __half __float2half_rn(float x)
{
    return __half(x);
}

static inline __half2 __floats2half2_rn(float x, float y)
{
    return {__half(x), __half(y)};
}

static inline __half2 __float2half2_rn(float x)
{
    return {__half(x), __half(x)};
}

static inline float2 __half22float2(__half2 x)
{
    return {__half2float(x.x), __half2float(x.y)};
}

static inline __half2 __hmul2(__half2 a, __half2 b)
{
    return {__half(__half2float(a.x) * __half2float(b.x)),
            __half(__half2float(a.y) * __half2float(b.y))};
}

static inline __half __ushort_as_half(uint16_t bits)
{
    __half x;
    x.bits = bits;
    return x;
}

static inline __half2 __half2half2(__half x)
{
    return {x, x};
}

static inline __half2 __habs2(__half2 x)
{
    return {__ushort_as_half(x.x.bits & 0x7fff), __ushort_as_half(x.y.bits & 0x7fff)};
}

/* NaN only where both are, as on the device. */
static inline __half soft_larger(__half a, __half b)
{
    const float x = __half2float(a), y = __half2float(b);
    return x != x ? b : y != y ? a : x > y ? a : b;
}

static inline __half2 __hmax2(__half2 a, __half2 b)
{
    return {soft_larger(a.x, b.x), soft_larger(a.y, b.y)};
}

#endif
