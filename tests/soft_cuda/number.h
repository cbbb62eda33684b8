/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_NUMBER_H
#define TESTS_SOFT_CUDA_NUMBER_H

#include <stdint.h>
#include <string.h>

extern "C" {
#include "../convert.h"
}

/* The 16-bit types; values of f16 by a table, since products look at many. */

namespace soft
{

extern const float *const f16_values; /* of all 65,536 */

static inline float f16_value(uint16_t bits)
{
    return f16_values[bits];
}

static inline float bf16_value(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, 4);
    return x;
}

static inline uint16_t f16_of(float x)
{
    return test_f16_from_float(x);
}

static inline uint16_t bf16_of(float x)
{
    return test_bf16_from_float(x);
}

} // namespace soft

#endif
