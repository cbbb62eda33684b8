/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dtype.h"

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

size_t monarch_dtype_size(monarch_dtype dtype)
{
    switch (dtype) {
    case MONARCH_F32:
        return 4;
    case MONARCH_F16:
    case MONARCH_BF16:
        return 2;
    }
    return 0;
}

const char *monarch_dtype_name(monarch_dtype dtype)
{
    switch (dtype) {
    case MONARCH_F32:
        return "f32";
    case MONARCH_F16:
        return "f16";
    case MONARCH_BF16:
        return "bf16";
    }
    return "?";
}

float mn_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) /* Inf and NaN keep their payload */
        return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    /* Placing the bits as if the exponent bias were f32's and multiplying by 2^112 rebuilds
       normal and subnormal values alike, exactly. */
    float scaled = float_of(magnitude << 13) * 0x1p112f;
    return float_of(bits_of(scaled) | sign);
}

uint16_t mn_f32_to_f16(float value)
{
    uint32_t bits = bits_of(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* rounds to 2^16 or more */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        /* Subnormal in f16: adding 0.5 lets the f32 adder round at the right bit. */
        uint32_t rounded = bits_of(float_of(magnitude) + 0.5f);
        return (uint16_t)(sign | (rounded - bits_of(0.5f)));
    }
    uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

float mn_bf16_to_f32(uint16_t brain)
{
    return float_of((uint32_t)brain << 16);
}

uint16_t mn_f32_to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* rounding could turn a NaN into Inf */
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float mn_round_e4m3(float value)
{
    static const float largest = 448.0f, least_normal = 0x1p-6f;
    uint32_t sign = bits_of(value) & 0x80000000u, magnitude = bits_of(value) & 0x7fffffffu;
    float x = float_of(magnitude);
    /* 20 bits of the mantissa are rounded away; a carry moves into the exponent by itself. */
    float normal = float_of((magnitude + 0x7ffffu + (magnitude >> 20 & 1u)) & 0xfff00000u);
    /* Subnormal in e4m3, steps of 2^-9: those of f32 from 2^14 on. */
    float subnormal = x + 0x1p14f - 0x1p14f;
    float rounded = x < least_normal ? subnormal : normal;
    rounded = rounded > largest ? largest : rounded;
    return x == x ? float_of(bits_of(rounded) | sign) : value;
}

/* The power of two that a row is divided by. */
static float scale_of_row(const float *row, int64_t width)
{
    enum { MANTISSA = 23, EXPONENT_OF_448 = 8, LEAST = 1, MOST = 127 + 119 };
    float largest = 0.0f;
    for (int64_t f = 0; f < width; f++) {
        float x = float_of(bits_of(row[f]) & 0x7fffffffu);
        largest = x > largest ? x : largest;
    }
    /* 448 is 1.75 * 2^8: a mantissa above 1.75 carries into the exponent. */
    int32_t exponent = (int32_t)((bits_of(largest) + 0x1fffffu) >> MANTISSA) - EXPONENT_OF_448;
    exponent = exponent < LEAST ? LEAST : exponent > MOST ? MOST : exponent;
    return float_of((uint32_t)exponent << MANTISSA);
}

void mn_round_row_e4m3(float *row, int64_t width)
{
    float scale = scale_of_row(row, width), inverse = 1.0f / scale;
    for (int64_t f = 0; f < width; f++)
        row[f] = scale * mn_round_e4m3(row[f] * inverse);
}

float mn_load(monarch_dtype dtype, const void *base, int64_t index)
{
    switch (dtype) {
    case MONARCH_F16:
        return mn_f16_to_f32(((const uint16_t *)base)[index]);
    case MONARCH_BF16:
        return mn_bf16_to_f32(((const uint16_t *)base)[index]);
    case MONARCH_F32:
        break;
    }
    return ((const float *)base)[index];
}

void mn_store(monarch_dtype dtype, void *base, int64_t index, float value)
{
    switch (dtype) {
    case MONARCH_F16:
        ((uint16_t *)base)[index] = mn_f32_to_f16(value);
        return;
    case MONARCH_BF16:
        ((uint16_t *)base)[index] = mn_f32_to_bf16(value);
        return;
    case MONARCH_F32:
        break;
    }
    ((float *)base)[index] = value;
}
