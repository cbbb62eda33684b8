/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_GEMM_H
#define MN_CPU_GEMM_H

#include <stdbool.h>

#include "backends/cpu/simd.h"

/*
 * C (+)= A X for blocks that stay in cache. A is read one scalar at a time, so its two strides are
 * free: A' costs what A does. X is read one vector at a time, in panels of PANEL columns. The sum
 * over k of every element of C is one chain of multiply-adds, so its value depends neither on the
 * size of the tile that it falls into nor on its neighbours. Chains of several calls are added at
 * their ends, which keeps the rounding error of long sums small.
 */

enum { PANEL = 2 * LANES };

#if defined(__AVX512F__)
enum { TILE_ROWS = 8 }; /* 16 accumulators of 32 registers: covers the latency of the FMA units */
#else
enum { TILE_ROWS = 4 }; /* 8 accumulators of 16 registers */
#endif

typedef struct gemm_args {
    int64_t rows, columns, depth; /* columns is a multiple of LANES */
    const float *a;
    int64_t a_row, a_depth;
    const float *x;
    int64_t x_depth; /* distance of X's rows; 0 = the width of the panel (packed panels) */
    int64_t x_panel; /* distance of panels */
    float *c;
    int64_t c_row;
    bool accumulate;
} gemm_args;

/* One tile of `rows` rows and `width` vectors; both are constants where this is inlined. */
static inline __attribute__((always_inline)) void gemm_tile(const gemm_args *g, const int rows,
                                                            const int width, const float *a,
                                                            const float *x, int64_t x_depth,
                                                            float *c)
{
    vec sum[8][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int w = 0; w < width; w++)
            sum[r][w] = splat(0.0f);
    for (int64_t k = 0; k < g->depth; k++) {
        vec column[2];
#pragma GCC unroll 2
        for (int w = 0; w < width; w++)
            column[w] = load(x + k * x_depth + w * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            vec scalar = splat(a[r * g->a_row + k * g->a_depth]);
#pragma GCC unroll 2
            for (int w = 0; w < width; w++)
                sum[r][w] = scalar * column[w] + sum[r][w];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int w = 0; w < width; w++) {
            float *at = c + r * g->c_row + w * LANES;
            store(at, g->accumulate ? load(at) + sum[r][w] : sum[r][w]);
        }
}

/* All rows of one panel that is `width` vectors wide. */
static inline __attribute__((always_inline)) void gemm_panel(const gemm_args *g, const int width,
                                                             const float *x, float *c)
{
    const float *a = g->a;
    int64_t x_depth = g->x_depth > 0 ? g->x_depth : width * LANES;
    int64_t left = g->rows;
    for (; left >= TILE_ROWS; left -= TILE_ROWS) {
        gemm_tile(g, TILE_ROWS, width, a, x, x_depth, c);
        a += TILE_ROWS * g->a_row;
        c += TILE_ROWS * g->c_row;
    }
    if (TILE_ROWS > 4 && left >= 4) {
        gemm_tile(g, 4, width, a, x, x_depth, c);
        a += 4 * g->a_row;
        c += 4 * g->c_row;
        left -= 4;
    }
    if (left >= 2) {
        gemm_tile(g, 2, width, a, x, x_depth, c);
        a += 2 * g->a_row;
        c += 2 * g->c_row;
        left -= 2;
    }
    if (left > 0)
        gemm_tile(g, 1, width, a, x, x_depth, c);
}

static void gemm(const gemm_args *g)
{
    const float *x = g->x;
    for (int64_t column = 0; column < g->columns; column += PANEL, x += g->x_panel) {
        if (g->columns - column >= PANEL)
            gemm_panel(g, 2, x, g->c + column);
        else
            gemm_panel(g, 1, x, g->c + column);
    }
}

#endif
