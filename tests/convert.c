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

float test_f16_to_float(uint16_t bits)
{
    int exponent = (bits >> 10) & 31;
    int fraction = bits & 1023;
    float magnitude;

    if (exponent == 31)
        magnitude = fraction != 0 ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = ldexpf((float)fraction, -24);
    else
        magnitude = ldexpf((float)(fraction + 1024), exponent - 25);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

uint16_t test_f16_from_float(float value)
{
    uint16_t sign = (uint16_t)(bits_of(value) >> 16 & 0x8000);
    float magnitude = fabsf(value);
    int exponent;
    float steps;

    if (isnan(value))
        return sign | 0x7e00;
    if (magnitude >= 65520.0f) /* half way between the largest value and 2^16 */
        return sign | 0x7c00;
    if (magnitude < 0x1p-14f) {
        /* Subnormal: count steps of 2^-24; nearbyint rounds ties to even. */
        return sign | (uint16_t)nearbyintf(ldexpf(magnitude, 24));
    }
    frexpf(magnitude, &exponent); /* magnitude = f * 2^exponent, f in [0.5, 1) */
    steps = nearbyintf(ldexpf(magnitude, 11 - exponent)); /* [1024, 2048] */
    /* A carry to 2048 moves into the exponent by itself. */
    return sign | (uint16_t)(((exponent + 14) << 10) + ((int)steps - 1024));
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
