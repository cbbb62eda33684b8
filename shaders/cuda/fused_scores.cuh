/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_SCORES_CUH
#define MN_CUDA_FUSED_SCORES_CUH

#include "shaders/cuda/stage.cuh"

/*
 * Scores, softmax and weighted sums of one group in the registers of a warp: 16 TILES rows and
 * columns. Rows and columns are named by functions that give the address of row x of an operand.
 */

template <int TILES> struct group_scores {
    float s[TILES][2 * TILES][4];
};

/* Each row divided by its sum: the operand of products with values. */
template <int TILES> struct group_weights {
    fragment_a p[TILES][TILES];
};

/* Raw products of rows and columns in shared memory. */
template <class E, int WIDTH, int TILES, class Row, class Column>
__device__ inline void multiply_group(group_scores<TILES> &g, Row row, Column column, int lane)
{
    uint32_t a_address[TILES], b_address[TILES];
    g = {};
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        a_address[i] = shared_address(row(i * 16 + lane % 16)) + lane / 16 * VECTOR;
        b_address[i] =
            shared_address(column(i * 16 + lane % 8 + lane / 16 * 8)) + lane / 8 % 2 * VECTOR;
    }
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++) {
        fragment_a a[TILES];
#pragma unroll
        for (int r = 0; r < TILES; r++)
            load_matrices(a[r].x, a_address[r] + k * 32);
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            uint32_t b[4];
            load_matrices(b, b_address[n] + k * 32);
#pragma unroll
            for (int r = 0; r < TILES; r++) {
                element<E>::mma(g.s[r][2 * n], a[r], b[0], b[1]);
                element<E>::mma(g.s[r][2 * n + 1], a[r], b[2], b[3]);
            }
        }
    }
}

/* Scores to weights. Gives cL * log2(e) of each row to `note`, if asked. */
template <class E, bool ENTROPY, int TILES, class Note>
__device__ inline void row_softmax(group_scores<TILES> &g, group_weights<TILES> &weights, Note note,
                                   int lane)
{
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float largest = g.s[r][0][2 * half], sum = 0.0f, weighted = 0.0f;
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
                largest = fmaxf(largest, fmaxf(g.s[r][n][2 * half], g.s[r][n][2 * half + 1]));
            largest = row_largest(largest);
            float base = largest == -infinity() ? 0.0f : largest;
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    float y = g.s[r][n][i] - base;
                    g.s[r][n][i] = exp2_fast(y);
                    sum += g.s[r][n][i];
                    if (ENTROPY)
                        weighted = add_entropy(g.s[r][n][i], y, weighted);
                }
            sum = row_sum(sum);
            const bool is_empty = sum == 0.0f;
            const float factor = is_empty ? 0.0f : reciprocal_fast(sum);
            if (ENTROPY) { /* both terms have one sign: nothing cancels */
                const float entropy = row_sum(weighted) * factor - log2_fast(sum);
                note(r * 16 + half * 8 + lane / 4, is_empty ? infinity() : entropy);
            }
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
                weights.p[r][n / 2].x[n % 2 * 2 + half] = element<E>::pack(
                    g.s[r][n][2 * half] * factor, g.s[r][n][2 * half + 1] * factor);
        }
}

/* Features are made PARTS times 16 at a time: at most so many, fewer where registers are short. */
template <int WIDTH, int TILES>
static constexpr int most_parts = TILES == 1 && WIDTH % 64 == 0 ? 4 : 2;

/* Rows `out` = weights times rows `value`, some features at a time. They may be the same rows:
   these features are written when all have read them. */
template <class E, int WIDTH, int PARTS, int TILES, class Value, class Out>
__device__ inline void weigh(const group_weights<TILES> &weights, Value value, Out out, int lane)
{
    const int row = lane % 16, byte = lane / 16 * VECTOR; /* of what a thread gives addresses of */
    uint32_t from[TILES], to[TILES];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        from[i] = shared_address(value(i * 16 + row)) + byte;
        to[i] = shared_address(out(i * 16 + row)) + byte;
    }
#pragma unroll
    for (int f0 = 0; f0 < WIDTH / 16; f0 += PARTS) {
        float sums[TILES][2 * PARTS][4] = {};
#pragma unroll
        for (int f = 0; f < PARTS; f++)
#pragma unroll
            for (int c = 0; c < TILES; c++) {
                uint32_t b[4];
                load_matrices_transposed(b, from[c] + (f0 + f) * 32);
#pragma unroll
                for (int r = 0; r < TILES; r++) {
                    element<E>::mma(sums[r][2 * f], weights.p[r][c], b[0], b[1]);
                    element<E>::mma(sums[r][2 * f + 1], weights.p[r][c], b[2], b[3]);
                }
            }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < TILES; r++) {
            uint32_t packed[PARTS][4];
            pack_sums<E>(sums[r], packed);
#pragma unroll
            for (int f = 0; f < PARTS; f++)
                store_matrices(to[r] + (f0 + f) * 32, packed[f]);
        }
    }
}

#endif
