/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CONVERT_H
#define BENCH_CONVERT_H

#include <monarch/types.h>

float f16_to_f32(uint16_t bits);
float bf16_to_f32(uint16_t bits);

/* Round to nearest, ties to even; too large becomes infinite, NaN stays NaN. */
uint16_t f32_to_f16(float value);
uint16_t f32_to_bf16(float value);

/*
 * `count` values from f32 to `dtype`. Returns how many finite values became infinite. `destination`
 * may be `source` itself: the elements only shrink.
 */
int64_t convert_from_f32(monarch_dtype dtype, const float *source, void *destination,
                         int64_t count);

/* `count` values of `dtype` to f32 or f64; `source` and `destination` do not overlap. */
void convert_to_f32(monarch_dtype dtype, const void *source, float *destination, int64_t count);
void convert_to_f64(monarch_dtype dtype, const void *source, double *destination, int64_t count);

#endif
