/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

#include <math.h>
#include <string.h>

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

/* The exponents of f16 and f32 are 15 and 127 above the power of 2. */
enum { EXPONENT_SHIFT = 127 - 15 };

float test_f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = (uint32_t)bits >> 10 & 31, fraction = bits & 1023;

    if (exponent == 31) /* infinity or NaN */
        return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0)
        return float_of(sign | (exponent + EXPONENT_SHIFT) << 23 | fraction << 13);
    return (sign != 0 ? -0x1p-24f : 0x1p-24f) * (float)fraction;
}

uint16_t test_f16_from_float(float value)
{
    uint16_t sign = (uint16_t)(bits_of(value) >> 16 & 0x8000);
    uint32_t magnitude = bits_of(value) & 0x7fffffff;

    if (isnan(value))
        return sign | 0x7e00;
    if (fabsf(value) >= 65520.0f) /* half way between the largest value and 2^16 */
        return sign | 0x7c00;
    if (fabsf(value) < 0x1p-14f) /* subnormal: steps of 2^-24; nearbyint rounds ties to even */
        return sign | (uint16_t)nearbyintf(fabsf(value) * 0x1p24f);
    /* Round 13 bits away, ties to even; a carry moves into the exponent by itself. */
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return sign | (uint16_t)((magnitude >> 13) - (EXPONENT_SHIFT << 10));
}

float test_bf16_to_float(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t test_bf16_from_float(float value)
{
    uint32_t bits = bits_of(value);

    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float test_e4m3_to_float(uint8_t bits)
{
    int exponent = bits >> 3 & 15, fraction = bits & 7;
    float magnitude =
        exponent == 0 ? ldexpf((float)fraction, -9) : ldexpf((float)(8 + fraction), exponent - 10);

    if ((bits & 0x7f) == 0x7f)
        magnitude = NAN;
    return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

uint8_t test_e4m3_from_float(float value)
{
    uint8_t sign = (uint8_t)(bits_of(value) >> 24 & 0x80);
    float magnitude = fminf(fabsf(value), 448.0f), steps;
    int exponent;

    if (isnan(value))
        return sign | 0x7f;
    frexpf(magnitude, &exponent); /* it lies below 2^exponent */
    exponent = magnitude == 0.0f || exponent < -5 ? -5 : exponent;
    /* In steps of 2^(exponent - 4), from 0 to 7 of them subnormal; 16 are 8 of the next exponent.
     */
    steps = nearbyintf(ldexpf(magnitude, 4 - exponent));
    return sign | (uint8_t)((exponent + 5) * 8 + (int)steps);
}

void test_round_e4m3(float *row, int64_t count)
{
    int exponent = -126;

    for (int64_t i = 0; i < count; i++)
        while (exponent < 119 && fabsf(row[i]) > ldexpf(448.0f, exponent))
            exponent++;
    for (int64_t i = 0; i < count; i++) {
        float scaled = ldexpf(row[i], -exponent);
        row[i] = ldexpf(test_e4m3_to_float(test_e4m3_from_float(scaled)), exponent);
    }
}

float test_round(monarch_dtype dtype, float value)
{
    if (dtype == MONARCH_F16)
        return test_f16_to_float(test_f16_from_float(value));
    if (dtype == MONARCH_BF16)
        return test_bf16_to_float(test_bf16_from_float(value));
    return value;
}

float test_load(monarch_dtype dtype, const void *element)
{
    uint16_t half;
    float value;

    if (dtype == MONARCH_F32) {
        memcpy(&value, element, sizeof value);
        return value;
    }
    memcpy(&half, element, sizeof half);
    return dtype == MONARCH_F16 ? test_f16_to_float(half) : test_bf16_to_float(half);
}

void test_store(monarch_dtype dtype, void *element, float value)
{
    uint16_t half;

    if (dtype == MONARCH_F32) {
        memcpy(element, &value, sizeof value);
        return;
    }
    half = dtype == MONARCH_F16 ? test_f16_from_float(value) : test_bf16_from_float(value);
    memcpy(element, &half, sizeof half);
}
