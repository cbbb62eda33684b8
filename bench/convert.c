/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

#include <math.h>

/* Bytes go through memcpy, as source and destination may be the same memory. */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1fu;
    uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0x1f) {
        return float_of(sign | 0x7f800000u | fraction << 13);
    }
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

float bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t f32_to_f16(float value)
{
    uint32_t bits = bits_of(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (magnitude >= 0x477ff000u) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) {
        /* Below 2^-14: adding 0.5 makes the hardware round to a multiple of 2^-24. */
        return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

uint16_t f32_to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

int64_t convert_from_f32(monarch_dtype dtype, const float *source, void *destination, int64_t count)
{
    if (dtype == MONARCH_F32) {
        memmove(destination, source, (size_t)count * sizeof *source);
        return 0;
    }
    uint16_t infinite = dtype == MONARCH_F16 ? 0x7c00u : 0x7f80u;
    int64_t overflows = 0;
    char *to = destination;
    for (int64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, (const char *)source + (size_t)i * sizeof value, sizeof value);
        uint16_t bits = dtype == MONARCH_F16 ? f32_to_f16(value) : f32_to_bf16(value);
        overflows += (bits & 0x7fffu) == infinite && isfinite(value);
        memcpy(to + (size_t)i * sizeof bits, &bits, sizeof bits);
    }
    return overflows;
}

void convert_to_f32(monarch_dtype dtype, const void *source, float *destination, int64_t count)
{
    const uint16_t *half = source;
    switch (dtype) {
    case MONARCH_F32:
        memcpy(destination, source, (size_t)count * sizeof *destination);
        break;
    case MONARCH_F16:
        for (int64_t i = 0; i < count; i++) {
            destination[i] = f16_to_f32(half[i]);
        }
        break;
    case MONARCH_BF16:
        for (int64_t i = 0; i < count; i++) {
            destination[i] = bf16_to_f32(half[i]);
        }
        break;
    }
}

void convert_to_f64(monarch_dtype dtype, const void *source, double *destination, int64_t count)
{
    const float *single = source;
    const uint16_t *half = source;
    for (int64_t i = 0; i < count; i++) {
        destination[i] = dtype == MONARCH_F32   ? (double)single[i]
                         : dtype == MONARCH_F16 ? (double)f16_to_f32(half[i])
                                                : (double)bf16_to_f32(half[i]);
    }
}
