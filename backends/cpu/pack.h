/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_PACK_H
#define MN_CPU_PACK_H

#include <monarch/types.h>

#include "backends/cpu/gemm.h"
#include "core/dtype.h"

/* Rows of a tensor of any dtype to f32 rows of whole vectors and back, and transposition. */

static inline void widen_f16(const uint16_t *source, float *row, int64_t width)
{
    int64_t f = 0;
#if defined(__AVX512F__)
    for (; f + 16 <= width; f += 16)
        _mm512_storeu_ps(row + f,
                         _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(source + f))));
#elif defined(__F16C__)
    for (; f + 8 <= width; f += 8)
        _mm256_storeu_ps(row + f, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(source + f))));
#endif
    for (; f < width; f++)
        row[f] = mn_f16_to_f32(source[f]);
}

static inline void narrow_f16(const float *row, uint16_t *target, int64_t width)
{
    int64_t f = 0;
#if defined(__AVX512F__)
    for (; f + 16 <= width; f += 16)
        _mm256_storeu_si256((__m256i *)(target + f),
                            _mm512_cvtps_ph(_mm512_loadu_ps(row + f), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    for (; f + 8 <= width; f += 8)
        _mm_storeu_si128((__m128i *)(target + f),
                         _mm256_cvtps_ph(_mm256_loadu_ps(row + f), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; f < width; f++)
        target[f] = mn_f32_to_f16(row[f]);
}

/* A call of memcpy for each row costs as much as the copy. */
static inline void copy_scaled(const float *source, float *target, int64_t width, float factor)
{
    int64_t f = 0;
    for (; f + LANES <= width; f += LANES)
        store(target + f, load(source + f) * factor);
    for (; f < width; f++)
        target[f] = source[f] * factor;
}

/* `width` features at `source` become one f32 row, filled up with zeros to `padded`. */
static inline void load_row(monarch_dtype dtype, const char *source, int64_t feature_stride,
                            int64_t width, int64_t padded, float *row)
{
    if (feature_stride != 1) {
        for (int64_t f = 0; f < width; f++)
            row[f] = mn_load(dtype, source, f * feature_stride);
    } else if (dtype == MONARCH_F32) {
        copy_scaled((const float *)(const void *)source, row, width, 1.0f);
    } else if (dtype == MONARCH_F16) {
        widen_f16((const uint16_t *)(const void *)source, row, width);
    } else {
        for (int64_t f = 0; f < width; f++)
            row[f] = mn_bf16_to_f32(((const uint16_t *)(const void *)source)[f]);
    }
    for (int64_t f = width; f < padded; f++)
        row[f] = 0.0f;
}

static inline void zero_row(float *row, int64_t padded)
{
    memset(row, 0, (size_t)padded * sizeof *row);
}

/* The first `width` features of an f32 row times `factor` go to `target`; the row is used up. */
static inline void store_row(monarch_dtype dtype, char *target, int64_t feature_stride,
                             int64_t width, float factor, float *row)
{
    if (dtype == MONARCH_F32 && feature_stride == 1) {
        copy_scaled(row, (float *)(void *)target, width, factor);
        return;
    }
    copy_scaled(row, row, width, factor);
    if (feature_stride != 1) {
        for (int64_t f = 0; f < width; f++)
            mn_store(dtype, target, f * feature_stride, row[f]);
    } else if (dtype == MONARCH_F16) {
        narrow_f16(row, (uint16_t *)(void *)target, width);
    } else {
        for (int64_t f = 0; f < width; f++)
            ((uint16_t *)(void *)target)[f] = mn_f32_to_bf16(row[f]);
    }
}

static inline quad load_quad(const float *address)
{
    quad q;
    memcpy(&q, address, sizeof q);
    return q;
}

/* A 4 x 4 block: rows `row` apart become columns `column` apart. */
static inline void transpose_4x4(const float *source, int64_t row, float *target, int64_t column)
{
    quad a = load_quad(source), b = load_quad(source + row);
    quad c = load_quad(source + 2 * row), d = load_quad(source + 3 * row);
    quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    quad out[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
                   __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                   __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                   __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++)
        memcpy(target + i * column, &out[i], sizeof out[i]);
}

/*
 * Rows [rows][stride] to panels for gemm: panel p holds, for each feature, rows p * PANEL onward.
 * `rows` is a multiple of LANES; `depth` features are taken, and rows have whole quads of them.
 */
static inline void pack_panels(const float *rows_at, int64_t rows, int64_t stride, int64_t depth,
                               float *panels)
{
    for (int64_t first = 0; first < rows; first += PANEL) {
        int64_t width = rows - first < PANEL ? LANES : PANEL;
        const float *source = rows_at + first * stride;
        int64_t f = 0;
        for (; f + 4 <= depth; f += 4)
            for (int64_t r = 0; r < width; r += 4)
                transpose_4x4(source + r * stride + f, stride, panels + f * width + r, width);
        for (; f < depth; f++)
            for (int64_t r = 0; r < width; r++)
                panels[f * width + r] = source[r * stride + f];
        panels += PANEL * depth;
    }
}

#endif
