/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_DTYPE_H
#define MN_CORE_DTYPE_H

#include <monarch/types.h>

/* Scalar conversions; narrowing rounds to nearest even, overflow becomes infinity. */
float mn_f16_to_f32(uint16_t half);
uint16_t mn_f32_to_f16(float value);
float mn_bf16_to_f32(uint16_t brain);
uint16_t mn_f32_to_bf16(float value);

/*
 * `value` as e4m3 holds it (4 bits of exponent, 3 of mantissa), to nearest even. What is larger
 * than 448, infinity too, becomes 448; NaN stays.
 */
float mn_round_e4m3(float value);

/* A row as it comes back from e4m3 with one power of two for all of it: monarch_intermediates. */
void mn_round_row_e4m3(float *row, int64_t width);

/* Element `index` of an array of `dtype` at `base`. */
float mn_load(monarch_dtype dtype, const void *base, int64_t index);
void mn_store(monarch_dtype dtype, void *base, int64_t index, float value);

#endif
