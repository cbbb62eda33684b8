/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_E4M3_CUH
#define MN_CUDA_E4M3_CUH

#include <stdint.h>

/* e4m3 with a power of two for each row, as monarch_intermediates defines it. */

/* The power of two that a row is divided by, from the largest magnitude in it: the least, and at
   least 2^LEAST, so that 448 times it is not exceeded. */
template <int LEAST = -126> __device__ inline float e4m3_scale(float largest)
{
    /* 448 is 1.75 * 2^8: a mantissa above 1.75 carries into the exponent. */
    const int exponent = (int)((__float_as_uint(largest) + 0x1fffffu) >> 23) - 8;
    return __int_as_float(max(LEAST + 127, min(exponent, 119 + 127)) << 23);
}

/* As e4m3 holds it, to nearest even; what exceeds 448 becomes that, NaN stays. */
__device__ inline float round_e4m3(float x)
{
    const float magnitude = fabsf(x);
    const uint32_t bits = __float_as_uint(magnitude);
    const float normal = __int_as_float((bits + 0x7ffffu + (bits >> 20 & 1u)) & 0xfff00000u);
    const float subnormal = magnitude + 0x1p14f - 0x1p14f; /* below 2^-6 in steps of 2^-9 */
    const float rounded = fminf(magnitude < 0x1p-6f ? subnormal : normal, 448.0f);
    return x == x ? copysignf(rounded, x) : x;
}

#endif
